# Exports of counters and readers to wells, curves and comparisons of curves.


rule read_plates:
    input:
        files=[row["file"] for row in CASE.plates],
    output:
        wells="results/tables/wells.tsv",
        qc="results/tables/plate_qc.tsv",
    log:
        "logs/read_plates.log",
    benchmark:
        "logs/benchmarks/read_plates.tsv"
    conda:
        "../envs/doseresponse.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        rows=CASE.plates,
        settings=settings(
            "dose_response",
            "exclude_outlier_wells",
            "dose_unit",
            "molar_mass",
            "on_failed_plate",
            "on_unreadable",
        ),
        code=code("scripts/read_plates.py", "envs/doseresponse.yaml"),
    script:
        "../scripts/read_plates.py"


rule fit_curves:
    input:
        wells="results/tables/wells.tsv",
    output:
        curves="results/tables/curves.tsv",
        contrasts="results/tables/contrasts.tsv",
        pairs="results/doseresponse/pairs.tsv",
        days="results/doseresponse/days.tsv",
        fitted="results/doseresponse/fitted.tsv",
        residuals="results/doseresponse/residuals.tsv",
    log:
        "logs/fit_curves.log",
    benchmark:
        "logs/benchmarks/fit_curves.tsv"
    conda:
        "../envs/doseresponse.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        settings=settings("dose_response", "level", "model", "weights", "robust"),
        code=code("scripts/fit_curves.py", "envs/doseresponse.yaml"),
    script:
        "../scripts/fit_curves.py"
