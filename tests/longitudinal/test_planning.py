"""The smallest change that a design can see: seen as often as the table says."""

import numpy as np
import pandas as pd
import pytest

from immunotrace.longitudinal.changes import changes
from immunotrace.longitudinal.measurements import measurements
from immunotrace.longitudinal.planning import POWER, detectable_changes

DAYS = [-28, -14, -1, 7, 21, 42, 70, 105, 150]


def populations(rng, number, shift=0.0, parent=2000, between=0.1):
    """Series of counts of patient and control; on day 21 the patient's logit is shifted."""
    parts = []
    for n in range(number):
        for subject, role in (("P", "patient"), ("C", "control")):
            logit = -0.5 + rng.normal(0, between, len(DAYS))
            if subject == "P":
                logit[DAYS.index(21)] += shift
            counts = rng.binomial(parent, 1 / (1 + np.exp(-logit)))
            parts.append(
                pd.DataFrame(
                    {"subject": subject, "role": role, "day": DAYS, "population": f"p{n}",
                     "panel": "T", "count": counts, "parent_count": parent}
                )
            )  # fmt: skip
    return changes(measurements(pd.concat(parts), None, None), "C", 0.95)


@pytest.fixture(scope="module")
def table():
    return detectable_changes(populations(np.random.default_rng(1), 150), "P", 0.95)


def test_a_change_of_that_size_is_seen_as_often_as_it_says(table):
    own = table[table["design"] == "as it is"]
    fall = own["smallest_decrease_percent"].median() / 100
    baseline = 1 / (1 + np.exp(0.5))
    share = baseline * (1 + fall)
    shift = np.log(share / (1 - share)) + 0.5
    seen = populations(np.random.default_rng(2), 300, shift).query("subject == 'P' and day == 21")
    rate = (seen["verdict"] == "decrease").mean()
    # 3 standard errors of 300 series (0.07), and 0.05 for the sum of two quantiles that stands for a
    # quantile of the noncentral t
    assert rate == pytest.approx(POWER, abs=0.12)


def test_more_days_and_events_see_smaller_changes(table):
    fall = -table.groupby("design")["smallest_decrease_percent"].median()
    assert fall["twice the baseline days"] < fall["as it is"] < fall["one baseline day"]
    assert fall["half of the later days"] < fall["as it is"] < fall["twice the later days"]
    events = fall["four times the events or wells"], fall["a quarter of the events or wells"]
    assert events[0] < fall["as it is"] < events[1]


def test_without_a_yardstick_nothing_is_planned():
    alone = populations(np.random.default_rng(3), 1).query("subject == 'P'")
    unknown = alone.assign(reference_change_low=np.nan)
    assert detectable_changes(unknown, "P", 0.95).empty


def test_a_design_that_shows_no_usual_variation_has_no_number():
    # Three baseline days and no control: with one of them nothing would show how much a day varies.
    counts = pd.DataFrame(
        {"subject": "P", "role": "patient", "day": DAYS, "population": "p", "panel": "T",
         "count": [760, 800, 700, 500, 480, 640, 750, 720, 740], "parent_count": 2000}
    )  # fmt: skip
    alone = changes(measurements(counts, None, None), None, 0.95)
    found = detectable_changes(alone, "P", 0.95).set_index("design")
    assert np.isnan(found.loc["one baseline day", "smallest_decrease_percent"])
    assert np.isfinite(found.loc["as it is", "smallest_decrease_percent"])
