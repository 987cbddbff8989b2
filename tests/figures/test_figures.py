"""The figures: all there, marked as simulated, the same bytes, nothing lost of odd cases and texts."""

import html
import re
import time
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from example_tables import TRICKY, draw, example

from immunotrace.figures import FIGURES, hierarchy, lineage, style
from immunotrace.figures.groups import read_tables
from immunotrace.figures.quality import MOST_FLOWS, flow_data
from immunotrace.report.wording import number
from immunotrace.tables import read_tsv, write_tsv

EVERY = [name for names in FIGURES.values() for name in names]


def words(svg):
    """The texts of a figure: matplotlib leaves each, beside its outlines, in a comment."""
    found = re.findall(r"<!-- (.*?) -->", svg.read_text(encoding="utf-8"), re.DOTALL)
    return html.unescape("\n".join(found))


@pytest.mark.parametrize("name", EVERY)
def test_figure_is_there_in_all_forms_and_marked(full, name):
    ElementTree.parse(full / f"{name}.svg")  # raises where it is not well formed
    assert (full / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
    assert (full / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "SIMULATED DATA" in words(full / f"{name}.svg")
    assert (full / f"{name}.tsv").is_file()


@pytest.mark.parametrize("name", [n for n in EVERY if n not in ("b_cells_within",)])
def test_figure_states_n_or_what_a_point_is(full, name):
    text = " ".join(words(full / f"{name}.svg").split())
    assert re.search(r"n = \d|events a panel|plates, one blood draw|Scores: one rating", text)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("clinical_course", "disease activity score (points)"),
        ("clinical_course", "day from the first infusion"),
        ("t_cells_positive", "CCR7+ cells (%)"),
        ("t_cells_medians", "CCR7 median (a.u.)"),
        ("b_cells_subsets", "% of B cells"),
        ("steroid_curves", "methylprednisolone (ng/ml)"),
        ("steroid_curves", "proliferation (% of control)"),
        ("steroid_ic50", "inhibition by methylprednisolone (%)"),
        ("quality_flow", "fold of median"),
        ("quality_flow", "time (s)"),
        ("quality_plates", "cpm"),
    ],
)
def test_axes_have_units(full, name, label):
    assert label in words(full / f"{name}.svg")


def test_flow_shows_what_departs_most():
    tables, _ = example("full")
    data = flow_data(tables["time"])
    names = list(dict.fromkeys(data["acquisition"]))
    assert len(names) == MOST_FLOWS < tables["time"]["acquisition"].nunique()
    assert names[0] == tables["time"].loc[tables["time"]["removed"], "acquisition"].iloc[0]
    assert data["shown_of"].unique() == [tables["time"]["acquisition"].nunique()]
    assert data.groupby("acquisition")["rate_fold"].median().round(9).eq(1).all()


def test_real_data_are_not_marked_as_simulated(tmp_path):
    tables, _ = example("no_control")
    draw(tables, "timeline", tmp_path, simulated=False)
    assert "SIMULATED" not in words(tmp_path / "clinical_course.svg")


def test_same_tables_same_bytes(full, tmp_path):
    tables, case = example("full")
    time.sleep(1.1)  # so that a time written in seconds would show
    draw(tables, "b_cells", tmp_path, case["simulated"])
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (full / path.name).read_bytes(), path.name


