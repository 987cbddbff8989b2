"""Thresholds and tables: known numbers, flags, and errors that tell what to do."""

import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cytometry_chain import SETTINGS, run_chain
from hypothesis import given
from hypothesis import strategies as st

from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import read_fcs
from immunotrace.cytometry.quantify import (
    MARKER_COLUMNS,
    POPULATION_COLUMNS,
    Threshold,
    cytometry_tables,
    density_rows,
    marker_row,
    median_of,
    population_rows,
    population_values,
)
from immunotrace.cytometry.template import DEFAULT_LOGICLE, logicle
from immunotrace.cytometry.thresholds import threshold_rows
from immunotrace.errors import InputError
from simulation.fcs import write_fcs

BASE = {"acquisition": "a", "subject": "S", "role": "patient", "day": 0, "panel": "T"}


def settings(minimum, **others):
    return {"minimum_events": minimum, **others}


def test_percentages_with_published_intervals():
    """Newcombe 1998, Stat Med 17:857, table I, method 3, in percent."""
    for count, total, low, high in [(81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05)]:
        (row,) = population_rows(BASE, {"A": count}, total, "placed", 100)
        assert row["percent_of_parent"] == pytest.approx(100 * count / total)
        assert row["percent_of_parent_low"] == pytest.approx(low, abs=0.005)
        assert row["percent_of_parent_high"] == pytest.approx(high, abs=0.005)


def test_parents_are_by_path():
    counts = {"A": 400, "A/B": 50, "A/B/C": 0, "A/B/C/D": 0}
    rows = population_rows(BASE, counts, 1000, "imported", 100)
    assert [(r["parent"], r["count"], r["parent_count"]) for r in rows] == [
        ("", 400, 1000),
        ("A", 50, 400),
        ("A/B", 0, 50),
        ("A/B/C", 0, 0),
    ]
    assert [r["flag"] for r in rows] == ["", "", "few events (n < 100)", "few events (n < 100)"]
    assert np.isnan(rows[3]["percent_of_parent"])
    assert np.isnan(rows[3]["percent_of_parent_low"])
    assert "percent_of_ancestor" not in rows[0]


def test_percent_of_a_named_ancestor():
    """The first row of Newcombe's table again, as a grandchild."""
    counts = {"live": 263, "live/B": 100, "live/B/C": 81, "live2": 7}
    rows = population_rows(BASE, counts, 1000, "placed", 1, "live")
    assert ["ancestor" in row for row in rows] == [False, True, True, False]
    assert rows[2]["ancestor"] == "live"
    assert rows[2]["percent_of_ancestor"] == pytest.approx(100 * 81 / 263)
    assert rows[2]["percent_of_ancestor_low"] == pytest.approx(25.53, abs=0.005)
    assert rows[2]["percent_of_ancestor_high"] == pytest.approx(36.62, abs=0.005)


def test_markers_of_known_values():
    values = np.array([-5.0, 10.0, 20.0, 30.0, 40.0])
    row = marker_row(BASE, "A", "CCR7", values, Threshold(20.0), settings(3), fmo_median=4.0)
    assert (row["count"], row["count_positive"]) == (5, 3)  # at the threshold is positive
    assert row["percent_positive"] == pytest.approx(60.0)
    assert (row["median_all"], row["median_positive"]) == (20.0, 30.0)
    assert row["integrated_mfi"] == pytest.approx(60 * 30)
    assert row["geometric_mean"] == pytest.approx((10 * 20 * 30 * 40) ** 0.25)
    assert row["geometric_mean_left_out"] == 1
    assert (row["fmo_median"], row["median_minus_fmo"]) == (4.0, 16.0)
    assert row["flag"] == row["flag_positive"] == ""


def test_median_of_an_even_number():
    values = np.array([1.0, 2.0, 5.0, 9.0])
    row = marker_row(BASE, "A", "CCR7", values, None, settings(1))
    assert row["median_all"] == 3.5  # the mean of the middle two
    assert row["flag"] == "no threshold"
    assert "percent_positive" not in row
    assert "fmo_median" not in row
    lower = marker_row(BASE, "A", "CCR7", values, Threshold(2.0), settings(1, median="lower"))
    assert (lower["median_all"], lower["median_positive"]) == (2.0, 5.0)


