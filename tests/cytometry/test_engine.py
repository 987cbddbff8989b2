"""The counting engine against FlowKit and FlowUtils, event by event."""

from dataclasses import replace

import flowkit as fk
import numpy as np
import pytest
from cytometry_chain import make_fcs
from flowutils import transforms
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cytometry import made
from immunotrace.cytometry import events, gates, gatingml
from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import Spillover, compensate, read_fcs
from immunotrace.cytometry.logicle import Logicle
from immunotrace.cytometry.strategy import of_flowkit
from immunotrace.errors import InputError

TRANSFORMS = {
    "linear": fk.transforms.LinearTransform(262_144, 100),
    "log": fk.transforms.LogTransform(262_144, 4.5),
    "logicle": fk.transforms.LogicleTransform(262_144, 0.5, 4.5, 0),
    "hyperlog": fk.transforms.HyperlogTransform(262_144, 0.5, 4.5, 0),
    "asinh": fk.transforms.AsinhTransform(262_144, 4, 1),
    "flowjo log": fk.transforms.WSPLogTransform(2.0, 5.0),
    "biex": fk.transforms.WSPBiexTransform(width=-100),
}
AWKWARD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 2.0, 262_144.0, 1e30, -1e30, 5e-324, 1e300]


def gating_of(strategy):
    return gates.flowkit_gating(strategy, "made")


def same(strategy, columns, spillover=None):
    fcs = make_fcs(columns)
    table = gates.EventTable("made", fcs, fcs.events, spillover)
    gating = gating_of(strategy)
    ours = gates.apply_gates(gating, table)
    theirs = gates.apply_gates_with_flowkit(gating, table)
    assert ours.left_to_flowkit == ""
    for population, mask in theirs.items():
        assert np.array_equal(ours[population], mask), population
    return ours


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # FlowKit takes logarithms of what is below 0
@pytest.mark.parametrize("name", TRANSFORMS)
def test_edges_decide_as_the_transform_does(name):
    """Events at the very edges, one and two floats beside them, and values that no scale has."""
    transform = TRANSFORMS[name]
    rng = np.random.default_rng(7)
    linear = np.concatenate([rng.integers(-300, 262_144, 40), [0, 1, 500, 262_144]]).astype(float)
    shown = transform.apply(linear.reshape(-1, 1)).ravel()
    edges = [*shown[np.isfinite(shown)], 0.0, -1.0, 0.37, 1.0, 5.0, 4096.0, 1e9, -np.inf, np.inf]
    beside = [linear]
    for direction in (-np.inf, np.inf):
        beside += [step := np.nextafter(linear, direction), np.nextafter(step, direction)]
    for values in (np.concatenate(beside), np.concatenate([*beside, AWKWARD])):
        strategy = fk.GatingStrategy()
        strategy.add_transform("t", transform)
        for number, edge in enumerate(edges):
            for side in ("min", "max"):
                cut = fk.Dimension("X", None, "t", **{f"range_{side}": edge})
                gate = fk.gates.RectangleGate(f"{side} {number}", [cut], number % 2 == 1)
                strategy.add_gate(gate, ("root",))
        same(strategy, {"X": values})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", [None, *TRANSFORMS])
