"""Data-driven gates on events whose populations are known."""

import flowkit as fk
import numpy as np
import pytest
import yaml
from cytometry_chain import log_normal, make_fcs
from hypothesis import given, settings
from hypothesis import strategies as st

from immunotrace.cytometry import gates
from immunotrace.cytometry.events import evenly
from immunotrace.cytometry.fcs import compensate, read_fcs
from immunotrace.cytometry.placement import scatter_ellipse, singlet_limits, valley
from immunotrace.cytometry.template import (
    DEFAULT_LOGICLE,
    find_cut,
    logicle,
    logicle_inverse,
    place,
)
from immunotrace.cytometry.template_file import read_template
from immunotrace.errors import InputError

TEMPLATE = """
cuts:
  Viability: {method: valley, population: singlets/lymphocytes, single_peak: negative}
  CD3: {method: valley, population: singlets/lymphocytes/live, single_peak: positive}
  CD4: {method: valley, population: singlets/lymphocytes/live/T cells, single_peak: positive}
  CD8: {method: valley, population: singlets/lymphocytes/live/T cells, single_peak: negative}
  CCR7: {method: threshold}
gates:
  - {name: singlets, method: singlets, channels: [FSC-A, FSC-H]}
  - {name: lymphocytes, parent: singlets, method: scatter, channels: [FSC-A, SSC-A], minimum: [35000, 0]}
  - {name: live, parent: singlets/lymphocytes, method: cuts, below: [Viability]}
  - {name: T cells, parent: singlets/lymphocytes/live, method: cuts, above: [CD3]}
  - {name: CD4, parent: singlets/lymphocytes/live/T cells, method: cuts, above: [CD4], below: [CD8]}
  - {name: CD8, parent: singlets/lymphocytes/live/T cells, method: cuts, above: [CD8], below: [CD4]}
  - {name: CCR7+, parent: singlets/lymphocytes/live/T cells/CD4, method: cuts, above: [CCR7]}
  - {name: CCR7+, parent: singlets/lymphocytes/live/T cells/CD8, method: cuts, above: [CCR7]}
"""
MARKERS = {m: f"{m}-A" for m in ("Viability", "CD3", "CD4", "CD8", "CCR7")}
T_CELLS = "singlets/lymphocytes/live/T cells"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "gates.yaml"
    path.write_text(TEMPLATE, encoding="utf-8")
    return read_template(path)


def make_stain(seed: int, n: int, debris=0.08, doublets=0.05, dead=0.05, t=0.7, cd4=0.6, cd8=0.33):
    """A T stain and the truth: masks by population path."""
    rng = np.random.default_rng(seed)
    is_debris = rng.random(n) < debris
    is_dead = ~is_debris & (rng.random(n) < dead)
    is_doublet = ~is_debris & (rng.random(n) < doublets)
    is_t = ~is_debris & (rng.random(n) < t)
    kind = rng.random(n)
    is_cd4, is_cd8 = is_t & (kind < cd4), is_t & (kind >= cd4) & (kind < cd4 + cd8)
    ccr7 = is_t & (rng.random(n) < 0.5)
    forward = np.where(is_debris, 13_000, 78_000) * np.exp(0.1 * rng.standard_normal(n))
    side = np.where(is_debris, 8_000, 25_000) * np.exp(0.17 * rng.standard_normal(n))
    height = forward / 1.1 * np.exp(0.03 * rng.standard_normal(n))
    forward, side = np.where(is_doublet, [1.95 * forward, 2 * side], [forward, side])

    def stain(positive, median):
        high, low = log_normal(rng, median, 0.35, n), log_normal(rng, 80, 0.3, n)
        return np.where(positive, high, low)

    columns = {
        "FSC-A": forward,
        "FSC-H": height,
        "SSC-A": side,
        "Viability-A": stain(is_dead, 20_000),
        "CD3-A": stain(is_t, 15_000),
        "CD4-A": stain(is_cd4, 12_000),
        "CD8-A": stain(is_cd8, 18_000),
        "CCR7-A": stain(ccr7, 4_000),
    }
    single = ~is_doublet
    live = single & ~is_debris & ~is_dead
    return make_fcs(columns), {
        "singlets": single,
        "singlets/lymphocytes": single & ~is_debris,
        "singlets/lymphocytes/live": live,
        T_CELLS: live & is_t,
        f"{T_CELLS}/CD4": live & is_cd4,
        f"{T_CELLS}/CD8": live & is_cd8,
        f"{T_CELLS}/CD4/CCR7+": live & is_cd4 & ccr7,
        f"{T_CELLS}/CD8/CCR7+": live & is_cd8 & ccr7,
    }


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.sum(found & truth) / (np.sum(found) + np.sum(truth))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_population_is_found(template, seed):
    fcs, truth = make_stain(seed, 30_000)
    placed = place(template, fcs, fcs.events, MARKERS, {"CCR7": 600.0})
    for path, mask in truth.items():
        # The singlet wedge and the ellipse leave out under 1 % of the cells; peaks are 5 SD apart.
        assert f1(placed.masks[path], mask) > 0.985, path
    found = {marker: cut.found for marker, cut in placed.cuts.items()}
    assert found == dict.fromkeys(MARKERS, "valley") | {"CCR7": "threshold"}


