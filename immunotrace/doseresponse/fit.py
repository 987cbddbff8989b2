"""Least-squares fits of dose-response curves, many at once.

A Levenberg-Marquardt method (Marquardt 1963, J Soc Ind Appl Math 11:431) in NumPy with analytic
derivatives, from a grid of starts over slope and midpoint on which bottom and top, linear in every
model, are solved for. Curves lie along the last axis of every array, so one NumPy call advances all
of them. Replicates are reduced to their means: the optimum is the same, and the scatter within
doses is added back to the residual sum of squares.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from immunotrace.doseresponse.batch import Curves, summarise
from immunotrace.doseresponse.linear import cholesky, cholesky_solve, scaled
from immunotrace.doseresponse.models import (
    BOTTOM,
    MIDPOINT,
    SLOPE,
    TOP,
    Level,
    Model,
    curvature,
    evaluate,
    log_dose,
    midpoint_for,
)
from immunotrace.doseresponse.starts import grid_starts

# group -> model parameter -> the parameters added up for it
Places = Sequence[Sequence[tuple[int, ...]]]

ITERATIONS = 400
_FIRST_ITERATIONS = 8  # most fits need no more; the others go on together
BLOCK = 1024  # problems advanced at once: their arrays stay in the processor's cache
_CONVERGED = 1e-15  # predicted decrease of the residual sum of squares, relative to it
_PERFECT = 1e-30  # the same, relative to the sum of squares of the responses
_ROUNDING = 1e-9  # below this relative decrease a comparison of two sums is within their rounding
_NEAR = 0.1  # below this relative decrease the quadratic model holds
_LARGEST_DAMPING = 1e14
_REWEIGHTINGS = 4
_LEAST_NOISE = 0.05  # of the noise where the curve is highest
_ROBUST_ITERATIONS = 50
_BISQUARE = 4.685  # of the scale: 95 % efficient with normal noise
_MEDIAN_OF_NORMAL = 0.6745  # of the absolute value of a standard normal variable
_LEAST_WEIGHT = 1e-9  # so that a dose without a trusted well still has a mean
_TRIAL_ITERATIONS = 24  # for each of several starts, before the best is followed alone


@dataclass(frozen=True)
class Fit:
    """Fits of a batch: theta (parameters, curves), rss, df and converged (curves,).

    `information` is J'WJ of the estimated parameters, (free, free, curves), in the order of `free`.
    """

    model: Model
    theta: np.ndarray
    rss: np.ndarray
    df: np.ndarray
    information: np.ndarray
    free: tuple[int, ...]
    converged: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Residual variance (curves,); NaN without degrees of freedom."""
        return np.where(self.df > 0, self.rss / np.where(self.df > 0, self.df, 1), np.nan)

    def take(self, columns) -> "Fit":
        return replace(
            self,
            theta=self.theta[:, columns],
            rss=self.rss[columns],
            df=self.df[columns],
            information=self.information[:, :, columns],
            converged=self.converged[columns],
        )

    def put(self, columns, other: "Fit") -> "Fit":
        """This batch with the fits of `other` at some columns."""
        out = {}
        for name in ("theta", "rss", "df", "information", "converged"):
            out[name] = getattr(self, name).copy()
            out[name][..., columns] = getattr(other, name)
        return replace(self, **out)

    def covariance(self) -> np.ndarray:
        """(J'WJ)^-1 times the residual variance, shape (parameters, parameters, curves).

        Rows of held parameters are 0; NaN where J'WJ is singular.
        """
        matrix, scale = scaled(self.information)
        factor = cholesky(matrix)
        identity = np.repeat(np.eye(len(self.free))[:, :, None], self.rss.size, axis=2)
        inverse = cholesky_solve(factor, identity) * scale[:, None] * scale[None]
        out = np.zeros((len(self.theta), len(self.theta), self.rss.size))
        out[np.ix_(self.free, self.free)] = inverse * self.variance
        return out

    def condition(self) -> np.ndarray:
        """Condition number of J'WJ scaled to a unit diagonal, (curves,); large: not identifiable."""
        matrix, _ = scaled(self.information)
        finite = np.all(np.isfinite(matrix), axis=(0, 1))
        eigenvalues = np.linalg.eigvalsh(np.where(finite, matrix, 0).transpose(2, 0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            condition = eigenvalues[:, -1] / np.maximum(eigenvalues[:, 0], 0)
        return np.where(finite, condition, np.inf)


def fit(model: Model, curves: Curves, iterations: int = ITERATIONS) -> Fit:
    """Fit a model to every curve of a batch: the best optimum found from a grid of starts.

    `iterations`: as for `refit`.
    """
    starts, columns = grid_starts(model, curves)
    return _upright(best_of_starts(model, [curves], starts, columns, None, iterations))


def fit_wells(
    model: Model,
    dose: Sequence,
    response: Sequence,
    weights: str = "constant",
    robust: bool = False,
) -> tuple[Curves, Fit]:
    """Fit curves given by wells (as for `summarise`) with one of two kinds of noise.

    `weights`: "constant" for noise of one size; "relative" for noise in proportion to the response,
    as counts of cells have it: weights 1 / fitted^2 from a fit before, four times over
    (Carroll & Ruppert 1988, Transformation and Weighting in Regression, chapter 2). Weights are 1
    where the curve is highest, so the residual variance is that of the noise there. Noise does not
    vanish with the response: below a twentieth of the highest it is that of a twentieth.
    `robust`: wells far from the curve count less, or not at all, as for `_without_outliers`.
    """
    curves = summarise(dose, response)
    found = fit(model, curves)
    several = [np.ones(len(doses)) for doses in dose]
    if weights == "relative":
        for left in reversed(range(_REWEIGHTINGS)):
            several = _relative_weights(found, dose)
            curves = summarise(dose, response, several)
            # The last fit looks for the best optimum again; those on the way there follow the first.
            found = _upright(refit(model, [curves], found.theta)) if left else fit(model, curves)
    if robust:
        return _without_outliers(model, dose, response, weights, several)
    return curves, found


def _relative_weights(found: Fit, dose: Sequence) -> list[np.ndarray]:
    several = []
    for i, doses in enumerate(dose):
        fitted = _fitted(found, i, doses)
        size = np.maximum(np.abs(fitted) / np.abs(fitted).max(), _LEAST_NOISE)
        several.append(1 / size**2)
    return several


def _fitted(found: Fit, i: int, doses) -> np.ndarray:
    return evaluate(found.model, found.theta[:, [i]], log_dose(doses)[:, None])[0][:, 0]


def _without_outliers(
    model: Model, dose: Sequence, response: Sequence, weights: str, several: list[np.ndarray]
) -> tuple[Curves, Fit]:
    """M-estimates with Tukey's bisquare (Beaton & Tukey 1974, Technometrics 16:147).

    Least squares reweighted until it settles, from a fit to the medians of replicates; the scale is
    the median absolute residual. The curves that are returned hold pseudo-values, the fitted value
    plus the bounded residual: least squares of these has the same optimum, and the standard errors
    and sums of squares of the M-estimate (Street, Carroll & Ruppert 1988, Am Stat 42:152). Intervals
    and tests made of them are those of large samples.
    """
    medians = []
    for doses, responses in zip(dose, response, strict=True):
        responses = np.asarray(responses, float)
        levels, place = np.unique(log_dose(doses), return_inverse=True)
        medians.append(
            np.array([np.median(responses[place == k]) for k in range(levels.size)])[place]
        )
    found = fit(model, summarise(dose, medians, several))
    for _ in range(_ROBUST_ITERATIONS):
        if weights == "relative":
            several = _relative_weights(found, dose)
        bounded, pseudo = [], []
        for i, (doses, responses) in enumerate(zip(dose, response, strict=True)):
            fitted, root = _fitted(found, i, doses), np.sqrt(several[i])
            residual = root * (np.asarray(responses, float) - fitted)
            wells = residual.size
            left = max(wells - len(found.free), 1)
            scale = np.median(np.abs(residual)) / _MEDIAN_OF_NORMAL * np.sqrt(wells / left)
            u = np.minimum(np.abs(residual) / (_BISQUARE * max(scale, 1e-300)), 1.0)
            weight = (1 - u**2) ** 2
            slope = (1 - u**2) * (1 - 5 * u**2)  # of the bounded residual
            stretch = 1 + len(found.free) / wells * slope.var() / slope.mean() ** 2
            bounded.append(several[i] * np.maximum(weight, _LEAST_WEIGHT))
            pseudo.append(fitted + stretch / slope.mean() * weight * residual / root)
        last = found.theta
        found = refit(model, [summarise(dose, response, bounded)], last)
        if np.allclose(found.theta, last, rtol=1e-9, atol=1e-9):
            break
    curves = summarise(dose, pseudo, several)
    return curves, _upright(refit(model, [curves], found.theta))


def best_of_starts(
    model: Model,
    groups: Sequence[Curves],
    starts: np.ndarray,
    columns: np.ndarray,
    places: Places | None,
    iterations: int,
) -> Fit:
    """The best fit of each problem from several starts: `starts` (parameters, starts) of `columns`.

    `columns` is sorted and names every problem. All starts are followed a few iterations, the best
    of them to the end.
    """
    found = refit(
        model,
        [group.take(columns) for group in groups],
        starts,
        places,
        iterations=min(iterations, _TRIAL_ITERATIONS),
    )
    first = np.flatnonzero(np.diff(columns, prepend=-1))
    least = np.minimum.reduceat(found.rss, first)[columns]
    # Of the starts that lead to the same optimum one that arrived: rounding does not choose.
    rank = np.where(found.rss <= least * (1 + 1e-12), np.where(found.converged, 0, 1), 2)
    order = np.lexsort((rank, columns))
    found = found.take(order[first])
    unfinished = np.flatnonzero(~found.converged)
    if not unfinished.size or iterations <= _TRIAL_ITERATIONS:
        return found
    rest = refit(
        model,
        [group.take(unfinished) for group in groups],
        found.theta[:, unfinished],
        places,
        iterations=iterations,
    )
    return found.put(unfinished, rest)


def refit(
    model: Model,
    groups: Sequence[Curves],
    start: np.ndarray,
    places: Places | None = None,
    held: Sequence[int] = (),
    level: Level | None = None,
    iterations: int = ITERATIONS,
    tolerance: float = _CONVERGED,
) -> Fit:
    """Least-squares fit from a given start, of one curve or of several that share parameters.

    `groups`: the curves of problem n are column n of every group. `start`: (parameters, problems).
    `places[group][i]`: the parameters whose sum is the group's i-th model parameter; by default
    one group that has its own. `held`: parameters that stay at their start. With `level`, the log
    effective dose of that level stands in place of the midpoint. `iterations`: the most that are
    spent; a fit that would need more has not converged. `tolerance`: the predicted decrease of the
    residual sum of squares, relative to it, at which a fit has converged.
    """
    theta = np.array(start, float)
    held = set(held)
    for place in places or [[(i,) for i in range(model.parameters)]]:
        for i, value in model.held.items():
            held.update(place[i])
            theta[list(place[i])] = value
    free = tuple(i for i in range(len(theta)) if i not in held)
    power = sum(np.sum(group.weight * group.mean**2, axis=0) for group in groups)

    def normal(theta, groups):
        return normal_equations(model, groups, theta, places, level)

    theta, rss, information, converged = _minimise(
        normal, groups, theta, free, power, iterations, tolerance
    )
    df = sum(group.wells for group in groups) - len(free)
    return Fit(model, theta, rss, df, information, free, converged)


def curve_parameters(theta: np.ndarray, place: Sequence[tuple[int, ...]]) -> np.ndarray:
    """The model parameters of one group of a joint fit, (model parameters, problems)."""
    return np.array([sum(theta[j] for j in indices) for indices in place])


def normal_equations(model, groups, theta, places, level):
    """Residual sum of squares, J'Wr, J'WJ and the curvature r'W d2f of all parameters.

    Arguments as for `refit`. An infinite sum stands for parameters outside of the model.
    """
    if places is None:
        (group,) = groups
        rss, *rest = _curve_equations(model, group, theta, level)
        return np.where(np.isfinite(rss), rss + group.scatter, np.inf), *rest
    count, problems = theta.shape
    rss = sum(group.scatter for group in groups)
    gradient = np.zeros((count, problems))
    information = np.zeros((count, count, problems))
    bend = np.zeros((count, count, problems))
    for group, place in zip(groups, places, strict=True):
        own = curve_parameters(theta, place)
        part, slopes, products, bends = _curve_equations(model, group, own, level)
        rss = rss + part
        # Every parameter feeds one model parameter of a group; a model parameter may add up two.
        source = [i for i in range(model.parameters) for _ in place[i]]
        target = [j for i in range(model.parameters) for j in place[i]]
        gradient[target] += slopes[source]
        information[np.ix_(target, target)] += products[np.ix_(source, source)]
        bend[np.ix_(target, target)] += bends[np.ix_(source, source)]
    return np.where(np.isfinite(rss), rss, np.inf), gradient, information, bend


def _curve_equations(model, group, theta, level):
    """The same for one curve a problem, without the scatter within doses."""
    own = theta
    if level is not None:
        own, by_parameter, second = midpoint_for(model, theta, level)
    value, jacobian, parts = evaluate(model, own, group.log_dose)
    if not model.symmetric:  # an upside-down curve is another model's shape
        value = np.where(own[TOP] >= own[BOTTOM], value, np.nan)
    residual = group.mean - value
    weighted = group.weight * residual
    rss = np.einsum("kn,kn->n", weighted, residual)
    problems = theta.shape[1]
    gradient = np.empty((model.parameters, problems))
    information = np.empty((model.parameters, model.parameters, problems))
    for i, column in enumerate(jacobian):
        gradient[i] = np.einsum("kn,kn->n", weighted, column)
        scaled = group.weight * column
        for j in range(i + 1):
            information[i, j] = np.einsum("kn,kn->n", scaled, jacobian[j])
            information[j, i] = information[i, j]
    bend = curvature(model, own, parts, weighted)
    if level is not None:
        bend = _through_midpoint(by_parameter, bend)
        bend += gradient[MIDPOINT] * second
        information = _through_midpoint(by_parameter, information)
        gradient = gradient + by_parameter * gradient[MIDPOINT]
        gradient[MIDPOINT] /= 2  # by_parameter is 1 there
    return rss, gradient, information, bend


def _through_midpoint(by_parameter, matrix):
    """T' M T, where T is the identity but for its row of the midpoint, `by_parameter`."""
    by_others = by_parameter.copy()
    by_others[MIDPOINT] = 0.0
    row = matrix[MIDPOINT] + 0.5 * matrix[MIDPOINT, MIDPOINT] * by_others
    product = by_others[:, None] * row
    return matrix + product + product.swapaxes(0, 1)


def _minimise(normal, groups, theta, free, power, iterations, tolerance):
    """Levenberg-Marquardt over the free parameters of every problem.

    `power`: the sum of squares of the responses, which sets the rounding of a perfect fit. Close to
    the optimum the matrix is the whole Hessian, so that convergence is quadratic however large the
    residuals are; farther away it is J'WJ. Problems advance in blocks; those that a block leaves
    unfinished are gathered into new blocks.
    """
    free = np.array(free, int)
    problems = theta.shape[1]
    state = _State(
        theta,
        np.full(problems, np.inf),
        np.zeros((free.size, free.size, problems)),
        np.full(problems, 1e-3),
        np.zeros(problems, bool),
        np.zeros(problems, bool),
    )
    pending, budget = np.arange(problems), _FIRST_ITERATIONS
    # A step too far may overflow: its sum of squares is then infinite and it is not taken.
    with np.errstate(over="ignore", invalid="ignore"):
        while pending.size and iterations > 0:
            budget = min(budget, iterations)
            blocks = np.array_split(pending, -(-pending.size // BLOCK))
            left = [
                _advance(normal, groups, state, block, free, power, budget, tolerance)
                for block in blocks
            ]
            pending = np.concatenate(left)
            iterations -= budget
            budget *= 2
    return state.theta, state.rss, state.information, state.converged


@dataclass
class _State:
    """Where the problems of a minimisation are; arrays with the problems on the last axis."""

    theta: np.ndarray
    rss: np.ndarray
    information: np.ndarray
    damping: np.ndarray
    near: np.ndarray
    converged: np.ndarray


def _advance(normal, groups, state, block, free, power, iterations, tolerance):
    """Up to `iterations` steps of the problems in `block`; returns those that are not finished."""
    square = np.ix_(free, free)
    groups = [group.take(block) for group in groups]
    power = power[block]
    theta, damping, near = state.theta[:, block], state.damping[block], state.near[block]
    rss, gradient, information, bend = normal(theta, groups)
    if free.size < len(theta):
        gradient, information, bend = gradient[free], information[square], bend[square]
    stopped = ~np.isfinite(rss)
    done = stopped | (free.size == 0)
    unfinished = []

    def write_back(places):
        state.theta[:, block[places]] = theta[:, places]
        state.rss[block[places]] = rss[places]
        state.information[:, :, block[places]] = information[:, :, places]
        state.damping[block[places]] = damping[places]
        state.near[block[places]] = near[places]
        state.converged[block[places]] = (done & ~stopped)[places]

    for remaining in range(iterations, -1, -1):
        finished = done | stopped
        if remaining == 0 or finished.all():
            write_back(slice(None))
            unfinished = block[~finished]
            break
        if finished.mean() > 0.3:  # make room
            write_back(finished)
            keep = np.flatnonzero(~finished)
            block, groups = block[keep], [group.take(keep) for group in groups]
            theta, gradient = theta[:, keep], gradient[:, keep]
            information, bend = information[:, :, keep], bend[:, :, keep]
            rss, power, damping, near = rss[keep], power[keep], damping[keep], near[keep]
            done, stopped = done[keep], stopped[keep]
            finished = finished[keep]
        diagonal = np.einsum("iin->in", information)
        step, decrease = _step(gradient, information - near * bend, diagonal, damping)
        trial = theta.copy()
        trial[free] += step
        trial_rss, *trial_rest = normal(trial, groups)
        if free.size < len(theta):
            trial_rest = trial_rest[0][free], trial_rest[1][square], trial_rest[2][square]
        within_rounding = decrease <= _ROUNDING * rss
        better = (trial_rss < rss) | (within_rounding & (trial_rss <= rss * (1 + _ROUNDING)))
        better &= ~finished
        # A step that damping keeps short has not arrived.
        arrived = decrease <= tolerance * rss + _PERFECT * power
        done |= arrived & near & (damping < 1)
        np.copyto(theta, trial, where=better)
        if better.all():
            gradient, information, bend = trial_rest
        else:
            for array, trial_array in zip((gradient, information, bend), trial_rest, strict=True):
                np.copyto(array, trial_array, where=better)
        near = np.where(better, decrease <= _NEAR * rss, near)
        rss = np.where(better, trial_rss, rss)
        eased = np.where(within_rounding, 0.0, damping / 10)
        damping = np.where(finished, damping, np.where(better, eased, damping * 10 + 1e-9))
        stopped |= ~done & (damping >= _LARGEST_DAMPING)
    return unfinished


def _step(gradient, matrix, diagonal, damping):
    """Damped step and the decrease that the quadratic model promises, for every problem.

    Where the damped matrix is not positive definite, the step is 0 and the decrease infinite.
    """
    places = np.arange(len(matrix))
    matrix[places, places] += damping * diagonal
    step = cholesky_solve(cholesky(matrix), gradient)
    decrease = np.einsum("in,in->n", step, gradient)
    usable = np.isfinite(decrease)
    return np.where(usable, step, 0.0), np.where(usable, decrease, np.inf)


def _upright(found: Fit) -> Fit:
    """Of the two equal forms of a symmetric model, the one with the top above the bottom."""
    if not found.model.symmetric:
        return found
    swap = np.flatnonzero(found.theta[TOP] < found.theta[BOTTOM])
    theta, information = found.theta.copy(), found.information.copy()
    theta[SLOPE, swap] *= -1
    theta[BOTTOM, swap], theta[TOP, swap] = found.theta[TOP, swap], found.theta[BOTTOM, swap]
    order = [SLOPE, TOP, BOTTOM, MIDPOINT]
    sign = np.array([-1.0, 1, 1, 1])
    swapped = found.information[np.ix_(order, order)] * (sign[:, None] * sign)[:, :, None]
    information[:, :, swap] = swapped[:, :, swap]
    return replace(found, theta=theta, information=information)
