"""Verdicts on made-up series in which the right answer is plain."""

import numpy as np
import pandas as pd
import pytest

from immunotrace import claims
from immunotrace.claims import judge_claims, judge_clinical, series_of
from immunotrace.longitudinal.variation import NO_CONTROL

DAYS = [7, 21, 42, 70, 105, 150]
CLAIM = {
    "claim": "X",
    "title": "t",
    "statement": "s",
    "kind": "change",
    "measurement": "percent_positive",
    "marker": "CCR7",
    "populations": ["T/CD4"],
    "direction": "decrease",
    "course": "transient",
    "window": [1, 60],
    "return_window": [61, 365],
    "minimal_change": 0.2,
}


def judge_change(claim, rows):
    return claims.judge_change(claim, series_of(rows))


def series(values, baseline=60.0, reference=0.3, population="T/CD4", days=DAYS):
    """Rows of changes.tsv for percents that moved as given, judged against one reference change."""
    logit = lambda p: np.log(np.asarray(p) / (100 - np.asarray(p)))  # noqa: E731
    change = logit(values) - logit(baseline)
    verdict = np.where(
        change > reference, "increase", np.where(change < -reference, "decrease", "no_change")
    )
    return pd.DataFrame(
        {
            "measurement": "percent_positive",
            "subject": "P",
            "population": population,
            "marker": "CCR7",
            "day": days,
            "baseline": baseline,
            "value": values,
            "change": change,
            "change_low": change - 0.2,
            "change_high": change + 0.2,
            "reference_change_low": -reference,
            "reference_change_high": reference,
            "verdict": verdict,
            "scale": "logit",
            "level": 0.95,
            "unit": "%",
            "panel": "T",
            "drug": "",
            "control_change": np.nan,
            "control_change_percent": np.nan,
        }
    )


def beside_control(rows, moved, exact=0.2):
    """The same rows with a control that changed by `moved` (logit) on each day, known to `exact`."""
    moved = np.broadcast_to(moved, len(rows))
    less = rows["change"] - moved
    names = np.where(moved > 0.3, "increase", np.where(moved < -0.3, "decrease", ""))
    return rows.assign(
        control_change=moved,
        control_change_percent=50 * moved,
        control_moved=names,
        exceeds_control=np.where(np.sign(rows["change"]) * less > exact, "yes", "no"),
    )


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([40, 35, 45, 58, 60, 61], "supported"),
        ([75, 80, 75, 62, 60, 60], "contradicted"),
        ([60, 61, 59, 60, 60, 60], "not_supported"),
        ([40, 35, 35, 36, 35, 36], "not_supported"),  # fell and stayed low
        ([40, 80, 60, 60, 60, 60], "inconclusive"),  # fell and rose in the same window
    ],
)
def test_transient_fall(values, verdict):
    assert judge_change(CLAIM, series(values)).verdict == verdict


def test_effect_and_days():
    answer = judge_change(CLAIM, series([40, 30, 45, 58, 60, 61]))
    assert answer.effect == pytest.approx(-50)  # 60 % to 30 % of the cells
    assert answer.nadir_day == 21
    assert answer.return_day == 70
    assert "−50 %" in answer.sentence


def test_a_value_that_dips_again_has_not_returned_before():
    answer = judge_change(CLAIM, series([40, 30, 45, 58, 35, 61]))
    assert answer.return_day == 150


def test_no_sample_after_the_nadir_is_inconclusive():
    assert judge_change(CLAIM, series([40, 35, 34], days=[7, 21, 42])).verdict == "inconclusive"


def test_a_day_of_few_cells_does_not_speak_for_the_days_that_count():
    # Day 21 is lower but unproven; the effect, and its day, are those of day 7.
    rows = series([40, 60, 60, 60, 60, 60])
    rows.loc[1, ["value", "change", "change_low", "change_high"]] = [17, -2.0, -5.0, 1.0]
    answer = judge_change(CLAIM, rows)
    assert answer.verdict == "supported"
    assert answer.nadir_day == 7


def test_a_return_must_be_shown():
    rows = series([40, 30, 45, 59, 60, 60])
    rows.loc[3:, "change_low"] = -3.0  # of a handful of cells: the nadir is not excluded
    assert judge_change(CLAIM, rows).verdict == "inconclusive"


