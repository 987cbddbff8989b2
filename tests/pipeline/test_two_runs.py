"""Two runs in one folder, and a run after one that was killed."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from runs import copy_repository, snakemake

TARGET = "results/simulated/timeline.tsv"


@pytest.fixture
def working(repository, tmp_path):
    """A run that has started a job, and its folder; the job waits until it is let go on."""
    folder = copy_repository(repository, tmp_path / "clone")
    script = folder / "scripts" / "simulate_timeline.py"
    wait = "import os, time\nwhile os.path.exists('wait'):\n    time.sleep(0.1)\n"
    script.write_text(wait + script.read_text())
    (folder / "wait").touch()
    run = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", TARGET],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list((folder / ".snakemake" / "scripts").glob("*.py")):
        assert run.poll() is None
        time.sleep(0.1)
    yield run, folder
    (folder / "wait").unlink(missing_ok=True)
    run.wait(timeout=60)


def test_a_second_run_is_refused_with_advice_and_harms_nothing(working):
    run, folder = working
    second = snakemake(folder, TARGET)
    assert second.code != 0
    assert second.jobs == []
    assert f"Another run works in this folder: process {run.pid} on" in second.output
    assert "Wait until it ends, or end it" in second.output
    assert "Directory cannot be locked" in second.output
    assert "Traceback" not in second.output
    assert snakemake(folder, "-n", TARGET).code == 0
    (folder / "wait").unlink()
    assert run.wait(timeout=60) == 0
    assert (folder / TARGET).exists()
    assert "Nothing to be done" in snakemake(folder, TARGET).output


def test_a_dry_run_tells_its_jobs_as_a_user_sees_it(repository, tmp_path):
    run = snakemake(
        copy_repository(repository, tmp_path / "clone"), "-n", "--quiet", "rules", "host", "reason"
    )
    assert run.code == 0, run.output
    assert re.search(r"^ingest_batch +9$", run.output, re.MULTILINE), run.output


def test_after_a_kill_the_same_command_goes_on(working):
    run, folder = working
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert list((folder / ".snakemake" / "locks").iterdir())
    # The job lives on, and lets go while the second run does the same job.
    (folder / "wait").unlink()
    again = snakemake(folder, TARGET)
    assert again.code == 0, again.output
    assert again.jobs == ["simulate_timeline"]
    assert (folder / TARGET).exists()
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["simulated"]
