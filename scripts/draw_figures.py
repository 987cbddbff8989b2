from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import gc
    from pathlib import Path

    from immunotrace.figures.groups import draw_group, read_tables

    # Figures are full of cycles; to look for garbage among them takes a seventh of the time.
    gc.disable()
    draw_group(
        snakemake.params.group,
        read_tables(dict(snakemake.input.items())),
        Path(aside(snakemake.output[0])).parent,
        **snakemake.params.options,
    )
