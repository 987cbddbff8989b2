# Figures from tables alone; one job draws the figures of a chapter.

for group in [chapter for chapter in AVAILABLE_CHAPTERS if chapter in FIGURES]:

    rule:
        name:
            f"draw_{group}"
        input:
            **figure_tables(group),
        output:
            [
                report(
                    f"results/figures/{name}.svg",
                    caption=f"captions/{group}.rst",
                    category="Figures",
                    subcategory=group.replace("_", " "),
                    labels={"figure": name.replace("_", " ")},
                )
                for name in FIGURES[group]
            ],
            expand(
                "results/figures/{name}.{format}",
                name=FIGURES[group],
                format=["pdf", "png", "tsv"],
            ),
        log:
            f"logs/draw_figures/{group}.log",
        benchmark:
            f"logs/benchmarks/draw_figures/{group}.tsv"
        conda:
            "../envs/figures.yaml"
        resources:
            mem_mb=memory,
            runtime=minutes,
        params:
            group=group,
            options=figure_options(group),
            code=code("scripts/draw_figures.py", "envs/figures.yaml"),
        script:
            "../scripts/draw_figures.py"


if CASE.acquisitions:

    rule draw_pages:
        input:
            populations="results/cytometry/{batch}/populations.tsv",
            hierarchy="results/cytometry/{batch}/hierarchy.tsv",
        output:
            "results/cytometry/{batch}/pages.zip",
        log:
            "logs/draw_pages/{batch}.log",
        benchmark:
            "logs/benchmarks/draw_pages/{batch}.tsv"
        conda:
            "../envs/figures.yaml"
        resources:
            mem_mb=memory,
            runtime=20,
        params:
            simulated=CASE.simulated,
            code=code("scripts/draw_pages.py", "envs/figures.yaml"),
        script:
            "../scripts/draw_pages.py"

    rule draw_supplement:
        input:
            populations="results/tables/populations.tsv",
            pages=expand("results/cytometry/{batch}/pages.zip", batch=CASE.batches),
        output:
            report(
                "results/report/supplement.pdf",
                caption="captions/supplement.rst",
                category="Report",
                labels={"file": "supplement (PDF)"},
            ),
        log:
            "logs/draw_supplement.log",
        benchmark:
            "logs/benchmarks/draw_supplement.tsv"
        conda:
            "../envs/figures.yaml"
        resources:
            mem_mb=memory,
            runtime=minutes,
        params:
            code=code("scripts/draw_supplement.py", "envs/figures.yaml"),
        script:
            "../scripts/draw_supplement.py"
