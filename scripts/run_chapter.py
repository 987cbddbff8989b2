from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from pathlib import Path

    from immunotrace.report.run import run_chapter

    code = Path(snakemake.scriptdir).parent
    report = Path(snakemake.input.case).parent
    run_chapter(
        code / snakemake.params.notebook,
        aside(snakemake.output[0]),
        {"results": str(report.parent), "case": snakemake.input.case},
        code=code,
        failed=Path(snakemake.log[0]).with_suffix(".ipynb"),
    )
