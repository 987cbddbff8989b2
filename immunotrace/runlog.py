"""What a run tells on the terminal: a line for each finished stage, and how it ended.

Snakemake's own messages about jobs are left out where the profile says `quiet: [rules, ...]`; with
`--quiet host` on the command line they are there, and these lines are not.
"""

import csv
import json
import logging
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

REPORT = "report/report.html"
_LAST_LINES = 12  # of a failed job's log
_LISTED = 8  # excluded files named one by one
# Snakemake's remarks on its own work, which no setting silences.
_REMARKS = (
    *("Building DAG", "Using shell", "Provided ", "Rules claiming", "Conda environments: ignored"),
    *("Select jobs", "Execute ", "Complete log", "Elapsed time", "Singularity containers: ignored"),
    *("Shutting down", "Exiting because a job", "Removing output files of failed"),
)
_EVENTS = ("run_info", "resources_info", "progress", "job_finished", "job_started")


class RunLog(logging.Handler):
    """Follows the events of one run of Snakemake, and counts its jobs and time."""

    def __init__(self, results: str | Path = "results", stream=None):
        super().__init__()
        self.results = Path(results)
        self.stream = stream or sys.stderr
        self.start = time.monotonic()
        self.total: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.jobs: dict[int, logging.LogRecord] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", None) or "")
        if event == "run_info":
            stats = {rule: n for rule, n in record.stats.items() if rule not in ("total", "all")}
            self.total = Counter(stats)
            self.start = time.monotonic()
        elif event == "job_info":
            self.jobs[record.jobid] = record
        elif event == "job_finished" and record.job_id in self.jobs:
            self._finished(self.jobs[record.job_id].rule_name)
        elif event == "job_error":
            self._tell(failed_job(record, self.jobs.get(record.jobid)))
        elif record.getMessage().startswith("Nothing to be done") and self._report.is_file():
            self._tell(f"No change since the last run. The report: {self._report}")

    def _finished(self, rule: str) -> None:
        if rule not in self.total:
            return
        self.done[rule] += 1
        if self.done[rule] == self.total[rule]:
            done, total = self.done.total(), self.total.total()
            left = self._elapsed / done * (total - done)
            self._tell(
                f"{rule.replace('_', ' ')}: {_count(self.done[rule], 'job')} done; {done} of {total} in all, "
                f"{duration(self._elapsed)}" + (f", about {duration(left)} left" if left else "")
            )

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self.start

    @property
    def _report(self) -> Path:
        return self.results / REPORT

    def succeeded(self) -> None:
        """Say where the report is, how long it took, what was left out, and the verdicts."""
        self._tell(f"Finished: {_count(self.done.total(), 'job')} in {duration(self._elapsed)}.")
        if "compile_report" in self.done:
            self._tell("\n".join(closing_lines(self.results)))
        if "pack_results" in self.done:
            self._tell(f"The pack for others, checked: {self.results / 'share.zip'}")

    def failed(self) -> None:
        """Say how far the run came."""
        self._tell(
            f"Stopped after {duration(self._elapsed)}: {self.done.total()} of {_count(self.total.total(), 'job')} "
            "done. What is done is kept; once the cause is mended, the same command goes on from there."
        )

    def _tell(self, text: str) -> None:
        # A log or a title may hold what a terminal would obey.
        safe = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
        self.stream.write(f"{safe}\n")
        self.stream.flush()


def follow(workflow) -> RunLog:
    """Begin to tell of a run, where the profile or command line silences Snakemake's `rules` alone."""
    from snakemake.logging import logger

    log = RunLog()
    quiet = {str(choice) for choice in workflow.output_settings.quiet or ()}
    wanted = "rules" in quiet and not quiet & {"progress", "all"}
    if workflow.is_main_process and wanted and not workflow.output_settings.dryrun:
        for handler in logger.handlers:
            if handler.name == "DefaultStreamHandler":
                handler.addFilter(_is_news)
        logger.addHandler(log)
    else:
        log.stream = _Silence()
    return log


class _Silence:
    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...


def _is_news(record: logging.LogRecord) -> bool:
    event = str(getattr(record, "event", None) or "")
    if event == "error" and getattr(record, "exception", "") == "RuleException":
        return False  # told by the log of the job
    return event not in _EVENTS and not record.getMessage().startswith(_REMARKS)


def failed_job(error: logging.LogRecord, job: logging.LogRecord | None) -> str:
    """The rule and sample of a failed job, its log's path and last lines."""
    wildcards = getattr(job, "wildcards", None) or {}
    sample = ", ".join(f"{name} {value}" for name, value in wildcards.items())
    lines = [f"Failed: {error.rule_name}{f' ({sample})' if sample else ''}"]
    for path in map(Path, error.log):
        lines.append(f"  its log: {path}")
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
            lines += [f"    {line}" for line in text[-_LAST_LINES:]]
    return "\n".join(lines)


def closing_lines(results: str | Path) -> list[str]:
    """Where the report is, what is new, what was left out, and the verdict of each claim."""
    results = Path(results)
    lines = [f"The report: {results / REPORT} and {(results / REPORT).with_suffix('.pdf')}"]
    news = json.loads((results / "report/what_is_new.json").read_text(encoding="utf-8"))
    told = {
        "first": "this is the first run here",
        "unchanged": "no change since the last run",
        "changed": f"{_count(sum(map(len, news['inputs'].values())), 'input')}, "
        f"{_count(len(news['settings']), 'setting')} and {_count(len(news['numbers']), 'number')} differ, "
        f"{_count(len(news['verdicts']), 'verdict')} turned; the report begins with it",
    }
    lines.append(f"What is new: {told[news['status']]}.")
    failed = [
        row["acquisition"]
        for row in _rows(results / "tables/cytometry_qc.tsv")
        if row["verdict"] == "fail"
    ]
    failed += [
        f"plate {row['plate']}"
        for row in _rows(results / "tables/plate_qc.tsv")
        if row["used"] == "false"
    ]
    more = f" and {len(failed) - _LISTED} more" if len(failed) > _LISTED else ""
    lines.append(f"Left out after quality control: {', '.join(failed[:_LISTED]) or 'none'}{more}.")
    for row in _rows(results / "tables/claims.tsv"):
        lines.append(f"  {row['claim']} {row['title']}: {row['verdict'].replace('_', ' ')}")
    return lines


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        return []
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 0:01:05."""
    return str(timedelta(seconds=round(seconds)))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
