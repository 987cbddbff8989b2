"""Comparison of two curves by their IC50s: ratio, extra-sum-of-squares F test, AICc."""

from dataclasses import dataclass

import numpy as np

from immunotrace.doseresponse.fit import Curves, Fit, refit
from immunotrace.doseresponse.intervals import effective_dose, profile_interval
from immunotrace.doseresponse.joint import aicc, f_test
from immunotrace.doseresponse.models import MIDPOINT, Level

_FARTHEST_RATIO = np.log(1e6)


@dataclass(frozen=True)
class Ratios:
    """Ratios of effective doses, each (pairs,): NaN where a curve has none, infinite where open.

    `aicc_difference` is AICc with one common effective dose minus AICc with two: positive values
    speak for a difference.
    """

    ratio: np.ndarray
    low: np.ndarray
    high: np.ndarray
    f: np.ndarray
    p_value: np.ndarray
    aicc_difference: np.ndarray


def compare(
    curves: Curves, found: Fit, reference: Curves, reference_fit: Fit, at: Level, level: float
) -> Ratios:
    """Effective dose of each curve over that of the reference curve in the same column.

    Both curves are fitted together, with parameters of their own and one residual variance; the
    reduced model of the F test gives them one effective dose in common.
    """
    model = found.model
    estimate, error = effective_dose(found, at)
    reference_estimate, reference_error = effective_dose(reference_fit, at)
    pairs = estimate.size
    out = {name: np.full(pairs, np.nan) for name in Ratios.__dataclass_fields__}
    usable = np.flatnonzero(
        np.isfinite(estimate + error + reference_estimate + reference_error)
        & (found.df + reference_fit.df > 0)
    )
    if usable.size:
        groups = [reference.take(usable), curves.take(usable)]
        # The reference's parameters, then the curve's, with the log ratio in place of its midpoint.
        start = np.concatenate([reference_fit.theta, found.theta])[:, usable]
        difference = model.parameters + MIDPOINT
        start[MIDPOINT] = reference_estimate[usable]
        start[difference] = (estimate - reference_estimate)[usable]
        places = [
            [(i,) for i in range(model.parameters)],
            [
                (MIDPOINT, difference) if i == MIDPOINT else (model.parameters + i,)
                for i in range(model.parameters)
            ],
        ]
        full = refit(model, groups, start, places, level=at)
        common = start.copy()
        common[difference] = 0.0
        reduced = refit(model, groups, common, places, (difference,), at)
        limits = np.full(usable.size, -_FARTHEST_RATIO), np.full(usable.size, _FARTHEST_RATIO)
        low, high = profile_interval(
            groups, full, places, at, difference,
            np.hypot(error, reference_error)[usable], limits, level,
        )  # fmt: skip
        out["f"][usable], out["p_value"][usable] = f_test(reduced, full)
        out["ratio"][usable] = np.exp(full.theta[difference])
        out["low"][usable], out["high"][usable] = np.exp(low), np.exp(high)
        out["aicc_difference"][usable] = aicc(reduced) - aicc(full)
    return Ratios(**out)