def test_beyond_baseline_is_back():
    answer = judge_change(CLAIM, series([40, 30, 45, 58, 85, 88]))
    assert (answer.verdict, answer.return_day) == ("supported", 70)


def test_a_change_that_is_not_excluded_is_inconclusive():
    # The interval reaches 20 % of baseline, which is what counts.
    answer = judge_change(CLAIM, series([52, 60, 60, 60, 60, 60], reference=0.5))
    assert answer.verdict == "inconclusive"
    assert "not excluded" in answer.sentence


def test_without_a_yardstick_nothing_is_censored():
    rows = series([40, 35, 45, 58, 60, 61]).assign(
        verdict="no_yardstick", change_low=np.nan, change_high=np.nan
    )
    answer = judge_change(CLAIM, rows)
    assert answer.verdict == "inconclusive"
    assert "highest dose" not in answer.sentence


def test_the_same_measurement_of_two_panels_needs_a_name():
    rows = pd.concat([series([40] * 6), series([60] * 6).assign(panel="B")])
    assert judge_change(CLAIM, rows).verdict == "not_evaluable"
    assert judge_change({**CLAIM, "panel": "B"}, rows).verdict == "not_supported"


def test_noise_that_could_hide_the_change_is_inconclusive():
    rows = series([60, 55, 59, 60, 60, 60], reference=1.0)
    rows["change_low"] = rows["change"] - 1.0
    assert judge_change(CLAIM, rows).verdict == "inconclusive"


def test_no_data():
    assert judge_change(CLAIM, series([60] * 6).iloc[:0]).verdict == "not_evaluable"


def test_the_weakest_population_decides():
    claim = {**CLAIM, "populations": ["T/CD4", "T/CD8"]}
    fell = series([40, 35, 45, 58, 60, 61])
    flat = series([60, 61, 59, 60, 60, 60], population="T/CD8")
    assert judge_change(claim, pd.concat([fell, flat])).verdict == "not_supported"
    both = pd.concat([fell, series([45, 40, 50, 58, 60, 61], population="T/CD8")])
    answer = judge_change(claim, both)
    assert answer.verdict == "supported"
    assert answer.effect == pytest.approx(100 * (40 / 60 - 1))  # the smaller of the two


CLINICAL = {
    "claim": "C6",
    "title": "t",
    "statement": "s",
    "kind": "clinical",
    "score": "activity",
    "window": [1, 180],
    "minimal_change": 0.3,
    "rescue_within": 365,
}


def course(after, rescue, followed=365):
    rows = [
        {"subject": "P", "day": d, "kind": "score", "name": "activity", "value": v}
        for d, v in [(-28, 50), (-1, 50), *zip([30, 90], after, strict=True)]
    ]
    if rescue:
        rows.append({"subject": "P", "day": 120, "kind": "rescue", "name": "infliximab"})
    return [*rows, {"subject": "P", "day": followed, "kind": "procedure", "name": "visit"}]


@pytest.mark.parametrize(
    ("after", "rescue", "verdict"),
    [
        ([48, 52], True, "supported"),
        ([20, 20], False, "contradicted"),
        ([48, 52], False, "not_supported"),
        ([20, 20], True, "not_supported"),
    ],
)
def test_clinical(after, rescue, verdict):
    assert judge_clinical(CLINICAL, course(after, rescue), "P").verdict == verdict


@pytest.mark.parametrize("after", [[48, 52], [20, 20]])
def test_no_rescue_is_not_known_before_the_end_of_the_time_asked(after):
    short = course(after, False, followed=100)
    answer = judge_clinical(CLINICAL, short, "P")
    assert answer.verdict == "inconclusive"
    assert "no rescue so far, followed to day 100 of 365" in answer.sentence
    # A sample or the end of a drug shows that the patient was followed; another's days do not.
    drug = {"subject": "P", "day": 0, "end_day": 365, "kind": "drug", "name": "prednisone"}
    known = judge_clinical(CLINICAL, [*short, drug], "P")
    assert known.verdict != "inconclusive"
    assert "no rescue within 365 days" in known.sentence
    assert judge_clinical(CLINICAL, short, "P", [7, 365]) == known
    assert judge_clinical(CLINICAL, [*short, {**drug, "subject": "Q"}], "P") == answer
    # What was seen is a fact, however long the patient was followed.
    rescued = judge_clinical(CLINICAL, course(after, True, followed=130), "P")
    assert rescued == judge_clinical(CLINICAL, course(after, True), "P")


