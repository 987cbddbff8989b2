"""Quadrants from two markers together: on a real file with the reference's membership, and on known mixtures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunotrace.cytometry import gates
from immunotrace.cytometry.fcs import compensate, find_channel, read_fcs
from immunotrace.cytometry.quadrants import quadrant_lines
from immunotrace.cytometry.template import logicle, place
from immunotrace.cytometry.template_file import read_template

B_CELLS = "lymphocytes/live/B cells"
SUBSETS = {
    "naive": "IgD+CD27-",
    "unswitched memory": "IgD+CD27+",
    "switched memory": "IgD-CD27+",
    "double negative": "IgD-CD27-",
}


@pytest.fixture(scope="module")
def lyoplate(reference, repository):
    """The file's gates as the example's template places them, and the stored membership."""
    folder = reference / "cytometry" / "bcell_lyoplate"
    fcs = read_fcs(folder / "fcs" / "12828_1_Bcell_C01.linearised.fcs")
    events = compensate(fcs.events, fcs.channels, fcs.spillover)
    template = read_template(repository / "examples" / "bcell_lyoplate" / "gates_template.yaml")
    placed = place(template, fcs, events, {marker: marker for marker in template["cuts"]}, {})
    parent = "boundary > nonDebris > lymph > Live > "
    with np.load(folder / "reference_membership.npz") as stored:

        def member(name):
            return np.unpackbits(stored[parent + name])[: len(events)].astype(bool)

        # Of the reference's boolean gate only its operands are stored.
        truth = {B_CELLS: member("CD19") & member("CD20")}
        for ours, theirs in SUBSETS.items():
            truth[f"{B_CELLS}/{ours}"] = member(f"CD19andCD20 > {theirs}")
    columns = [events[:, find_channel(fcs, marker)] for marker in ("IgD", "CD27")]
    points = np.column_stack([logicle(values) for values in columns])[placed.masks[B_CELLS]]
    return fcs, template, placed, truth, points


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.sum(found & truth) / (np.sum(found) + np.sum(truth))


def test_b_cells_and_their_subsets_of_a_real_file(lyoplate):
    """The bars of the project: F1 of 0.9, and one percentage point of switched memory."""
    _, _, placed, truth, _ = lyoplate
    for path, mask in truth.items():
        assert f1(placed.masks[path], mask) >= 0.9, path
    switched = placed.masks[f"{B_CELLS}/switched memory"].sum() / placed.masks[B_CELLS].sum()
    assert 100 * switched == pytest.approx(5.35, abs=1.0)
    assert {placed.cuts[marker].found for marker in ("IgD", "CD27")} == {"quadrants"}


def test_flowkit_reads_the_written_gates_to_the_same_counts(lyoplate):
    fcs, template, placed, _, _ = lyoplate
    document = gates.placed_document(placed.gates, template["logicle"], True)
    table = gates.EventTable("C01", fcs, fcs.events, fcs.spillover)
    for path, mask in gates.apply_gates(gates.read_gatingml(document, "C01"), table).items():
        assert np.array_equal(mask, placed.masks[path]), path


def test_the_guess_to_start_with_does_not_matter(lyoplate):
    points = lyoplate[-1]
    lines = [
        quadrant_lines(points, start).lines
        for start in [(0.47, 0.41), (0.35, 0.35), (0.5, 0.5), (0.55, 0.4), (0.57, 0.26)]
    ]
    # The fit ends where a step moves no centre by 1e-5 of a spread; a slow last part may be left.
    assert np.ptp(lines, axis=0).max() < 2e-3


def test_parts_of_the_file_tell_the_same(lyoplate):
    """Every second event: half of the data, 1 percentage point of all switched memory.

    In bootstraps of 5,000 events its standard deviation is 0.25 percentage points.
    """
    points = lyoplate[-1]
    for part in (points[::2], points[1::2], points[: len(points) // 2]):
        x, y = quadrant_lines(part, (0.47, 0.41)).lines
        switched = np.mean((points[:, 0] < x) & (points[:, 1] >= y))
        assert 100 * switched == pytest.approx(5.35, abs=1.2)


def grid(rng, n, shares, centres, spreads, correlation=0.0):
    """Normal quadrants on a grid, and the quadrant of each event."""
    kind = rng.choice(4, n, p=shares)
    levels = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[kind]
    noise = rng.standard_normal((n, 2))
    noise[:, 1] = correlation * noise[:, 0] + np.sqrt(1 - correlation**2) * noise[:, 1]
    points = np.asarray(centres)[[0, 1], levels] + noise * np.asarray(spreads)[[0, 1], levels]
    return points, kind


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rare=st.floats(0.03, 0.2),
    correlation=st.floats(-0.5, 0.5),
)
def test_known_quadrants(seed, rare, correlation):
    """Centres five spreads apart; the wrong side takes what the best line would, and little more."""
    rng = np.random.default_rng(seed)
    shares = [rare, 1 - 2.5 * rare, rare, rare / 2]
    points, kind = grid(
        rng, 6_000, shares, [(0.35, 0.6), (0.25, 0.6)], [(0.05, 0.05), (0.07, 0.07)], correlation
    )
    found = quadrant_lines(points, (0.5, 0.4))
    called = (points[:, 0] >= found.lines[0]) + 2 * (points[:, 1] >= found.lines[1])
    # Half of five spreads away lies 0.6 % of a normal on either axis, 1.2 % on both.
    assert np.mean(called != kind) < 0.025
    assert found.shares == pytest.approx(shares, abs=0.03)
    again = quadrant_lines(points, (0.45, 0.45))
    assert found.lines == pytest.approx(again.lines, abs=2e-3)


def test_no_quadrants_where_there_are_none():
    rng = np.random.default_rng(4)
    single = rng.normal(0.4, 0.08, (5_000, 2))
    assert quadrant_lines(single, (0.45, 0.45)) is None
    assert quadrant_lines(single, (2.0, 0.45)) is None
    assert quadrant_lines(single[:100], (0.4, 0.4)) is None
    assert quadrant_lines(single[:0], (0.4, 0.4)) is None
    one_marker, _ = grid(
        rng, 5_000, [0.5, 0.5, 0, 0], [(0.3, 0.6), (0.3, 0.6)], [(0.05, 0.05), (0.05, 0.05)]
    )
    assert quadrant_lines(one_marker, (0.45, 0.5)) is None


def test_infinite_tails_and_repeated_values():
    """Piles at the end of the range, and all events alike, are no error."""
    rng = np.random.default_rng(5)
    points, _ = grid(
        rng, 4_000, [0.1, 0.6, 0.2, 0.1], [(0.3, 0.6), (0.3, 0.6)], [(0.04, 0.04), (0.04, 0.04)]
    )
    piled = np.vstack([points, np.full((100, 2), 1.0), np.full((60, 2), -3.0)])
    assert quadrant_lines(piled, (0.45, 0.45)).lines == pytest.approx((0.45, 0.45), abs=0.03)
    assert quadrant_lines(np.full((1_000, 2), 0.5), (0.5, 0.5)) is None
