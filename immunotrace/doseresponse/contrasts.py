"""Comparison of two curves by their IC50s: ratio, extra-sum-of-squares F test, AICc."""

from dataclasses import dataclass

import numpy as np

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.calls import unidentified_jointly
from immunotrace.doseresponse.fit import Fit, refit
from immunotrace.doseresponse.intervals import effective_dose, profile_interval
from immunotrace.doseresponse.joint import aicc, f_test, fit_jointly, sharing_places
from immunotrace.doseresponse.models import BOTTOM, MIDPOINT, SLOPE, TOP, Level

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
    curves: Curves,
    found: Fit,
    reference: Curves,
    reference_fit: Fit,
    at: Level,
    level: float | None,
) -> Ratios:
    """Effective dose of each curve over that of the reference curve in the same column.

    Both curves are fitted together, with parameters of their own and one residual variance; the
    reduced model of the F test gives them one effective dose in common. Without `level` there are
    no intervals.
    """
    model = found.model
    estimate, error = effective_dose(found, at)
    reference_estimate, reference_error = effective_dose(reference_fit, at)
    pairs = estimate.size
    out = {name: np.full(pairs, np.nan) for name in Ratios.__dataclass_fields__}
    usable = np.flatnonzero(
        np.isfinite(estimate + reference_estimate) & (found.df + reference_fit.df > 0)
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
        reduced = _common(model, groups, start, places, at, difference)
        out["f"][usable], out["p_value"][usable] = f_test(reduced, full)
        out["aicc_difference"][usable] = aicc(reduced) - aicc(full)
        out["ratio"][usable] = np.exp(full.theta[difference])
        if level is not None:
            error = np.hypot(error, reference_error)[usable]
            error = np.where(np.isfinite(error), error, 1.0)  # a singular matrix has none
            limits = np.full(usable.size, -_FARTHEST_RATIO), np.full(usable.size, _FARTHEST_RATIO)
            low, high = profile_interval(groups, full, places, at, difference, error, limits, level)
            out["low"][usable], out["high"][usable] = np.exp(low), np.exp(high)
    return Ratios(**out)


def _common(model, groups, start, places, at, difference) -> Fit:
    """The fit with one effective dose: the best from each curve's own and from half-way between."""
    pairs = start.shape[1]
    starts = []
    for share in (0.0, 0.5, 1.0):
        theta = start.copy()
        theta[MIDPOINT] += share * start[difference]
        theta[difference] = 0.0
        starts.append(theta)
    columns = np.tile(np.arange(pairs), len(starts))
    several = [group.take(columns) for group in groups]
    found = refit(model, several, np.concatenate(starts, axis=1), places, (difference,), at)
    best = found.rss.reshape(len(starts), pairs).argmin(axis=0)
    return found.take(best * pairs + np.arange(pairs))


def same_shape(
    curves: Curves, found: Fit, reference: Curves, reference_fit: Fit
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whether both curves of a pair have one top, bottom or slope in common.

    By parameter, the p value of the F test and AICc with the parameter in common minus AICc without,
    each (pairs,); NaN where the joint fit is not determined. Such a difference makes a ratio of
    relative effective doses hard to read.
    """
    model, groups, own = found.model, (reference, curves), (reference_fit, found)
    full = fit_jointly(model, groups, (), own)
    out = {}
    for name, i in (("top", TOP), ("bottom", BOTTOM), ("hill_slope", SLOPE)):
        p, difference = np.full((2, found.rss.size), np.nan)
        if i not in model.held:
            joint = fit_jointly(model, groups, (i,), own)
            reasons = unidentified_jointly(groups, joint, sharing_places(model, 2, (i,)))
            known = np.array([not reason for reason in reasons], bool)
            p = np.where(known, f_test(joint, full)[1], np.nan)
            difference = np.where(known, aicc(joint) - aicc(full), np.nan)
        out[name] = p, difference
    return out