def test_samples_count_as_follow_up():
    short = course([48, 52], False, followed=100)
    rows = series([60] * 3, days=[7, 21, 365])
    told = judge_claims([CLINICAL], rows, short, "P").loc[0]
    assert told["verdict"] == "not_supported"
    assert judge_claims([CLINICAL], rows[:2], short, "P").loc[0, "verdict"] == "inconclusive"


def test_how_far_a_lasting_change_was_followed():
    lasting = {**CLAIM, "course": "lasting"}
    none = {key: CLAIM[key] for key in CLAIM if key not in ("direction", "return_window")}
    none["course"] = "none"

    def judged(claim, values, **days):
        return judge_change(claim, beside_control(series(values, **days), 0.0))

    down = [35, 30, 33, 34, 33, 34]
    answer = judged(lasting, down)
    assert (answer.verdict, answer.not_known) == ("supported", "followed to day 150 of 365")
    assert judged({**lasting, "return_window": [61, 150]}, down).not_known == ""
    answer = judged(none, [60, 61, 59], days=[7, 21, 42])
    assert (answer.verdict, answer.not_known) == ("supported", "followed to day 42 of 60")
    assert judged(none, [60, 61, 59], days=[7, 21, 60]).not_known == ""
    assert judged(CLAIM, FALLS).not_known == ""


def test_a_change_the_other_way_outside_the_window_is_told():
    claim = {**CLAIM, "course": "any", "window": [8, 60]}
    del claim["return_window"]
    answer = judge_change(claim, series([75, 30, 45, 58, 60, 85]))
    assert answer.verdict == "supported"
    assert answer.outside_window == (
        "CCR7+ among CD4 cells, day 7: 75 %, beyond its band in the other direction; "
        "day 150: 85 %, beyond its band in the other direction"
    )
    # Nothing is said of the claim's own direction, of what is too small to count, and within the window.
    for values in ([35, 30, 45, 58, 60, 35], [60, 30, 45, 58, 60, 71], [60, 30, 85, 58, 60, 60]):
        assert judge_change(claim, series(values)).outside_window == ""
    shared = beside_control(series([60, 30, 45, 58, 60, 85]), [0, 0, 0, 0, 0, 1.3])
    assert judge_change(claim, shared).outside_window.endswith("and the control with it")
    none = {key: value for key, value in claim.items() if key != "direction"} | {"course": "none"}
    rows = series([60, 60, 60, 60, 35, 85])
    assert judge_change(none, rows).verdict == "supported"
    assert judge_change(none, rows).outside_window == (
        "CCR7+ among CD4 cells, day 105: 35 %, beyond its band; day 150: 85 %, beyond its band"
    )


def test_an_ic50_above_the_highest_dose_outside_the_window_is_told():
    claim = {
        key: CLAIM[key] for key in CLAIM if key not in ("marker", "populations", "return_window")
    }
    claim |= {"measurement": "absolute_ic50", "course": "any", "window": [1, 120]}
    rows = series([40, 30, 45, 58, 60, 90], population="").assign(
        measurement="absolute_ic50", marker="", unit="ng/ml", bound=["", "", "", "", "", ">"]
    )
    answer = judge_change(claim, rows)
    assert answer.verdict == "supported"
    assert (
        answer.outside_window == "day 150: above 90 ng/ml, beyond its band in the other direction"
    )


def test_scores_after_a_rescue_are_not_the_infusions():
    rows = [
        *course([48, 52], False),
        {"subject": "P", "day": 100, "kind": "rescue", "name": "infliximab"},
        {"subject": "P", "day": 150, "kind": "score", "name": "activity", "value": 5},
    ]
    assert judge_clinical(CLINICAL, rows, "P").verdict == "supported"


