"""Tables of curves and contrasts: simulated truth, calls by name, refusals."""

import numpy as np
import pandas as pd
import pytest

from immunotrace.doseresponse.curves import CONTRAST_COLUMNS, fit_curves
from immunotrace.errors import InputError

DOSES = np.repeat(np.geomspace(0.05, 250, 10), 3)
SETTINGS = {"level": 0.95, "weights": "constant"}


def plate(
    name, day, ic50, bottom=12.0, top=100.0, slope=1.0, noise=4.0, seed=0, subject="S1", **more
):
    rng = np.random.default_rng([seed, day + 1000])
    dose = np.concatenate([np.zeros(6), DOSES])
    response = bottom + (top - bottom) / (1 + (dose / ic50) ** slope)
    response = response + noise * rng.standard_normal(dose.size)
    return pd.DataFrame(
        dict(
            plate=name, well=[f"A{i}" for i in range(dose.size)], subject=subject, role="patient",
            day=day, drug="methylprednisolone", dose=dose, dose_unit="ng/ml",
            well_role=np.where(dose > 0, "sample", "control"), value=response, readout="cpm",
            flag=None, used=True, response=response,
        )
        | more
    )  # fmt: skip


def fitted(*plates, **settings):
    curves, contrasts, lines = fit_curves(pd.concat(plates, ignore_index=True), SETTINGS | settings)
    return curves.set_index("curve"), contrasts, lines


def test_the_truth_lies_in_the_intervals_and_the_columns_are_in_order():
    curves, _, _ = fitted(plate("p", -1, 10.0))
    row = curves.loc["S1 day -1"]
    assert " ".join(curves.columns[:22]) == (
        "subject role day drug dose_unit model top bottom hill_slope relative_ic50 "
        "relative_ic50_low relative_ic50_high absolute_ic50 absolute_ic50_low absolute_ic50_high "
        "imax_top_dose imax_plateau call reason relative_call relative_reason plate"
    )
    assert row["relative_ic50_low"] < 10 < row["relative_ic50_high"]
    absolute = 10 * 50 / 38  # 12 + 88 / (1 + x / 10) = 50
    assert row["absolute_ic50_low"] < absolute < row["absolute_ic50_high"]
    assert row["call"] == row["relative_call"] == "determined"
    # three standard errors of each, from a residual sd of 4 % and 6 to 36 wells
    assert row["top"] == pytest.approx(100, abs=3)
    assert row["imax_plateau"] == pytest.approx(88, abs=6)
    assert row["imax_top_dose"] == pytest.approx(100 - 12 - 88 / 26, abs=7)
    assert row["hill_slope"] == pytest.approx(-1, abs=0.25)
    assert row["n_wells"] == 36
    assert row["top_dose"] == 250
    assert row["log10_relative_ic50_se"] == pytest.approx(
        np.log10(row["relative_ic50_high"] / row["relative_ic50_low"]) / 4.07, rel=0.1
    )


@pytest.mark.parametrize(
    ("truth", "call", "reason", "relative_call", "relative_reason"),
    [
        (dict(ic50=4, bottom=60), "censored", r"> 250 ng/ml: the fitted curve stays above 50 %", "determined", ""),
        (dict(ic50=10, bottom=100), "not_determined", "flat: no effect of the dose", "not_determined", "flat"),
        (dict(ic50=60, bottom=5), "determined", "", "not_determined", "no plateau at high doses: 0 of 2"),
        (dict(ic50=0.02, bottom=5), "not_determined", "< 0.05 ng/ml: the fitted curve is below", "not_determined", "no plateau at low doses: 1 of 2"),
        (dict(ic50=200, bottom=5), "not_determined", "1 of 2 doses whose fitted response is below", "not_determined", "no plateau"),
        (dict(ic50=2.5, bottom=10, slope=90), "not_determined", "runaway slope", "not_determined", "runaway slope"),
    ],
)  # fmt: skip
def test_calls_by_name(truth, call, reason, relative_call, relative_reason):
    curves, _, lines = fitted(plate("p", 0, **truth))
    row = curves.iloc[0]
    assert (row["call"], row["relative_call"]) == (call, relative_call)
    assert reason in row["reason"]
    assert relative_reason in row["relative_reason"]
    for kind, one_call in (("absolute", call), ("relative", relative_call)):
        numbers = row[
            [f"{kind}_ic50", f"{kind}_ic50_low", f"{kind}_ic50_high", f"log10_{kind}_ic50_se"]
        ]
        assert numbers.notna().all() == (one_call == "determined")
        assert numbers.isna().all() == (one_call != "determined")
    assert np.isfinite(row["imax_top_dose"])
    assert lines["fitted"].notna().all()


