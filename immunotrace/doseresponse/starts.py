"""Starts of fits from a grid over slope, midpoint and asymmetry.

Bottom and top are linear in every model, so at each point of the grid the best of them, and the sum
of squares that they leave, come from a projection: one matrix product for all points and curves.
"""

import numpy as np

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.models import (
    ASYMMETRY,
    BOTTOM,
    LOG_ZERO_DOSE,
    MIDPOINT,
    SLOPE,
    TOP,
    Model,
    evaluate,
)

_BLOCK = 128  # curves at once: their hundreds of grid points stay in the processor's cache
_FAR_STARTS = np.array([3.0, 10.0, 30.0, 60.0])  # in log dose, from the widest other starts


def grid_starts(model: Model, curves: Curves) -> tuple[np.ndarray, np.ndarray]:
    """Starts for `best_of_starts`: (parameters, starts), and the curve of each start, sorted.

    A start is a point of a grid over slope and midpoint (and asymmetry), with bottom and top by linear
    least squares, that is better than its neighbours: at its slope over all midpoints, and at the
    next slopes.
    """
    if curves.log_dose.shape[1] == 1:
        first, member = [0], np.zeros(curves.wells.size, int)
    else:
        design = np.concatenate([curves.log_dose, curves.weight])
        _, first, member = np.unique(design, axis=1, return_index=True, return_inverse=True)
    starts, places = [], []
    for i, column in enumerate(first):
        columns = np.flatnonzero(member == i)
        log_doses, weight = curves.log_dose[:, column], curves.weight[:, column]
        for grid in _grids(model, log_doses, weight):
            basis = _basis(model, grid, log_doses, weight)
            for block in np.array_split(columns, -(-columns.size // _BLOCK)):
                found, which = _peaks(model, grid, basis, weight, curves.mean[:, block])
                starts.append(found)
                places.append(block[which])
    starts, places = np.concatenate(starts, axis=1), np.concatenate(places)
    order = np.argsort(places, kind="stable")
    return starts[:, order], places[order]


def _grids(model, log_doses, weight):
    """Grids of parameters, each (parameters, slopes, midpoints): one a sign and asymmetry."""
    tested = np.unique(log_doses[(weight > 0) & (log_doses > LOG_ZERO_DOSE)])
    reach = max(np.ptp(tested), 1.0) if tested.size else 1.0
    spacing = np.median(np.diff(tested)) if tested.size > 1 else reach
    centre = (tested[0] + tested[-1]) / 2 if tested.size else 0.0
    # Curves from twenty times wider than the tested range to a step between two doses.
    slopes = np.geomspace(0.2 / reach, 9 / spacing, 20)
    # Evenly over the tested doses and beyond, then far out, where curves without a plateau begin.
    near = np.linspace(-1, 1, 29) * reach
    midpoints = centre + np.concatenate([-reach - _FAR_STARTS[::-1], near, reach + _FAR_STARTS])
    five = model.parameters > ASYMMETRY
    for sign in (1.0,) if model.symmetric else (1.0, -1.0):
        for asymmetry in np.log([0.01, 0.1, 0.4, 1, 3, 30]) if five else (0.0,):
            grid = np.zeros((model.parameters, slopes.size, midpoints.size))
            grid[SLOPE], grid[MIDPOINT] = sign * slopes[:, None], midpoints
            grid[TOP] = 1.0
            if five:
                grid[ASYMMETRY] = asymmetry
            yield grid


def _basis(model, grid, log_doses, weight):
    """What `_peaks` needs of a grid: unit directions (doses, points), their lengths, mean shapes."""
    shape, _, _ = evaluate(model, grid.reshape(model.parameters, -1), log_doses[:, None])
    offset = np.zeros(shape.shape[1]) if BOTTOM in model.held else weight @ shape / weight.sum()
    direction = (shape - offset) * np.sqrt(weight)[:, None]
    length = np.sqrt(np.sum(direction**2, axis=0))
    usable = length > 1e-14 * np.sqrt(weight.sum())
    length = np.where(usable, length, 1.0)
    return np.where(usable, direction / length, 0.0), length, offset


def _peaks(model, grid, basis, weight, mean):
    """The starts in a grid, (parameters, starts), and the curve of each, for curves of one design."""
    direction, length, offset = basis
    if BOTTOM in model.held:
        level = np.full(mean.shape[1], model.held[BOTTOM])
    else:
        level = weight @ mean / weight.sum()
    response = (mean - level) * np.sqrt(weight)[:, None]
    gain = response.T @ direction
    if model.symmetric:
        gain = np.abs(gain, out=gain)
    gain = gain.reshape(mean.shape[1], *grid.shape[1:])
    midpoint = gain.argmax(axis=2)
    profile = np.take_along_axis(gain, midpoint[:, :, None], axis=2)[:, :, 0]
    padded = np.pad(profile, ((0, 0), (1, 1)), constant_values=-np.inf)
    curve, slope = np.nonzero((profile > padded[:, :-2]) & (profile >= padded[:, 2:]))
    point = slope * grid.shape[2] + midpoint[curve, slope]
    start = grid.reshape(model.parameters, -1)[:, point]
    span = np.einsum("kn,kn->n", response[:, curve], direction[:, point]) / length[point]
    if not model.symmetric:
        span = np.maximum(span, 0.0)
    start[BOTTOM] = level[curve] - span * offset[point]
    start[TOP] = start[BOTTOM] + span
    return start, curve
