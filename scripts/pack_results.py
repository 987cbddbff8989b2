"""The archive that may be shown to others."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside
from immunotrace.privacy import names_of

names = names_of(snakemake.params.rows, snakemake.params.panels)

with job_log(snakemake.log[0], names), written_aside(snakemake.output) as aside:
    from pathlib import Path

    from immunotrace.share import pack_results

    archive = snakemake.output[0]
    pack_results(
        Path(archive).parent, snakemake.input.raw, Path(snakemake.scriptdir).parent, aside(archive)
    )
