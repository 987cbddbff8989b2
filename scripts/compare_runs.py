"""The record of this run, and what is new in it since the records of earlier ones."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    import json
    from pathlib import Path

    from immunotrace import history
    from immunotrace.report.tables import load_software

    case = json.loads(Path(snakemake.input.case).read_text(encoding="utf-8"))
    software = load_software(Path(snakemake.input.case).parent.parent, case)
    tables = {Path(path).stem: path for path in snakemake.input.tables}
    record = history.run_record(
        case, software, snakemake.params.claims, tables, snakemake.input.figures
    )
    kept = Path(snakemake.output.record).parent.parent / "history"
    news = history.news(record, snakemake.input.figures, kept)
    Path(aside(snakemake.output.record)).write_text(history.dumped(record), encoding="utf-8")
    Path(aside(snakemake.output.news)).write_text(history.dumped(news), encoding="utf-8")