def test_robust_sd_of_a_normal_sample_is_its_sd():
    values = np.sort(np.random.default_rng(3).normal(500, 40, 20_000))
    row = marker_row(BASE, "A", "CCR7", values, None, settings(1))
    # The standard error of half the distance of these percentiles is 0.84 SD / root n: here 0.24.
    assert row["robust_sd"] == pytest.approx(40, abs=1.0)
    low, high = np.quantile(values, [0.1587, 0.8413])
    assert row["robust_sd"] == pytest.approx((high - low) / 2, rel=1e-12)


def test_flags_of_empty_and_uncertain():
    note = Threshold(1.0, "one peak only: spread")
    row = marker_row(BASE, "A", "CCR7", np.empty(0), note, settings(100))
    assert row["flag"] == "few events (n < 100); one peak only: spread"
    assert row["flag_positive"] == "few positive events (n < 100)"
    for name in ("percent_positive", "median_positive", "geometric_mean", "robust_sd"):
        assert np.isnan(row[name])
    none = marker_row(BASE, "A", "CCR7", np.arange(-9.0, 0.0), Threshold(1.0), settings(1))
    assert (none["percent_positive"], none["integrated_mfi"]) == (0, 0)
    assert np.isnan(none["geometric_mean"])


def test_values_do_not_depend_on_how_many_fit(monkeypatch):
    rng = np.random.default_rng(2)
    stored = rng.normal(0, 9, (900, 4)).astype(np.float32)
    inside = rng.random(900) < 0.5
    columns = {"A": 3, "B": 0, "C": 2}
    at_once = dict(population_values(Events(stored), inside, columns))
    monkeypatch.setattr("immunotrace.cytometry.quantify._VALUES_AT_ONCE", 10)
    one_by_one = {
        marker: values.copy()
        for marker, values in population_values(Events(stored), inside, columns)
    }
    for marker, column in columns.items():
        np.testing.assert_array_equal(at_once[marker], stored[inside, column])
        np.testing.assert_array_equal(at_once[marker], one_by_one[marker])


@given(
    st.lists(st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1.0])),
    st.sampled_from(["midpoint", "lower"]),
)
def test_a_median_does_not_need_sorted_values(values, kind):
    """Against the standard library's; the same values are there afterwards."""
    given = np.array(values)
    found = median_of(given, kind)
    assert sorted(given) == sorted(values)
    if values:
        expected = {"midpoint": statistics.median, "lower": statistics.median_low}[kind](values)
        assert found == pytest.approx(expected, rel=1e-15)
    else:
        assert np.isnan(found)


def test_densities_count_every_event():
    values = np.random.default_rng(0).normal(0, 5000, 1200)
    values[:10] = [-1e6, 1e6] * 5
    values.sort()
    rows = density_rows(BASE, "A", "CCR7", values, Threshold(600.0), DEFAULT_LOGICLE)
    edges = [row["bin_low"] for row in rows] + [rows[-1]["bin_high"]]
    shown = np.clip(logicle(values), edges[0], edges[-1])
    assert [row["count"] for row in rows] == np.histogram(shown, edges)[0].tolist()
    assert sum(row["count"] for row in rows) == 1200
    assert rows[0]["threshold_display"] == pytest.approx(0.4, abs=0.01)


def row(subject="007", day=0, staining="full", panel="T", name=None):
    name = name or f"S_{day}_{staining}"
    return {
        "acquisition": name,
        "subject": subject,
        "day": day,
        "panel": panel,
        "staining": staining,
    }


def test_later_days_never_move_a_threshold():
    panel = {
        "markers": {
            "CCR7": {"threshold": "fmo"},
            "CD45RA": {"threshold": "valley"},
            "CCR4": {"threshold": "none"},
        }
    }
    rows = [
        row(day=-14),
        row(day=0),
        row(day=7),
        row(day=-14, staining="FMO:CCR7"),
        row(day=7, staining="FMO:CCR7"),
        row(day=-14, staining="FMO:CCR4"),
        row(subject="other", day=-14),
        row(day=-14, panel="B"),
        row(day=-14, staining="isotype"),
    ]
    chosen = threshold_rows(rows, "007", "T", panel)
    assert chosen == [rows[0], rows[1], rows[3], rows[4]]
    late = [row(day=5), row(day=9)]
    assert threshold_rows(late, "007", "T", panel) == late[:1]


TEMPLATE = """
threshold_populations: [cells]
cuts:
  CD3: {method: valley, single_peak: positive}
  CCR7: {method: threshold}
gates:
  - {name: cells, method: cuts, above: [CD3]}
  - {name: CCR7+, parent: cells, method: cuts, above: [CCR7]}
"""