@pytest.mark.parametrize(
    ("changed", "path", "most"),
    [
        ({"dead": 0.0}, "singlets/lymphocytes/live", None),
        ({"cd8": 0.003}, f"{T_CELLS}/CD8", 0.006),
        ({"cd8": 0.0, "cd4": 1.0}, f"{T_CELLS}/CD8", 0.001),
        ({"cd4": 0.0, "cd8": 0.95}, f"{T_CELLS}/CD4", 0.002),
        ({"t": 0.01}, T_CELLS, 0.014),
        ({"t": 1.0}, T_CELLS, None),
        ({"debris": 0.5}, "singlets/lymphocytes", None),
    ],
)
def test_a_population_that_is_nearly_absent(template, changed, path, most):
    """A cut must not wander into the population that is there."""
    fcs, truth = make_stain(5, 20_000, **changed)
    masks = place(template, fcs, fcs.events, MARKERS, {"CCR7": 600.0}).masks
    if most is None:
        assert f1(masks[path], truth[path]) > 0.97
    else:
        parent = path.rpartition("/")[0]
        assert masks[path].sum() <= most * masks[parent].sum()
        assert np.sum(truth[path] & masks[parent] & ~masks[path]) <= 0.02 * truth[path].sum() + 1


def test_quadrants_fall_back_to_each_marker_by_itself(template):
    """CD4 and CD8 as quadrants; without any CD8 there is one level, and its cut lies above CD4's."""
    pair = {"population": T_CELLS, "method": "quadrants"}
    cuts = template["cuts"] | {
        "CD4": {**pair, "with": "CD8", "single_peak": "positive"},
        "CD8": {**pair, "with": "CD4", "single_peak": "negative"},
    }
    for changed, found in (({}, "quadrants"), ({"cd8": 0.0, "cd4": 1.0}, "spread")):
        fcs, truth = make_stain(6, 20_000, **changed)
        placed = place({**template, "cuts": cuts}, fcs, fcs.events, MARKERS, {"CCR7": 600.0})
        assert placed.cuts["CD8"].found == found
        assert f1(placed.masks[f"{T_CELLS}/CD4"], truth[f"{T_CELLS}/CD4"]) > 0.98


def test_no_events_is_no_error(template):
    fcs, _ = make_stain(1, 100)
    placed = place(template, fcs, fcs.events[:0], MARKERS, {"CCR7": 600.0})
    assert all(not mask.size for mask in placed.masks.values())
    assert placed.cuts["CD3"].found == "empty"


def test_few_events_are_no_error(template):
    """The smoothing of a handful of events is wider than their histogram."""
    fcs, _ = make_stain(1, 3_000)
    for count in range(1, 60):
        events = fcs.events[37 * count : 38 * count]
        placed = place(template, fcs, events, MARKERS, {"CCR7": 600.0})
        assert all(mask.size == count for mask in placed.masks.values())
        assert np.isfinite([cut.linear for cut in placed.cuts.values()]).all()


