"""Reading, gating and quantifying a file takes the file's size and 64 MiB, whatever it holds."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks.cytometry import made

MIB = 1 << 20
CHANNELS = ("FSC-A", "FSC-H", "SSC-A", *(f"D{number}" for number in range(1, 11)), "Time")
# In 100 MB there are 3.6 million events of 14 16-bit integers, as in 200 MB of floats. The bound is for
# files of up to these sizes: a marker of a population is sorted in memory, 8 bytes an event.
FILE_BYTES = {"F": 200_000_000, "I": 100_000_000}
TOP = {"F": 0.62, "I": 0.45}  # of the population to be quantified: it holds 60 % or more of all
# The peak of a process after its imports; nothing else is counted, and nothing but this is done.
CHILD = """
import os, sys
from pathlib import Path
import pandas, scipy.special
from immunotrace.cytometry import fcs, gates, hierarchy, panel, quantify, template
import immunotrace.statistics, immunotrace.tables

folder = Path(sys.argv[1])
markers = {name: {"channel": name} for name in ("D3", "D4", "D5")}
cells = "singlets/cells"
panels = {"T": {
    "compensation": "fcs",
    "gates": {"source": "gatingml", "file": str(folder / "gates.xml")},
    "markers": markers,
    "quantify": {"populations": [cells, cells + "/high", cells + "/low"], "markers": list(markers)},
}}
row = {"acquisition": "a", "subject": "s", "role": "patient", "day": 0, "panel": "T",
       "staining": "full", "fcs": str(folder / "large.fcs")}
tables = ("populations", "markers", "densities", "panels", "hierarchy")
outputs = {name: folder / f"{name}.tsv" for name in tables}
(folder / "thresholds.tsv").write_text("subject\\tpanel\\tmarker\\tthreshold\\tnote\\ns\\tT\\tD3\\t500\\t\\n")
Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
before = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
quantify.quantify_batch([row], panels, {"minimum_events": 100}, folder / "kept.npz",
                        [folder / "thresholds.tsv"], {**outputs, "gates": folder / "gates"})
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(1024 * (int(peak.split()[1]) - int(before.split()[1])))
"""


def write_large(path, kind: str) -> int:
    """An FCS file that repeats 100,000 events; how many it has."""
    rng = np.random.default_rng(1)
    n = 100_000
    if kind == "F":
        events = np.exp(rng.normal(7, 1, (n, 14))).astype("<f4")
        extra = {f"$P{number}B": "32" for number in range(1, 15)}
    else:  # ten bits on a logarithmic scale of four decades, as of older cytometers, in 16 bits
        events = np.clip(rng.normal(700, 120, (n, 14)), 0, 1023).astype("<u2")
        extra = {f"$P{number}B": "16" for number in range(1, 15)}
        extra |= {f"$P{number}E": "4,1" for number in range(1, 14)}
    repeats = FILE_BYTES[kind] // events.nbytes
    spill = np.eye(10) + 0.02 * rng.random((10, 10)) * (1 - np.eye(10))
    numbers = ",".join(f"{value:.5f}" for value in spill.ravel())
    keywords = {
        "$BYTEORD": "1,2,3,4",
        "$DATATYPE": kind,
        "$MODE": "L",
        "$NEXTDATA": "0",
        "$PAR": "14",
        "$TOT": str(n * repeats),
        "$BEGINDATA": "8192",
        "$ENDDATA": str(8192 + repeats * events.nbytes - 1),
        "$SPILLOVER": f"10,{','.join(CHANNELS[3:13])},{numbers}",
        **{f"$P{number}R": "1024" if kind == "I" else "262144" for number in range(1, 15)},
        **{f"$P{number}N": name for number, name in enumerate(CHANNELS, start=1)},
        **{f"$P{number}E": "0,0" for number in range(1, 15)},
        **extra,
    }
    text = "|" + "".join(f"{key}|{value}|" for key, value in keywords.items())
    header = f"FCS3.1    {256:8d}{256 + len(text) - 1:8d}{0:8d}{0:8d}{0:8d}{0:8d}"
    with open(path, "wb") as handle:
        handle.write(header.encode().ljust(256) + text.encode().ljust(8192 - 256))
        for _ in range(repeats):
            handle.write(events.tobytes())
    return n * repeats


def write_gates(path, kind: str) -> None:
    import flowkit as fk

    from immunotrace.cytometry import gatingml
    from immunotrace.cytometry.strategy import of_flowkit

    strategy = fk.GatingStrategy()
    strategy.add_transform("logicle", fk.transforms.LogicleTransform(262_144, 0.5, 4.5, 0))
    wedge = [(0, 0), (1e6, 1e5), (1e6, 1e6), (1e5, 1e6)]
    scatter = [fk.Dimension("FSC-A"), fk.Dimension("FSC-H")]
    strategy.add_gate(fk.gates.PolygonGate("singlets", scatter, wedge), ("root",))
    place = ("root", "singlets")
    box = [fk.Dimension("D1", "FCS", "logicle", range_max=TOP[kind])]
    strategy.add_gate(fk.gates.RectangleGate("cells", box), place)
    for name, low, high in (("high", 0.58, None), ("low", None, 0.58)):
        cut = [fk.Dimension("D2", "FCS", "logicle", range_min=low, range_max=high)]
        strategy.add_gate(fk.gates.RectangleGate(name, cut), (*place, "cells"))
    shape = [(0.2, 0.2), (0.7, 0.3), (0.6, 0.8), (0.2, 0.7)]
    pair = [fk.Dimension(name, "FCS", "logicle") for name in ("D6", "D7")]
    strategy.add_gate(fk.gates.PolygonGate("odd", pair, shape), (*place, "cells"))
    path.write_bytes(gatingml.document(of_flowkit(strategy), {}))


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux' /proc")
@pytest.mark.parametrize("kind", ["F", "I"])
def test_peak_is_the_file_and_64_mib(kind, repository, tmp_path):
    from immunotrace.cytometry.panel import write_kept

    keep = np.ones(write_large(tmp_path / "large.fcs", kind), bool)
    keep[::50] = False
    write_kept({"a": keep}, tmp_path / "kept.npz")
    write_gates(tmp_path / "gates.xml", kind)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    table = pd.read_csv(tmp_path / "populations.tsv", sep="\t").set_index("population")
    assert len(table) == 5
    assert table.loc["singlets/cells", "count"] > 0.6 * keep.sum()
    size = (tmp_path / "large.fcs").stat().st_size
    assert int(done.stdout) <= size + 64 * MIB
    assert peak_of_stage("ingest", repository, tmp_path) <= size + 64 * MIB
    (tmp_path / "large.fcs").unlink()


TEMPLATE = """
threshold_populations: [singlets/lymphocytes]
cuts:
  CD3: {method: valley, population: singlets/lymphocytes}
  CD4: {method: quadrants, with: CD8, population: singlets/lymphocytes/T}
  CD8: {method: quadrants, with: CD4, population: singlets/lymphocytes/T}
  CCR7: {method: threshold}
