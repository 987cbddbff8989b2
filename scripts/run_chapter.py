from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from immunotrace.report.run import run_chapter

    output = Path(snakemake.output[0])
    report = output.parent.parent
    run_chapter(
        snakemake.input.notebook,
        output,
        {"results": str(report.parent), "case": snakemake.input.case},
        code=Path(snakemake.scriptdir).parent,
        failed=report / "failed" / output.name,
    )
