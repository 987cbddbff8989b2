"""A small version of benchmarks/doseresponse/coverage.py, over designs from easy to hard."""

import numpy as np
import pytest

from benchmarks.doseresponse.coverage import Design, covered

CURVES = 1000
# Four sampling errors of 1,000 intervals that hold the truth in 95 % of all: 2.8 %.
ALLOWED = 4 * (0.95 * 0.05 / CURVES) ** 0.5


@pytest.mark.parametrize(("weights", "power"), [("constant", 0.0), ("relative", 1.0)])
@pytest.mark.parametrize(
    "design",
    [Design(10, 3, 5, "middle"), Design(8, 4, 10, "low end"), Design(12, 2, 10, "high end")],
    ids=lambda design: design.place,
)
def test_intervals_hold_the_truth_as_often_as_they_say(design, weights, power):
    """With the weights that are right for the noise; relative ones are the default."""
    shares = covered(design, CURVES, np.random.default_rng(1), weights, power)
    # By the rules of Sebaugh 2011 the high end is too near for a relative IC50.
    for kind in ("absolute",) if design.place == "high end" else ("relative", "absolute"):
        assert shares[f"{kind} reported"] > 0.9
        assert shares[f"{kind} profile"] == pytest.approx(0.95, abs=ALLOWED)
        assert shares[f"{kind} F"] == pytest.approx(0.05, abs=ALLOWED)