def test_the_smallest_response_that_counts_is_one():
    # Scores are whole numbers: 32 is a fifth less than 40.
    claim = {**CLINICAL, "minimal_change": 0.2}
    rows = [{**row, "value": 40 if row["day"] < 0 else 32} for row in course([0, 0], False)]
    assert judge_clinical(claim, rows, "P").verdict == "contradicted"
    exact = series([48, 60, 60, 60, 60, 60])  # 48 % is a fifth less than 60 %
    assert judge_change({**CLAIM, "course": "any"}, exact).verdict == "supported"


def test_a_rescue_before_the_window_is_told():
    rows = [*course([48, 52], False), {"subject": "P", "day": 3, "kind": "rescue", "name": "x"}]
    answer = judge_clinical({**CLINICAL, "window": [14, 180]}, rows, "P")
    assert answer.sentence == "No activity on days 14 to 180 before the rescue on day 3."


def test_numbers_are_written_out():
    numbers = [claims._plain(x) for x in (999.7, 1234.5, 99.96, 60.0, 8.05, 0.00004, 0.0)]
    assert numbers == ["1,000", "1,234", "100", "60", "8.05", "0.00004", "0"]
    assert [claims._signed(x) for x in (-0.4, 0.4, -12.6)] == ["0", "0", "−13"]


def test_clinical_from_zero():
    rows = [{**row, "value": 0} if row["day"] < 0 else row for row in course([1, 1], True)]
    assert judge_clinical(CLINICAL, rows, "P").verdict == "not_evaluable"


def test_clinical_without_scores():
    rows = [row for row in course([50, 50], True) if row["kind"] != "score"]
    assert judge_clinical(CLINICAL, rows, "P").verdict == "not_evaluable"


def test_table_has_a_row_a_claim():
    table = judge_claims(
        [CLAIM, CLINICAL], series([40, 35, 45, 58, 60, 61]), course([48, 52], True), "P"
    )
    assert table["claim"].tolist() == ["X", "C6"]
    assert table["verdict"].tolist() == ["supported", "supported"]
    assert table["return_day"].isna().tolist() == [False, True]


def with_adjusted(values, adjusted):
    held = series(adjusted).assign(measurement="percent_positive_adjusted")
    return pd.concat([series(values), held])


FALLS, FLAT = [40, 30, 45, 58, 60, 61], [60, 61, 59, 60, 60, 60]


@pytest.mark.parametrize(
    ("values", "adjusted", "verdict"),
    [
        (FALLS, FALLS, "supported"),
        (FALLS, FLAT, "not_supported"),  # the mix changed, not the expression
        ([75, 80, 75, 62, 60, 60], FLAT, "not_supported"),
        (FLAT, FALLS, "inconclusive"),
        (FALLS, [75, 80, 75, 62, 60, 60], "inconclusive"),
    ],
)
def test_expression_must_hold_at_a_constant_mix(values, adjusted, verdict):
    answer = judge_change(CLAIM, with_adjusted(values, adjusted))
    assert answer.verdict == verdict
    if values is not adjusted:
        assert "mix of naive and memory cells" in answer.sentence


def test_a_return_that_the_constant_mix_leaves_open_does_not_lower_the_verdict():
    rows = with_adjusted(FALLS, FALLS)
    held = rows["measurement"].str.endswith("_adjusted") & (rows["day"] > 60)
    rows.loc[held, "change_low"] = -3.0
    assert judge_change(CLAIM, rows).verdict == "supported"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_that_the_control_shows_too_lowers_the_verdict(sign):
    values = FALLS if sign == 1 else [75, 80, 75, 62, 60, 60]
    rows = series(values)
    moved = rows["verdict"] != "no_change"
    rows["control_moved"] = rows["verdict"].where(moved, "")
    rows["control_change_percent"] = -12.0 * sign
    answer = judge_change(CLAIM, rows)
    assert answer.verdict == "inconclusive"
    assert "the control changed with it" in answer.sentence
    assert "day 21" in answer.control_moved
    # One day without the control is enough for the change.
    rows.loc[0, "control_moved"] = ""
    assert judge_change(CLAIM, rows).verdict == ("supported" if sign == 1 else "contradicted")
    # A change no larger than the control's does not count either.
    rows.loc[0, "exceeds_control"] = "no"
    assert judge_change(CLAIM, rows).verdict == "inconclusive"
    # One that is not clearly larger than an uncertain control's is told as that.
    rows["control_moved"] = ""
    rows["exceeds_control"] = "no"
    assert "but not clearly more than the control (" in judge_change(CLAIM, rows).sentence


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([40, 35, 35, 36, 35, 36], "supported"),
        ([40, 35, 45, 58, 60, 61], "not_supported"),
        ([40, 35, 35, 36, 52, 36], "inconclusive"),
    ],
)
def test_lasting(values, verdict):
    rows = series(values)
    if verdict == "inconclusive":
        rows.loc[rows["day"] == 105, ["verdict", "change_low"]] = ["no_change", -3.0]
    assert judge_change({**CLAIM, "course": "lasting"}, rows).verdict == verdict


