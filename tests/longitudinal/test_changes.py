"""Change from baseline: hand-computed examples, and its error rate and coverage by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from immunotrace.longitudinal.changes import changes
from immunotrace.longitudinal.measurements import measurements

DAYS = [-28, -14, -1, 7, 21, 42, 70, 105, 150]


def populations_table(counts, subject="P", role="patient", parent=10_000):
    return pd.DataFrame(
        {
            "subject": subject,
            "role": role,
            "day": DAYS[: len(counts)],
            "population": "T/CD4",
            "panel": "T",
            "count": counts,
            "parent_count": parent,
        }
    )


def log_values(values, subject, role, marker="CCR7"):
    return pd.DataFrame(
        {
            "measurement": "median_all",
            "subject": subject,
            "population": "CD4",
            "marker": marker,
            "role": role,
            "day": DAYS,
            "value": np.exp(values),
            "scale": "log",
            "transformed": values,
            "variance": 0.0,
            "bound": "",
            "unit": "",
            "panel": "T",
            "drug": "",
        }
    )


def test_change_and_reference_change_by_hand():
    patient = np.array([1.0, 1.2, 1.1, 0.2, 0.3, 1.0, 1.1, 1.1, 1.2])
    control = np.array([2.0, 2.1, 1.9, 2.0, 2.1, 1.9, 2.0, 2.1, 1.9])
    values = pd.concat([log_values(patient, "P", "patient"), log_values(control, "C", "control")])
    table = changes(values, "C", 0.95).query("subject == 'P'").set_index("day")
    # Pooled variance of the control's nine days and the patient's three baseline days.
    squares = control.var() * 9 + patient[:3].var() * 3
    error = np.sqrt(squares / 10 * (1 + 1 / 3))
    assert table.loc[7, "change"] == pytest.approx(0.2 - 1.1)
    assert table.loc[7, "baseline"] == pytest.approx(np.exp(1.1))
    assert table.loc[7, "change_high"] == pytest.approx(-0.9 + stats.t.ppf(0.975, 10) * error)
    # Six days after baseline share the error rate of 5 %.
    assert table.loc[7, "reference_change_high"] == pytest.approx(
        stats.t.ppf(1 - 0.05 / 12, 10) * error
    )
    assert table["verdict"].tolist() == ["decrease", "decrease"] + ["no_change"] * 4


def test_rare_populations_do_not_raise_more_alarms():
    # The patient's population is counted from 470 cells, the control's from 20,000, and both vary
    # by 0.1 logit from day to day. Without any change at most 5 % of series may raise an alarm
    # (within 3 standard errors of 400 series).
    rng = np.random.default_rng(11)
    parts = []
    for number in range(400):
        for subject, role, parent in (("P", "patient", 470), ("C", "control", 20_000)):
            fraction = 1 / (1 + np.exp(-(-0.5 + rng.normal(0, 0.1, len(DAYS)))))
            counts = rng.binomial(parent, fraction)
            table = populations_table(counts, subject, role, parent)
            parts.append(table.assign(population=f"p{number}"))
    table = changes(measurements(pd.concat(parts), None, None), "C", 0.95)
    table = table.query("subject == 'P'")
    alarms = table.assign(alarm=table["verdict"] != "no_change").groupby("population")["alarm"]
    assert alarms.any().mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    covered = (table["change_low"] < 0) & (table["change_high"] > 0)
    assert covered.mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def test_medians_of_few_cells_are_left_out_and_those_without_a_logarithm_are_bounds():
    rows = {"subject": "P", "role": "patient", "panel": "T", "population": "T/CD4"}
    markers = pd.DataFrame(
        [
            {**rows, "day": day, "marker": marker, "median_all": value, "flag": flag}
            for marker, values in {"CCR7": [50, 55, 9], "CCR4": [50, -3, 48]}.items()
            for day, value, flag in zip(
                [-7, 7, 21], values, ["", "", "few events (n < 100)"], strict=True
            )
        ]
    ).assign(percent_positive=np.nan, count=50, count_positive=0)
    values = measurements(None, markers, None).set_index(["marker", "day"])
    assert values.loc["CCR7", "value"].to_dict() == {-7: 50, 7: 55}
    # What has no logarithm is below the smallest that has one: a bound, for the lowest day must not go.
    assert values.loc["CCR4", "value"].to_dict() == {-7: 50, 7: 50}
    assert values["bound"].to_dict()["CCR4", 7] == "<"
    assert (values["bound"] == "<").sum() == 1


def test_equal_baselines_are_no_yardstick():
    values = log_values(np.array([1.0] * 3 + [0.5] * 6), "P", "patient")
    assert set(changes(values, None, 0.95)["verdict"]) == {"no_yardstick"}


def test_a_fall_from_above_the_highest_dose_is_a_fall():
    values = pd.concat(
        [
            log_values(np.log([250] * 3 + [10] * 6), "P", "patient"),
            log_values(np.log([4, 4.4, 3.8, 4, 4.2, 3.9, 4.1, 4, 4.3]), "C", "control"),
        ]
    )
    values.loc[(values["subject"] == "P") & (values["day"] < 0), "bound"] = ">"
    table = changes(values, "C", 0.95).query("subject == 'P'")
    assert set(table["verdict"]) == {"decrease"}
    assert table["change_low"].isna().all()
    # And a rise cannot be seen from there.
    values.loc[(values["subject"] == "P") & (values["day"] > 0), "transformed"] = np.log(1000)
    table = changes(values, "C", 0.95).query("subject == 'P'")
    assert set(table["verdict"]) == {"no_change"}


def test_counting_error_is_never_left_out():
    # Three of ten events: the counts alone explain the change, however steady the control is.
    patient = populations_table([5, 5, 5, 2, 5, 5, 5, 5, 5], parent=10)
    control = populations_table([5000] * 9, "C", "control")
    values = measurements(pd.concat([patient, control]), None, None)
    table = changes(values, "C", 0.95).query("subject == 'P'")
    assert (table["verdict"] == "no_change").all()
    day7 = table.query("day == 7").iloc[0]
    assert day7["variance_of_value"] >= 1 / 2.5 + 1 / 8.5


def test_without_control_and_with_one_baseline_day_nothing_is_claimed():
    values = measurements(populations_table([500, 100]).assign(day=[-1, 7]), None, None)
    table = changes(values, None, 0.95)
    assert table["verdict"].tolist() == ["no_yardstick"]
    assert table["change"].notna().all()
    assert table["variation_from"].tolist() == ["none"]


def test_without_baseline():
    values = measurements(populations_table([500]).assign(day=[7]), None, None)
    assert changes(values, None, 0.95)["verdict"].tolist() == ["no_baseline"]


def test_censored_ic50_is_a_bound():
    curves = pd.DataFrame(
        {
            "subject": ["P"] * 4 + ["C"] * 9,
            "role": ["patient"] * 4 + ["control"] * 9,
            "day": [-28, -14, -1, 150, *DAYS],
            "absolute_ic50": [20.0, 22, 19, np.nan] + [4, 4.4, 3.8, 4, 4.2, 3.9, 4.1, 4, 4.3],
            "log10_absolute_ic50_se": 0.05,
            "relative_ic50": np.nan,
            "log10_relative_ic50_se": np.nan,
            "call": ["determined"] * 3 + ["censored"] + ["determined"] * 9,
            "bound": ["", "", "", ">"] + [""] * 9,
            "bound_dose": [np.nan] * 3 + [250.0] + [np.nan] * 9,
            "dose_unit": "ng/ml",
            "drug": "methylprednisolone",
        }
    )
    values = measurements(None, None, curves)
    row = changes(values, "C", 0.95).query("subject == 'P'").iloc[0]
    assert row["value"] == 250
    assert row["verdict"] == "increase"
    assert np.isnan(row["change_high"])


def test_rate_of_false_alarms_and_coverage():
    # 400 series without any change: at most 5 % of them may show one on any day (Bonferroni is
    # conservative), and the interval of a single day covers zero in 95 %; both within 3 standard
    # errors of 400 independent series (the days of one series are correlated).
    rng = np.random.default_rng(7)
    parts = []
    for number in range(400):
        day_effect = rng.normal(0, 0.1, (2, len(DAYS)))
        parts += [
            log_values(day_effect[0], "P", "patient", f"m{number}"),
            log_values(2 + day_effect[1], "C", "control", f"m{number}"),
        ]
    table = changes(pd.concat(parts), "C", 0.95).query("subject == 'P'")
    alarms = table.assign(alarm=table["verdict"] != "no_change").groupby("marker")["alarm"].any()
    assert alarms.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    covered = (table["change_low"] < 0) & (table["change_high"] > 0)
    assert covered.mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.05 * 0.95 / 400))


def noise_series(shift_patient=(), shift_control=(), sd=0.05, seed=3):
    """Log values of patient and control with day-to-day noise and shifts from a day's index on."""
    rng = np.random.default_rng(seed)
    patient, control = rng.normal(0, sd, (2, len(DAYS)))
    for day, size in shift_patient:
        patient[DAYS.index(day)] += size
    for day, size in shift_control:
        control[DAYS.index(day)] += size
    return pd.concat([log_values(patient, "P", "patient"), log_values(control, "C", "control")])


