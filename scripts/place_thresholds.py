"""The thresholds of a subject's panel, one a marker."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside
from immunotrace.privacy import names_of

names = names_of(snakemake.params.rows, {snakemake.wildcards.panel: snakemake.params.panel})

with job_log(snakemake.log[0], names), written_aside(snakemake.output) as aside:
    from immunotrace.cytometry.thresholds import place_thresholds

    place_thresholds(
        snakemake.params.rows,
        snakemake.wildcards.subject,
        snakemake.wildcards.panel,
        snakemake.params.panel,
        snakemake.params.settings,
        aside(snakemake.output.thresholds),
        aside(snakemake.output.fmo_medians),
    )
