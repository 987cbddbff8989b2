from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from pathlib import Path

    from immunotrace.report.compile import compile_report

    compile_report(
        snakemake.input.chapters,
        snakemake.input.case,
        Path(snakemake.output.html).parent.parent,
        aside(snakemake.output.html),
        aside(snakemake.output.pdf),
    )
