"""Intervals of effective doses: profile likelihood, and Wald by the full delta method.

A profile interval holds the values of one parameter that, with every other parameter fitted anew,
raise the residual sum of squares by no more than ``rss / df * t^2`` (Bates & Watts 1988, Nonlinear
Regression Analysis and Its Applications, chapter 6). It is not symmetric, and open where the data
set no bound.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.fit import BLOCK, Fit, Places, normal_equations, refit
from immunotrace.doseresponse.linear import cholesky, cholesky_solve
from immunotrace.doseresponse.models import (
    MIDPOINT,
    RELATIVE,
    Level,
    evaluate,
    log_effective_dose,
)

_FARTHEST = np.log(100)  # a bound farther than this factor from the tested doses counts as open
_MAX_EVALUATIONS = 30
_SEARCH_TOLERANCE = 1e-6  # of t
_SEARCH_WIDTH = 1e-4  # of the log dose, where the profile jumps
_SEARCH_ITERATIONS = 30  # of each fit at such an evaluation
_SEARCH_CONVERGED = 1e-10  # as `tolerance` of `refit`
_DIRECT_ITERATIONS = 5, 4, 8  # those that need more go on together
_CLOSE = 1e-4  # of what an interval allows the residual sum of squares to rise by


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
    error = np.where(np.isfinite(error), error, 1.0)  # a singular matrix has none
    usable = np.flatnonzero(np.isfinite(estimate) & (found.df > 0))
    if usable.size:
        some = curves.take(usable)
        best = found.take(usable)
        if found.model.half_at_midpoint and at == RELATIVE:
            at = None  # the midpoint itself
        else:
            best.theta[MIDPOINT] = estimate[usable]
        lowest, highest = some.tested_range()
        limits = lowest - _FARTHEST, highest + _FARTHEST
        low[usable], high[usable] = profile_interval(
            [some], best, None, at, MIDPOINT, error[usable], limits, level
        )
    return low, high


def profile_interval(
    groups: Sequence[Curves],
    best: Fit,
    places: Places | None,
    at: Level | None,
    index: int,
    error: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    level: float = 0.95,
):
    """Profile-likelihood interval of parameter `index` of a fit as `refit` makes it.

    `best`: the optimum, in the parametrisation that `places` and `at` give `refit`; `error`: the
    parameter's standard error, for the first guess; `limits`: values beyond which a bound counts as
    open and becomes infinite. Returns (low, high), each (problems,).
    """
    model = best.model
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
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                bound[hard] = _searched_bounds(
                    model, some, fit_there, places, at, index, side, wanted[hard], start, room[hard]
                )
    return low, high


def _direct_bounds(model, groups, best, places, at, index, side, target):
    """Bounds on one side by Newton's method for the bound and the other parameters together.

    After Venzon & Moolgavkar 1988 (Appl Stat 37:87). NaN where it does not arrive.
    """
    nuisance = [i for i in best.free if i != index]
    theta, bound = best.theta.copy(), np.full(best.rss.size, np.nan)
    allowed = target - best.rss

    def advance(block, iterations):
        """Steps of the problems in `block`; returns those that are on their way."""
        some = [group.take(block) for group in groups]
        there, aim, centre = theta[:, block], target[block], best.theta[index, block]
        going = np.ones(block.size, bool)
        for _ in range(iterations):
            rss, gradient, information, bend = normal_equations(model, some, there, places, at)
            equations = rss, gradient, information - bend
            step, least, move = _towards(aim, side, index, nuisance, equations)
            lost = np.flatnonzero(~np.isfinite(step) & going)
            if lost.size:  # not a minimum in the other parameters: J'WJ always is one
                equations = rss[lost], gradient[:, lost], information[:, :, lost]
                step[lost], least[lost], move[:, lost] = _towards(
                    aim[lost], side, index, nuisance, equations
                )
            far = side * (there[index] - centre)
            off = np.abs(rss - aim) + (rss - least)
            # Convergence is quadratic: the step from here arrives at rounding.
            arrived = going & (off <= _CLOSE * allowed[block]) & (far > 0)
            bound[block[arrived]] = (there[index] + step)[arrived]
            going &= ~arrived & np.isfinite(step)
            if not going.any():
                break
            limit = np.where(far > 0, far, np.inf)
            scale = np.where(going, np.minimum(1.0, limit / np.abs(step)), 0.0)
            there[index] += scale * np.where(going, step, 0.0)
            there[nuisance] += scale * np.where(going, move, 0.0)
        theta[:, block] = there
        return block[going]

    pending = np.arange(best.rss.size)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for iterations in _DIRECT_ITERATIONS:
            if not pending.size:
                break
            blocks = np.array_split(pending, -(-pending.size // BLOCK))
            pending = np.concatenate([advance(block, iterations) for block in blocks])
    return bound


def _towards(aim, side, index, nuisance, equations):
    """One such step: of the parameter, the least sum of squares at hand, and of the others."""
    rss, gradient, matrix = equations
    factor = cholesky(matrix[np.ix_(nuisance, nuisance)])
    along = cholesky_solve(factor, gradient[nuisance])
    lean = cholesky_solve(factor, matrix[nuisance, index])
    least = rss - np.einsum("in,in->n", gradient[nuisance], along)
    slope = gradient[index] - np.einsum("in,in->n", matrix[index, nuisance], along)
    power = matrix[index, index] - np.einsum("in,in->n", matrix[index, nuisance], lean)
    step = (slope + side * np.sqrt(slope**2 + power * (aim - least))) / power
    return step, least, along - lean * step


def _searched_bounds(model, groups, best, places, at, index, side, wanted, distance, room):
    """Bounds on one side by a bracketed search, the other parameters fitted anew at every step.

    Each fit starts from the farthest one inside, moved along its tangent, so the steps are kept
    short. Newton's method chooses them, and halving where the profile jumps: a curve held to pass
    50 % on one side of a dose may turn into a step there.
    """
    centre, spread = best.theta[index], np.sqrt(best.variance)
    distance = np.minimum(np.minimum(distance, 1.0), room)
    # Distance from the optimum: the last inside of the interval, and the first outside.
    theta, tangent = best.theta.copy(), np.zeros_like(best.theta)
    inside, outside = np.zeros(centre.size), np.full(centre.size, np.inf)
    last_root = -wanted
    bound = np.full(centre.size, np.nan)
    active = np.arange(centre.size)
    for _ in range(_MAX_EVALUATIONS):
        if not active.size:
            break
        some = [group.take(active) for group in groups]
        start = theta[:, active]
        start[index] = centre[active] + side * distance[active]
        moved = start + tangent[:, active] * (distance - inside)[active]
        rss, moved_rss = (
            normal_equations(model, some, there, places, at)[0] for there in (start, moved)
        )
        start = np.where(moved_rss < rss, moved, start)
        step = refit(
            model, some, start, places, (index,), at, _SEARCH_ITERATIONS, _SEARCH_CONVERGED
        )
        excess = np.sqrt(np.maximum(step.rss - best.rss[active], 0.0))
        root = excess / spread[active] - wanted[active]
        along, rise = _tangent(model, some, step, places, at, index, side)
        open_end = (root < 0) & (distance[active] >= room[active])
        found = np.abs(root) <= _SEARCH_TOLERANCE * wanted[active]
        bound[active] = np.where(open_end, np.inf, distance[active])

        below = root < 0
        inner, outer = active[below], active[~below]
        theta[:, inner], tangent[:, inner] = step.theta[:, below], along[:, below]
        inside[inner], outside[outer] = distance[inner], distance[outer]
        here, there = inside[active], outside[active]
        met = there <= here + _SEARCH_WIDTH
        # Short of the target they meet where the fit outside was no optimum, or at a jump: look.
        doubtful = met & (root < -1e-3 * wanted[active])
        outside[active[doubtful]] = there[doubtful] = np.inf
        newton = distance[active] - root * 2 * excess * spread[active] / rise
        halfway = np.where(np.isfinite(there), (here + there) / 2, 1.5 * here + 0.5)
        slow = np.abs(root) > 0.5 * np.abs(last_root[active])
        usable = (newton > here) & (newton < there) & ~(slow & np.isfinite(there))
        last_root[active] = root
        following = np.where(usable, np.minimum(newton, 1.5 * here + 1), halfway)
        following[doubtful] = here[doubtful] + 2 * _SEARCH_WIDTH
        distance[active] = np.minimum(following, room[active])
        active = active[~(found | open_end | (met & ~doubtful))]
    bound[active] = inside[active]
    return centre + side * bound


def _tangent(model, groups, step, places, at, index, side):
    """How the fitted parameters, and the sum of squares, move as parameter `index` goes outwards.

    By the distance; the parameters are taken to stay where the matrix is singular.
    """
    nuisance = list(step.free)
    _, gradient, information, bend = normal_equations(model, groups, step.theta, places, at)
    matrix = information - bend
    factor = cholesky(matrix[np.ix_(nuisance, nuisance)])
    along = np.zeros_like(step.theta)
    lean = -side * cholesky_solve(factor, matrix[nuisance, index])
    along[nuisance] = np.where(np.isfinite(lean).all(axis=0), lean, 0.0)
    return along, -2 * side * gradient[index]


def bootstrap(found: Fit, curves: Curves, i: int, count: int, seed: int) -> Fit:
    """`count` fits of curve `i` to new normal noise around its fitted means: a parametric bootstrap.

    Each fit starts from that of the data. The noise has the fit's residual variance; the scatter
    within doses is drawn too, so the variances of the fits vary as they should.
    """
    rng = np.random.default_rng(seed)
    one, fit_there = curves.take([i]), found.take([i])
    means, _, _ = evaluate(found.model, fit_there.theta, one.log_dose[:, :1])
    used = one.weight[:, :1] > 0
    error = np.sqrt(fit_there.variance / np.where(used, one.weight[:, :1], np.inf))
    within = int(one.wells[0] - used.sum())
    resampled = Curves(
        one.log_dose[:, :1],
        means + error * rng.standard_normal((means.size, count)),
        one.weight[:, :1],
        np.full(count, one.wells[0]),
        fit_there.variance * (rng.chisquare(within, count) if within else np.zeros(count)),
    )
    return refit(found.model, [resampled], np.repeat(fit_there.theta, count, axis=1))


def fitted_band(found: Fit, log_doses: np.ndarray, level: float = 0.95):
    """Fitted values at (doses, curves) log doses with a pointwise confidence band: value, low, high."""
    value, jacobian, _ = evaluate(found.model, found.theta, log_doses)
    stacked = np.array(jacobian)
    variance = np.einsum("ikn,ijn,jkn->kn", stacked, found.covariance(), stacked)
    half = quantile(found.df, level) * np.sqrt(np.maximum(variance, 0.0))
    return value, value - half, value + half
