from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]):
    import json
    from pathlib import Path

    from immunotrace.history import keep_record
    from immunotrace.report.compile import compile_report

    results = Path(snakemake.output.html).parent.parent
    with written_aside(snakemake.output) as aside:
        compile_report(
            snakemake.input.chapters,
            snakemake.input.case,
            results,
            aside(snakemake.output.html),
            aside(snakemake.output.pdf),
        )
    # Only now, when the report is there, has the run a place in the history.
    record, news = [
        json.loads(Path(path).read_text(encoding="utf-8"))
        for path in (snakemake.input.record, snakemake.input.news)
    ]
    keep_record(record, snakemake.input.pictures, results / "history", news["figures"])
