# Each day against baseline, and the claims answered from that.

MEASURED = {
    **(
        {
            "populations": "results/tables/populations.tsv",
            "markers": "results/tables/markers.tsv",
        }
        if CASE.acquisitions
        else {}
    ),
    **(
        {
            "curves": "results/tables/curves.tsv",
            "contrasts": "results/tables/contrasts.tsv",
        }
        if CASE.plates
        else {}
    ),
}


localrules:
    judge_claims,


rule compute_changes:
    input:
        **MEASURED,
    output:
        **(
            {"composition": "results/tables/composition.tsv"}
            if CASE.acquisitions
            else {}
        ),
        changes="results/tables/changes.tsv",
        detectable="results/tables/detectable_changes.tsv",
    log:
        "logs/compute_changes.log",
    benchmark:
        "logs/benchmarks/compute_changes.tsv"
    conda:
        "../envs/doseresponse.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        patient=CASE.settings["case"]["patient"],
        control=CASE.settings["case"].get("control"),
        settings=CASE.settings["longitudinal"],
        contrast_level=CASE.settings["dose_response"]["level"],
        code=code("scripts/compute_changes.py", "envs/doseresponse.yaml"),
    script:
        "../scripts/compute_changes.py"


rule judge_claims:
    input:
        changes="results/tables/changes.tsv",
        timeline=[CASE.timeline] if CASE.timeline else [],
    output:
        report(
            "results/tables/claims.tsv",
            caption="captions/claims.rst",
            category="Tables",
            labels={"table": "claims"},
        ),
    log:
        "logs/judge_claims.log",
    benchmark:
        "logs/benchmarks/judge_claims.tsv"
    conda:
        "../envs/doseresponse.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        claims=CASE.claims,
        patient=CASE.settings["case"]["patient"],
        code=code("scripts/judge_claims.py", "envs/doseresponse.yaml"),
    script:
        "../scripts/judge_claims.py"
