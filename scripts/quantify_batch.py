"""Populations and markers of the full stains of a batch."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside
from immunotrace.privacy import names_of

with (
    job_log(snakemake.log[0], names_of(snakemake.params.rows, snakemake.params.panels)),
    written_aside(snakemake.output) as aside,
):
    from immunotrace.cytometry.quantify import quantify_batch

    quantify_batch(
        snakemake.params.rows,
        snakemake.params.panels,
        snakemake.params.settings,
        snakemake.input.kept,
        snakemake.input.thresholds,
        {name: aside(path) for name, path in snakemake.output.items()},
        snakemake.params.seed,
        snakemake.input.fmo_medians,
    )
