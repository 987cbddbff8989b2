"""Wells and quality control of plates, on plates whose truth is known."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from immunotrace.doseresponse.curves import fit_curves
from immunotrace.errors import InputError
from immunotrace.plates.qc import outlier_flags, plate_quality
from immunotrace.plates.wells import read_plates

DOSES = [250, 100, 40, 16, 6.4, 2.6, 1, 0.4, 0.16, 0.064]
SETTINGS = {"exclude_outlier_wells": False}


def plate_map() -> list[dict]:
    """Rows A-C: ten doses in triplicate, then controls; row D: unstimulated, then blank."""
    wells = []
    for row in "ABC":
        wells += [
            {"well": f"{row}{i + 1}", "well_role": "sample", "dose": d} for i, d in enumerate(DOSES)
        ]
        wells += [{"well": f"{row}{i}", "well_role": "control"} for i in (11, 12)]
    wells += [{"well": f"D{i}", "well_role": "unstimulated"} for i in range(1, 7)]
    return wells + [{"well": f"D{i}", "well_role": "blank"} for i in range(7, 13)]


def make_counts(seed=1, cv=0.1, edge=1.0) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    counts = {}
    for entry in plate_map():
        level = {"control": 40000, "unstimulated": 400, "blank": 40}.get(entry["well_role"])
        if level is None:
            level = 4000 + 36000 / (1 + entry["dose"] / 8)
        noise = np.exp(cv * rng.standard_normal()) if entry["well_role"] != "blank" else 1
        at_edge = entry["well"][0] in "AH" or entry["well"][1:] in ("1", "12")
        counts[entry["well"]] = float(round(level * noise * (edge if at_edge else 1)))
    return counts


def sheet_row(tmp_path, counts, name="plate") -> dict:
    path = tmp_path / f"{name}.csv"
    path.write_text("well,value\n" + "".join(f"{w},{v}\n" for w, v in counts.items()))
    return dict(
        plate=name, subject="S1", role="patient", day=-1, drug="methylprednisolone",
        dose_unit="ng/ml", readout="cpm", format="long_csv", file=str(path), map=plate_map(),
    )  # fmt: skip


def read(tmp_path, counts, **settings):
    wells, quality = read_plates([sheet_row(tmp_path, counts)], SETTINGS | settings)
    return wells.set_index("well"), quality.iloc[0]


def test_response_is_percent_of_control_after_the_blank(tmp_path):
    counts = dict.fromkeys((entry["well"] for entry in plate_map()), 1000.0)
    counts |= {f"{r}{c}": 9000.0 for r in "ABC" for c in (11, 12)} | {"A4": 5000.0}
    counts |= {f"D{i}": 600.0 for i in range(7, 13)}
    wells, _ = read(tmp_path, counts)
    assert wells.loc["A4", "response"] == pytest.approx(
        100 * (5000 - 600) / (9000 - 600), rel=1e-14
    )
    assert wells.loc["A11", "response"] == pytest.approx(100, rel=1e-14)
    assert wells.loc["A11", "dose"] == 0
    assert wells.loc[["D1", "D7"], "response"].isna().all()


def test_unreadable_wells_are_flagged_named_in_the_log_and_unused(tmp_path, caplog):
    counts = make_counts() | {"B3": "OVRFLW"}
    with caplog.at_level(logging.WARNING):
        wells, quality = read(tmp_path, counts)
    assert wells.loc["B3", "flag"] == "unreadable: OVRFLW"
    assert np.isnan(wells.loc["B3", "value"])
    assert not wells.loc["B3", "used"]
    assert quality["unreadable_wells"] == "B3"
    assert "line 16: well B3 holds 'OVRFLW'" in caplog.text


def test_wells_of_the_map_without_a_reading_are_named(tmp_path):
    counts = make_counts()
    del counts["C5"], counts["D7"]
    with pytest.raises(InputError, match="no reading of well C5, D7, which the map of plate plate"):
        read(tmp_path, counts)


@pytest.mark.parametrize("well", ["B5", "A11", "C1"])
@pytest.mark.parametrize("factor", [0.3, 2.5])
def test_a_planted_outlier_is_flagged_alone(tmp_path, well, factor):
    counts = make_counts()
    counts[well] *= factor
    kept, quality = read(tmp_path, counts)
    assert list(kept.index[kept["flag"] == "outlier"]) == [well]
    assert kept["used"].all()
    assert quality["outlier_wells"] == well
    left_out, _ = read(tmp_path, counts, exclude_outlier_wells=True)
    assert list(left_out.index[~left_out["used"]]) == [well]
    assert left_out.loc[well, "value"] == counts[well]


@pytest.mark.parametrize(("factor", "words"), [(10, "10 times"), (0.1, "a tenth of")])
def test_a_slip_of_the_decimal_point_is_called_one(tmp_path, factor, words):
    counts = make_counts()
    counts["B5"] *= factor
    wells, _ = read(tmp_path, counts)
    assert wells.loc["B5", "flag"] == f"outlier, {words} its replicates"


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_well_that_counts_nothing_is_an_outlier_but_no_decimal_slip(tmp_path, value):
    wells, _ = read(tmp_path, make_counts() | {"B5": value})
    assert wells.loc["B5", "flag"] == "outlier"
    assert wells["flag"].notna().sum() == 1


def test_outliers_are_rare_in_normal_noise():
    """At most 2 % of plates of normal noise have a flagged well (0.4 % by the limit's design, and
    more because the scatter is estimated from the plate)."""
    wells = pd.DataFrame([{"dose": np.nan, **entry} for entry in plate_map()])
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        wells["value"] = np.exp(10 + 0.1 * rng.standard_normal(len(wells)))
        hits += outlier_flags(wells).notna().any()
    assert hits <= 6


def test_quality_of_a_good_plate(tmp_path):
    _, quality = read(tmp_path, make_counts(cv=0.05))
    assert quality["verdict"] == "pass"
    assert quality["replicate_cv_percent"] == pytest.approx(5, abs=2)
    # signal 39,960 over noise 360; sampling error of means of six with 5 % noise each
    assert quality["stimulation_index"] == pytest.approx(111, rel=0.1)
    assert quality["blank_percent_of_control"] == pytest.approx(0.1, rel=0.1)


def test_z_prime_is_zhangs(tmp_path):
    counts = make_counts()
    _, quality = read(tmp_path, counts)
    up = [counts[f"{r}{c}"] for r in "ABC" for c in (11, 12)]
    down = [counts[f"D{i}"] for i in range(1, 7)]
    expected = 1 - 3 * (np.std(up, ddof=1) + np.std(down, ddof=1)) / (np.mean(up) - np.mean(down))
    assert quality["z_prime"] == pytest.approx(expected, rel=1e-12)


def test_an_edge_effect_is_measured(tmp_path):
    _, quality = read(tmp_path, make_counts(cv=0.02, edge=0.7))
    assert quality["edge_effect_percent"] == pytest.approx(-30, abs=4)
    assert "edge effect" in quality["reason"]


def test_a_plate_without_stimulation_fails(tmp_path):
    counts = make_counts() | {f"{r}{c}": 420.0 + c for r in "ABC" for c in (11, 12)}
    _, quality = read(tmp_path, counts)
    assert quality["verdict"] == "fail"


def failing(tmp_path) -> list[dict]:
    dead = make_counts() | {f"{r}{c}": 420.0 + c for r in "ABC" for c in (11, 12)}
    return [sheet_row(tmp_path, make_counts(), "good"), sheet_row(tmp_path, dead, "dead")]


@pytest.mark.parametrize(("choice", "used"), [("keep", [True, True]), ("exclude", [True, False])])
def test_a_failed_plate_is_kept_or_excluded(tmp_path, choice, used):
    wells, quality = read_plates(failing(tmp_path), SETTINGS | {"on_failed_plate": choice})
    assert quality["verdict"].tolist()[1] == "fail"
    assert quality["used"].tolist() == used
    assert wells.groupby("plate", sort=False)["used"].all().tolist() == used
    assert wells["value"].notna().all()
    curves = fit_curves(wells, {"level": 0.95})["curves"]
    assert curves["plate"].tolist() == ["good", "dead"][: sum(used)]


def test_a_failed_plate_can_stop_the_analysis(tmp_path):
    with pytest.raises(
        InputError, match=r"(?s)dead.csv: plate dead: Z' .*on_failed_plate: exclude"
    ):
        read_plates(failing(tmp_path), SETTINGS | {"on_failed_plate": "stop"})


def test_an_unreadable_plate_stops_the_analysis_or_is_left_out_by_name(tmp_path):
    rows = [sheet_row(tmp_path, make_counts(), name) for name in ("good", "cut", "empty")]
    lines = Path(rows[1]["file"]).read_text().splitlines(keepends=True)
    Path(rows[1]["file"]).write_text("".join(lines[: len(lines) // 2]))
    Path(rows[2]["file"]).write_text("")
    # Both are told at once, and what else can be done.
    with pytest.raises(InputError, match=r"(?s)cut\.\w+: .*empty\.\w+: .*on_unreadable: exclude"):
        read_plates(rows, SETTINGS)
    exclude = SETTINGS | {"on_unreadable": "exclude"}
    wells, quality = read_plates(rows, exclude)
    alone, _ = read_plates(rows[:1], SETTINGS)
    pd.testing.assert_frame_equal(wells, alone)
    assert quality["verdict"].tolist()[1:] == ["fail", "fail"]
    assert quality["used"].tolist() == [True, False, False]
    assert quality["reason"].str.startswith("cannot be read: ").tolist() == [False, True, True]
    assert not quality["reason"].str.contains(str(tmp_path), regex=False).any()
    # `stop` is for plates that were read and failed.
    _, quality = read_plates(rows, exclude | {"on_failed_plate": "stop"})
    assert quality["used"].tolist() == [True, False, False]
    with pytest.raises(
        InputError, match=r"Mend such a file, or take its plate out of the sheet of plates\."
    ):
        read_plates(rows[1:], exclude)


def silent(level, roles=("sample", "control", "unstimulated", "blank")):
    """A plate that counts the same everywhere: nothing, or its own background."""
    return {entry["well"]: level for entry in plate_map() if entry["well_role"] in roles}


@pytest.mark.parametrize("choice", ["keep", "exclude"])
@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (silent(0.0), "dead: the stimulated control (0) does not count more than the blank (0)"),
        (silent(-5.0), "dead: the stimulated control (-5) does not count more than the blank (-5)"),
        (
            make_counts() | {f"{r}{c}": 30.0 for r in "ABC" for c in (11, 12)},
            "dead: the stimulated control (30) does not count more than the blank (40)",
        ),
        (
            make_counts() | {f"{r}{c}": "x" for r in "ABC" for c in (11, 12)},
            "dead: no readable stimulated control",
        ),
        (
            make_counts() | {f"{r}{c}": "x" for r in "ABC" for c in range(1, 11)},
            "dead: no readable samples of several doses",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_dead_plate_fails_by_name_and_stops_no_other(tmp_path, counts, reason, choice):
    rows = [sheet_row(tmp_path, make_counts(), "good"), sheet_row(tmp_path, counts, "dead")]
    wells, quality = read_plates(rows, SETTINGS | {"on_failed_plate": choice})
    assert quality["verdict"].tolist()[1] == "fail"
    assert quality["reason"][1].startswith(reason)
    assert quality["used"].tolist() == [True, False]
    assert fit_curves(wells, {"level": 0.95})["curves"]["plate"].tolist() == ["good"]
    with pytest.raises(InputError, match=r"dead.csv: plate dead: dead: "):
        read_plates(rows, SETTINGS | {"on_failed_plate": "stop"})


def test_a_dead_plate_without_unstimulated_wells_fails_too(tmp_path):
    counts = make_counts() | {f"{r}{c}": 30.0 for r in "ABC" for c in (11, 12)}
    row = sheet_row(tmp_path, counts)
    row["map"] = [entry for entry in row["map"] if entry["well_role"] != "unstimulated"]
    _, quality = read_plates([row], SETTINGS)
    assert quality["verdict"][0] == "fail"


def test_every_plate_excluded_is_said(tmp_path):
    wells, _ = read_plates(failing(tmp_path)[1:], SETTINGS | {"on_failed_plate": "exclude"})
    with pytest.raises(InputError, match="every plate failed quality control"):
        fit_curves(wells, {"level": 0.95})


def test_the_edge_of_a_384_well_plate(tmp_path):
    """Sixteen rows of doses across 24 columns; the outer wells count 30 % less."""
    rng = np.random.default_rng(2)
    rows = "ABCDEFGHIJKLMNOP"
    wells = pd.DataFrame(
        [
            {
                "well": f"{r}{c}",
                "well_role": "sample" if c < 23 else "control",
                "dose": 0.0 + c % 12,
            }
            for r in rows
            for c in range(1, 25)
        ]
    )
    edge = wells["well"].str[0].isin(["A", "P"]) | wells["well"].str[1:].isin(["1", "24"])
    wells["value"] = 5000 * np.exp(0.02 * rng.standard_normal(384)) * np.where(edge, 0.7, 1)
    wells = wells.assign(plate="p", subject="S", role="patient", day=0, flag=None)
    assert plate_quality(wells)["edge_effect_percent"] == pytest.approx(-30, abs=2)


def test_a_partly_mapped_plate_is_judged_by_the_wells_of_its_export(tmp_path):
    """The quarter A1:H12 of a 384-well plate: rows B to H and columns 2 to 12 are no edge."""
    row = sheet_row(tmp_path, make_counts(cv=0.02, edge=0.7))
    small, _ = read_plates([row], SETTINGS)
    with open(row["file"], "a") as file:
        file.write("P24,30\n")
    _, quality = read_plates([row], SETTINGS)
    assert "edge" in plate_quality(small)["reason"]
    # Column 12 was an edge of the small plate; of the large one only row A and column 1 are.
    exported = [f"{r}{c}" for r in "ABCDEFGHIJKLMNOP" for c in range(1, 25)]
    expected = plate_quality(small, exported)["edge_effect_percent"]
    assert quality["edge_effect_percent"][0] == pytest.approx(expected, nan_ok=True)
    assert expected != pytest.approx(plate_quality(small)["edge_effect_percent"])


def test_quality_without_unstimulated_and_blank_wells_is_empty_not_wrong(tmp_path):
    row = sheet_row(tmp_path, make_counts())
    row["map"] = [entry for entry in row["map"] if entry["well_role"] in ("sample", "control")]
    _, quality = read_plates([row], SETTINGS)
    assert np.isnan(quality["z_prime"][0])
    assert np.isnan(quality["stimulation_index"][0])
    assert np.isfinite(quality["replicate_cv_percent"][0])
    assert quality["verdict"][0] == "unchecked"
    assert quality["reason"][0] == "stimulation not checked: too few unstimulated wells"


def test_doses_in_several_units_are_one_level(tmp_path):
    rows = [sheet_row(tmp_path, make_counts(), name) for name in ("ng", "ug")]
    for entry in rows[1]["map"]:
        if "dose" in entry:
            entry["dose"] = float(f"{entry['dose'] / 1000:.9g}")
    rows[1]["dose_unit"] = "ug/ml"
    wells, _ = read_plates(rows, SETTINGS | {"dose_unit": "ng/ml"})
    assert sorted(wells["dose"].dropna().unique()) == sorted([0.0, *DOSES])


def test_doses_are_converted_on_demand(tmp_path):
    row = sheet_row(tmp_path, make_counts())
    mass = {"dose_unit": "nM", "molar_mass": {"methylprednisolone": 374.47}}
    wells, _ = read_plates([row], SETTINGS | mass)
    assert set(wells["dose_unit"]) == {"nM"}
    assert wells["dose"].max() == pytest.approx(250 / 0.37447, rel=1e-12)
    assert wells.loc[wells["well_role"] == "control", "dose"].eq(0).all()


def test_the_format_can_be_found_out_and_is_logged(tmp_path, caplog):
    row = sheet_row(tmp_path, make_counts()) | {"format": "auto"}
    with caplog.at_level(logging.INFO):
        wells, _ = read_plates([row], SETTINGS)
    assert wells["value"].notna().all()
    assert "read as long_csv" in caplog.text
