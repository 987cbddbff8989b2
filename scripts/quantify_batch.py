"""Populations and markers of the full stains of a batch."""

from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.cytometry.quantify import quantify_batch

    quantify_batch(
        snakemake.params.rows,
        snakemake.params.panels,
        snakemake.params.settings,
        snakemake.input.kept,
        snakemake.input.thresholds,
        dict(snakemake.output.items()),
        snakemake.params.seed,
    )
