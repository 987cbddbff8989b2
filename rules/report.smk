# The chapters, one notebook each, and the report compiled from them.


rule describe_case:
    input:
        raw=[row["fcs"] for row in CASE.acquisitions]
        + [row["file"] for row in CASE.plates],
        timeline=[CASE.timeline] if CASE.timeline else [],
    output:
        "results/report/case.json",
    log:
        "logs/describe_case.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=10,
    params:
        case={
            "settings": CASE.settings,
            "panels": CASE.panels,
            "acquisitions": CASE.acquisitions,
            "plates": CASE.plates,
            "claims": CASE.claims,
        },
        code=code("scripts/describe_case.py"),
    script:
        "../scripts/describe_case.py"


rule run_chapter:
    input:
        notebook=lambda wc: ROOT / "notebooks" / f"{wc.chapter}.ipynb",
        case="results/report/case.json",
        tables=chapter_tables(),
        figures=lambda wc: chapter_figures(wc.chapter),
    output:
        "results/report/chapters/{chapter}.ipynb",
    log:
        "logs/run_chapter/{chapter}.log",
    benchmark:
        "logs/benchmarks/run_chapter/{chapter}.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=20,
    params:
        code=lambda wc: code(f"notebooks/{wc.chapter}.ipynb")
        + code("scripts/run_chapter.py"),
    script:
        "../scripts/run_chapter.py"


rule compile_report:
    input:
        chapters=expand(
            "results/report/chapters/{chapter}.ipynb", chapter=AVAILABLE_CHAPTERS
        ),
        case="results/report/case.json",
        templates=[
            ROOT / "immunotrace/report/templates" / name
            for name in ("report.css", "report.js", "report.typ")
        ],
    output:
        html="results/report/report.html",
        pdf="results/report/report.pdf",
    log:
        "logs/compile_report.log",
    benchmark:
        "logs/benchmarks/compile_report.tsv"
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=memory,
        runtime=20,
    params:
        code=code("scripts/compile_report.py"),
    script:
        "../scripts/compile_report.py"