@pytest.mark.parametrize("kind", ["one_day", "plates_only"])
@pytest.mark.parametrize("group", FIGURES)
def test_odd_cases_give_every_figure(tmp_path, kind, group):
    tables, case = example(kind)
    draw(tables, group, tmp_path, case["simulated"])
    assert {path.stem for path in tmp_path.iterdir()} == set(FIGURES[group])
    for name in FIGURES[group]:
        rows = (tmp_path / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        assert bool(rows) != ("No data for this figure" in words(tmp_path / f"{name}.svg"))


def test_a_patient_without_a_control_is_drawn(tmp_path):
    tables, _ = example("no_control")
    draw(tables, "b_cells", tmp_path, simulated=False)
    text = words(tmp_path / "b_cells_positive.svg")
    assert "MSC01 (patient)" in text
    assert "control)" not in text


def test_texts_of_files_are_text(tmp_path):
    tables, _ = example("full", texts=True)
    draw(tables, "timeline", tmp_path, simulated=True)
    one_day, _ = example("one_day", texts=True)
    draw(one_day, "quality", tmp_path, simulated=False)
    # A comment cannot hold two hyphens, and labels are cut; the beginning tells.
    assert "<script>alert" in words(tmp_path / "quality_cytometry.svg")
    tree = ElementTree.parse(tmp_path / "quality_cytometry.svg")
    assert not [element for element in tree.iter() if element.tag.endswith("script")]
    assert TRICKY.split()[0] in (tmp_path / "clinical_course.tsv").read_text(encoding="utf-8")


def test_missing_glyphs_are_written_as_code_points():
    assert style.text_of("a\U0001f9ecb").replace("\u200e", "") == "a[U+1F9EC]b"
    assert style.text_of("µ ≥ 50 % $x$") == "µ ≥ 50 % $x$"
    assert style.text_of("a\tb\nc") == "a b c"


def test_days_keep_their_colour_and_follow_ups_get_lighter():
    days = [-28, -14, -1, 7, 21, 42, 70, 105, 150]
    colours = style.day_colours(days)
    assert len(set(colours.values())) == len(days)

    def channels(day):
        return [int(colours[day][i : i + 2], 16) for i in (1, 3, 5)]

    assert all(len(set(channels(day))) == 1 for day in days[:3])  # baseline: greys
    # Relative luminance (WCAG 2): in print without colour the order of days is that of lightness.
    weights = (0.2126, 0.7152, 0.0722)
    light = [
        sum(w * (c / 255) ** 2.2 for w, c in zip(weights, channels(d), strict=True))
        for d in days[3:]
    ]
    assert light == sorted(light)


def test_percent_positive_in_the_figure_are_those_of_the_table(full):
    tables, _ = example("full")
    data = read_tsv(full / "t_cells_positive.tsv")
    merged = data.merge(tables["markers"], on=["acquisition", "population", "marker"])
    assert len(merged) == len(data) == 10 * 2 * 3  # acquisitions, populations, markers
    assert (merged["value"] == merged["percent_positive"]).all()
    assert (merged["low"] == merged["percent_positive_low"]).all()
    # The band is the patient's alone.
    assert data.loc[data["role"] == "control", "reference_low"].isna().all()
    assert data.loc[(data["role"] == "patient") & (data["day"] > 0), "reference_low"].notna().all()


def test_of_complements_the_positive_one_is_shown(full):
    shown = set(read_tsv(full / "t_cells_subsets.tsv")["population"].map(style.leaf))
    assert "CD45RA+" in shown
    assert "CD45RA-" not in shown
    assert "singlets" not in shown  # an only child is no subset


@pytest.mark.parametrize(("x", "y"), [("CD27", "IgD"), ("IgD", "CD27")])
def test_quadrants_follow_the_axes(x, y):
    # Switched memory is CD27+ IgD- whichever marker is on the x axis.
    right, upper = lineage._quadrants(x, y)["switched memory"]
    assert {x: right, y: upper} == {"CD27": True, "IgD": False}


def test_censored_ic50_is_drawn_as_a_bound(full):
    data = read_tsv(full / "steroid_ic50.tsv")
    censored = data[data["bound"].notna()]
    assert list(censored["value"]) == [250.0]
    assert list(censored["measurement"]) == ["absolute_ic50"]


def test_logicle_ticks_are_where_flowutils_puts_them():
    transforms = pytest.importorskip("flowutils").transforms
    values = np.array([-1000.0, -100, 0, 100, 1000, 1e4, 1e5, 262144])
    expected = transforms.logicle(values, None, t=262144, m=4.5, w=0.5, a=0)
    # A tick is drawn 1.4 inches wide at most: a ten-thousandth of the scale is not to be seen.
    assert np.allclose(style.logicle_display(values, 262144, 0.5, 4.5, 0), expected, atol=1e-4)


def test_medians_below_zero_are_seen():
    # A compensated median is often negative; an axis that began at zero would hide it.
    tables, _ = example("one_day")
    markers = tables["markers"].assign(median_all=-50.0)
    figure = lineage.draw_markers(
        lineage.median_data(markers, None), None, percent=False, interval="95 %"
    )
    panels = [axis for axis in figure.axes if axis.lines]
    assert panels
    assert all(axis.get_ylim()[0] < -50 < axis.get_ylim()[1] for axis in panels)


def test_tree_of_gates_has_every_population_below_its_parent():
    tables, _ = example("one_day")
    populations = list(tables["populations"]["population"].unique())
    ordered = lineage._tree_order(populations[::-1])
    assert sorted(ordered) == sorted(populations)
    for place, population in enumerate(ordered):
        parent = population.rpartition("/")[0]
        if parent:
            between = ordered[ordered.index(parent) + 1 : place]
            assert all(name.startswith(f"{parent}/") for name in between)


def test_a_part_without_rows_leaves_the_numbers_of_the_others(tmp_path):
    write_tsv(pd.DataFrame({"a": pd.Series([], dtype=float)}), tmp_path / "1.tsv")
    write_tsv(pd.DataFrame({"a": [0.5]}), tmp_path / "2.tsv")
    empty, full = tmp_path / "1.tsv", tmp_path / "2.tsv"
    tables = read_tables({"both": [empty, full], "none": [empty, empty]})
    assert tables["both"]["a"].to_numpy().dtype == float
    assert list(tables["none"].columns) == ["a"]


def test_several_files_of_a_name_are_one_table(tmp_path):
    for place in (1, 2):
        write_tsv(pd.DataFrame({"a": [place]}), tmp_path / f"{place}.tsv")
    tables = read_tables(
        {
            "densities": [tmp_path / "1.tsv", tmp_path / "2.tsv"],
            "changes": [],
            "wells": str(tmp_path / "1.tsv"),
        }
    )
    assert list(tables["densities"]["a"]) == [1, 2]
    assert set(tables) == {"densities", "wells"}


def test_hierarchy_is_the_patients_first_acquisition_and_shows_each_gate_with_its_percentage(full):
    tables, _ = example("full")
    first = tables["populations"].query("role == 'patient' and panel == 'T'")
    first = first[first["day"] == first["day"].min()]
    data = read_tsv(full / "t_cells_hierarchy.tsv")
    assert set(data["acquisition"]) == set(first["acquisition"])
    gates = data[data["item"] == "gate"].drop_duplicates("name").set_index("name")["value"]
    assert gates.to_dict() == first.set_index("population")["percent_of_parent"].to_dict()
    text = words(full / "t_cells_hierarchy.svg")
    for row in first.itertuples():
        assert f"{style.leaf(row.population)}\n{number(row.percent_of_parent)} %" in text


def test_label_of_a_gate_in_the_middle_hides_no_events():
    counts = np.full((9, 8), np.nan)
    counts[7:, :3] = 5  # top left
    counts[:2, 5:] = 2  # bottom right
    counts[:2, :3] = 1  # bottom left
    assert hierarchy._emptiest_corners(counts)[0] == (True, True)
    assert hierarchy._emptiest_corners(counts)[-1] == (False, True)


def test_supplement_has_a_page_for_every_acquisition(tmp_path):
    tables, _ = example("full")
    for name in ("a", "b"):
        pages = tmp_path / f"{name}.zip"
        hierarchy.draw_pages(tables["hierarchy"], tables["populations"], pages, simulated=True)
        path = tmp_path / f"{name}.pdf"
        hierarchy.write_supplement([pages], tables["populations"], path)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.count(b"/Type/Page/") == tables["populations"]["acquisition"].nunique() > 4
    assert content == (tmp_path / "b.pdf").read_bytes()


def test_thresholds_of_panels_are_given_on_the_linear_scale(full):
    transforms = pytest.importorskip("flowutils").transforms
    data = read_tsv(full / "b_cells_panels.tsv")
    scale = data[list(style.LOGICLE_COLUMNS)].iloc[0]
    expected = transforms.logicle_inverse(
        data["x_threshold"].to_numpy(), None, **{c[-1]: scale[c] for c in style.LOGICLE_COLUMNS}
    )
    # Interpolated in a table of 4,001 places.
    assert np.allclose(data["x_threshold_linear"], expected, rtol=1e-3)


def test_other_patients_are_told_apart_and_have_no_band(tmp_path):
    tables, _ = example("full")
    second = (
        tables["markers"]
        .query("role == 'patient'")
        .assign(subject="MSC02", acquisition=lambda frame: frame["acquisition"] + "_2")
    )
    tables["markers"] = pd.concat([tables["markers"], second])
    changes = tables["changes"]
    tables["changes"] = pd.concat(
        [changes, changes[changes["subject"] == "MSC01"].assign(subject="MSC02")]
    )
    other = tables["timeline"].assign(subject="MSC02", name="something else")
    tables["timeline"] = pd.concat([tables["timeline"], other])
    draw(tables, "t_cells", tmp_path, simulated=True)
    text = words(tmp_path / "t_cells_positive.svg")
    assert "MSC01 (patient)" in text
    assert "MSC02 (other patient)" in text
    assert "something else" not in text
    data = read_tsv(tmp_path / "t_cells_positive.tsv")
    assert data.loc[data["subject"] == "MSC02", "reference_low"].isna().all()
    assert data.loc[data["subject"] == "MSC01", "reference_low"].notna().any()
