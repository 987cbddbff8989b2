from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from immunotrace.report.compile import compile_report

    compile_report(
        snakemake.input.chapters,
        snakemake.input.case,
        Path(snakemake.output.html).parent.parent,
        snakemake.output.html,
        snakemake.output.pdf,
    )
