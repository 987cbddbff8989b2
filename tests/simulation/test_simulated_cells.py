"""Labels, truth and instrument: do the files hold what the truth says?"""

import numpy as np
import pytest
from simulated_rows import PATIENT, SEED, tube

from simulation.batch import draw_tube
from simulation.instrument import spillover_matrix

LIVE = "singlets/lymphocytes/live"
BASELINE = (-28, -14, -1)


class Drawn:
    """One tube, with its compensated values."""

    def __init__(self, settings: dict, scenario: str, row: dict):
        self.cells, self.stained, self.values, self.truth = draw_tube(settings, scenario, SEED, row)
        names, spill = spillover_matrix(settings["panels"][row["panel"]])
        self.raw = self.values[:, -len(names) :].astype(float)
        self.compensated = self.raw @ np.linalg.inv(spill)
        self.whole = ~self.cells.doublet & ~self.cells.dead

    def column(self, marker: str) -> np.ndarray:
        return self.compensated[:, self.cells.markers.index(marker)]

    def kind(self, prefix: str) -> np.ndarray:
        return self.whole & self.cells.is_kind(prefix)


@pytest.fixture(scope="module")
def tube_t(settings) -> Drawn:
    return Drawn(settings, "abstract", tube(PATIENT, -1, "T"))


@pytest.fixture(scope="module")
def tube_b(settings) -> Drawn:
    return Drawn(settings, "abstract", tube(PATIENT, -1, "B"))


def test_truth_of_t_cells_counts_the_labels(tube_t):
    cells, truth = tube_t.cells, tube_t.truth
    names = np.array(cells.kinds)[cells.kind]
    alive = ~cells.dead & ~cells.doublet
    cd8 = alive & np.isin(names, ["T CD8 CD45RA+", "T CD8 CD45RA-"])
    t_cells = alive & np.char.startswith(names, "T ")
    ccr7 = cells.positive[:, cells.markers.index("CCR7")]
    table = truth["populations"]
    assert table["singlets"]["count"] == (~cells.doublet).sum()
    assert table["singlets"]["parent_count"] == len(names) == truth["events"]
    assert table[f"{LIVE}/T cells/CD8"]["count"] == cd8.sum()
    assert table[f"{LIVE}/T cells/CD8"]["parent_count"] == t_cells.sum()
    temra = cd8 & (names == "T CD8 CD45RA+") & ~ccr7
    assert table[f"{LIVE}/T cells/CD8/TEMRA"]["count"] == temra.sum()
    marker = truth["markers"][f"{LIVE}/T cells/CD8"]["CCR7"]
    assert marker["percent_positive"] == pytest.approx(100 * ccr7[cd8].mean(), abs=1e-6)
    four = [f"{LIVE}/T cells/CD8/{name}" for name in
            ("naive", "central memory", "effector memory", "TEMRA")]  # fmt: skip
    assert sum(table[path]["count"] for path in four) == cd8.sum()


def test_truth_of_b_cells_counts_the_labels(tube_b):
    names = np.array(tube_b.cells.kinds)[tube_b.cells.kind]
    alive = ~tube_b.cells.dead & ~tube_b.cells.doublet
    b_cells = (alive & np.char.startswith(names, "B ")).sum()
    switched = tube_b.truth["populations"][f"{LIVE}/B cells/switched memory"]
    assert switched["count"] == (alive & (names == "B switched memory")).sum()
    assert switched["parent_count"] == b_cells
    assert switched["percent_of_parent"] == pytest.approx(100 * switched["count"] / b_cells)


