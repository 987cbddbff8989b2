"""The gating hierarchy of every acquisition of a batch, a page each."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.figures.hierarchy import draw_pages
    from immunotrace.tables import read_tsv

    draw_pages(
        read_tsv(snakemake.input.hierarchy),
        read_tsv(snakemake.input.populations),
        aside(snakemake.output[0]),
        snakemake.params.simulated,
    )
