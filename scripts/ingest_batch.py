"""Quality of the FCS files of a batch, and which of their events are kept."""

from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.cytometry.acquisition_qc import ingest_batch

    ingest_batch(
        snakemake.params.rows,
        snakemake.params.settings,
        snakemake.output.qc,
        snakemake.output.kept,
    )
