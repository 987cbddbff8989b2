"""The published cytometry tables, joined from those of the batches."""

from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.cytometry.quantify import cytometry_tables

    parts, joined = snakemake.input, snakemake.output
    cytometry_tables(
        {
            "populations": parts.populations,
            "markers": parts.markers,
            "cytometry_qc": parts.qc,
        },
        {
            "populations": joined.populations,
            "markers": joined.markers,
            "cytometry_qc": joined.qc,
        },
    )
