"""Gates moved by hand: from the files that the pipeline wrote, through its jobs, to the counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cytometry_chain import SETTINGS, log_normal, read_sheets, run_chain
from lxml import etree

from immunotrace.cytometry import gates, gatingml
from immunotrace.cytometry.fcs import read_fcs
from immunotrace.cytometry.gate_names import gate_populations
from immunotrace.cytometry.strategy import (
    Dimension,
    LogicleTransform,
    PolygonGate,
    Quadrant,
    QuadrantDivider,
    QuadrantGate,
    RectangleGate,
    Strategy,
    of_flowkit,
)
from immunotrace.cytometry.template import logicle
from immunotrace.errors import InputError
from simulation.fcs import write_fcs

CHANNELS = ("FSC-A", "SSC-A", "CD3-A", "CCR7-A")
TEMPLATE = """
threshold_populations: [cells/T]
cuts:
  CD3: {method: valley, population: cells}
  CCR7: {method: threshold}
gates:
  - {name: cells, method: scatter, channels: [FSC-A, SSC-A]}
  - {name: T, parent: cells, method: cuts, above: [CD3]}
  - {name: CCR7+, parent: cells/T, method: cuts, above: [CCR7]}
"""
N = 6_000


def write_stain(path, seed, ccr7=True):
    rng = np.random.default_rng(seed)
    positive = rng.random(N) < 0.6
    events = np.column_stack(
        [
            80_000 * np.exp(0.1 * rng.standard_normal(N)),
            25_000 * np.exp(0.1 * rng.standard_normal(N)),
            np.where(positive, log_normal(rng, 9_000, 0.4, N), log_normal(rng, 90, 0.4, N)),
            np.where(
                ccr7 & (rng.random(N) < 0.5),
                log_normal(rng, 5_000, 0.5, N),
                log_normal(rng, 90, 0.4, N),
            ),
        ]
    )
    write_fcs(path, events, [(c, "") for c in CHANNELS], {}, 262_144)


@pytest.fixture
def study(tmp_path):
    """Two full stains, an FMO control, and the panel; as the case hands them to the jobs."""
    keys = {"subject": "S", "role": "patient", "panel": "T", "batch": "run1"}
    rows = []
    for seed, (name, staining, day) in enumerate(
        [("S_a", "full", 0), ("S_b", "full", 7), ("S_fmo", "FMO:CCR7", 0)]
    ):
        path = tmp_path / f"{name}.fcs"
        write_stain(path, seed, ccr7=staining == "full")
        rows.append(
            {"acquisition": name, "fcs": str(path), "staining": staining, "day": day, **keys}
        )
    (tmp_path / "gates.yaml").write_text(TEMPLATE, encoding="utf-8")
    panel = {
        "compensation": "none",
        "gates": {"source": "template", "file": str(tmp_path / "gates.yaml")},
        "markers": {
            "CD3": {"channel": "CD3-A", "threshold": "none"},
            "CCR7": {"channel": "CCR7-A", "threshold": "fmo"},
        },
        "quantify": {"populations": ["cells/T"], "markers": ["CCR7"]},
    }
    return rows, panel, tmp_path


def run(study, name, **overrides):
    """The tables with those gates moved: acquisition -> list of population and file."""
    rows, panel, folder = study
    rows = [
        {**row, "gate_overrides": overrides[row["acquisition"]]}
        if row["acquisition"] in overrides
        else row
        for row in rows
    ]
    return run_chain(rows, {"T": panel}, SETTINGS, folder / name)


def move(document, target, name, low):
    """What a user does: the written file with the lower edge of a one-dimensional gate elsewhere."""
    tree = etree.parse(document)
    space = {"g": "http://www.isac-net.org/std/Gating-ML/v2.0/gating"}
    for gate in tree.findall(".//g:RectangleGate", space):
        if any(element.text == name for element in gate.iter("population")):
            (dimension,) = gate.findall("g:dimension", space)
            dimension.set(f"{{{space['g']}}}min", repr(float(low)))
    tree.write(target)
    return str(target)


def test_a_moved_gate_counts_and_those_below_follow(study):
    rows, _, folder = study
    before = run(study, "placed")
    written = folder / "placed" / "run1" / "gates" / "S_a.xml"
    assert gate_populations(str(written)) == (["cells", "cells/T", "cells/T/CCR7+"], [])
    low = float(logicle(np.array([9_000.0]))[0])
    file = move(written, folder / "S_a_moved.xml", "T", low)
    after = run(study, "moved", S_a=[{"population": "cells/T", "gates": file}])

    key = ["acquisition", "population"]
    old, new = (t["populations"].set_index(key) for t in (before, after))
    assert new.loc["S_b"].equals(old.loc["S_b"])
    assert new["gate_origin"].to_dict() == {
        index: "moved" if index == ("S_a", "cells/T") else "placed" for index in new.index
    }
    # Counted by hand from the file: scatter as it was placed, CD3 at or above 9000, the FMO threshold.
    placed = gates.read_gatingml(written)
    fcs = read_fcs(rows[0]["fcs"])
    inside = gates.apply_gates(placed, gates.EventTable("S_a", fcs, fcs.events, None))["cells"]
    cells = inside & (fcs.events[:, 2] >= 9_000)
    threshold = after["thresholds"].set_index("marker").loc["CCR7", "threshold"]
    positive = cells & (fcs.events[:, 3] >= threshold)
    assert abs(new.loc[("S_a", "cells/T"), "count"] - cells.sum()) <= 1  # the edge is rounded
    assert abs(new.loc[("S_a", "cells/T/CCR7+"), "count"] - positive.sum()) <= 1
    assert new.loc[("S_a", "cells"), "count"] == old.loc[("S_a", "cells"), "count"]
    assert new.loc[("S_a", "cells/T"), "count"] < 0.7 * old.loc[("S_a", "cells/T"), "count"]
    # The written document is what was applied: FlowKit reads it to the same counts.
    document = gates.read_gatingml(folder / "moved" / "run1" / "gates" / "S_a.xml")
    masks = gates.apply_gates(document, gates.EventTable("S_a", fcs, fcs.events, None))
    assert {p: int(m.sum()) for p, m in masks.items()} == new.loc["S_a"]["count"].to_dict()
    # The subject's FMO threshold is that of its FMO files, whose gates were not moved.
    pd.testing.assert_frame_equal(after["thresholds"], before["thresholds"])


def test_an_override_wins_over_the_fmo_threshold_of_its_gate_only(study):
    folder = study[2]
    before = run(study, "placed")
    written = folder / "placed" / "run1" / "gates" / "S_a.xml"
    file = move(written, folder / "S_a_moved.xml", "CCR7+", 0.75)
    after = run(study, "moved", S_a=[{"population": "cells/T/CCR7+", "gates": file}])
    counts = [
        t["populations"].set_index(["acquisition", "population"])["count"] for t in (before, after)
    ]
    assert counts[1]["S_a", "cells/T/CCR7+"] < 0.7 * counts[0]["S_a", "cells/T/CCR7+"]
    pd.testing.assert_frame_equal(after["markers"], before["markers"])


def test_gates_of_an_fmo_file_move_the_threshold(study):
    folder = study[2]
    before = run(study, "placed")
    written = folder / "placed" / "run1" / "gates" / "S_a.xml"
    file = move(written, folder / "fmo_moved.xml", "T", float(logicle(np.array([12_000.0]))[0]))
    after = run(study, "moved", S_fmo=[{"population": "cells/T", "gates": file}])
    old, new = (t["thresholds"].set_index("marker").loc["CCR7"] for t in (before, after))
    assert new["events"] < 0.6 * old["events"]
    assert new["threshold"] != old["threshold"]
    # 5 / (1 - 0.998) events are asked for.
    assert new["note"] == f"FMO control of {new['events']} events: its 0.998 quantile needs 2500"
    assert pd.isna(old["note"])
    assert after["markers"]["flag"].str.contains("needs 2500").all()


def test_any_shape_and_scale_may_take_its_place(study):
    """A polygon on other channels, on a scale of its own, in imported gates."""
    import flowkit as fk

    rows, panel, folder = study
    run(study, "placed")
    imported = folder / "placed" / "run1" / "gates" / "S_a.xml"
    panel["gates"] = {"source": "gatingml", "file": str(imported)}
    strategy = fk.GatingStrategy()
    strategy.add_transform("logicle", fk.transforms.LogicleTransform(262_144, 1.0, 4.5, 0))
    strategy.add_gate(
        fk.gates.RectangleGate("cells", [fk.Dimension("FSC-A", range_min=0)]), ("root",)
    )
    vertices = [(0.3, 0.0), (0.3, 300_000.0), (1.2, 300_000.0), (1.2, 0.0)]
    dimensions = [fk.Dimension("CCR7-A", "uncompensated", "logicle"), fk.Dimension("FSC-A")]
    strategy.add_gate(fk.gates.PolygonGate("T", dimensions, vertices), ("root", "cells"))
    file = folder / "polygon.xml"
    file.write_bytes(gatingml.document(of_flowkit(strategy), {}))
    tables = run(study, "moved", S_b=[{"population": "cells/T", "gates": str(file)}])
    table = tables["populations"].set_index(["acquisition", "population"])
    assert table["gate_origin"].value_counts().to_dict() == {"imported": 5, "moved": 1}
    fcs = read_fcs(rows[1]["fcs"])
    inside = gates.apply_gates(
        gates.read_gatingml(imported), gates.EventTable("S_b", fcs, fcs.events, None)
    )["cells"]
    scale = {"T": 262_144, "W": 1.0, "M": 4.5, "A": 0}
    expected = np.sum(inside & (logicle(fcs.events[:, 3], scale) > 0.3))
    assert table.loc[("S_b", "cells/T"), "count"] == expected


@pytest.fixture
def flowjo(reference, repository, tmp_path):
    """Two acquisitions with the gates of a FlowJo workspace, and a Gating-ML file that moves one."""
    folder = reference / "cytometry" / "flowatlas_tcell"
    rows, panels = read_sheets(repository / "examples" / "flowatlas_tcell")
    rows = [
        row for row in rows if row["acquisition"] in ("423_Donor_Lung_032", "423_Donor_Liver_022")
    ]
    assert len(rows) == 2
    for row in rows:
        row["fcs"] = str(folder / "fcs" / Path(row["fcs"]).name)
    for panel in panels.values():
        panel["gates"]["file"] = str(folder / "workspace.wsp")
    cells = PolygonGate(
        "T",
        [Dimension("FJComp-355 379_28-A", "FCS", "scale"), Dimension("FJComp-355 560_40-A")],
        [(0.55, -1e6), (2.0, -1e6), (2.0, 1e6), (0.55, 1e6)],
    )
    strategy = Strategy(
        {("non-B",): RectangleGate("non-B", [Dimension("Time", min=0)]), ("non-B", "T"): cells},
        {"scale": LogicleTransform(262_144, 0.5, 4.5, 0)},
    )
    file = tmp_path / "moved.xml"
    file.write_bytes(gatingml.document(strategy, {"T": "T cells"}))
    return rows, panels, str(file), tmp_path


def test_a_gate_of_a_workspace_is_moved(flowjo):
    rows, panels, file, folder = flowjo
    settings = {**SETTINGS, "qc": {"remove": []}}
    before = run_chain(rows, panels, settings, folder / "before")
    move = {"gate_overrides": [{"population": "non-B/T cells", "gates": file}]}
    after = run_chain([{**rows[0], **move}, rows[1]], panels, settings, folder / "after")
    key = ["acquisition", "population"]
    old, new = (t["populations"].set_index(key) for t in (before, after))
    name = rows[0]["acquisition"]
    assert new.loc[rows[1]["acquisition"]].equals(old.loc[rows[1]["acquisition"]])
    # By hand: CD3 at or above 0.55 on the logicle scale, within the workspace's own non-B.
    fcs = read_fcs(rows[0]["fcs"])
    workspace = gates.FlowJoWorkspace(panels[rows[0]["panel"]]["gates"]["file"])
    table = gates.EventTable(name, fcs, fcs.events, None, flowjo_names=True)
    within = gates.apply_gates(workspace.gating(fcs), table)["non-B"]
    cd3 = logicle(fcs.events[:, fcs.labels.index("CD3")].astype(float))
    expected = int((within & (cd3 >= 0.55)).sum())
    assert new.loc[(name, "non-B/T cells"), "count"] == expected
    assert expected != old.loc[(name, "non-B/T cells"), "count"]
    assert new.loc[(name, "non-B/T cells/CD4"), "parent_count"] == expected
    assert new.loc[name]["gate_origin"].value_counts()["moved"] == 1
    assert new.loc[(name, "non-B/T cells"), "gate_origin"] == "moved"
    for population in ("B cells", "non-B"):
        assert new.loc[(name, population), "count"] == old.loc[(name, population), "count"]


def test_what_cannot_be_moved_is_refused(study):
    folder = study[2]
    run(study, "placed")
    written = str(folder / "placed" / "run1" / "gates" / "S_a.xml")
    with pytest.raises(
        InputError, match=r"S_a: its gates: .* no gate makes the population 'cells/B'"
    ):
        run(study, "moved", S_a=[{"population": "cells/B", "gates": written}])
    # Of a boolean gate and a quadrant there is nothing to take the place of.
    quadrants = {"low": Quadrant("low", {"d": (None, 5.0)}), "T": Quadrant("T", {"d": (5.0, None)})}
    strategy = Strategy(
        {
            ("cells",): RectangleGate("cells", [Dimension("FSC-A", min=0)]),
            ("cells", "Q"): QuadrantGate(
                "Q", [QuadrantDivider("d", "CD3-A", "uncompensated", [5.0])], quadrants
            ),
        }
    )
    file = folder / "quadrants.xml"
    file.write_bytes(gatingml.document(strategy, {}))
    with pytest.raises(
        InputError, match=r"'cells/T': the one in .*quadrants.xml is a single quadr"
    ):
        run(study, "moved", S_a=[{"population": "cells/T", "gates": str(file)}])


def test_files_that_hold_no_gates(tmp_path):
    for text, told in (
        ("no xml", "not XML"),
        ("<Workspace/>", "not a Gating-ML 2.0 document; its first element is 'Workspace'"),
    ):
        path = tmp_path / "file.xml"
        path.write_text(text)
        populations, (problem,) = gate_populations(str(path))
        assert populations == []
        assert told in problem


def test_planning_reads_the_same_populations_as_the_jobs(reference):
    """Of the compliance documents; quadrants and boolean gates have no shape of their own."""
    read = []
    for path in sorted((reference / "cytometry" / "gatingml_compliance").rglob("*.xml")):
        populations, problems = gate_populations(str(path))
        if problems or path.name == "gml_range_gate_attr_testing.xml":  # has no valid attributes
            continue
        assert set(populations) <= set(gates.read_gatingml(path).populations.values()), path
        read += populations
    assert len(read) > 50