def test_a_batch_effect_is_named_and_no_yardstick():
    # One run moves both subjects by 0.8, sixteen times what a day varies by.
    shift = [(21, -0.8)]
    table = changes(noise_series(shift, shift), "C", 0.95).query("subject == 'P'").set_index("day")
    assert table["control_moved"].to_dict() == {**dict.fromkeys(DAYS[3:], ""), 21: "decrease"}
    assert table.loc[21, "exceeds_control"] == "no"
    assert "without day 21" in table.loc[21, "variation_from"]
    # The run is left out of the usual variation, so other days are judged as without it.
    quiet = changes(noise_series(), "C", 0.95).query("subject == 'P'").set_index("day")
    assert table.loc[7, "change_high"] - table.loc[7, "change_low"] < 1.3 * (
        quiet.loc[7, "change_high"] - quiet.loc[7, "change_low"]
    )


def test_a_batch_effect_of_several_runs_does_not_hide_itself():
    shift = [(7, -0.8), (21, -0.8), (42, -0.8)]
    table = changes(noise_series(shift, shift), "C", 0.95).query("subject == 'P'").set_index("day")
    moved = table.index[table["control_moved"] == "decrease"]
    assert set(moved) == {7, 21, 42}


@pytest.mark.parametrize("seed", range(20))
def test_a_claims_own_level_is_that_of_a_table_made_at_it(seed):
    # Falls of 0.3 where days vary by 0.05: they exceed the control's change at one level, not at another.
    from immunotrace.claims import _at_level, series_of

    values = noise_series([(7, -0.35), (21, -0.3), (42, -0.25)], seed=seed)
    made = {level: changes(values, "C", level).query("subject == 'P'") for level in (0.95, 0.999)}
    # Else the yardstick of one of them would leave out other days.
    assert made[0.95]["control_moved"].tolist() == made[0.999]["control_moved"].tolist()
    (rows,) = series_of(made[0.95]).values()
    (expected,) = series_of(made[0.999]).values()
    for row, other in zip(rows, expected, strict=True):
        told = _at_level(row, 0.999, len(rows))
        for name in ("change_low", "change_high", "reference_change_low", "control_reference"):
            # degrees of freedom are rounded to one digit in the table
            assert told[name] == pytest.approx(other[name], rel=0.02), name
        assert told["exceeds_control"] == other["exceeds_control"]
        assert told["verdict"] == other["verdict"]


