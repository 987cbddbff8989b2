"""Tables of curves and contrasts: simulated truth, calls by name, refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as t_distribution

from immunotrace.doseresponse.curves import CONTRAST_COLUMNS, fit_curves
from immunotrace.doseresponse.days import between_plates, scatter_of, usual_curves
from immunotrace.errors import InputError
from immunotrace.longitudinal.measurements import measurements

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


def tables_of(*plates, **settings):
    return fit_curves(pd.concat(plates, ignore_index=True), SETTINGS | settings)


def fitted(*plates, **settings):
    tables = tables_of(*plates, **settings)
    return tables["curves"].set_index("curve"), tables["contrasts"], tables["fitted"]


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
        (dict(ic50=0.02, bottom=5), "censored", "< 0.05 ng/ml: the fitted curve is below", "not_determined", "no plateau at low doses: 1 of 2"),
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


def test_a_bound_has_its_side_and_dose():
    plates = [plate("p", 0, 4.0, bottom=60), plate("q", 1, 0.02, bottom=5), plate("r", 2, 10.0)]
    curves, _, _ = fitted(*plates)
    assert list(curves["bound"]) == [">", "<", ""]
    assert curves["bound_dose"].tolist()[:2] == [250, 0.05]  # the doses themselves
    assert np.isnan(curves["bound_dose"].iloc[2])


@pytest.mark.parametrize("weights", ["constant", "relative"])
def test_wells_that_are_all_alike_are_flat(weights):
    """As of a counter that is saturated: no scatter and no effect."""
    alike = plate("p", 0, 10.0).assign(response=100.0)
    row = fitted(alike, weights=weights)[0].iloc[0]
    assert row["reason"].startswith(
        "flat: no effect of the dose (F test against a constant, p = 1)"
    )


def test_a_bound_below_the_lowest_dose_is_never_taken_for_the_top_dose():
    curves = tables_of(plate("p", 0, 4.0, bottom=60), plate("q", 1, 0.02, bottom=5))["curves"]
    values = measurements(None, None, curves)
    absolute = values[values["measurement"] == "absolute_ic50"]
    assert absolute[["day", "bound"]].to_numpy().tolist() == [[0, ">"], [1, "<"]]
    assert absolute["value"].tolist() == pytest.approx([250, 0.05], rel=1e-12)


def test_inhibition_at_the_top_dose_has_an_interval_and_a_flat_curve_a_bound_of_it():
    """Of three wells and six controls with a noise of 4 %: t * 4 * sqrt(1/3 + 1/6) = 5.7."""
    row = fitted(plate("p", 0, 10.0, bottom=100))[0].iloc[0]
    assert row["imax_top_dose_high"] - row["imax_top_dose"] == pytest.approx(5.7, rel=0.3)
    assert row["reason"].endswith(f"at 250 ng/ml is at most {row['imax_top_dose_high']:.0f} %")
    assert np.isnan(row["absolute_ic50"])
    curves = fitted(*many(50, lambda seed: plate("p", 0, 10.0, seed=seed)))[0]
    truth = 100 - 12 - 88 / 26
    held = (curves["imax_top_dose_low"] < truth) & (truth < curves["imax_top_dose_high"])
    assert held.sum() >= 43  # of 47.5 expected; binomial standard deviation 1.5


def many(count, make):
    """Plates that `make` makes of a seed, each of a subject and day of its own."""
    return [
        make(seed).assign(plate=f"p{seed}", subject=f"S{seed}", day=seed + 1)
        for seed in range(count)
    ]


def runaway(seed):
    """A curve that falls ever faster: its bottom is below every bound, 50 % is at 57 ng/ml."""
    some = plate("p", 0, 10.0, seed=seed, bottom=100)
    fall = 90 * (some["dose"] / 250) ** 0.4
    return some.assign(response=some["response"] - fall)


def test_an_absolute_ic50_needs_no_plateau_where_50_percent_is_within_the_doses():
    curves = fitted(*many(40, runaway))[0]
    lost = curves[curves["top"].isna()]
    assert len(lost) >= 20
    assert (lost["relative_call"] == "not_determined").all()
    assert lost["relative_reason"].str.startswith("no plateau at high doses").all()
    assert lost[["relative_ic50", "hill_slope", "imax_plateau"]].isna().all(axis=None)
    found = curves[curves["call"] == "determined"]
    assert len(found) >= 36
    truth = 250 * (5 / 9) ** 2.5
    held = (found["absolute_ic50_low"] < truth) & (truth < found["absolute_ic50_high"])
    assert held.mean() >= 0.85  # three standard errors below 95 %
    assert found["log10_absolute_ic50_se"].between(0, 0.2).all()


def test_the_50_percent_level_must_be_known_to_prefer_the_absolute_ic50():
    assert fitted(plate("p", 0, 10.0))[0].iloc[0]["suggestion"] == ""
    noisy = fitted(plate("p", 0, 10.0, noise=35, seed=2))[0].iloc[0]
    assert noisy["suggestion"].startswith("relative IC50 preferred: the 50 % level is known to")


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


def test_pairs_are_every_two_curves_of_a_subject_or_a_day():
    plates = [plate("p1", -1, 10.0), plate("p2", 5, 4.0, seed=1), plate("q", 5, 9.0, subject="S2")]
    tables = tables_of(*plates, plate("r", 9, 9.0, subject="S3"))
    pairs = tables["pairs"][tables["pairs"]["ic50_kind"] == "relative"].set_index("reference")
    assert list(zip(pairs.index, pairs["curve"], strict=True)) == [
        ("S1 day -1", "S1 day 5"),
        ("S1 day 5", "S2 day 5"),
    ]
    ic50 = tables["curves"].set_index("curve")["relative_ic50"]
    for reference, row in pairs.iterrows():
        assert row["ratio"] == pytest.approx(ic50[row["curve"]] / ic50[reference], rel=1e-9)
        assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    # With one baseline curve the contrast is the pair.
    contrast = tables["contrasts"].query("ic50_kind == 'relative'").iloc[0]
    for name in ("ratio", "ratio_low", "ratio_high", "f", "p_value"):
        assert contrast[name] == pytest.approx(pairs[name].iloc[0], rel=1e-6)


def test_plates_of_a_day_are_replicates_of_the_day():
    """Plates that scatter by 0.1 in log10 IC50, three a day: intervals are of that scatter."""
    rng = np.random.default_rng(3)
    plates = [
        plate(
            f"{s}{d}{n}",
            2 * s + d,
            10 ** (1 + 0.1 * rng.standard_normal()),
            seed=n,
            subject=f"S{s}",
        )
        for s in range(10)
        for d in (1, 2)
        for n in range(3)
    ]
    days = tables_of(*plates)["days"]
    days = days[days["ic50_kind"] == "absolute"]
    assert days["plates"].tolist() == [3] * 20
    assert set(days["plate_df"]) == {40}
    # 0.1 between plates and 0.04 of the wells; a variance of 40 degrees of freedom has an error of 22 %
    assert days["log10_plate_sd"].iloc[0] ** 2 == pytest.approx(0.1**2 + 0.04**2, rel=0.6)
    truth = 10 * 50 / 38
    held = (days["ic50_low"] < truth) & (truth < days["ic50_high"])
    assert held.sum() >= 16  # of 19 expected; binomial standard deviation 1


@pytest.mark.filterwarnings("error")
def test_a_day_without_a_determined_plate_has_no_mean():
    several = [plate(f"p{n}", 1, 10.0, seed=n) for n in range(2)]
    days = tables_of(*several, plate("q", 2, 4.0, bottom=60))["days"]
    absolute = days[(days["ic50_kind"] == "absolute") & (days["day"] == 2)].iloc[0]
    assert absolute["plates_determined"] == 0
    assert absolute[["ic50", "ic50_low", "ic50_high"]].isna().all()


def test_one_plate_a_day_says_nothing_of_the_scatter_between_plates():
    days = tables_of(plate("p", 1, 10.0), plate("q", 2, 4.0, bottom=60))["days"]
    assert days["plate_df"].eq(0).all()
    assert days[["ic50_low", "ic50_high", "log10_plate_sd"]].isna().all(axis=None)
    absolute = days[(days["ic50_kind"] == "absolute") & (days["day"] == 2)].iloc[0]
    assert absolute["plates_determined"] == 0
    assert np.isnan(absolute["ic50"])


def test_standardised_residuals_have_the_spread_of_their_degrees_of_freedom():
    tables = tables_of(plate("p", 1, 10.0), weights="relative")
    residuals = tables["residuals"]
    assert len(residuals) == 36
    assert residuals["residual"].to_numpy() == pytest.approx(
        plate("p", 1, 10.0)["response"] - residuals["fitted"], rel=1e-12
    )
    assert np.sum(residuals["standardised"] ** 2) == pytest.approx(36 - 4, rel=1e-9)


def rising(seed, rise):
    """Brain and Cousens: up by `rise` percent a ng/ml before it falls."""
    some = plate("p", 0, 10.0, seed=seed, bottom=100)
    dose = some["dose"]
    value = 10 + (90 + rise * dose) / (1 + (dose / 10) ** 2.5)
    return some.assign(response=some["response"] - 100 + value)


def test_hormesis_is_suggested_where_it_is_and_seldom_where_it_is_not():
    there = fitted(*many(10, lambda seed: rising(seed, 6)))[0]
    assert there["suggestion"].str.startswith("hormesis").sum() >= 9
    absent = fitted(*many(60, lambda seed: rising(seed, 0)))[0]
    # in any of 60 curves in 5 % of such tables, halved by the sign
    assert not absent["suggestion"].str.startswith("hormesis").any()
    assert absent["absolute_ic50"].notna().all()


RISE = dict(ic50=8.0, bottom=290.0)


@pytest.mark.parametrize("model", ["four_parameter", "weibull1", "weibull2", "five_parameter"])
def test_a_rising_curve_has_no_ic50_and_says_so(model):
    """Proliferation that the drug drives up to 290 % of the control: an inhibition of -190 %."""
    row = fitted(plate("p", 0, **RISE), model=model)[0].iloc[0]
    assert row["call"] == row["relative_call"] == "not_determined"
    assert row["reason"].startswith("rising: the fitted response grows with the dose")
    assert row["relative_reason"] == row["reason"]
    assert row[["absolute_ic50", "relative_ic50"]].isna().all()
    # three standard errors of the wells on the plateau; a Weibull curve is not of this shape
    assert row["imax_plateau"] == pytest.approx(-190, abs=13 if "weibull" in model else 8)
    assert row["imax_top_dose"] == pytest.approx(-190 * 250 / 258, abs=9)


def test_a_rising_curve_is_no_bound_and_no_change():
    tables = tables_of(plate("p", -1, 10.0), plate("q", 5, **RISE))
    values = measurements(None, None, tables["curves"])
    assert values[values["measurement"].str.endswith("ic50")]["day"].tolist() == [-1, -1]
    assert tables["contrasts"]["ratio"].isna().all()
    assert tables["contrasts"]["reason"].str.endswith("of this curve is not determined").all()


def test_a_rising_curve_without_a_plateau_is_no_bound():
    some = plate("p", 0, 10.0, bottom=100)
    row = fitted(some.assign(response=some["response"] + 90 * (some["dose"] / 250) ** 0.7))[0].iloc[
        0
    ]
    assert (row["call"], row["relative_call"]) == ("not_determined", "not_determined")
    assert row["bound"] == ""


def test_one_tested_dose_is_too_few_and_no_failure():
    some = plate("p", 0, 10.0)
    one = some[some["dose"].isin([0, DOSES[-1]])]
    row = fitted(one)[0].iloc[0]
    assert (row["call"], row["relative_call"]) == ("not_determined", "not_determined")
    assert row["reason"].startswith("too few wells: 2 doses for 4 parameters")
    assert row["imax_top_dose"] == pytest.approx(85, abs=9)


def test_the_robust_inhibition_at_the_top_dose_is_of_its_wells():
    """Of the wells 12, 13 and 60 % the median, whatever the fitted curve says."""
    some = plate("p", 0, 8.0, bottom=10.0, noise=1.0)
    some.loc[some["dose"] == DOSES[-1], "response"] = [12.0, 13.0, 60.0]
    assert fitted(some)[0]["imax_top_dose"].iloc[0] == pytest.approx(100 - 85 / 3, abs=0.01)
    robust = fitted(some, robust=True)[0].iloc[0]
    assert robust["imax_top_dose"] == pytest.approx(100 - 13, rel=1e-12)
    assert robust["imax_top_dose_low"] < robust["imax_top_dose"] < robust["imax_top_dose_high"]


def test_doses_that_differ_by_rounding_are_one_level():
    some = plate("p", 0, 20.0)
    converted = some.assign(
        dose=some["dose"].where(some.index % 2 == 0, some["dose"] * (1 + 3e-16))
    )
    assert converted["dose"].nunique() > 11
    tables = tables_of(some), tables_of(converted)
    pd.testing.assert_frame_equal(tables[0]["curves"], tables[1]["curves"])


SD = 0.08  # log10: 20 % between plates


def scattered(days, seed, subject, role="patient", per_day=1, shift=0.0, of_day=SD, of_plate=0.0):
    rng = np.random.default_rng([seed, 7])
    plates = []
    for day in days:
        middle = 0.9 + (shift if day > 0 else 0.0) + of_day * rng.standard_normal()
        for n in range(per_day):
            ic50 = 10 ** (middle + of_plate * rng.standard_normal())
            plates.append(
                plate(
                    f"{subject}_{day}_{n}",
                    day,
                    ic50,
                    bottom=0.0,
                    seed=100 * seed + n,
                    subject=subject,
                    role=role,
                )
            )
    return plates


DAYS = (-20, -10, -1, 14)


def test_plates_that_scatter_make_no_difference_where_there_is_none():
    """Where nothing happened the F test of the wells finds something in a third of the curves or more."""
    plates = []
    for seed in range(15):
        own = scattered(DAYS, seed, "S")
        other = scattered(DAYS, seed + 1000, "H", role="control")
        for some in own + other:
            plates.append(some.assign(drug=f"drug {seed}", plate=some["plate"] + str(seed)))
    contrasts = tables_of(*plates, model="three_parameter")["contrasts"]
    own = contrasts[(contrasts["subject"] == "S") & (contrasts["ic50_kind"] == "absolute")]
    assert (own["p_value"] < 0.05).mean() > 0.3
    assert own["plates_p"].notna().all()
    assert (own["plates_p"] < 0.05).mean() <= 0.2  # 3 of 15: one chance in 28 by 5 % each


def simulated_ratios(seed, per_day, of_day, of_plate):
    """What plates say of a plate of day 14 where nothing happened, of IC50s drawn without wells."""
    rng = np.random.default_rng([seed, per_day])
    rows = [
        dict(subject=subject, role=role, day=day, drug="mp", absolute_ic50=10 ** (middle + scatter))
        for subject, role in (("S", "patient"), ("H", "control"))
        for day in DAYS
        for middle in [of_day * rng.standard_normal()]
        for scatter in of_plate * rng.standard_normal(per_day)
    ]
    table = pd.DataFrame(rows).assign(log10_absolute_ic50_se=0.01)
    logs = np.log10(table["absolute_ic50"])
    own = table["subject"] == "S"
    scatter = scatter_of(usual_curves(table, "mp", "S"), "absolute")
    before = logs[own & (table["day"] <= 0)].mean()
    later, other = logs[own & (table["day"] > 0)].iloc[0], logs[own & (table["day"] == -10)].iloc[0]
    out = [between_plates(10 ** (later - before), 0.01, scatter, 3, False, 0.95)]
    out.append(between_plates(10 ** (later - other), 0.01, scatter, 0, False, 0.95))
    if per_day > 1:  # two plates of one day
        plates = 10 ** (of_plate * rng.standard_normal(2))
        out.append(between_plates(plates[0] / plates[1], 0.01, scatter, 0, True, 0.95))
    return [(row["plates_p"] < 0.05, row["plates_low"] < 1 < row["plates_high"]) for row in out]


@pytest.mark.parametrize(
    ("per_day", "of_day", "of_plate"),
    [(1, SD, 0.0), (2, SD, 0.05), (3, 0.02, 0.08), (2, 0.0, 0.08)],
)
def test_plates_and_days_are_the_replicates(per_day, of_day, of_plate):
    """400 cases: p < 0.05 in 5 %, and intervals with the truth in 95 %, but for three standard errors
    (3.3 %)."""
    found = np.mean([simulated_ratios(k, per_day, of_day, of_plate) for k in range(400)], axis=0)
    assert found[:, 0] == pytest.approx(0.05, abs=0.034)
    assert found[:, 1] == pytest.approx(0.95, abs=0.034)


def test_a_real_fall_is_found_between_plates():
    fallen = scattered(DAYS, 1, "S1", shift=np.log10(0.2))
    contrasts = tables_of(*fallen, *scattered(DAYS, 2, "H", role="control"))["contrasts"]
    own = contrasts[contrasts["subject"] == "S1"]
    assert (own["plates_p"] < 0.01).all()  # eight standard deviations, of 5 degrees of freedom
    assert (own["plates_high"] < 1).all()


def test_with_one_baseline_day_and_no_control_only_wells_are_compared():
    tables = tables_of(plate("p", -1, 10.0), plate("q", 5, 4.0), plate("r", 5, 5.0, seed=2))
    contrasts, pairs = tables["contrasts"], tables["pairs"].set_index(["curve", "reference"])
    assert contrasts["plates_p"].isna().all()
    assert set(contrasts["plates_note"]) == {
        "within plates only: nothing shows how IC50s vary between days"
    }
    assert contrasts["p_value"].notna().all()
    # The two plates of day 5 are after baseline, and the patient's: they are no yardstick.
    same_day = pairs.loc[("S1 day 5 plate r", "S1 day 5 plate q")]
    assert same_day["plates_note"].str.endswith("vary between plates of one day").all()


def test_the_plate_columns_are_a_t_test_by_hand():
    """Days of baseline and of the control: s^2 = sum of squares / df, t with 1 + 1/3 of it."""
    plates = scattered(DAYS, 3, "S1") + scattered((-20, -1, 14), 5, "H", role="control")
    tables = tables_of(*plates)
    curves = tables["curves"].set_index("curve")
    logs = np.log10(curves["absolute_ic50"])
    own, other = (
        logs[[f"S1 day {d}" for d in DAYS[:3]]],
        logs[[f"H day {d}" for d in (-20, -1, 14)]],
    )
    squares = np.sum((own - own.mean()) ** 2) + np.sum((other - other.mean()) ** 2)
    errors = curves["log10_absolute_ic50_se"] ** 2
    error = errors[[*own.index, *other.index]].mean()
    row = tables["contrasts"].query("curve == 'S1 day 14' and ic50_kind == 'absolute'").iloc[0]
    sd = np.sqrt(squares / 4 * (1 + 1 / 3) + max(errors["S1 day 14"] - error, 0))
    assert row["log10_plates_sd"] == pytest.approx(sd, rel=1e-12)
    assert row["plates_df"] == 4
    expected = 2 * t_distribution.sf(abs(np.log10(row["ratio"])) / sd, 4)
    assert row["plates_p"] == pytest.approx(expected, rel=1e-9)
    assert row["plates_high"] / row["ratio"] == pytest.approx(
        10 ** (t_distribution.ppf(0.975, 4) * sd), rel=1e-9
    )
