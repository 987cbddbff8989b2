# The chapters, one notebook each, and the report compiled from them.


report: "captions/workflow.rst"


localrules:
    describe_software,
    describe_code,
    write_crate,


rule describe_case:
    input:
        raw=[row["fcs"] for row in CASE.acquisitions]
        + [row["file"] for row in CASE.plates]
        + moved_gate_files(CASE.acquisitions)
        + spillover_files(CASE.acquisitions),
        plate_maps=sorted({row["map_file"] for row in CASE.plates}),
        gates=sorted({panel["gates"]["file"] for panel in CASE.panels.values()}),
        timeline=[CASE.timeline] if CASE.timeline else [],
    output:
        "results/report/case.json",
    log:
        "logs/describe_case.log",
    benchmark:
        "logs/benchmarks/describe_case.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        # Reads all raw files, but holds none of them.
        mem_mb=lambda wildcards, attempt: 700 * attempt,
        runtime=lambda wildcards, input, attempt: int(10 + 0.001 * input.size_mb)
        * attempt,
    params:
        case={
            "settings": CASE.settings,
            "panels": CASE.panels,
            "acquisitions": CASE.acquisitions,
            "plates": CASE.plates,
            "has_claims": bool(CASE.claims),
            "environments": ENVIRONMENTS,
        },
        code=code("scripts/describe_case.py", "envs/report.yaml"),
    script:
        "../scripts/describe_case.py"


# Each environment tells what it holds; under pip they are one, under conda they may differ.
rule describe_software:
    output:
        "results/report/software/{environment}.json",
    log:
        "logs/describe_software/{environment}.log",
    benchmark:
        "logs/benchmarks/describe_software/{environment}.tsv"
    conda:
        "../envs/{environment}.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        packages=lambda wc: named_packages(wc.environment),
        code=lambda wc: code(
            "scripts/describe_software.py",
            f"envs/{wc.environment}.yaml",
            "requirements/run.lock",
        ),
    script:
        "../scripts/describe_software.py"


# The commit that the report names is that of the code, all of it, when it last changed.
rule describe_code:
    output:
        "results/report/code.json",
    log:
        "logs/describe_code.log",
    benchmark:
        "logs/benchmarks/describe_code.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        snakemake=version("snakemake"),
        code=code(*code_files(), "envs/report.yaml"),
    script:
        "../scripts/describe_code.py"


# Earlier runs' records are no input: a run adds its own, and must not make itself go again.
rule compare_runs:
    input:
        case="results/report/case.json",
        software=SOFTWARE,
        tables=[*published(*RECORDED_TABLES).values()],
        figures=figure_files(AVAILABLE_CHAPTERS, "png"),
    output:
        record="results/report/record.json",
        news="results/report/what_is_new.json",
    log:
        "logs/compare_runs.log",
    benchmark:
        "logs/benchmarks/compare_runs.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        claims=CASE.claims,
        code=code("scripts/compare_runs.py", "envs/report.yaml"),
    script:
        "../scripts/compare_runs.py"


# One job for all: they take less time together than Python and pandas to start.
rule run_chapters:
    input:
        case="results/report/case.json",
        tables=chapter_tables(AVAILABLE_CHAPTERS),
        figures=figure_files(AVAILABLE_CHAPTERS, "png", "tsv"),
    output:
        CHAPTER_FILES,
    log:
        "logs/run_chapters.log",
    benchmark:
        "logs/benchmarks/run_chapters.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        notebooks=CHAPTER_NOTEBOOKS,
        code=code("scripts/run_chapters.py", *CHAPTER_NOTEBOOKS, "envs/report.yaml"),
    script:
        "../scripts/run_chapters.py"


rule compile_report:
    input:
        chapters=CHAPTER_FILES,
        case="results/report/case.json",
        figures=figure_files(AVAILABLE_CHAPTERS, "svg", "pdf", "tsv"),
        tables=published(*CYTOMETRY_TABLES, *PLATE_TABLES, "changes", "claims").values(),
        pictures=figure_files(AVAILABLE_CHAPTERS, "png"),
        record="results/report/record.json",
        news="results/report/what_is_new.json",
    output:
        html=report(
            "results/report/report.html",
            caption="captions/report.rst",
            category="Report",
            labels={"file": "The report (HTML)"},
        ),
        pdf=report(
            "results/report/report.pdf",
            caption="captions/report.rst",
            category="Report",
            labels={"file": "The report (PDF)"},
        ),
    log:
        "logs/compile_report.log",
    benchmark:
        "logs/benchmarks/compile_report.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        # The report carries the script that draws and the notebooks.
        code=code(
            "scripts/compile_report.py",
            "scripts/draw_figures.py",
            "envs/report.yaml",
            *REPORT_TEMPLATES,
            *CHAPTER_NOTEBOOKS,
        ),
    script:
        "../scripts/compile_report.py"


# The crate is the record of a run, with the time that each job took: bytes of its own in every run.
rule write_crate:
    input:
        case="results/report/case.json",
        software=SOFTWARE,
        results=[
            *expand(
                "results/report/{name}",
                name=["report.html", "report.pdf", "record.json", "what_is_new.json"],
            ),
            *CHAPTER_FILES,
            *SUPPLEMENT,
            *published_results(),
        ],
        # Folders, of which Snakemake knows the time only: what is new in them is new in the tables too.
        gates=ancient(expand("results/cytometry/{batch}/gates", batch=CASE.batches)),
        thresholds=sorted({f for b in CASE.batches for f in placed("thresholds", b)}),
    output:
        metadata="results/ro-crate-metadata.json",
        workflow=[f"results/crate/{name}" for name in WORKFLOW_FILES],
    log:
        "logs/write_crate.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        workflow=WORKFLOW_FILES,
        code=code("scripts/write_crate.py", "envs/report.yaml"),
    script:
        "../scripts/write_crate.py"


rule pack_results:
    input:
        packed=[
            "results/report/report.html",
            "results/report/report.pdf",
            "results/ro-crate-metadata.json",
            *SUPPLEMENT,
            *published_results(),
        ],
        raw=[row["fcs"] for row in CASE.acquisitions]
        + [row["file"] for row in CASE.plates]
        + [file for file in gate_files(CASE.acquisitions) if file.endswith(".wsp")],
    output:
        "results/share.zip",
    log:
        "logs/pack_results.log",
    conda:
        "../envs/cytometry.yaml"
    resources:
        mem_mb=memory_of_pack,
        runtime=lambda wildcards, input, attempt: int(10 + 0.001 * input.size_mb)
        * attempt,
    params:
        rows=[*CASE.acquisitions, *CASE.plates],
        panels=panels_of(CASE.acquisitions),
        code=code("scripts/pack_results.py", "envs/cytometry.yaml"),
    script:
        "../scripts/pack_results.py"