def test_no_change_can_be_claimed():
    claim = {key: value for key, value in CLAIM.items() if key != "direction"}
    claim = {**claim, "course": "none"}
    assert judge_change(claim, series(FLAT)).verdict == "supported"
    assert judge_change(claim, series(FALLS)).verdict == "contradicted"
    assert judge_change(claim, series([75, 80, 75, 62, 60, 60])).verdict == "contradicted"
    wide = series(FLAT).assign(change_low=-2.0)
    assert judge_change(claim, wide).verdict == "inconclusive"


def test_a_composite_claim_holds_where_all_its_parts_do():
    other = {**CLAIM, "claim": "Y", "populations": ["T/CD8"]}
    both = {"claim": "Z", "title": "t", "statement": "s", "kind": "composite", "claims": ["X", "Y"]}
    rows = pd.concat([series(FALLS), series(FALLS, population="T/CD8")])
    table = judge_claims([both, CLAIM, other], rows, [], "P").set_index("claim")
    assert table["verdict"].tolist() == ["supported"] * 3
    rows = pd.concat([series(FALLS), series(FLAT, population="T/CD8")])
    table = judge_claims([both, CLAIM, other], rows, [], "P").set_index("claim")
    assert table.loc["Z", "verdict"] == "not_supported"
    assert table.loc["Z", "sentence"] == "X is supported, Y is not supported."


def test_a_claim_at_a_level_of_its_own():
    # The reference change of 0.7 holds at 95 % for six days; at 99.9 % it is half as large again.
    rows = series([40, 60, 60, 58, 60, 61], reference=0.7)
    assert judge_change(CLAIM, rows).verdict == "supported"
    strict = judge_change({**CLAIM, "level": 0.999}, rows)
    assert strict.verdict != "supported"
    assert "99.9 % interval" in strict.sentence
    assert judge_change({**CLAIM, "level": 0.95}, rows) == judge_change(CLAIM, rows)


def test_a_control_that_moved_on_another_day_is_named():
    rows = series(FALLS)
    rows["control_moved"] = np.where(rows["day"] == 7, "decrease", "")
    answer = judge_change(CLAIM, rows)
    assert answer.verdict == "supported"
    assert "The control moved as well (decrease on day 7)" in answer.sentence


def test_the_table_of_changes_answers_the_same_when_it_was_on_disk(tmp_path):
    from immunotrace.tables import read_tsv, write_tsv

    rows = pd.concat([series(FALLS), series(FALLS, population="T/CD8")])
    rows = rows.assign(control_moved="", exceeds_control="yes", bound="", not_known="")
    write_tsv(rows, tmp_path / "changes.tsv")
    claim = {**CLAIM, "populations": ["T/CD4", "T/CD8"]}
    read = judge_claims([claim], read_tsv(tmp_path / "changes.tsv"), [], "P")
    pd.testing.assert_frame_equal(read, judge_claims([claim], rows, [], "P"))