def test_counted_fractions_scatter_around_the_parameters(tube_t, tube_b):
    """Binomial: within four standard errors of the parameter from which the cells were drawn."""
    for drawn in (tube_t, tube_b):
        truth = drawn.truth
        for path, expected in truth["parameters"]["percent_of_parent"].items():
            row = truth["populations"][path]
            error = 100 * np.sqrt(0.25 / row["parent_count"])
            assert row["percent_of_parent"] == pytest.approx(expected, abs=4 * error), path
        for path, markers in truth["parameters"]["percent_positive"].items():
            for marker, expected in markers.items():
                row = truth["markers"][path][marker]
                error = 100 * np.sqrt(0.25 / row["count"])
                assert row["percent_positive"] == pytest.approx(expected, abs=4 * error), path


def test_noise_free_medians_describe_the_compensated_values(tube_t):
    """Photon and electronic noise are symmetric: they shift the median of bright cells little."""
    for marker in ("CCR7", "CCR4", "CXCR4"):
        row = tube_t.truth["markers"][f"{LIVE}/T cells/CD4"][marker]
        bright = tube_t.column(marker)[tube_t.kind("T CD4") & tube_t.cells.has(marker)]
        # the standard error of a median is 1.25 SD / sqrt(n): below 2 % here
        assert np.median(bright) == pytest.approx(row["median_positive"], rel=0.03)
        assert np.median(bright) == pytest.approx(row["median_positive_with_noise"], rel=1e-5)


def test_composition_of_the_tube_is_what_real_tubes_hold(tube_t):
    cells = tube_t.cells
    assert 0.04 < tube_t.truth["debris"] / tube_t.truth["events"] < 0.10
    assert 0.03 < cells.doublet.mean() < 0.07
    assert 0.02 < tube_t.truth["dead_singlets"] / tube_t.truth["events"] < 0.09
    width = tube_t.values[:, 1] / tube_t.values[:, 2]
    lymphocytes = tube_t.kind("T ")
    # two cells side by side: about twice the area at about once the height
    pairs = cells.doublet & cells.is_kind("T ")
    assert np.median(width[pairs]) / np.median(width[lymphocytes]) > 1.5
    assert np.median(tube_t.values[pairs, 2]) / np.median(tube_t.values[lymphocytes, 2]) < 1.4
    viability = tube_t.column("Viability")
    dead = cells.dead & ~cells.doublet
    assert np.median(viability[dead]) > 20 * np.median(viability[lymphocytes])
    assert np.median(tube_t.values[dead, 1]) < np.median(tube_t.values[lymphocytes, 1])


def test_raw_values_need_the_compensation(tube_t):
    """CD45RA (FITC) spills into CCR7 (PE): compensation removes it and leaves values below zero."""
    without = ~tube_t.cells.has("CCR7")
    naive, memory = (tube_t.kind(f"T CD4 CD45RA{sign}") & without for sign in "+-")
    raw = tube_t.raw[:, tube_t.cells.markers.index("CCR7")]
    assert np.median(raw[naive]) > 5 * np.median(raw[memory])
    ccr7 = tube_t.column("CCR7")
    # 1,500 cells or more of SD 160: the medians' difference has a standard error below 10 units
    assert np.median(ccr7[naive]) - np.median(ccr7[memory]) == pytest.approx(0, abs=40)
    assert np.std(ccr7[naive]) > 1.3 * np.std(ccr7[memory]), "no spreading error"
    assert (ccr7[naive] < 0).any()


@pytest.mark.parametrize(
    ("panel", "marker", "lineage"),
    [("T", "CCR7", "T "), ("T", "CCR4", "T "), ("T", "CXCR4", "T "), ("B", "CD27", "B "),
     ("B", "IgD", "B ")],
)  # fmt: skip
def test_fmo_lacks_its_dye_and_only_that(settings, panel, marker, lineage, tube_t, tube_b):
    full = tube_t if panel == "T" else tube_b
    fmo = Drawn(settings, "abstract", tube(PATIENT, -1, panel, f"FMO:{marker}"))
    assert len(fmo.values) >= 10_000
    cells = fmo.kind(lineage)
    carrying, others = cells & fmo.cells.has(marker), cells & ~fmo.cells.has(marker)
    # the label is there, the light is not
    background = np.median(fmo.column(marker)[others])
    assert np.median(fmo.column(marker)[carrying]) == pytest.approx(background, abs=25)
    seen = full.column(marker)[full.kind(lineage) & full.cells.has(marker)]
    assert np.median(seen) > 8 * background
    for other in fmo.cells.markers:
        if other in (marker, "Viability"):
            continue
        bright = [d.column(other)[d.kind(lineage) & d.cells.has(other)] for d in (fmo, full)]
        if min(len(values) for values in bright) > 500:
            assert np.median(bright[0]) == pytest.approx(np.median(bright[1]), rel=0.1), other
    hidden = {marker} & set(fmo.truth["markers"].get(f"{LIVE}/T cells/CD4", {}))
    assert not hidden


