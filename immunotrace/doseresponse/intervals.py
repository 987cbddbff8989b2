"""Intervals of effective doses: profile likelihood, and Wald by the full delta method.

A profile interval holds the values of one parameter that, with every other parameter fitted anew,
raise the residual sum of squares by no more than ``rss / df * t^2`` (Bates & Watts 1988, Nonlinear
Regression Analysis and Its Applications, chapter 6). It is not symmetric, and open where the data
set no bound.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from immunotrace.doseresponse.fit import (
    BLOCK,
    Curves,
    Fit,
    Places,
    cholesky,
    cholesky_solve,
    normal_equations,
    refit,
)
from immunotrace.doseresponse.models import (
    MIDPOINT,
    Level,
    Model,
    evaluate,
    log_effective_dose,
)

_FARTHEST = np.log(1e4)  # a bound farther than this factor from the tested doses counts as open
_MAX_EVALUATIONS = 60
_SEARCH_ITERATIONS = 60  # of each fit at such an evaluation
_DIRECT_ITERATIONS = 40
_TOLERANCE = 1e-8  # of what an interval allows the residual sum of squares to rise by


def quantile(df: np.ndarray, level: float) -> np.ndarray:
    """Two-sided t quantile, NaN without degrees of freedom."""
    df = np.asarray(df, float)
    return np.where(df > 0, stdtrit(np.where(df > 0, df, 1.0), 0.5 + level / 2), np.nan)


def effective_dose(found: Fit, at: Level):
    """Log effective dose of every curve and its standard error, both (curves,).

    The error is the delta method with the variance of every parameter, the plateaus' included. NaN
    where the curve does not reach the level.
    """
    estimate, by_parameter = log_effective_dose(found.model, found.theta, at)
    variance = np.einsum("in,ijn,jn->n", by_parameter, found.covariance(), by_parameter)
    with np.errstate(invalid="ignore"):
        return estimate, np.sqrt(variance)


def effective_dose_interval(found: Fit, curves: Curves, at: Level, level: float = 0.95):
    """Profile-likelihood interval of the log effective dose: two arrays (curves,).

    Infinite where open, NaN where the curve does not reach the level `at`.
    """
    estimate, error = effective_dose(found, at)
    low = np.full(estimate.size, np.nan)
    high = low.copy()
    usable = np.flatnonzero(np.isfinite(estimate) & np.isfinite(error) & (found.df > 0))
    if usable.size:
        some = curves.take(usable)
        start = found.theta[:, usable].copy()
        start[MIDPOINT] = estimate[usable]
        lowest, highest = some.tested_range()
        limits = lowest - _FARTHEST, highest + _FARTHEST
        low[usable], high[usable] = profile_interval(
            found.model, [some], start, None, at, MIDPOINT, error[usable], limits, level
        )
    return low, high


def profile_interval(
    model: Model,
    groups: Sequence[Curves],
    optimum: np.ndarray,
    places: Places | None,
    at: Level | None,
    index: int,
    error: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    level: float = 0.95,
):
    """Profile-likelihood interval of parameter `index` of a fit as `refit` makes it.

    `optimum`: (parameters, problems), in the parametrisation of `refit` with `level=at`; `error`:
    the parameter's standard error, used for the first guess; `limits`: values beyond which a bound
    counts as open and becomes infinite. Returns (low, high), each (problems,).
    """
    best = refit(model, groups, optimum, places, level=at)
    problems = best.rss.size
    wanted = quantile(best.df, level)
    target = best.rss + best.variance * wanted**2
    low, high = np.full(problems, np.nan), np.full(problems, np.nan)
    for side, bound, limit in ((-1.0, low, limits[0]), (1.0, high, limits[1])):
        room = np.maximum(side * (limit - best.theta[index]), 0.0)
        bound[:] = _direct_bounds(model, groups, best, places, at, index, side, target)
        distance = side * (bound - best.theta[index])
        bound[distance > room] = side * np.inf
        hard = np.flatnonzero(~(distance > 0) & (best.variance > 0) & np.isfinite(error))
        if hard.size:
            some, fit_there = [group.take(hard) for group in groups], best.take(hard)
            start = wanted[hard] * error[hard]
            bound[hard] = _searched_bounds(
                model, some, fit_there, places, at, index, side, wanted[hard], start, room[hard]
            )
    return low, high


def _direct_bounds(model, groups, best, places, at, index, side, target):
    """Bounds on one side by Newton's method for the bound and the other parameters together.

    After Venzon & Moolgavkar 1988 (Appl Stat 37:87). NaN where it does not arrive.
    """
    nuisance = [i for i in best.free if i != index]
    across = np.ix_(nuisance, nuisance)
    bound = np.full(best.rss.size, np.nan)
    for block in np.array_split(np.arange(best.rss.size), -(-best.rss.size // BLOCK)):
        some = [group.take(block) for group in groups]
        theta, aim = best.theta[:, block], target[block]
        centre, allowed = theta[index].copy(), aim - best.rss[block]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for _ in range(_DIRECT_ITERATIONS):
                rss, gradient, information, bend = normal_equations(model, some, theta, places, at)
                hessian = information - bend
                factor = cholesky(hessian[across])
                along = cholesky_solve(factor, gradient[nuisance])
                lean = cholesky_solve(factor, hessian[nuisance, index])
                least = rss - np.einsum("in,in->n", gradient[nuisance], along)
                slope = gradient[index] - np.einsum("in,in->n", hessian[index, nuisance], along)
                power = hessian[index, index] - np.einsum(
                    "in,in->n", hessian[index, nuisance], lean
                )
                step = (slope + side * np.sqrt(slope**2 + power * (aim - least))) / power
                far = np.abs(theta[index] - centre)
                scale = np.minimum(1.0, np.where(far > 0, far, np.inf) / np.abs(step))
                off = np.abs(rss - aim) + (rss - least)
                arrived = (off <= _TOLERANCE * allowed) & (side * (theta[index] - centre) > 0)
                bound[block[arrived]] = theta[index, arrived]
                going = np.flatnonzero(~arrived & np.isfinite(step))
                if not going.size:
                    break
                theta[index] += scale * step
                theta[nuisance] += scale * (along - lean * step)
                if going.size < 0.7 * block.size:
                    block, some = block[going], [group.take(going) for group in some]
                    theta, aim = theta[:, going], aim[going]
                    centre, allowed = centre[going], allowed[going]
    return bound


def _searched_bounds(model, groups, best, places, at, index, side, wanted, distance, room):
    """Bounds on one side by a bracketed search, the other parameters fitted anew at every step."""
    centre, spread = best.theta[index], np.sqrt(best.variance)
    theta, distance = best.theta.copy(), np.minimum(distance, room)
    # Distance from the optimum: the last inside and the first outside of the interval.
    inside, inside_root = np.zeros(centre.size), np.zeros(centre.size)
    outside, outside_root = np.full(centre.size, np.inf), np.full(centre.size, np.inf)
    bound = np.full(centre.size, np.nan)
    active = np.arange(centre.size)
    for _ in range(_MAX_EVALUATIONS):
        if not active.size:
            break
        start = theta[:, active]
        start[index] = centre[active] + side * distance[active]
        some = [group.take(active) for group in groups]
        step = refit(model, some, start, places, (index,), at, _SEARCH_ITERATIONS)
        excess = np.maximum(step.rss - best.rss[active], 0.0)
        root = np.sqrt(excess) / spread[active]
        theta[:, active] = step.theta
        found = np.abs(root - wanted[active]) <= _TOLERANCE * wanted[active]
        open_end = (root < wanted[active]) & (distance[active] >= room[active])
        bound[active] = np.where(open_end, np.inf, distance[active])

        below = root < wanted[active]
        inner, outer = active[below], active[~below]
        inside[inner], inside_root[inner] = distance[inner], root[below]
        outside[outer], outside_root[outer] = distance[outer], root[~below]
        narrow = outside[active] <= inside[active] * (1 + 1e-12)
        active = active[~(found | open_end | narrow)]
        further = _next_distance(
            inside[active],
            inside_root[active],
            outside[active],
            outside_root[active],
            wanted[active],
        )
        distance[active] = np.minimum(further, room[active])
    return centre + side * bound


def _next_distance(inside, inside_root, outside, outside_root, wanted):
    """Interpolate where the root is bracketed (kept off the ends), reach farther out where not."""
    bracketed = np.isfinite(outside)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (wanted - inside_root) / (outside_root - inside_root)
        reach = np.where(inside_root > 0, wanted / inside_root, np.inf)
    within = inside + np.clip(share, 0.02, 0.98) * (outside - inside)
    beyond = np.maximum(inside, 1e-6) * np.clip(1.02 * reach, 1.1, 3.0)
    return np.where(bracketed, within, beyond)


def fitted_band(found: Fit, log_doses: np.ndarray, level: float = 0.95):
    """Fitted values at (doses, curves) log doses with a pointwise confidence band: value, low, high."""
    value, jacobian, _ = evaluate(found.model, found.theta, log_doses)
    stacked = np.array(jacobian)
    variance = np.einsum("ikn,ijn,jkn->kn", stacked, found.covariance(), stacked)
    half = quantile(found.df, level) * np.sqrt(np.maximum(variance, 0.0))
    return value, value - half, value + half