def test_a_return_in_a_run_that_moved_the_control_is_none():
    # It fell for good; the runs from day 70 on lift patient and control alike.
    rows = beside_control(series([40, 35, 35, 57, 58, 57]), [0, 0, 0, 0.9, 0.9, 0.9])
    answer = judge_change(CLAIM, rows)
    assert answer.verdict == "inconclusive"
    assert "for on all later days the control had moved (+45 % on day 70" in answer.sentence
    # A lift too small to be told of the control counts as well, for it is taken off the patient's.
    rows = beside_control(series([40, 35, 35, 55, 55, 55]), [0, 0, 0, 0.5, 0.5, 0.5])
    rows["control_moved"] = ""
    assert judge_change(CLAIM, rows).verdict == "inconclusive"
    # One steady day is enough, and the run on the others is told.
    rows = beside_control(series([40, 35, 35, 60, 58, 57]), [0, 0, 0, 0, 0.9, 0.9])
    answer = judge_change(CLAIM, rows)
    assert (answer.verdict, answer.return_day) == ("supported", 70)
    assert "increase on day 150" in answer.control_moved


def test_a_stay_in_a_run_that_moved_the_control_is_none():
    lasting = {**CLAIM, "course": "lasting"}
    values = series([40, 35, 35, 36, 35, 36])
    assert judge_change(lasting, beside_control(values, 0.0)).verdict == "supported"
    low = beside_control(values, [0, 0, 0, -0.9, -0.9, -0.9])
    assert judge_change(lasting, low).verdict == "inconclusive"
    # Nor does it show that there was no return.
    assert judge_change(CLAIM, low).verdict == "inconclusive"
    # Too small to be told of the control, but as large as what the patient shows.
    low = beside_control(values, [0, 0, 0, -0.9, -0.9, -0.9]).assign(control_moved="")
    assert judge_change(lasting, low).verdict == "inconclusive"


def test_a_run_that_may_hide_a_change_excludes_none():
    claim = {
        key: value for key, value in CLAIM.items() if key not in ("direction", "return_window")
    }
    none = {**claim, "course": "none"}
    assert judge_change(none, beside_control(series(FLAT), 0.0)).verdict == "supported"
    lifted = beside_control(series(FLAT), [0, 0.9, 0, 0, 0, 0])
    assert judge_change(none, lifted).verdict == "inconclusive"
    assert judge_change(CLAIM, lifted).verdict == "inconclusive"
    # That the control fell hides no fall.
    lowered = beside_control(series(FLAT), [0, -0.9, 0, 0, 0, 0])
    assert judge_change(CLAIM, lowered).verdict == "not_supported"


def test_what_does_not_count_is_neither_a_stay_nor_in_the_way_of_a_return():
    # 60 % to 56 % is beyond the reference change here, but less than the 20 % that count.
    rows = series([30, 30, 30, 56, 56, 56], reference=0.1)
    assert rows["verdict"].eq("decrease").all()
    assert judge_change(CLAIM, rows).verdict == "supported"
    assert judge_change({**CLAIM, "course": "lasting"}, rows).verdict == "not_supported"


def test_no_change_is_contradicted_by_changes_of_both_directions():
    claim = {
        key: value for key, value in CLAIM.items() if key not in ("direction", "return_window")
    }
    rows = series([40, 80, 60, 60, 60, 60])
    answer = judge_change({**claim, "course": "none"}, rows)
    assert answer.verdict == "contradicted"
    assert answer.nadir_day == 21  # the larger of the two
    batch = beside_control(rows, [-0.8, 1.0, 0, 0, 0, 0])
    assert judge_change({**claim, "course": "none"}, batch).verdict == "inconclusive"


def test_the_mix_is_blamed_only_where_the_constant_mix_excludes_the_change():
    rises = [75, 80, 75, 62, 60, 60]
    # At the constant mix it may have risen as well: a fall is excluded, a rise is not.
    rows = with_adjusted(rises, [70, 72, 70, 60, 60, 60])
    held = rows["measurement"].str.endswith("_adjusted")
    rows.loc[held, "verdict"] = "no_change"
    answer = judge_change(CLAIM, rows)
    assert answer.verdict == "inconclusive"
    assert "the mix of cells changed" not in answer.sentence
    # Fell at the constant mix too, and did not return: that is no composition.
    answer = judge_change(CLAIM, with_adjusted(FALLS, [40, 30, 35, 35, 35, 35]))
    assert answer.verdict == "inconclusive"
    assert "the mix of cells changed" not in answer.sentence
    # The same verdict for another reason is told: it fell and stayed, and at the constant mix nothing did.
    answer = judge_change(CLAIM, with_adjusted([40, 30, 35, 35, 35, 35], FLAT))
    assert answer.verdict == "not_supported"
    assert "With the baseline's mix" in answer.sentence
    # No value at the constant mix on the days of the fall.
    rows = with_adjusted(FALLS, FLAT)
    some = rows[~held | (rows["day"] > 42)]
    assert judge_change(CLAIM, some).verdict == "inconclusive"
    assert "there is no value on these days" in judge_change(CLAIM, some).sentence
    assert "nan" not in judge_change(CLAIM, some).sentence
    some = rows[~held | (rows["day"] != 21)]
    assert "the mix of cells changed" not in judge_change(CLAIM, some).sentence