def test_a_change_of_the_patient_alone_exceeds_the_control():
    table = changes(noise_series([(21, -0.8)]), "C", 0.95).query("subject == 'P'").set_index("day")
    assert table.loc[21, "exceeds_control"] == "yes"
    assert table.loc[21, "verdict"] == "decrease"
    assert (table["control_moved"] == "").all()


def test_a_steady_control_is_rarely_said_to_have_moved():
    # At most 5 % of control series may be said to have moved on any day.
    parts = [noise_series(seed=seed).assign(population=f"p{seed}") for seed in range(400)]
    table = changes(pd.concat(parts), "C", 0.95).query("subject == 'P'")
    moved = (table["control_moved"] != "").groupby(table["population"]).any()
    assert moved.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_without_the_control_intervals_are_wider_and_say_so():
    # On average over series: a single one may look steadier by its three baseline days alone.
    parts = [noise_series(seed=seed).assign(population=f"p{seed}") for seed in range(50)]
    both = pd.concat(parts)
    alone = both[both["subject"] == "P"]
    with_control = changes(both, "C", 0.95).query("subject == 'P'")
    without = changes(alone, None, 0.95)
    width = lambda t: (t["change_high"] - t["change_low"]).mean()  # noqa: E731
    assert width(without) > 1.3 * width(with_control)
    assert without["variation_from"].eq("3 baseline days").all()
    assert without["not_known"].str.contains("no control").all()
    assert with_control["not_known"].eq("").all()