def test_unstained_tube_holds_no_dye(settings):
    drawn = Drawn(settings, "abstract", tube(PATIENT, -1, "T", "unstained"))
    assert not drawn.stained.any()
    assert np.quantile(drawn.column("CD3")[drawn.kind("T ")], 0.99) < 500
    assert set(drawn.truth["populations"]) == {"singlets", "singlets/lymphocytes"}


@pytest.mark.parametrize("scenario", ["abstract", "opposite"])
def test_fmo_thresholds_recover_the_truth(settings, scenario):
    """On the day of the largest effect, percents positive are within 1 point or 5 % of the truth.

    Thresholds: the 99.5 % quantile of the baseline days' FMO controls within T cells.
    """
    drawn = Drawn(settings, scenario, tube(PATIENT, 21, "T"))
    for marker in ("CCR7", "CCR4", "CXCR4"):
        controls = [
            Drawn(settings, scenario, tube(PATIENT, day, "T", f"FMO:{marker}")) for day in BASELINE
        ]
        background = np.concatenate([fmo.column(marker)[fmo.kind("T ")] for fmo in controls])
        threshold = np.quantile(background, 0.995)
        for lineage in ("CD4", "CD8"):
            inside = drawn.kind(f"T {lineage}")
            above = drawn.column(marker)[inside] > threshold
            truth = drawn.truth["markers"][f"{LIVE}/T cells/{lineage}"][marker]["percent_positive"]
            assert 100 * above.mean() == pytest.approx(truth, abs=max(1.0, 0.05 * truth))
            assert above[drawn.cells.has(marker)[inside]].mean() > 0.97


def test_the_clog_stops_the_flow_and_lowers_the_signals(settings):
    drawn = Drawn(settings, "abstract", tube(PATIENT, 21, "T"))
    clog = drawn.truth["clog"]
    seconds = drawn.values[:, 0] * settings["instrument"]["timestep"]
    usual = np.histogram(seconds, np.arange(0, 30))[0]
    during = np.histogram(
        seconds, np.arange(clog["start_seconds"] + 1, clog["end_seconds"])
    )[0]  # fmt: skip
    assert during.max() < 0.1 * usual.min()
    cd3, t_cells = drawn.column("CD3"), drawn.kind("T ")
    after = (seconds > clog["end_seconds"]) & (seconds < clog["end_seconds"] + 1)
    late = seconds > clog["signals_low_until_seconds"] + 5
    before = seconds < clog["start_seconds"]
    assert np.median(cd3[t_cells & after]) < 0.65 * np.median(cd3[t_cells & before])
    assert np.median(cd3[t_cells & late]) == pytest.approx(
        np.median(cd3[t_cells & before]), rel=0.03
    )
    assert 0.02 < clog["events_with_low_signal"] / drawn.truth["events"] < 0.15


def test_other_tubes_flow_steadily(tube_t):
    assert tube_t.truth["clog"] is None
    seconds = np.arange(0, tube_t.values[-1, 0] - 200, 200)
    counts = np.histogram(tube_t.values[:, 0], seconds)[0]
    # Poisson counts of 900 in two seconds: five standard deviations are 150
    assert abs(counts - 900).max() < 150
