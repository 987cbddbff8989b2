"""Reading, gating and medians beside FlowKit's Session and a plain NumPy read, in CPU seconds.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.cytometry.speed [events ...]

Each tool runs in a process of its own, on one file, with the same Gating-ML document; the best of
several rounds counts, FlowKit's long ones have one. Stops where counts or medians differ. CPU time is
of the process, so what else runs on the machine matters little. Peak memory is what the first round
adds after imports.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        tool, task, folder = arguments.child
        print(json.dumps(run(tool, task, Path(folder))))
        return
    from benchmarks.cytometry import made
    from immunotrace.cytometry import gatingml
    from immunotrace.cytometry.strategy import of_flowkit

    print("| events x 14 | what | NumPy read | FlowKit | immunotrace | times | events a second |")
    print("|---|---|---|---|---|---|---|")
    for count in arguments.events:
        with tempfile.TemporaryDirectory() as folder:
            made.write_file(Path(folder) / "made.fcs", count)
            document = gatingml.document(of_flowkit(made.strategy()), {})
            (Path(folder) / "gates.xml").write_bytes(document)
            compare(count, Path(folder))


def compare(count: int, folder: Path) -> None:
    size = (folder / "made.fcs").stat().st_size
    plain = child("numpy", "read", folder)
    for task in ("counts", "counts and medians"):
        theirs, ours = child("flowkit", task, folder), child("immunotrace", task, folder)
        assert theirs["counts"] == ours["counts"], "the counts differ"
        for gate, medians in theirs["medians"].items():
            np.testing.assert_allclose(ours["medians"][gate], medians, rtol=1e-9)
        for what, key in ((task, "seconds"), (f"whole process, {task}", "whole")):
            a, b = theirs[key], ours[key]
            print(
                f"| {count:,} | {what} | {plain[key]:.3f} s | {a:.2f} s | {b:.3f} s | "
                f"{a / b:.0f} | {count / b / 1e6:.1f} million |"
            )
        print(
            f"| {count:,} | peak memory over the file, {task} | {(plain['peak'] - size) / 2**20:.0f} MiB"
            f" | {(theirs['peak'] - size) / 2**20:.0f} MiB | {(ours['peak'] - size) / 2**20:.0f} MiB"
            " | | |"
        )
    gate = ours["gating"]
    print(f"| {count:,} | gating alone | | | {gate:.3f} s | | {count / gate / 1e6:.1f} million |")


def child(tool: str, task: str, folder: Path) -> dict:
    command = [sys.executable, "-m", "benchmarks.cytometry.speed", "--child", tool, task, folder]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def run(tool: str, task: str, folder: Path) -> dict:
    once = {"numpy": _numpy, "flowkit": _flowkit, "immunotrace": _immunotrace}[tool](task, folder)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    imported = time.process_time()
    seconds, gating, counts, medians = [], [], {}, {}
    for number in range(1 if tool == "flowkit" and "medians" in task else 5):
        begin = time.process_time()
        counts, medians, gated = once()
        seconds.append(time.process_time() - begin)
        gating.append(gated)
        if number == 0:
            peak = _memory("VmHWM") - before
    return {
        "seconds": min(seconds),
        "gating": min(gating),
        "whole": imported + min(seconds),
        "peak": peak,
        "counts": counts,
        "medians": medians,
    }


def _memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


def _numpy(task: str, folder: Path):
    def once():
        values = np.fromfile(folder / "made.fcs", "<f4", offset=4096)
        return {}, {"size": len(values)}, 0.0

    return once


def _flowkit(task: str, folder: Path):
    import flowkit as fk

    from benchmarks.cytometry.made import DYES

    def once():
        session = fk.Session(str(folder / "gates.xml"))
        sample = fk.Sample(str(folder / "made.fcs"), sample_id="made")
        session.add_samples(sample)
        begin = time.process_time()
        session.analyze_samples(cache_events=True, use_mp=False)
        gated = time.process_time() - begin
        report = session.get_gating_results("made").report
        counts, medians = {}, {}
        matrix = fk.Matrix(
            sample.get_metadata()["spillover"],
            [sample.pnn_labels[i] for i in sample.fluoro_indices],
        )
        # Session.get_gate_events fails with pandas 3 where there are quadrants (flowkit 1.3.0): here
        # is what it does for a gate, with the membership from the results.
        raw = session.get_gating_results("made")._raw_results
        for row in report.itertuples():
            counts[row.gate_name] = int(row.count)
            if "medians" in task:
                medians[row.gate_name] = _flowkit_medians(sample, matrix, raw, row, DYES)
        return counts, medians, gated

    return once


def _flowkit_medians(sample, matrix, raw, row, dyes) -> list[float]:
    import copy

    path = "/".join(row.gate_path)
    if isinstance(row.quadrant_parent, str):  # a quadrant's results are those of its gate
        inside = raw[row.quadrant_parent, path][row.gate_name]["events"]
    else:
        inside = raw[row.gate_name, path]["events"]
    sample = copy.deepcopy(sample)
    sample.apply_compensation(matrix)
    events = sample.as_dataframe(source="comp")[inside]
    medians = events.median().to_numpy()
    return [float(medians[sample.pnn_labels.index(dye)]) for dye in dyes]


def _immunotrace(task: str, folder: Path):
    from benchmarks.cytometry.made import DYES
    from immunotrace.cytometry import gates
    from immunotrace.cytometry.events import Events
    from immunotrace.cytometry.fcs import find_channel, read_fcs
    from immunotrace.cytometry.quantify import median_of, population_values

    def once():
        gating = gates.read_gatingml(folder / "gates.xml")
        fcs = read_fcs(folder / "made.fcs")
        begin = time.process_time()
        inside = gates.apply_gates(gating, gates.EventTable("made", fcs, fcs.events, fcs.spillover))
        gated = time.process_time() - begin
        counts = {path.rpartition("/")[2]: count for path, count in inside.counts.items()}
        medians = {}
        if "medians" in task:
            events = Events(fcs.events, None, fcs.channels, fcs.spillover)
            columns = {dye: find_channel(fcs, dye) for dye in DYES}
            for path, mask in inside.items():
                found = population_values(events, mask, columns)
                medians[path.rpartition("/")[2]] = [median_of(values) for _, values in found]
        return counts, medians, gated

    return once


if __name__ == "__main__":
    main()
