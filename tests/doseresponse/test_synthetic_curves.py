"""Synthetic curves of the reference data, traps among them, through the whole chain from wells."""

import json

import numpy as np
import pandas as pd
import pytest

from immunotrace.doseresponse.curves import fit_curves
from immunotrace.plates.qc import outlier_flags

SETTINGS = {"level": 0.95, "weights": "constant"}  # as the reference fits


@pytest.fixture(scope="session")
def synthetic(reference):
    text = (reference / "doseresponse" / "synthetic_curves.json").read_text()
    return {entry["id"]: entry for entry in json.loads(text)}


def wells_of(entry, exclude_outliers=False) -> pd.DataFrame:
    dose = np.array(entry["data"]["dose"], float)
    wells = pd.DataFrame(
        dict(
            plate=entry["id"], well=[f"W{i}" for i in range(dose.size)], subject=entry["id"],
            role="patient", day=int(entry["id"][-2:]), drug="methylprednisolone", dose=dose, dose_unit="ng/ml",
            well_role=np.where(dose > 0, "sample", "control"),
            value=np.array(entry["data"]["response"], float), readout="cpm",
        )
    )  # fmt: skip
    wells["flag"] = outlier_flags(wells)
    wells["used"] = wells["value"].notna() & ~(wells["flag"].notna() & exclude_outliers)
    # Percent already, or counts: the reference's exact fits are of the values as they stand.
    wells["response"] = wells["value"]
    return wells


@pytest.fixture(scope="session")
def curves(synthetic):
    tables = pd.concat([wells_of(entry) for entry in synthetic.values()], ignore_index=True)
    return fit_curves(tables, SETTINGS)["curves"].set_index("plate")


def test_the_exact_optima(synthetic, curves):
    for name, entry in synthetic.items():
        exact = entry["drc_LL.4"]["exact"]["at_drc_solution"]
        row = curves.loc[name]
        if not exact["well_posed"] or np.isnan(row["top"]):
            continue
        assert row["top"] == pytest.approx(exact["params"]["d"], rel=1e-6), name
        assert row["bottom"] == pytest.approx(exact["params"]["c"], rel=1e-6), name
        assert -row["hill_slope"] == pytest.approx(exact["params"]["b"], rel=1e-6), name
        if row["relative_call"] == "determined":
            assert row["relative_ic50"] == pytest.approx(exact["params"]["e"], rel=1e-6), name
    assert curves["top"].notna().sum() == len(synthetic) - 2


def test_complete_curves_have_the_truth_in_their_intervals(synthetic, curves):
    """Of ten curves with both plateaus at least nine, as 95 % intervals should."""
    hits = []
    for name, entry in synthetic.items():
        row = curves.loc[name]
        if entry["category"] in ("complete", "zero_dose") and row["relative_call"] == "determined":
            hits.append(row["relative_ic50_low"] < entry["truth"]["e"] < row["relative_ic50_high"])
    assert len(hits) >= 5
    assert sum(hits) >= len(hits) - 1


def test_a_flat_curve_is_called_flat(curves):
    row = curves.loc["curve_25"]
    assert row["call"] == row["relative_call"] == "not_determined"
    assert row["reason"].startswith("flat: no effect of the dose")


def test_a_decimal_slip_is_called_by_well(synthetic, curves):
    row = curves.loc["curve_22"]
    planted = synthetic["curve_22"]["data"]["planted_outlier"].index(True)
    assert row["call"] == row["relative_call"] == "not_determined"
    assert f"W{planted} (outlier, 10 times its replicates)" in row["reason"]
    mended = fit_curves(wells_of(synthetic["curve_22"], True), SETTINGS)["curves"]
    assert mended["call"][0] == "determined"
    truth = synthetic["curve_22"]["truth"]
    assert mended["relative_ic50_low"][0] < truth["e"] < mended["relative_ic50_high"][0]


def test_planted_outliers_are_the_wells_that_are_flagged(synthetic):
    for entry in synthetic.values():
        wells = wells_of(entry)
        planted = np.array(entry["data"]["planted_outlier"])
        assert wells.loc[planted, "flag"].notna().all(), entry["id"]
        assert wells.loc[~planted, "flag"].isna().all(), entry["id"]


@pytest.mark.parametrize(
    ("name", "side"), [("curve_11", "high"), ("curve_15", "low"), ("curve_29", "high")]
)
def test_a_missing_plateau_is_called_by_side(curves, name, side):
    row = curves.loc[name]
    assert row["relative_call"] == "not_determined"
    assert np.isnan(row["relative_ic50"])
    assert f"no plateau at {side} doses" in row["relative_reason"]


def test_little_inhibition_is_censored_with_the_top_dose(curves):
    assert curves.loc["curve_09", "call"] == "censored"
    assert curves.loc["curve_09", "reason"].startswith("> 250 ng/ml")
