from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import json
    from pathlib import Path

    from immunotrace.provenance import describe_software

    software = describe_software(Path(snakemake.scriptdir).parent)
    Path(aside(snakemake.output[0])).write_text(
        json.dumps(software, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
