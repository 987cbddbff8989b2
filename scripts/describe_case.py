from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside
from immunotrace.privacy import names_of

case = snakemake.params.case
names = names_of([*case["acquisitions"], *case["plates"]], case["panels"])

with job_log(snakemake.log[0], names), written_aside(snakemake.output) as aside:
    import json
    from pathlib import Path

    from immunotrace.provenance import describe_case

    case = describe_case(**case)
    Path(aside(snakemake.output[0])).write_text(
        json.dumps(case, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