def test_more_events_than_enough_change_little(template, monkeypatch):
    fcs, truth = make_stain(3, 40_000)
    whole = place(template, fcs, fcs.events, MARKERS, {"CCR7": 600.0})
    monkeypatch.setattr("immunotrace.cytometry.events.evenly.__defaults__", (8_000,))
    some = place(template, fcs, fcs.events, MARKERS, {"CCR7": 600.0})
    assert some.cuts["CD3"].linear != whole.cuts["CD3"].linear
    for path, mask in some.masks.items():
        assert f1(mask, whole.masks[path]) > 0.99, path
        assert path not in truth or f1(mask, truth[path]) > 0.97, path


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 50))
def test_events_are_taken_evenly(inside, most):
    mask = np.array(inside, bool)
    some = evenly(mask, most)
    taken = np.flatnonzero(some)
    every = max(1, -(-mask.sum() // most))
    assert taken.tolist() == np.flatnonzero(mask)[::every].tolist()
    assert len(taken) <= most


def test_only_what_is_wanted_is_placed(template):
    fcs, _ = make_stain(1, 5_000)
    placed = place(template, fcs, fcs.events, MARKERS, {}, [f"{T_CELLS}/CD4"])
    assert [gate.path for gate in placed.gates][-1] == f"{T_CELLS}/CD4"
    with pytest.raises(InputError, match="threshold of 'CCR7'"):
        place(template, fcs, fcs.events, MARKERS, {})


def test_written_gates_give_the_same_counts_in_flowkit(template, tmp_path, repository):
    """Placed gates as a Gating-ML file, an FCS file with spillover, and nothing of ours."""
    from simulation.fcs import spillover_keyword, write_fcs

    fcs, _ = make_stain(9, 12_000)
    names = list(fcs.channels[3:])
    matrix = np.eye(5)
    matrix[0, 1], matrix[2, 3], matrix[3, 4] = 0.05, 0.12, 0.2
    events = fcs.events.copy()
    events[:, 3:] = events[:, 3:] @ matrix
    path = tmp_path / "stain.fcs"
    keywords = {"$SPILLOVER": spillover_keyword(names, matrix)}
    write_fcs(path, events, [(c, "") for c in fcs.channels], keywords, 262_144)
    raw = read_fcs(path)
    compensated = compensate(raw.events, raw.channels, raw.spillover)
    placed = place(template, raw, compensated, MARKERS, {"CCR7": 600.0})
    document = tmp_path / "gates.xml"
    document.write_bytes(gates.placed_document(placed.gates, DEFAULT_LOGICLE, True))

    gating = gates.read_gatingml(document)
    table = gates.EventTable("stain", raw, raw.events, raw.spillover)
    ours = gates.apply_gates(gating, table)
    assert set(ours) == set(placed.masks) - {""}
    for population, mask in ours.items():
        assert np.array_equal(mask, placed.masks[population]), population
    report = fk.parse_gating_xml(str(document)).gate_sample(fk.Sample(path)).report
    theirs = {
        (*row.gate_path[1:], row.gate_name): row.count
        for row in report.itertuples(index=False)
        for row in [row._replace(count=row[6])]
    }
    assert theirs == {key: ours[p].sum() for key, p in gating.populations.items()}
    # The same name under two parents needs two IDs, but is one name in the tables.
    assert ("singlets", "lymphocytes", "live", "T_cells", "CD8", "CCR7pos.2") in theirs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(gate=[]), "unknown key 'gate'. Did you mean 'gates'"),
        (
            lambda t: t["gates"][2].update(belov=["CD3"]),
            "unknown key 'gates.2.belov'. Did you mean 'below'",
        ),
        (lambda t: t["gates"][2].update(below=["CD33"]), "no cut for 'CD33'"),
        (
            lambda t: t["gates"][3].update(parent="singlets/live"),
            "the parent 'singlets/live' of 'T cells' is no gate above it",
        ),
        (lambda t: t["gates"][0].update(name="a/b"), "expected: a name without /"),
        (
            lambda t: t["gates"][0].update(method="magic"),
            "'gates.0.method' is 'magic'; expected one of singlets, scatter, cuts",
        ),
        (lambda t: t["gates"][0].update(channels=["FSC-A"]), "expected: two channels"),
        (lambda t: t["gates"].append(dict(t["gates"][0])), "the gate 'singlets' is there already"),
        (
            lambda t: t["cuts"]["CD3"].update(method="vale"),
            "expected one of valley, quadrants, threshold",
        ),
        (lambda t: t["cuts"]["CD3"].update(population="x"), "no gate makes the population 'x'"),
        (
            lambda t: t["cuts"]["CD3"].update({"with": "CD4"}),
            "only the method quadrants has `with`",
        ),
        (
            lambda t: t["cuts"]["CD4"].update({"method": "quadrants", "with": "CD8"}),
            "'CD4' has the method quadrants; expected `with`, another marker",
        ),
        (lambda t: t.update(logicle={"T": 1}), "'logicle.W' is missing"),
        (lambda t: t.update(threshold_populations=["x"]), "no gate makes the population 'x'"),
    ],
)
def test_mistakes_in_a_template_are_told(change, message, tmp_path):
    template = yaml.safe_load(TEMPLATE)
    change(template)
    path = tmp_path / "gates.yaml"
    path.write_text(yaml.safe_dump(template), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_template(path)


def test_bundled_templates_are_valid(repository):
    for name in ("gates_T.yaml", "gates_B.yaml"):
        assert read_template(repository / "resources" / "case" / name)["threshold_populations"]


def test_valley_needs_two_peaks():
    """One noisy population, at zero or log-normal, has no valley; 600 draws."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        n = int(10 ** rng.uniform(2, 4.3))
        noise = rng.normal(20, rng.uniform(30, 1000), n)
        positive = log_normal(rng, np.exp(rng.uniform(5, 9)), rng.uniform(0.2, 0.8), n)
        assert valley(noise, 262_144.0) is None
        assert valley(positive, 262_144.0) is None


def test_cut_of_noise_round_zero():
    """No positive cells: the cut lies four to six standard deviations above."""
    for sd in (50, 200, 1000):
        for seed in range(10):
            noise = np.random.default_rng(seed).normal(20, sd, 10_000)
            cut = find_cut(noise, DEFAULT_LOGICLE)
            assert cut.found == "spread"
            assert 3.5 < (cut.linear - 20) / sd < 7
            assert find_cut(noise, DEFAULT_LOGICLE, "positive") == cut


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    fraction=st.floats(0.01, 0.99),
    low=st.floats(60, 300),
    ratio=st.floats(25, 200),
)
def test_cut_lies_between_two_peaks(seed, fraction, low, ratio):
    rng = np.random.default_rng(seed)
    positive = rng.random(8_000) < fraction
    values = np.where(
        positive, log_normal(rng, low * ratio, 0.35, 8_000), log_normal(rng, low, 0.35, 8_000)
    )
    cut = find_cut(values, DEFAULT_LOGICLE)
    assert cut.found == "valley"
    wrong = np.mean((values >= cut.linear) != positive)
    # The peaks' medians are at least 25-fold apart, 9 standard deviations of 0.35.
    assert wrong < 0.004
    assert find_cut(rng.permutation(values), DEFAULT_LOGICLE) == cut


@pytest.mark.parametrize("sign", ["negative", "positive"])
def test_one_peak_is_left_whole(sign):
    """Four robust deviations: 0.003 % of a normal lies beyond; here some 5 in 1000 at most."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        median = 400 if sign == "negative" else 12_000
        values = log_normal(rng, median, 0.35, 5_000)
        cut = find_cut(values, DEFAULT_LOGICLE, sign)
        beyond = values >= cut.linear if sign == "negative" else values < cut.linear
        assert cut.found in ("spread", "shoulder")
        assert beyond.mean() < 0.005


def test_shoulder_is_cut_off():
    """A tenth of the cells, dim: no valley, but more than the mirrored flank explains."""
    rng = np.random.default_rng(3)
    values = np.concatenate([log_normal(rng, 300, 0.5, 9_000), log_normal(rng, 1500, 0.4, 1_000)])
    cut = find_cut(values, DEFAULT_LOGICLE)
    assert cut.found == "shoulder"
    assert np.mean(values[:9_000] >= cut.linear) < 0.04
    assert np.mean(values[9_000:] >= cut.linear) > 0.7


def test_logicle_and_its_inverse():
    values = np.array([-1000.0, -50.0, 0.0, 3.0, 600.0, 262144.0])
    display = logicle(values)
    assert display[-1] == pytest.approx(1.0)
    # By definition zero lies W / (M + A) above the lower end.
    assert display[2] == pytest.approx(0.5 / 4.5)
    assert logicle_inverse(display) == pytest.approx(values, rel=1e-9, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), angle=st.floats(0, 3), spread=st.floats(3_000, 12_000))