def test_one_baseline_day_works_and_says_what_it_cannot_know():
    table = changes(noise_series([(21, -0.8)]).query("day >= -1"), "C", 0.95).query(
        "subject == 'P'"
    )
    assert table.set_index("day").loc[21, "verdict"] == "decrease"
    assert table["variation_from"].eq("7 days of C").all()
    assert table["not_known"].str.startswith("how much P varies").all()


def test_the_literature_is_the_last_resort():
    values = noise_series([(21, -0.8)]).query("day >= -1 and subject == 'P'")
    usual = {"median_all": {"cv": 0.1, "source": "Someone 2001"}}
    table = changes(values, None, 0.95, variation=usual).set_index("day")
    # log-normal with a CV of 10 %; one baseline day; normal quantile, for it is taken as known
    error = np.sqrt(2 * np.log(1 + 0.1**2))
    assert table.loc[21, "reference_change_high"] == pytest.approx(
        stats.norm.ppf(1 - 0.05 / 12) * error
    )
    assert table.loc[21, "verdict"] == "decrease"
    assert "Someone 2001" in table.loc[21, "variation_from"]
    # With repeated baseline days the patient's own variation is used.
    own = changes(noise_series().query("subject == 'P'"), None, 0.95, variation=usual)
    assert own["variation_from"].eq("3 baseline days").all()


def test_replicates_of_a_day_give_an_interval_but_no_yardstick():
    # Two stains of one draw tell nothing of the person.
    rows = {"subject": "P", "role": "patient", "panel": "T", "population": "T/CD4"}
    populations = pd.DataFrame(
        [{**rows, "day": day, "count": count, "parent_count": 10_000}
         for day, count in [(-1, 5000), (-1, 5200), (7, 2000), (7, 2150)]]
    )  # fmt: skip
    table = changes(measurements(populations, None, None), None, 0.95)
    assert table["verdict"].tolist() == ["no_yardstick"]
    assert table["change_high"].notna().all()
    assert table["variation_from"].tolist() == ["replicates of 2 days"]


def contrast(day, ratio, low, high, subject="P"):
    return {"ic50_kind": "absolute", "subject": subject, "drug": "d", "day": day, "ratio": ratio,
            "ratio_low": low, "ratio_high": high}  # fmt: skip


def ic50_values():
    values = pd.concat(
        [
            log_values(np.log([20, 22, 18, 5, 6, 7, 250, 19, 20]), "P", "patient", ""),
            log_values(np.log([4, 4.4, 3.8, 4, 4.2, 3.9, 4.1, 4, 4.3]), "C", "control", ""),
        ]
    ).assign(measurement="absolute_ic50", population="", panel="", drug="d")
    values.loc[(values["subject"] == "P") & (values["value"] > 200), "bound"] = ">"
    return values


def test_ic50s_are_compared_by_the_ratio_of_curves_with_both_errors():
    ratios = pd.DataFrame([contrast(7, 0.25, 0.2, 0.36)])
    table = changes(ic50_values(), "C", 0.95, ratios).query("subject == 'P'").set_index("day")
    row = table.loc[7]
    assert row["change"] == pytest.approx(np.log(0.25))
    assert row["baseline"] == pytest.approx(5 / 0.25)
    # Each side joins the profile interval's side with the variation between days.
    t = stats.t.ppf(0.975, row["degrees_of_freedom"])
    between = row["variance_between_days"] * (1 + 1 / 3)
    z = stats.norm.ppf(0.975)
    for side, bound in (("low", 0.2), ("high", 0.36)):
        fitting = (np.log(bound / 0.25) / z) ** 2
        # degrees of freedom are told rounded, and of the upper side
        assert abs(row[f"change_{side}"] - row["change"]) == pytest.approx(
            t * np.sqrt(between + fitting), rel=0.1
        )
    # The curve above the top dose has no ratio; it is a bound against the same baseline.
    assert table.loc[70, "bound"] == ">"
    assert table.loc[70, "change"] == pytest.approx(np.log(250 / 20))
    assert np.isnan(table.loc[70, "change_high"])
    assert table.loc[70, "verdict"] == "increase"


