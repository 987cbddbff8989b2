"""The versions of the packages of one environment, written by its own Python."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import json
    from pathlib import Path

    from immunotrace.software import installed

    Path(aside(snakemake.output[0])).write_text(
        json.dumps(installed(snakemake.params.packages), indent=1, sort_keys=True) + "\n",
        encoding="utf-8",
    )
