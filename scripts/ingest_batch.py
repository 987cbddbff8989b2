"""Quality of the FCS files of a batch, and which of their events are kept."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside
from immunotrace.privacy import names_of

with (
    job_log(snakemake.log[0], names_of(snakemake.params.rows)),
    written_aside(snakemake.output) as aside,
):
    from immunotrace.cytometry.acquisition_qc import ingest_batch

    ingest_batch(
        snakemake.params.rows,
        snakemake.params.settings,
        aside(snakemake.output.qc),
        aside(snakemake.output.kept),
        aside(snakemake.output.channels),
        aside(snakemake.output.time),
    )
