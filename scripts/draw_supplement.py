"""The pages of all batches in one PDF."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.figures.hierarchy import write_supplement
    from immunotrace.tables import read_tsv

    write_supplement(
        snakemake.input.pages, read_tsv(snakemake.input.populations), aside(snakemake.output[0])
    )
