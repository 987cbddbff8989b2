"""Outputs appear whole, together, at a job's end, or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from immunotrace.outputs import written_aside

OUTPUTS = ["results/tables/a.tsv", "results/gates"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything():
    return sorted(str(path) for path in Path("results").rglob("*") if path.is_file())


def write(aside, text):
    Path(aside(OUTPUTS[0])).write_text(text)
    Path(aside(OUTPUTS[1])).mkdir()
    (Path(aside(OUTPUTS[1])) / "x.xml").write_text(text)


def test_files_and_folders_move_to_their_places_at_the_end():
    for text in ("first", "second"):
        with written_aside(OUTPUTS) as aside:
            write(aside, text)
            assert not any(Path(path).exists() for path in OUTPUTS) or text == "second"
        assert everything() == ["results/gates/x.xml", "results/tables/a.tsv"]
        assert Path("results/gates/x.xml").read_text() == text
    assert not list(Path("results").glob(".*"))


def test_nothing_is_left_of_a_job_that_fails():
    def job():
        with written_aside(OUTPUTS) as aside:
            write(aside, "half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        job()
    assert everything() == []


def test_what_is_no_output_is_refused():
    with written_aside(OUTPUTS) as aside:
        with pytest.raises(ValueError, match=r"b\.tsv is none of"):
            aside("results/tables/b.tsv")
        write(aside, "whole")


def test_a_killed_job_leaves_nothing_in_place_and_its_next_try_clears_up(repository):
    code = (
        "import sys; from pathlib import Path; from immunotrace.outputs import written_aside\n"
        f"with written_aside({OUTPUTS}) as aside:\n"
        f"    Path(aside({OUTPUTS[0]!r})).write_text('half')\n"
        "    print('written', flush=True); sys.stdin.read()\n"
    )
    job = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert job.stdout.readline() == b"written\n"
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert not any(Path(path).exists() for path in OUTPUTS)
    assert len(everything()) == 1
    with written_aside(OUTPUTS) as aside:
        write(aside, "whole")
    assert everything() == ["results/gates/x.xml", "results/tables/a.tsv"]


def test_an_earlier_try_that_lives_on_moves_nothing():
    earlier = written_aside(OUTPUTS)
    write(earlier.__enter__(), "earlier")
    with written_aside(OUTPUTS) as aside:
        write(aside, "later")
    with pytest.raises(FileNotFoundError):
        earlier.__exit__(None, None, None)
    assert Path(OUTPUTS[0]).read_text() == "later"