def test_contrasts_are_against_the_pooled_baseline_of_the_subject():
    plates = [plate(f"p{day}", day, 10.0, seed=1) for day in (-20, -10, 0)]
    plates += [plate("p1", 1, 10.0, seed=5), plate("p30", 30, 2.5, seed=1)]
    plates += [plate("q30", 30, 2.5, subject="S2")]
    _, contrasts, _ = fitted(*plates)
    assert list(contrasts.columns) == CONTRAST_COLUMNS
    assert list(contrasts["curve"].unique()) == ["S1 day 1", "S1 day 30"]
    assert set(contrasts["reference"]) == {"S1 baseline (days -20, -10, 0)"}
    table = contrasts.set_index(["curve", "ic50_kind"])
    for kind in ("absolute", "relative"):
        same, fallen = table.loc[("S1 day 1", kind)], table.loc[("S1 day 30", kind)]
        assert same["ratio_low"] < 1 < same["ratio_high"]
        assert same["p_value"] > 0.05
        assert same["aicc_difference"] < 0
        assert fallen["ratio_low"] < 0.25 < fallen["ratio_high"]
        assert fallen["p_value"] < 1e-6
        assert fallen["aicc_difference"] > 20


def test_the_profile_interval_of_a_ratio_and_its_f_test_agree():
    """The 95 % interval excludes 1 exactly where p < 0.05: both ask the same fits. The level at
    which the bound is 1 is 1 - p."""
    plates = [plate(f"p{day}", day, 8.0, seed=4) for day in (-20, -1)]
    plates.append(plate("p9", 9, 7.0, seed=4))
    _, contrasts, _ = fitted(*plates)
    p = contrasts.loc[0, "p_value"]
    _, again, _ = fitted(*plates, level=1 - p)
    bound = again.loc[0, "ratio_high" if again.loc[0, "ratio"] < 1 else "ratio_low"]
    assert bound == pytest.approx(1, abs=1e-5)


def test_a_curve_without_ic50_has_a_contrast_row_with_a_reason():
    plates = [plate("p1", -1, 20.0), plate("p2", 5, 20.0, bottom=60)]
    _, contrasts, _ = fitted(*plates)
    absolute = contrasts[contrasts["ic50_kind"] == "absolute"].iloc[0]
    assert np.isnan(absolute["ratio"])
    assert absolute["reason"] == "the absolute IC50 of this curve is beyond the top dose"


def test_without_baseline_there_are_no_contrasts():
    _, contrasts, _ = fitted(plate("p1", 5, 20.0))
    assert contrasts.empty
    assert list(contrasts.columns) == CONTRAST_COLUMNS


def test_two_plates_a_day_are_two_curves():
    curves, _, _ = fitted(plate("p1", 5, 20.0), plate("p2", 5, 20.0, seed=3))
    assert list(curves.index) == ["S1 day 5 plate p1", "S1 day 5 plate p2"]


def test_unused_wells_are_left_out():
    some = plate("p1", 5, 20.0)
    some.loc[10, "response"] = 1e4
    some.loc[10, "used"] = False
    curves, _, _ = fitted(some)
    assert curves.iloc[0]["n_wells"] == 35
    assert curves.iloc[0]["call"] == "determined"


def test_the_fitted_table_is_the_curve_and_its_band():
    curves, _, lines = fitted(plate("p1", 5, 20.0), plate("p2", 6, 20.0))
    assert list(lines.columns) == ["curve", "dose", "fitted", "low", "high"]
    row, line = curves.iloc[1], lines[lines["curve"] == "S1 day 6"]
    assert line["dose"].iloc[[0, 1, -1]].tolist() == pytest.approx([0, 0.05, 250])
    span = row["top"] - row["bottom"]
    expected = (
        row["top"]
        - span * (1 - 1 / (1 + (line["dose"] / row["relative_ic50"]) ** -row["hill_slope"]))
        if row["relative_call"] == "determined"
        else line["fitted"]
    )
    np.testing.assert_allclose(line["fitted"], expected, rtol=1e-9)
    assert (line["low"] < line["fitted"]).all()
    assert (line["fitted"] < line["high"]).all()


def test_mixed_units_and_unusable_plates_are_refused():
    with pytest.raises(InputError, match="doses in nM and ng/ml"):
        fitted(plate("p1", 5, 20.0), plate("p2", 6, 20.0, dose_unit="nM"))
    dead = plate("p1", 5, 20.0, response=np.nan)
    with pytest.raises(InputError, match="plate p1: 0 doses with a usable response"):
        fitted(dead)


def test_two_curves_with_one_shape_seldom_differ_in_shape():
    """Other top, bottom and slope give small p values, the same ones do not."""
    base = [plate(f"p{day}", day, 6.0, seed=8) for day in (-20, -1)]
    same, other = plate("q", 5, 3.0, seed=9), plate("q", 5, 3.0, bottom=35, slope=2, seed=9)
    names = ["top_p", "bottom_p", "hill_slope_p"]
    assert (fitted(*base, same)[1].loc[0, names] > 0.01).all()
    assert (fitted(*base, other)[1].loc[0, ["bottom_p", "hill_slope_p"]] < 0.01).all()


def test_mean_response_is_the_area_under_the_curve_over_log_dose():
    curves, _, _ = fitted(plate("p", 0, 6.0))
    row = curves.iloc[0]
    log_dose = np.linspace(np.log(0.05), np.log(250), 20001)
    fall = 1 / (1 + (np.exp(log_dose) / row["relative_ic50"]) ** -row["hill_slope"])
    expected = np.mean(row["bottom"] + (row["top"] - row["bottom"]) * fall)
    assert row["mean_response"] == pytest.approx(expected, abs=0.01)
    assert row["no_effect_p"] < 1e-10
    assert 0.001 < row["lack_of_fit_p"] < 1