def test_polygons_ellipses_and_quadrants(name, monkeypatch):
    monkeypatch.setattr(events, "BLOCK_BYTES", 20_000)  # so that there are several blocks
    rng = np.random.default_rng(5)
    columns = {c: rng.normal(0, 1, 3000) * 10 ** rng.uniform(1, 5, 3000) for c in "XYZ"}
    strategy = fk.GatingStrategy()
    top = 1.0
    if name is None:
        top = 50_000.0
    else:
        strategy.add_transform(name, TRANSFORMS[name])
        top = 4096.0 if name == "biex" else 1.0
    pair = [fk.Dimension("X", "FCS", name), fk.Dimension("Y", "FCS", name)]
    corners = np.array([[0.1, 0.1], [0.9, 0.3], [0.4, 0.4], [0.7, 0.9], [0.2, 0.6]]) * top
    strategy.add_gate(fk.gates.PolygonGate("polygon", pair, corners.tolist()), ("root",))
    outside = fk.gates.PolygonGate("outside", pair, corners.tolist(), use_complement=True)
    strategy.add_gate(outside, ("root",))
    covariance = [[0.04 * top**2, 0.01 * top**2], [0.01 * top**2, 0.02 * top**2]]
    ellipse = fk.gates.EllipsoidGate("ellipse", pair, [0.5 * top, 0.5 * top], covariance, 2.0)
    strategy.add_gate(ellipse, ("root", "outside"))
    dividers = [
        fk.QuadrantDivider(c, c, "FCS", values=[0.4 * top], transformation_ref=name) for c in "XY"
    ]
    sides = [(None, 0.4 * top), (0.4 * top, None)]
    made_of = [
        fk.gates.Quadrant(f"q{i}{j}", ["X", "Y"], [a, b])
        for i, a in enumerate(sides)
        for j, b in enumerate(sides)
    ]
    strategy.add_gate(fk.gates.QuadrantGate("quadrants", dividers, made_of), ("root", "outside"))
    inner = fk.gates.RectangleGate("inner", [fk.Dimension("Z", "FCS", name, range_min=0.3 * top)])
    strategy.add_gate(inner, ("root", "outside", "quadrants", "q11"))
    operands = [
        {"ref": "inner", "path": ("root", "outside", "quadrants", "q11"), "complement": True},
        {"ref": "q01", "path": ("root", "outside", "quadrants"), "complement": True},
    ]
    strategy.add_gate(fk.gates.BooleanGate("neither", "and", operands), ("root", "outside"))
    spill = Spillover(("X", "Y", "Z"), np.array([[1, 0.1, 0], [0.05, 1, 0.2], [0, 0.02, 1]]))
    found = same(strategy, columns, spill)
    assert found.counts["polygon"] + found.counts["outside"] == 3000
    assert len(found) == 9


def test_ratios(tmp_path):
    strategy = fk.GatingStrategy()
    strategy.add_transform("ratio", fk.transforms.RatioTransform(["X", "Y"], 2.0, 1.0, 3.0))
    cut = fk.RatioDimension("ratio", "uncompensated", range_min=0.5, range_max=3)
    strategy.add_gate(fk.gates.RectangleGate("between", [cut]), ("root",))
    rng = np.random.default_rng(3)
    columns = {"X": rng.integers(0, 9, 500).astype(float), "Y": rng.integers(0, 9, 500) + 0.0}
    with np.errstate(divide="ignore", invalid="ignore"):
        assert 0 < same(strategy, columns).counts["between"] < 500


def test_a_boolean_gate_before_what_it_refers_to():
    strategy = fk.GatingStrategy()
    for name, low in (("a", 1.0), ("b", 2.0)):
        cut = fk.Dimension("X", range_min=low)
        strategy.add_gate(fk.gates.RectangleGate(name, [cut]), ("root",))
    operands = [{"ref": "b", "path": ("root",), "complement": False}]
    strategy.add_gate(fk.gates.BooleanGate("not b", "not", operands), ("root", "a"))
    found = same(strategy, {"X": np.array([0.5, 1, 1.5, 2, 3])})
    assert found["a/not b"].tolist() == [False, True, True, False, False]


