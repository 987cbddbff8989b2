from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from pathlib import Path

    from immunotrace.report.run import run_chapters

    code = Path(snakemake.scriptdir).parent
    chapters = zip(snakemake.params.notebooks, snakemake.output, strict=True)
    report = Path(snakemake.input.case).parent
    run_chapters(
        {code / notebook: aside(chapter) for notebook, chapter in chapters},
        {"results": str(report.parent), "case": snakemake.input.case},
        failed=Path(snakemake.log[0]).with_suffix(""),
    )
