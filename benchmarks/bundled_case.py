"""Wall time of the bundled case from nothing to the report, as a user waits for it.

Each run starts in a fresh copy of the repository with the packages installed. Prints the time of
each run and, of the last one, where it went.

    python benchmarks/bundled_case.py [--runs 3] [--cores 2]
"""

import argparse
import csv
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", default="2")
    arguments = parser.parse_args()
    seconds = []
    for number in range(1, arguments.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            clone = Path(folder) / "clone"
            files = subprocess.run(
                ["git", "ls-files", "-z"],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split("\0")
            for name in filter(None, files):
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, clone / name)
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "snakemake", "--cores", arguments.cores, "--quiet", "all"],
                cwd=clone,
                check=True,
                env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
            seconds.append(time.perf_counter() - start)
            print(f"run {number}: {seconds[-1]:.1f} s", flush=True)
            if number == arguments.runs:
                print_rules(clone / "logs" / "benchmarks")
    print(
        f"{min(seconds):.1f} s at best, {sorted(seconds)[len(seconds) // 2]:.1f} s in the middle, "
        f"{max(seconds):.1f} s at worst; {arguments.cores} cores, Python "
        f"{platform.python_version()}, {platform.machine()}"
    )


def print_rules(folder: Path) -> None:
    """Jobs and their summed wall seconds, a line a rule that is benchmarked."""
    walls = defaultdict(list)
    for path in sorted(folder.rglob("*.tsv")):
        with path.open() as file:
            rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
            walls[rule] += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    for rule, times in sorted(walls.items(), key=lambda item: -sum(item[1])):
        print(f"  {rule:24s} {len(times):3d} jobs {sum(times):6.1f} s")


if __name__ == "__main__":
    main()
