from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import json
    from pathlib import Path

    from immunotrace.provenance import describe_case

    case = describe_case(**snakemake.params.case)
    Path(aside(snakemake.output[0])).write_text(
        json.dumps(case, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
