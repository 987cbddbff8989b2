"""The gating hierarchy of every acquisition of a batch, a page each."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import gc

    from immunotrace.figures.hierarchy import draw_pages
    from immunotrace.tables import read_tsv

    # Figures are full of cycles; to look for garbage among them takes a seventh of the time.
    gc.disable()
    draw_pages(
        read_tsv(snakemake.input.hierarchy),
        read_tsv(snakemake.input.populations),
        aside(snakemake.output[0]),
        snakemake.params.simulated,
    )