gates:
  - {name: singlets, method: singlets, channels: [FSC-A, FSC-H]}
  - {name: lymphocytes, parent: singlets, method: scatter, channels: [FSC-A, SSC-A], minimum: [30000, 0]}
  - {name: T, parent: singlets/lymphocytes, method: cuts, above: [CD3]}
  - {name: CD4, parent: singlets/lymphocytes/T, method: cuts, above: [CD4], below: [CD8]}
  - {name: CCR7pos, parent: singlets/lymphocytes/T/CD4, method: cuts, above: [CCR7]}
"""
# One stage of the pipeline in a process of its own, on the same file as full stain and FMO control.
STAGE = """
import sys
from pathlib import Path
import pandas, scipy.special
from immunotrace.cytometry import acquisition_qc, gates, hierarchy, quadrants, quantify, template, thresholds
import immunotrace.statistics, immunotrace.tables

folder, stage = Path(sys.argv[1]), sys.argv[2]
place = lambda name: folder / f"{name}.tsv"
cells = "singlets/lymphocytes/T"
panel = {
    "gates": {"source": "template", "file": str(folder / "gates.yaml")},
    "markers": {
        **{name: {"channel": name} for name in ("CD3", "CD4", "CD8")},
        "CCR7": {"channel": "CCR7", "threshold": "fmo"},
    },
    "quantify": {"populations": [cells, cells + "/CD4"], "markers": ["CCR7"]},
}
row = {"acquisition": "a", "subject": "s", "role": "patient", "day": 0, "panel": "T", "batch": "b",
       "staining": "full", "fcs": str(folder / "large.fcs")}
tables = ("populations", "markers", "densities", "panels", "hierarchy")
Path("/proc/self/clear_refs").write_text("5")
before = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
if stage == "ingest":
    acquisition_qc.ingest_batch([row], {}, place("qc"), folder / "kept.npz", place("channels"), place("time"))
elif stage == "thresholds":
    thresholds.place_thresholds([{**row, "staining": "FMO:CCR7"}], "s", "T", panel,
        {"fmo_quantile": 0.998, "minimum_events": 100}, place("thresholds"), place("fmo_medians"))
else:
    quantify.quantify_batch([row], {"T": panel}, {"minimum_events": 100}, folder / "kept.npz",
        [place("thresholds")], {**{name: place(name) for name in tables}, "gates": folder / "gates"},
        0, [place("fmo_medians")])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(1024 * (int(peak.split()[1]) - int(before.split()[1])))
"""


def peak_of_stage(stage: str, repository, folder) -> int:
    """Bytes that the stage adds to its process at most."""
    command = [sys.executable, "-c", STAGE, str(folder), stage]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux' /proc")
def test_every_stage_keeps_to_the_file_and_64_mib(repository, tmp_path):
    made.write_file(tmp_path / "large.fcs", 3_570_000)  # 200 MB
    (tmp_path / "gates.yaml").write_text(TEMPLATE, encoding="utf-8")
    size = (tmp_path / "large.fcs").stat().st_size
    over = {
        stage: (peak_of_stage(stage, repository, tmp_path) - size) / MIB
        for stage in ("ingest", "thresholds", "quantify")
    }
    assert max(over.values()) < 64, over
    # The stages did their work: the made file has 65 % T cells, and of these 60 % x 70 % CD4 alone.
    table = pd.read_csv(tmp_path / "populations.tsv", sep="\t").set_index("population")
    percent = table["percent_of_parent"]
    assert percent["singlets/lymphocytes/T"] == pytest.approx(65, abs=0.5)
    assert percent["singlets/lymphocytes/T/CD4"] == pytest.approx(42, abs=0.5)
