"""Wall, CPU, memory and jobs of a cohort that is really run, from FCS files to the report or a table.

The cohort is that of plan.py; its FCS files are links to two of 100,000 events, one a panel, that the
simulator makes once. CPU is counted, for wall times depend on what else the machine does. Orchestration is
Snakemake's own process: planning, checksums, starting and recording jobs. A job's start (Python, its
libraries) is measured by the same cohort with a tenth of the files in each job.

    python benchmarks/scale/run.py [--batch PATIENTS] [--target FILE] [10 100 1000]
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from plan import REPOSITORY, write_cohort

sys.path.insert(0, str(REPOSITORY))
from simulation.batch import simulate_batch
from simulation.settings import read_settings

EVENTS = 100_000


def make_files(folder: Path) -> dict[str, Path]:
    """One full stain of each panel."""
    settings = read_settings(REPOSITORY / "resources" / "case" / "simulation.yaml")
    settings["events"]["full"] = [EVENTS, EVENTS]
    files = {panel: folder / f"{panel}.fcs" for panel in "TB"}
    row = {"subject": "MSC01", "role": "patient", "day": -14, "staining": "full"}
    rows = [row | {"acquisition": p, "panel": p, "path": str(path)} for p, path in files.items()]
    simulate_batch(settings, "abstract", 2015, rows, [], folder / "truth.json")
    return files


def run(folder: Path, *arguments: str) -> dict[str, float]:
    """Run Snakemake in a folder; wall, CPU of all and of Snakemake's own process, the largest process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    own, own_memory = 0.0, 0
    with open(folder / "run.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), *arguments],
            cwd=folder,
            stdout=log,
            stderr=log,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        main = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                times = main.cpu_times()
                own = times.user + times.system
                own_memory = max(own_memory, main.memory_info().rss)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                pass
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit((folder / "run.log").read_text())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall": time.monotonic() - start,
        "cpu": used,
        "own": own,
        "own_memory": own_memory / 2**20,
    }


def benchmarks(folder: Path) -> dict[str, tuple[int, float, float]]:
    """Of each rule: jobs with a record, their wall seconds together, the largest memory in MB."""
    found: dict[str, tuple[int, float, float]] = {}
    for path in sorted(folder.glob("logs/benchmarks/**/*.tsv")):
        name = path.relative_to(folder / "logs" / "benchmarks").parts[0].removesuffix(".tsv")
        with open(path, newline="") as handle:
            (row,) = csv.DictReader(handle, delimiter="\t")
        jobs, seconds, memory = found.get(name, (0, 0.0, 0.0))
        rss = float(row["max_rss"]) if row["max_rss"] not in ("NA", "-") else 0.0
        found[name] = (jobs + 1, seconds + float(row["s"]), max(memory, rss))
    return found


def size(folder: Path) -> float:
    """Megabytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--batch", type=int, default=10, help="patients a batch")
    asked.add_argument("--target", nargs="*", default=[])
    asked.add_argument("--cores", default="2")
    asked.add_argument("acquisitions", type=int, nargs="*", default=[10, 100, 1000])
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as top:
        files = make_files(Path(top))
        each = sum(path.stat().st_size for path in files.values()) / 2 / 2**20
        print(
            f"{EVENTS:,} events a file, {each:.1f} MB; {options.batch} patients a batch", flush=True
        )
        for acquisitions in options.acquisitions:
            folder = Path(top) / str(acquisitions)
            folder.mkdir()
            write_cohort(folder, acquisitions, options.batch, files)
            plan = run(folder, "-n", *options.target)
            whole = run(folder, "--cores", options.cores, *options.target)
            again = run(folder, "--cores", options.cores, *options.target)
            parts = benchmarks(folder)
            print(
                f"{acquisitions} acquisitions: plan {plan['cpu']:.1f} s CPU; "
                f"run {whole['wall']:.0f} s wall, {whole['cpu']:.0f} s CPU; "
                f"Snakemake {whole['own']:.1f} s CPU ({100 * whole['own'] / whole['cpu']:.1f} %), "
                f"{whole['own_memory']:.0f} MB; nothing to do {again['cpu']:.1f} s CPU; "
                f"results {size(folder / 'results'):.0f} MB, .snakemake {size(folder / '.snakemake'):.1f} MB",
                flush=True,
            )
            for rule, (jobs, seconds, memory) in parts.items():
                print(f"  {rule}: {jobs} jobs, {seconds:.1f} s wall, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
