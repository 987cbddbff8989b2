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


def mark_run(state: str | Path) -> None:
    """Name this process as the one that runs; `state` is Snakemake's folder `.snakemake`."""
    own = psutil.Process()
    mark = {"host": platform.node(), "process": own.pid, "started": own.create_time()}
    aside = Path(state) / f"{_MARK}.{own.pid}"
    aside.write_text(json.dumps(mark), encoding="utf-8")
    os.replace(aside, Path(state) / _MARK)


def release_after_kill(state: str | Path) -> str | None:
    """Remove the lock of a run of this machine that is no more; a sentence on a run that still is."""
    locks = Path(state) / "locks"
    try:
        mark = json.loads((Path(state) / _MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not locks.is_dir() or not any(locks.iterdir()) or mark["process"] == os.getpid():
        return None
    since = datetime.fromtimestamp(mark["started"]).strftime("%Y-%m-%d %H:%M")
    run = f"process {mark['process']} on {mark['host']}, since {since}"
    if mark["host"] != platform.node():
        return (
            f"Another run works in this folder, or was killed: {run}. See there whether it lives; "
            "if it does not: snakemake --unlock, then the same command again."
        )
    if _lives(mark["process"], mark["started"]):
        return (
            f"Another run works in this folder: {run}. Wait until it ends, or end it; two runs at a "
            "time need two folders (--directory)."
        )
    shutil.rmtree(locks)
    return None


def _lives(process: int, started: float) -> bool:
    try:
        found = psutil.Process(process)
        return found.create_time() == started and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
