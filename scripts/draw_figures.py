from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from immunotrace.figures.groups import draw_group, read_tables

    draw_group(
        snakemake.params.group,
        read_tables(dict(snakemake.input.items())),
        Path(snakemake.output[0]).parent,
        days=snakemake.params.days,
        panels=snakemake.params.panels,
        simulated=snakemake.params.simulated,
        level=snakemake.params.level,
    )