def test_a_known_no_is_not_hidden_by_what_is_not_known():
    parts = {name: claims.Answer(name, "") for name in ("not_supported", "not_evaluable")}
    both = {"claims": list(parts)}
    assert claims.judge_composite(both, parts).verdict == "not_supported"
    two = {**CLAIM, "populations": ["T/CD4", "T/CD8"]}
    assert judge_change(two, series(FLAT)).verdict == "not_supported"  # and nothing of CD8


def bounded(values, day, bound, **columns):
    """Log values (an IC50) of which one is a bound."""
    change = np.log(np.asarray(values) / 60)
    rows = series(values).assign(
        scale="log", unit="ng/ml", change=change, change_low=change - 0.2, change_high=change + 0.2,
        bound="", **columns,
    )  # fmt: skip
    rows["verdict"] = np.where(change < -0.3, "decrease", "no_change")
    rows.loc[rows["day"] == day, "bound"] = bound
    rows.loc[rows["day"] == day, "change_low" if bound == "<" else "change_high"] = np.nan
    return rows


def test_bounds_support_and_contradict():
    # Below the lowest dose on day 21: the fall is at least as large.
    rows = bounded([60, 8, 60, 60, 60, 60], 21, "<")
    answer = judge_change(CLAIM, rows)
    assert (answer.verdict, answer.nadir_day) == ("supported", 21)
    assert "fell from 60 ng/ml to below 8 ng/ml by day 21 (−87 % or lower" in answer.sentence
    none = {key: CLAIM[key] for key in CLAIM if key not in ("direction", "return_window")}
    assert judge_change({**none, "course": "none"}, rows).verdict == "contradicted"
    assert judge_change({**CLAIM, "direction": "increase"}, rows).verdict == "contradicted"
    # A bound on the other side shows nothing of how far it fell, nor that it did not return.
    rows = bounded([60, 40, 60, 35, 35, 35], 150, ">")
    rows.loc[5, "verdict"] = "no_change"
    assert judge_change(CLAIM, rows).verdict == "inconclusive"


def test_a_day_on_which_nothing_is_known_is_left_out():
    rows = bounded([60, 8, 60, 60, 60, 60], 21, "<", baseline_bound="<")
    answer = judge_change({**CLAIM, "window": [21, 21]}, rows)
    assert answer.verdict == "not_evaluable"


def test_the_controls_change_is_told_in_percent_of_its_own_baseline():
    rows = beside_control(series(FALLS), [-0.9, -0.9, -0.9, 0, 0, 0])
    assert "but the control changed with it (−45 % on day 7" in judge_change(CLAIM, rows).sentence


def test_days_without_the_control_are_told():
    rows = beside_control(series(FALLS), 0.0)
    rows.loc[rows["day"] == 21, "control_change"] = np.nan
    told = "what the run added on day 21 (no change of the control is known)"
    assert judge_change(CLAIM, rows).not_known == told
    assert judge_change(CLAIM, beside_control(series(FALLS), 0.0)).not_known == ""
    # A control without baseline has a change on no day; without any control it is told already.
    assert "on days 7, 21, 42, 70, 105, 150" in judge_change(CLAIM, series(FALLS)).not_known
    none = series(FALLS).assign(not_known=NO_CONTROL)
    assert judge_change(CLAIM, none).not_known == NO_CONTROL


def test_a_second_panel_in_the_return_window_needs_a_name():
    rows = series(FALLS)
    rows.loc[rows["day"] > 60, "panel"] = "B"
    assert judge_change(CLAIM, rows).verdict == "not_evaluable"
