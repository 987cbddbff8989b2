"""One run at a time in a folder, and what a killed one leaves.

Snakemake locks a folder's files while it runs, but its lock does not say by whom: after a kill it stands
in the way of the same command until somebody unlocks, and nothing tells a dead run from a living one.
So a run leaves a mark that names its process.
"""

import json
import os
import platform
import shutil
from datetime import datetime
from pathlib import Path

import psutil

_MARK = "immunotrace_run.json"


def mark_run(state: str | Path, cluster: bool = False) -> None:
    """Name this process as the one that runs; `state` is Snakemake's folder `.snakemake`.

    `cluster` says that its jobs run in a cluster's queue, and so outlive it.
    """
    own = psutil.Process()
    mark = {
        "host": platform.node(),
        "process": own.pid,
        "started": own.create_time(),
        "cluster": cluster,
    }
    aside = Path(state) / f"{_MARK}.{own.pid}"
    aside.write_text(json.dumps(mark), encoding="utf-8")
    os.replace(aside, Path(state) / _MARK)


def release_after_kill(state: str | Path, jobs_are_gone: bool = False) -> str | None:
    """Remove the lock of a run of this machine that is no more; a sentence on what forbids that."""
    mark = _mark(state)
    if mark is None or mark["process"] == os.getpid():
        return None
    if other := living_run(state):
        return other
    if mark["cluster"] and not jobs_are_gone:
        return (
            f"A run was killed: {_name(mark)}. Its jobs may still be in the cluster's queue, and would "
            "write the same files. On Slurm `profiles/slurm/run` cancels them and goes on; elsewhere "
            "cancel them, then: snakemake --unlock, then the same command again."
        )
    shutil.rmtree(Path(state) / "locks")
    return None


def living_run(state: str | Path) -> str | None:
    """A sentence on a run that has not ended, or of which this machine cannot tell."""
    mark = _mark(state)
    if mark is None:
        return None
    if mark["host"] != platform.node():
        return (
            f"Another run works in this folder, or was killed: {_name(mark)}. See there whether it "
            "lives; if it does not: snakemake --unlock, then the same command again."
        )
    if _lives(mark["process"], mark["started"]):
        return (
            f"Another run works in this folder: {_name(mark)}. Wait until it ends, or end it; two runs "
            "at a time need two folders (--directory)."
        )
    return None


def _mark(state: str | Path) -> dict | None:
    """The mark of the run whose lock stands."""
    locks = Path(state) / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return None
    try:
        return json.loads((Path(state) / _MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _name(mark: dict) -> str:
    since = datetime.fromtimestamp(mark["started"]).strftime("%Y-%m-%d %H:%M")
    return f"process {mark['process']} on {mark['host']}, since {since}"


def _lives(process: int, started: float) -> bool:
    try:
        found = psutil.Process(process)
        return found.create_time() == started and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
