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


def test_medians_of_few_cells_or_without_a_logarithm_are_left_out():
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
    values = measurements(None, markers, None)
    assert values["marker"].tolist() == ["CCR7", "CCR7"]
    assert values["day"].tolist() == [-7, 7]


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
    assert day7["standard_error"] ** 2 >= 1 / 2.5 + 1 / 8.5


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
            "top_dose": 250.0,
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
    assert table.loc[7, "standard_error"] < 1.3 * quiet.loc[7, "standard_error"]


def test_a_batch_effect_of_several_runs_does_not_hide_itself():
    shift = [(7, -0.8), (21, -0.8), (42, -0.8)]
    table = changes(noise_series(shift, shift), "C", 0.95).query("subject == 'P'").set_index("day")
    moved = table.index[table["control_moved"] == "decrease"]
    assert set(moved) == {7, 21, 42}


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