def test_medians_carry_their_sampling_error_where_the_table_has_it():
    rows = {"subject": "P", "role": "patient", "panel": "T", "population": "T/CD4"}
    markers = pd.DataFrame(
        [{**rows, "day": day, "marker": "CCR7", "median_all": 100.0, "flag": "",
          "median_all_low": 90.0, "median_all_high": 110.0} for day in (-7, 7)]
    ).assign(percent_positive=np.nan, count=500, count_positive=0)  # fmt: skip
    values = measurements(None, markers, None)
    width = np.log(110 / 90) / (2 * stats.norm.ppf(0.975))
    assert values["variance"].tolist() == pytest.approx([width**2] * 2)


def curves_table(ic50s, subject="P", role="patient"):
    """Rows of curves.tsv of day and absolute IC50, or its bound: "<" the lowest or ">" the highest dose."""
    rows = []
    for number, (day, found) in enumerate(ic50s):
        bound = found if isinstance(found, str) else ""
        rows.append(
            {"subject": subject, "role": role, "day": day, "drug": "d", "dose_unit": "ng/ml",
             "plate": number, "call": "censored" if bound else "determined", "bound": bound,
             "bound_dose": {"": np.nan, "<": 1.0, ">": 1000.0}[bound],
             "absolute_ic50": np.nan if bound else found, "log10_absolute_ic50_se": 0.02,
             "relative_ic50": np.nan, "log10_relative_ic50_se": np.nan}
        )  # fmt: skip
    return pd.DataFrame(rows)


STEADY = [(-28, 100.0), (-14, 105.0), (-1, 98.0)]


@pytest.mark.parametrize(
    ("before", "later", "verdict", "end"),
    [
        (STEADY, "<", "decrease", "change_low"),
        (STEADY, ">", "increase", "change_high"),
        # A baseline day below the lowest dose: the mean is lower still, so a rise is at least as large,
        # and what looks like a fall need not be one.
        ([*STEADY[:2], (-1, "<")], 100.0, "increase", "change_high"),
        ([(-28, 5.0), (-14, 5.2), (-1, "<")], 0.001, "no_change", "change_high"),
    ],
)
def test_bounds_on_either_side_take_part(before, later, verdict, end):
    table = changes(measurements(None, None, curves_table([*before, (7, later)])), None, 0.95)
    if before == STEADY:
        assert table["verdict"].tolist() == [verdict]
    else:
        # two exact baseline days are a weak yardstick: the sides are what counts here
        assert table["verdict"].tolist() in ([verdict], ["no_change"])
    assert table[end].isna().all()
    other = {"change_low": "change_high", "change_high": "change_low"}[end]
    assert table[other].notna().all()


def test_baseline_days_that_are_bounds_are_not_called_missing():
    before = [(-28, "<"), (-14, "<"), (-1, "<")]
    table = changes(measurements(None, None, curves_table([*before, (7, 100.0)])), None, 0.95)
    assert "(0 baseline days of an exact value)" in table["not_known"].iloc[0]


def test_a_claim_is_answered_from_an_ic50_below_the_lowest_dose():
    from immunotrace.claims import judge_claims

    days = [7, 21, 42, 70]
    control = curves_table([(d, 4.0 + d % 3 / 10) for d in [-28, -14, -1, *days]], "C", "control")
    own = curves_table([*STEADY, (7, "<"), (21, "<"), (42, 101.0), (70, 99.0)])
    table = changes(measurements(None, None, pd.concat([own, control])), "C", 0.95)
    claim = {"claim": "X", "kind": "change", "measurement": "absolute_ic50", "course": "transient",
             "direction": "decrease", "window": [1, 30], "return_window": [31, 90],
             "minimal_change": 0.2}  # fmt: skip
    opposite = claim | {"claim": "Y", "direction": "increase", "course": "any"}
    none = {key: claim[key] for key in claim if key not in ("direction", "return_window")}
    none |= {"claim": "Z", "course": "none"}
    found = judge_claims([claim, opposite, none], table, [], "P").set_index("claim")
    assert found["verdict"].tolist() == ["supported", "contradicted", "contradicted"]
    assert "to below 1 ng/ml" in found.loc["X", "sentence"]
    assert found.loc["X", "return_day"] == 42