def test_ellipse_finds_the_dense_cluster(seed, angle, spread):
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cluster = rng.standard_normal((4_000, 2)) * [spread, spread / 2] @ turn + [110_000, 60_000]
    scattered = rng.random((800, 2)) * 262_144
    centre, covariance, distance = scatter_ellipse(
        np.vstack([cluster, scattered]), (262_144.0, 262_144.0)
    )
    assert np.abs(centre - [110_000, 60_000]).max() < 0.2 * spread
    offset = cluster - centre
    inside = np.einsum("ij,jk,ik->i", offset, np.linalg.inv(covariance), offset) <= distance
    # Nominally 0.998; the covariance is estimated among scattered events, and a standard deviation
    # that is a sixth too small leaves out 1 %.
    assert inside.mean() > 0.99


def test_singlet_limits_hold_singlets():
    rng = np.random.default_rng(2)
    height = 70_000 * np.exp(0.2 * rng.standard_normal(10_000))
    area = 1.15 * height * np.exp(0.04 * rng.standard_normal(10_000))
    low, high = singlet_limits(area, height)
    # Four standard deviations of 0.04 on either side of the log of 1.15.
    assert np.log([low, high]) == pytest.approx(np.log(1.15) + np.array([-0.16, 0.16]), abs=0.03)
