"""The gating hierarchy of every acquisition, page by page."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.figures.groups import read_tables
    from immunotrace.figures.hierarchy import write_supplement

    tables = read_tables(dict(snakemake.input.items()))
    write_supplement(
        tables["hierarchy"],
        tables["populations"],
        aside(snakemake.output[0]),
        snakemake.params.simulated,
    )
