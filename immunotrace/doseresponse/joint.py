"""Joint fits of several curves that share parameters, and tests between nested fits."""

from collections.abc import Collection, Sequence

import numpy as np
from scipy.special import fdtrc

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.fit import ITERATIONS, Fit, Places, best_of_starts, fit, refit
from immunotrace.doseresponse.models import BOTTOM, SLOPE, TOP, Model

_SCATTERED = 12


def sharing_places(model: Model, groups: int, shared: Collection[int]) -> Places:
    """`places` for `refit`: parameters in the order of the model, one for all groups or one each."""
    places: list[list[tuple[int, ...]]] = [[] for _ in range(groups)]
    count = 0
    for i in range(model.parameters):
        for group, place in enumerate(places):
            place.append((count if i in shared else count + group,))
        count += 1 if i in shared else groups
    return places


def fit_jointly(
    model: Model,
    groups: Sequence[Curves],
    shared: Collection[int],
    separate: Sequence[Fit] | None = None,
    iterations: int = ITERATIONS,
) -> Fit:
    """Fit the curves in the same column of all `groups` together, with some parameters in common.

    `shared`: model parameters (SLOPE, TOP, ...) that all groups have in common. `separate`: the
    groups' own fits, where they are known. The starts are the own fits with the shared parameters
    from their mean, from each group in turn and from the fit of all wells as one curve; all groups
    alike at that fit; then some scattered around the best (seeded). The parameters are in the order of `sharing_places`.
    """
    own = (
        [fit(model, group, iterations) for group in groups] if separate is None else list(separate)
    )
    if not shared:
        return _stacked(model, groups, own, iterations)
    places = sharing_places(model, len(groups), shared)
    pooled = fit(model, pool(groups), iterations).theta
    thetas = np.array([found.theta for found in own])
    starts = []
    for common in (thetas.mean(axis=0), *thetas):
        starts.append(_start(places, thetas, common, shared))
    starts.append(_start(places, thetas, pooled, shared))
    starts.append(_start(places, np.broadcast_to(pooled, thetas.shape), pooled, shared))
    found = _best(model, groups, np.stack(starts, axis=1), places, iterations)
    return _best(model, groups, _around(model, places, found), places, iterations)


def _best(model, groups, starts, places, iterations) -> Fit:
    """`best_of_starts` of starts with the shape (parameters, starts, problems)."""
    columns = np.repeat(np.arange(starts.shape[2]), starts.shape[1])
    each = starts.transpose(0, 2, 1).reshape(len(starts), -1)
    return best_of_starts(model, groups, each, columns, places, iterations)


def pool(groups: Sequence[Curves]) -> Curves:
    """The wells of all groups as one curve a column. Doses that groups share stay separate rows."""
    wide = [np.broadcast_to(group.log_dose, group.mean.shape) for group in groups]
    weights = [np.broadcast_to(group.weight, group.mean.shape) for group in groups]
    return Curves(
        np.concatenate(wide),
        np.concatenate([group.mean for group in groups]),
        np.concatenate(weights),
        sum(group.wells for group in groups),
        sum(group.scatter for group in groups),
    )


def f_test(reduced: Fit, full: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Extra-sum-of-squares F test of nested fits: F and its p value, each (problems,)."""
    extra = reduced.df - full.df
    f = np.maximum(reduced.rss - full.rss, 0.0) / extra / full.variance
    return f, fdtrc(extra, full.df, f)


def aicc(found: Fit) -> np.ndarray:
    """Akaike's criterion corrected for small samples (Hurvich & Tsai 1989), constants left out.

    NaN where the wells are too few for the correction.
    """
    parameters = len(found.free) + 1  # the variance is one
    wells = found.df + len(found.free)
    left = wells - parameters - 1
    correction = np.where(left > 0, 2 * parameters * (parameters + 1) / np.maximum(left, 1), np.nan)
    return wells * np.log(found.rss / wells) + 2 * parameters + correction


def _stacked(model, groups, own, iterations) -> Fit:
    """Nothing shared: the joint fit is the own fits side by side."""
    places = sharing_places(model, len(groups), ())
    start = _start(places, np.array([found.theta for found in own]), own[0].theta, ())
    return refit(model, groups, start, places, iterations=iterations)


def _around(model: Model, places: Places, found: Fit) -> np.ndarray:
    """The fit itself and starts scattered around it, (parameters, starts, problems)."""
    rng = np.random.default_rng(0)
    scatter = rng.standard_normal((len(found.theta), _SCATTERED, 1))
    theta = np.repeat(found.theta[:, None], 1 + _SCATTERED, axis=1)
    for place in places:
        span = np.abs(found.theta[place[TOP][0]] - found.theta[place[BOTTOM][0]])
        for i, (j,) in enumerate(place):
            size = {SLOPE: 0.5 * found.theta[j], TOP: 0.2 * span, BOTTOM: 0.2 * span}.get(i, 1.0)
            theta[j, 1:] = found.theta[j] + size * scatter[j]
    return theta


def _start(places, own, common, shared):
    size = 1 + max(j for place in places for (j,) in place)
    start = np.empty((size, own.shape[2]))
    for place, theta in zip(places, own, strict=True):
        for i, (j,) in enumerate(place):
            start[j] = common[i] if i in shared else theta[i]
    return start