def test_a_name_of_two_channels_is_refused():
    """Either would be a guess; $PnS stands for a channel only where no $PnN is so."""
    columns = {name: np.arange(3.0) for name in ("X", "Y", "Z")}
    strategy = fk.GatingStrategy()
    strategy.add_gate(fk.gates.RectangleGate("a", [fk.Dimension("X", range_min=1)]), ("root",))
    fcs = make_fcs(columns)
    for more in (
        {"channels": ("X", "X", "Z")},
        {"channels": ("A", "B", "C"), "labels": ("X",) * 3},
    ):
        twice = replace(fcs, **more)
        table = gates.EventTable("made", twice, twice.events, None)
        with pytest.raises(InputError, match=r"made: .* X names . channels"):
            gates.apply_gates(gating_of(strategy), table)
    once = replace(fcs, channels=("X", "Y", "Y"), labels=("", "X", "X"))
    found = gates.apply_gates(gating_of(strategy), gates.EventTable("m", once, once.events, None))
    assert found.counts == {"a": 2}


def test_what_is_not_covered_goes_to_flowkit_and_says_so():
    class Odd(fk.gates.RectangleGate):
        pass

    strategy = fk.GatingStrategy()
    strategy.add_gate(Odd("odd", [fk.Dimension("X", range_min=1)]), ("root",))
    fcs = make_fcs({"X": np.array([0.0, 1.0, 2.0])})
    found = gates.apply_gates(gating_of(strategy), gates.EventTable("made", fcs, fcs.events, None))
    assert found.left_to_flowkit == "gate odd is a Odd"
    assert found["odd"].tolist() == [False, True, True]


@given(
    st.floats(1e2, 1e7), st.floats(0.5, 8), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32)
)
@settings(max_examples=60, deadline=None)
def test_logicle_is_that_of_flowutils(top, decades, width, negative, seed):
    width = width * decades / 2
    negative = -width + negative * (decades - width)
    if decades + negative <= 0.2 or negative + 2 * width > decades:
        return
    values = np.sinh(np.random.default_rng(seed).uniform(-12, 12, 300)) * top / 1e4
    values = np.concatenate([values, [0.0, top, -top]])
    theirs = transforms.logicle(values, None, t=top, m=decades, w=width, a=negative)
    ours = Logicle(top, width, decades, negative)(values)
    # FlowUtils stops at 3 rounding errors of the solution, which is of the order of 1.
    known = (np.abs(values) <= 100 * top) & (theirs != -1)  # -1: it found no solution
    np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-12, atol=1e-12)
    assert np.isnan(Logicle(top, width, decades, negative)(np.array([np.nan]))).all()


def test_events_stand_for_the_compensated_array(monkeypatch):
    monkeypatch.setattr(events, "BLOCK_BYTES", 500)
    rng = np.random.default_rng(1)
    stored = rng.normal(100, 30, (301, 5)).astype(np.float32)
    keep = rng.random(301) < 0.7
    spill = Spillover(("d", "b"), np.array([[1, 0.2], [0.1, 1]]))
    whole = compensate(stored[keep], list("abcde"), spill)
    lazy = Events(stored, keep, list("abcde"), spill)
    assert lazy.shape == whole.shape
    rows = np.flatnonzero(rng.random(len(whole)) < 0.1)
    inside = rng.random(len(whole)) < 0.5
    for ours, theirs in [
        (np.asarray(lazy), whole),
        (lazy[:, 1], whole[:, 1]),
        (lazy[inside], whole[inside]),
        (lazy[inside, 3], whole[inside, 3]),
        (lazy[rows, 1], whole[rows, 1]),
        (lazy[10:20], whole[10:20]),
        (lazy[rows], whole[rows]),
    ]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_benchmark_file_gives_the_same_counts(tmp_path):
    made.write_file(tmp_path / "made.fcs", 30_000)
    fcs = read_fcs(tmp_path / "made.fcs")
    table = gates.EventTable("made", fcs, fcs.events, fcs.spillover)
    gating = gates.read_gatingml(gatingml.document(of_flowkit(made.strategy()), {}), "made")
    ours = gates.apply_gates(gating, table)
    theirs = gates.apply_gates_with_flowkit(gating, table)
    assert len(ours) == 24
    assert ours.counts == theirs.counts
    assert min(ours.counts.values()) > 20
