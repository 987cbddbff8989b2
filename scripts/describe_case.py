from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    import json
    from pathlib import Path

    from immunotrace.provenance import describe_case

    case = describe_case(**snakemake.params.case, code=Path(snakemake.scriptdir).parent)
    Path(snakemake.output[0]).write_text(
        json.dumps(case, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
