"""What a job says when it fails: a sentence for what a user can mend, a traceback for all else."""

import os

import pytest

from immunotrace.errors import InputError
from immunotrace.joblog import job_log


def failed(path, error, capsys):
    with pytest.raises(SystemExit) as stopped, job_log(path):
        raise error
    assert stopped.value.code == 1
    log = path.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert capsys.readouterr().err == ""  # the run shows the end of the log
    return log


def test_a_users_mistake(tmp_path, capsys):
    log = failed(tmp_path / "logs" / "x.log", InputError("sheet.tsv line 2: no such day"), capsys)
    assert log == "error: sheet.tsv line 2: no such day\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full here")
def test_a_full_disk(tmp_path, capsys):
    try:
        with open("/dev/full", "w") as full:
            full.write("results")
    except OSError as error:
        full_disk = error
    log = failed(tmp_path / "x.log", full_disk, capsys)
    assert "No space left on device" in log
    assert "Free space there, then give the same command again" in log


def test_a_place_that_must_not_be_written_to(tmp_path, capsys):
    error = OSError(30, "Read-only file system", "results/tables")
    log = failed(tmp_path / "x.log", error, capsys)
    assert "Read-only file system: results/tables. Make that place writable" in log


def test_any_other_error_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), job_log(tmp_path / "x.log"):
        1 / 0  # noqa: B018
    assert "ZeroDivisionError: division by zero" in (tmp_path / "x.log").read_text()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full here")
def test_a_log_that_cannot_be_written_leaves_the_terminal(capsys):
    with pytest.raises((SystemExit, OSError)), job_log("/dev/full"):
        raise InputError("sheet.tsv line 2: no such day")
    assert "error: sheet.tsv line 2: no such day" in capsys.readouterr().err