def test_two_plates_of_a_day_one_of_them_censored_keep_the_baseline():
    curves = curves_table([*STEADY, (7, 50.0), (7, ">"), (21, 100.0)])
    ratios = pd.DataFrame([contrast(7, 0.5, 0.45, 0.55), contrast(21, 1.0, 0.9, 1.1)])
    table = changes(measurements(None, None, curves), None, 0.95, ratios).set_index("day")
    # The reference curve's IC50 is 100 on both days; the day's mean is above that of 50 and 1000.
    assert table["baseline"].tolist() == pytest.approx([100, 100])
    assert table.loc[7, "value"] == pytest.approx(np.sqrt(50 * 1000))
    assert table["bound"].tolist() == [">", ""]
    # One below and one above what was tested say nothing together.
    both = changes(
        measurements(None, None, curves_table([*STEADY, (7, "<"), (7, ">")])), None, 0.95
    )
    assert both["bound"].tolist() == ["<>"]
    assert both["verdict"].tolist() == ["no_change"]
    assert both[["change_low", "change_high"]].isna().all(axis=None)


def test_the_value_and_its_change_tell_the_same():
    # One of 50 cells on each day: nothing changed, and both numbers say so.
    values = measurements(populations_table([1] * 9, parent=50), None, None)
    table = changes(values, None, 0.95)
    assert table["value"].to_numpy() == pytest.approx(table["baseline"])
    assert table["value"].to_numpy() == pytest.approx(100 * 1.5 / 51)


def test_the_controls_change_in_percent_is_of_its_own_baseline():
    patient = populations_table([6000, 6000, 6000, 3000, 6000])
    control = populations_table([2000, 2000, 2000, 1000, 2000], "C", "control")
    table = changes(measurements(pd.concat([patient, control]), None, None), "C", 0.95)
    row = table.query("subject == 'P' and day == 7").iloc[0]
    # half an event on both sides: 0.01 of a percent of thousands of cells
    assert row["control_change_percent"] == pytest.approx(-50, abs=0.05)


def test_enough_baseline_days_of_the_patient_stand_alone():
    # The patient varies twice as much as the control. With eight baseline days of his own the intervals
    # hold their level (within 3 standard errors of 300 series); pooled with the control's they would not.
    rng = np.random.default_rng(4)
    days = [-70, -60, -50, -40, -30, -20, -10, -1, 7, 21, 42, 70]
    parts = []
    for n in range(300):
        for subject, role, sd in (("P", "patient", 0.2), ("C", "control", 0.1)):
            noise = rng.normal(0, sd, len(days))
            table = pd.DataFrame({"day": days, "transformed": noise, "value": np.exp(noise)})
            parts.append(
                table.assign(
                    subject=subject, role=role, measurement="median_all", population=f"p{n}",
                    marker="", panel="T", drug="", scale="log", variance=0.0, bound="", unit="",
                )
            )  # fmt: skip
    table = changes(pd.concat(parts), "C", 0.95).query("subject == 'P'")
    assert table["variation_from"].eq("8 baseline days").all()
    assert table["not_known"].eq("").all()
    covered = (table["change_low"] < 0) & (table["change_high"] > 0)
    by_series = covered.groupby(table["population"]).mean()
    error = by_series.std() / np.sqrt(len(by_series))
    assert by_series.mean() == pytest.approx(0.95, abs=3 * error)


def test_parts_of_the_variance_are_never_negative():
    ratios = pd.DataFrame([contrast(7, 0.25, 0.249, 0.251)])
    values = ic50_values().assign(variance=0.04)
    table = changes(values, "C", 0.95, ratios).query("subject == 'P'")
    assert (table["variance_of_baseline"].dropna() >= 0).all()
