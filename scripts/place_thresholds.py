"""The thresholds of a subject's panel, one a marker."""

from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.cytometry.thresholds import place_thresholds

    place_thresholds(
        snakemake.params.rows,
        snakemake.wildcards.subject,
        snakemake.wildcards.panel,
        snakemake.params.panel,
        snakemake.params.settings,
        snakemake.input.kept,
        snakemake.output[0],
    )
