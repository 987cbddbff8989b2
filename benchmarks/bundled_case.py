"""What the bundled case costs from nothing to the report, and what a day's files added to it.

Each run starts in a fresh copy of the repository with the packages installed. Prints the wall time
and the processor time of each run (of all processes together) and, of the last one, where the wall
time went. With --new-day, a day more (files, plates and all, as its simulation makes them) is added
to the finished run, and the processor time of the second run is given as a share of the first's.

    python benchmarks/bundled_case.py [--runs 3] [--cores 2] [--new-day] [--keep folder]
"""

import argparse
import csv
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", default="2")
    parser.add_argument("--new-day", action="store_true")
    parser.add_argument("--keep", type=Path, help="where to keep the last run's folder")
    arguments = parser.parse_args()
    full, added = [], []
    for number in range(1, arguments.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            clone = copy_of_repository(Path(folder) / "clone")
            full.append(run(clone, arguments.cores))
            print(f"run {number}: {told(full[-1])}", flush=True)
            if number == arguments.runs:
                print_rules(clone / "logs" / "benchmarks")
            if arguments.new_day:
                add_day(clone)
                start = time.time()
                added.append(run(clone, arguments.cores))
                share = added[-1][1] / full[-1][1]
                print(f"  a day added: {told(added[-1])}, {share:.0%} of the run's processor time")
                if number == arguments.runs:
                    print_rules(clone / "logs" / "benchmarks", since=start)
            if arguments.keep and number == arguments.runs:
                shutil.copytree(clone, arguments.keep)
    print_middle("full run", full, arguments.cores)
    if added:
        print_middle("a day added", added, arguments.cores)
        shares = sorted(new[1] / whole[1] for new, whole in zip(added, full, strict=True))
        print(f"a day's share of the processor time: {shares[len(shares) // 2]:.0%} in the middle")


def copy_of_repository(folder: Path) -> Path:
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name)
    return folder


def run(folder: Path, cores: str) -> tuple[float, float]:
    """Run the case; seconds of wall time, and of processor time of Snakemake and all its jobs."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", cores, "--quiet", "all"],
        cwd=folder,
        check=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def add_day(folder: Path) -> None:
    """Another day in the case's sheets, like the last one, a month later."""
    for name in ("acquisitions", "plates"):
        path = folder / f"resources/case/{name}.tsv"
        rows = path.read_text().splitlines(keepends=True)
        last = [row for row in rows if "run9" in row]
        new = [row.replace("run9", "run10").replace("\t150\t", "\t180\t") for row in last]
        path.write_text("".join([*rows, *new]))


def told(seconds: tuple[float, float]) -> str:
    return f"{seconds[0]:.1f} s, {seconds[1]:.1f} s of processor time"


def print_middle(what: str, runs: Sequence[tuple[float, float]], cores: str) -> None:
    walls, used = (sorted(part) for part in zip(*runs, strict=True))
    print(
        f"{what}: {walls[0]:.1f} s at best, {walls[len(walls) // 2]:.1f} s in the middle, "
        f"{walls[-1]:.1f} s at worst; processor time {used[len(used) // 2]:.1f} s in the middle; "
        f"{cores} cores, Python {platform.python_version()}, {platform.machine()}"
    )


def print_rules(folder: Path, since: float = 0.0) -> None:
    """Jobs and their summed wall seconds, a line a rule that is benchmarked, of those run `since`."""
    walls = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        if path.stat().st_mtime < since:
            continue
        with path.open() as file:
            rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
            walls[rule] += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    for rule, times in sorted(walls.items(), key=lambda item: -sum(item[1])):
        print(f"  {rule:24s} {len(times):3d} jobs {sum(times):6.1f} s")


if __name__ == "__main__":
    main()
