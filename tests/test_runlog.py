"""What a run tells on the terminal."""

import io
import json
import logging

import pytest

from immunotrace.runlog import RunLog, closing_lines, duration


def event(kind: str | None, message: str = "", **values) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "event": kind, **values})


@pytest.fixture
def log(tmp_path):
    return RunLog(tmp_path / "results", io.StringIO())


def start(log, **stats):
    log.emit(event("run_info", stats={**stats, "all": 1, "total": sum(stats.values()) + 1}))


def finish(log, number, rule):
    log.emit(event("job_info", jobid=number, rule_name=rule, wildcards={"batch": f"run{number}"}))
    log.emit(event("job_finished", job_id=number))


def test_a_line_a_stage_with_counts_and_time(log):
    start(log, ingest_batch=2, fit_curves=2)
    log.start -= 10
    finish(log, 1, "ingest_batch")
    assert log.stream.getvalue() == ""
    finish(log, 2, "ingest_batch")
    told = log.stream.getvalue()
    assert told == "ingest batch: 2 jobs done; 2 of 4 in all, 0:00:10, about 0:00:10 left\n"


def test_a_failed_job_is_told_with_its_sample_and_the_end_of_its_log(log, tmp_path):
    path = tmp_path / "run5.log"
    path.write_text("".join(f"line {n}\n" for n in range(30)) + "error: \x1b[2Jtoo few events\n")
    start(log, ingest_batch=1)
    log.emit(event("job_info", jobid=3, rule_name="ingest_batch", wildcards={"batch": "run5"}))
    log.emit(event("job_error", jobid=3, rule_name="ingest_batch", log=[str(path)]))
    lines = log.stream.getvalue().splitlines()
    assert lines[0] == "Failed: ingest_batch (batch run5)"
    assert lines[1] == f"  its log: {path}"
    assert lines[-1] == "    error: ?[2Jtoo few events"
    assert len(lines) == 14
    log.failed()
    assert "0 of 1 job done" in log.stream.getvalue()


def write_results(folder, verdicts=("pass", "fail")):
    (folder / "report").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "report/report.html").write_text("")
    (folder / "report/what_is_new.json").write_text(
        json.dumps(
            {"status": "changed", "inputs": {"added": [1], "changed": [1, 2]}, "settings": [1]}
            | {"numbers": [1, 2], "verdicts": [1]}
        )
    )
    rows = "".join(f"a{n}\t{verdict}\n" for n, verdict in enumerate(verdicts))
    (folder / "tables/cytometry_qc.tsv").write_text(f"acquisition\tverdict\n{rows}")
    (folder / "tables/plate_qc.tsv").write_text(
        "plate\tverdict\tused\np1\tfail\ttrue\np2\tfail\tfalse\n"
    )
    (folder / "tables/claims.tsv").write_text(
        'claim\tverdict\ttitle\nC1\tnot_supported\t"CCR4 ""on"" T cells"\n'
    )


def test_the_end_says_where_the_report_is_what_was_left_out_and_the_verdicts(tmp_path):
    write_results(tmp_path)
    lines = closing_lines(tmp_path)
    assert lines[0].startswith(f"The report: {tmp_path}/report/report.html")
    assert "3 inputs, 1 setting and 2 numbers differ, 1 verdict turned" in lines[1]
    assert lines[2] == "Left out after quality control: a1, plate p2."
    assert lines[3] == '  C1 CCR4 "on" T cells: not supported'


def test_nothing_to_be_done_says_where_the_report_is(log):
    message = "Nothing to be done (all requested files are present and up to date)."
    log.emit(event(None, message))
    assert log.stream.getvalue() == ""
    write_results(log.results)
    log.emit(event(None, message))
    assert log.stream.getvalue().startswith("No change since the last run. The report:")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00:00"), (65, "0:01:05"), (7322, "2:02:02")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