@pytest.fixture
def case(tmp_path):
    """Two full stains and two FMO files of one subject, and what they hold."""
    (tmp_path / "gates.yaml").write_text(TEMPLATE, encoding="utf-8")
    rng = np.random.default_rng(4)
    rows, background = [], []
    for batch, day in (("run1", -1), ("run2", 7)):
        for staining in ("full", "FMO:CCR7") if day < 0 else ("full",):
            cells = rng.random(4000) < 0.6
            cd3 = np.where(cells, 15_000, 100) * np.exp(0.3 * rng.standard_normal(4000))
            ccr7 = rng.normal(50, 80, 4000)
            if staining == "full":
                ccr7[:1500] += 6000
            else:
                background.append(ccr7[cells])
            name = f"S_{batch}_{staining.replace(':', '_')}"
            path = tmp_path / f"{name}.fcs"
            channels = [("CD3-A", ""), ("PE-A", "")]
            write_fcs(path, np.column_stack([cd3, ccr7]), channels, {"$CYT": "test"}, 262_144)
            rows.append(
                row(day=day, staining=staining, name=name)
                | {"role": "patient", "batch": batch, "fcs": str(path)}
            )
    panel = {
        "compensation": "none",
        "gates": {"source": "template", "file": str(tmp_path / "gates.yaml")},
        "markers": {
            "CD3": {"channel": "CD3-A", "threshold": 2000.0},
            "CCR7": {"channel": "PE-A", "threshold": "fmo"},
        },
        "quantify": {"populations": ["cells"], "markers": ["CCR7", "CD3"]},
    }
    return rows, {"T": panel}, tmp_path, np.concatenate(background)


def test_fmo_threshold_is_the_quantile_of_the_fmo_events(case):
    rows, panels, out, background = case
    tables = run_chain(rows, panels, SETTINGS, out)
    placed = tables["thresholds"].set_index("marker")
    # The file holds 32-bit numbers.
    assert placed.loc["CCR7", "threshold"] == pytest.approx(
        np.quantile(background, SETTINGS["fmo_quantile"]), rel=1e-6
    )
    assert placed.loc["CCR7", "method"] == "fmo"
    assert placed.loc["CCR7", "events"] == len(background)
    assert placed.loc["CD3", ["threshold", "method"]].tolist() == [2000.0, "number"]
    markers = tables["markers"]
    assert list(markers.columns) == list(MARKER_COLUMNS)
    assert list(tables["populations"].columns) == list(POPULATION_COLUMNS)
    assert set(markers["threshold"][markers["marker"] == "CCR7"]) == {
        placed.loc["CCR7", "threshold"]
    }
    gated = tables["populations"].set_index(["acquisition", "population"])["count"]
    for line in markers[markers["marker"] == "CCR7"].itertuples():
        assert line.count_positive == gated[line.acquisition, "cells/CCR7+"]
        # 1500 of 4000 events, 0.5 % of the others by definition of the threshold
        assert line.percent_positive == pytest.approx(37.5 + 0.3, abs=2.0)
    assert (out / "run2" / "gates" / "S_run2_full.xml").is_file()
    # The FMO events within the same population are those that the threshold is taken from.
    assert tables["fmo_medians"]["fmo_median"].tolist() == pytest.approx([np.median(background)])
    assert tables["fmo_medians"]["events"].tolist() == [len(background)]
    ccr7 = markers[markers["marker"] == "CCR7"]
    np.testing.assert_allclose(ccr7["median_minus_fmo"], ccr7["median_all"] - np.median(background))
    assert markers.loc[markers["marker"] == "CD3", "fmo_median"].isna().all()


def test_same_input_gives_the_same_bytes(case):
    rows, panels, out, _ = case
    run_chain(rows, panels, SETTINGS, out / "one")
    run_chain(rows, panels, SETTINGS, out / "two")
    files = sorted(p.relative_to(out / "one") for p in (out / "one").rglob("*") if p.is_file())
    assert len(files) > 15
    for file in files:
        assert (out / "one" / file).read_bytes() == (out / "two" / file).read_bytes(), file


def test_missing_fmo_is_told(case):
    rows, panels, out, _ = case
    without = [r for r in rows if r["staining"] == "full"]
    message = r"subject 007, panel T: marker CCR7 .* staining FMO:CCR7, and there is no such row"
    with pytest.raises(InputError, match=message):
        run_chain(without, panels, SETTINGS, out)


