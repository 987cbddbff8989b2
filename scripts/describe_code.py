"""The commit of the code and the version of Snakemake."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import json
    from pathlib import Path

    from immunotrace.software import commit

    code = {
        "commit": commit(Path(snakemake.scriptdir).parent),
        "snakemake": snakemake.params.snakemake,
    }
    Path(aside(snakemake.output[0])).write_text(
        json.dumps(code, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