def test_too_few_fmo_events_are_told(case):
    rows, panels, out, _ = case
    with pytest.raises(InputError, match=r"hold \d+ events in cells; a threshold needs 5000"):
        run_chain(rows, panels, {**SETTINGS, "minimum_events": 5000}, out)


def test_failed_fmo_is_told(case):
    rows, panels, out, _ = case
    strict = {**SETTINGS, "on_failed_qc": "exclude", "qc": {"fail_below_events": 5000}}
    with pytest.raises(InputError, match="all files with staining FMO:CCR7 failed quality control"):
        run_chain(rows, panels, strict, out)


def test_an_unreadable_fmo_control_is_left_out_while_another_is_there(case, tmp_path):
    rows, panels, out, _ = case
    (fmo,) = (row for row in rows if row["staining"] == "FMO:CCR7")
    second = {**fmo, "acquisition": "second", "fcs": str(tmp_path / "second.fcs")}
    Path(second["fcs"]).write_bytes(Path(fmo["fcs"]).read_bytes()[:3000])
    whole = run_chain(rows, panels, SETTINGS, out)
    with pytest.raises(InputError, match=r"second\.fcs: "):
        run_chain([*rows, second], panels, SETTINGS, out)
    exclude = {**SETTINGS, "on_unreadable": "exclude"}
    found = run_chain([*rows, second], panels, exclude, out)
    for name in ("thresholds", "populations", "markers"):
        pd.testing.assert_frame_equal(found[name], whole[name])
    with pytest.raises(
        InputError, match=r"all files with staining FMO:CCR7 .* cannot be read: second"
    ):
        run_chain([*(r for r in rows if r is not fmo), second], panels, exclude, out)


def test_a_file_without_events_that_is_let_pass(case):
    rows, panels, out, _ = case
    empty = {**rows[0], "fcs": str(out / "empty.fcs")}
    fcs = read_fcs(rows[0]["fcs"])
    names = list(zip(fcs.channels, fcs.labels, strict=True))
    write_fcs(out / "empty.fcs", np.zeros((0, len(names)), "<f4"), names, {}, 262_144)
    found = run_chain([empty, *rows[1:]], panels, {**SETTINGS, "qc": {"fail_below_events": 0}}, out)
    own = found["populations"].query("acquisition == @empty['acquisition']")
    assert (own["count"] == 0).all()
    assert own["percent_of_parent"].isna().all()
    assert (own["flag"] == "few events (n < 100)").all()


def test_misspelt_population_is_told(case):
    rows, panels, out, _ = case
    panels["T"]["quantify"]["populations"] = ["cell"]
    with pytest.raises(InputError, match=r"population 'cell' is not among .* the nearest: cells"):
        run_chain(rows, panels, SETTINGS, out)


def test_missing_spillover_is_told(case):
    rows, panels, out, _ = case
    panels["T"]["compensation"] = "fcs"
    with pytest.raises(InputError, match=r"no \$SPILLOVER; give `compensation: none`"):
        run_chain(rows, panels, SETTINGS, out)


def test_changed_file_is_told(case):
    rows, panels, out, _ = case
    run_chain(rows, panels, SETTINGS, out)
    from immunotrace.cytometry.panel import compensated_events

    fcs = read_fcs(rows[0]["fcs"])
    with pytest.raises(InputError, match="has 4000 events, but quality control saw 7"):
        compensated_events(fcs, np.ones(7, bool), panels["T"])


def test_tables_with_other_columns_are_not_joined(tmp_path):
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    one.write_text("a\tb\n1\t2\n", encoding="utf-8")
    two.write_text("a\tb\n3\t\n", encoding="utf-8")
    cytometry_tables({"x": [one, two]}, {"x": tmp_path / "x.tsv"})
    assert (tmp_path / "x.tsv").read_text(encoding="utf-8") == "a\tb\n1\t2\n3\t\n"
    two.write_text("a\tc\n3\t4\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"two\.tsv: its columns are not those of"):
        cytometry_tables({"x": [one, two]}, {"x": tmp_path / "x.tsv"})


def test_a_batch_of_fmo_files_only_gives_empty_tables(case):
    rows, panels, out, _ = case
    fmo = [{**r, "batch": "fmo"} if r["staining"] != "full" else r for r in rows]
    tables = run_chain(fmo, panels, SETTINGS, out)
    empty = pd.read_csv(out / "fmo" / "populations.tsv", sep="\t")
    assert list(empty.columns) == list(POPULATION_COLUMNS)
    assert empty.empty
    assert set(tables["populations"]["acquisition"]) == {"S_run1_full", "S_run2_full"}
