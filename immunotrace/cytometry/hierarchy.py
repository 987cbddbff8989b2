"""The gating hierarchy of an acquisition as data to draw: what each gate saw, and its outline.

A step is a pair of axes on which one or more gates cut the same parent population. Its events are
counted in the cells of a grid on the scale of the gates, so that every event is in the picture and
no raw event leaves the raw files.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import FcsFile
from immunotrace.cytometry.gates import EventTable, Gating, column_of
from immunotrace.cytometry.strategy import Dimension, Strategy, kind
from immunotrace.cytometry.template import logicle

HIERARCHY_COLUMNS = ("acquisition", "step", "item", "name", "x", "y", "value")
CELLS = 80  # along each axis of a step
_TICKS = (-1000.0, 0.0, 1000.0, 10_000.0, 100_000.0)
_AT_ONCE = 1 << 16
_FOR_ENDS = 100_000  # events, evenly through the file, that say where an axis begins and ends
_CURVE = 60  # points of an outline that is curved, or that becomes so


class _Axis:
    """One axis of a step, on the scale of its gates.

    Gates are on the scale of their transform, or linear. Linear fluorescence is shown on the logicle
    scale all the same, for on a linear one all is in a corner.
    """

    def __init__(self, dimension, gating: Gating, fcs: FcsFile, sources, scale) -> None:
        self.column = column_of(fcs, dimension.id)
        if self.column is None:
            return
        channel, label = fcs.channels[self.column], fcs.labels[self.column]
        self.label = f"{label} ({channel})" if label and label != channel else channel
        transform = gating.strategy.transformations.get(dimension.transformation_ref)
        self.logarithmic = True
        self.from_gate = lambda values: values
        if transform is not None:
            self.to_display = transform.apply
        elif channel.upper().startswith(("FSC", "SSC", "TIME")):
            self.to_display, self.logarithmic = self.from_gate, False
        else:
            self.to_display = self.from_gate = lambda values: logicle(values, scale)
        self._source = sources.get(dimension.compensation_ref, sources[None])

    def some_places(self, members: np.ndarray, every: int) -> np.ndarray:
        """Where one event in `every` of a mask lies."""
        parts, seen = [np.zeros(0)], 0
        for (values,) in self._source.column_blocks([self.column], members):
            parts.append(values[-seen % every :: every].copy())  # a view keeps its block
            seen += len(values)
        return self._displayed(np.concatenate(parts))

    def cells(self, members: np.ndarray, low: float, high: float) -> np.ndarray:
        """The cell of each event of a mask on a grid from low to high."""
        parts = [np.zeros(0, np.uint8)]
        for (values,) in self._source.column_blocks([self.column], members):
            cell = (self._displayed(values) - low) / (high - low) * CELLS
            parts.append(np.clip(cell, 0, CELLS - 1).astype(np.uint8))
        return np.concatenate(parts)

    def _displayed(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            places = self.to_display(values)
        return np.where(np.isnan(places), -np.inf, places)  # a logarithm of what is negative


def hierarchy_rows(
    acquisition: str,
    fcs: FcsFile,
    table: EventTable,
    events: Events,
    inside: Mapping[str, np.ndarray],
    gating: Gating,
    scale: Mapping[str, float],
) -> list[dict[str, Any]]:
    """The rows of `HIERARCHY_COLUMNS` of one acquisition.

    `table` holds the kept events as the gates were applied to them, `events` (n, channels) the same
    compensated as the panel wants; `inside` is the mask of each population; `scale` the logicle
    parameters of the panel. Items:

    - parent: name, value the number of events in it
    - x_axis, y_axis: name; x and y the ends of the grid, value the number of cells between
    - x_tick, y_tick: x the place, value the linear value there; none where the axis is linear
    - gate: name the population, x and y the corners of its outline in turn (empty: without end),
      value its percent of the parent
    - cell: x and y its column and row from 0, value its number of events. Events beyond the grid
      count in the cell at its edge.

    Boolean gates have no outline and gates on ratios no axis: they make no step. Of a gate on more
    than two channels the outline is that on the first two.
    """
    steps: dict[tuple, dict[str, np.ndarray]] = {}
    for key, population in gating.populations.items():
        found = _outline(gating.strategy, key)
        if found is not None:
            dimensions, outline = found
            names = tuple((d.id, d.transformation_ref, d.compensation_ref) for d in dimensions)
            step = steps.setdefault((population.rpartition("/")[0], names), {"": dimensions})
            step[population] = outline
    matrices = gating.strategy.comp_matrices
    sources = {name: table.compensated(matrix) for name, matrix in matrices.items()}
    sources |= {None: events, "uncompensated": table.events}
    rows: list[dict[str, Any]] = []
    for (parent, _), outlines in steps.items():
        dimensions = outlines.pop("")
        axes = [_Axis(d, gating, fcs, sources, scale) for d in dimensions]
        if len(axes) == 1:
            axes.append(_Axis(_second(fcs, dimensions[0].id), gating, fcs, sources, scale))
        if any(axis.column is None for axis in axes):
            continue
        members = inside[parent] if parent else np.ones(len(events), bool)
        number = rows[-1]["step"] + 1 if rows else 0
        made = _step_rows(parent, axes, members, outlines, inside)
        rows += [{"acquisition": acquisition, "step": number, **row} for row in made]
    return rows


def _step_rows(parent, axes, members, outlines, inside) -> list[dict[str, Any]]:
    total = int(members.sum())
    rows: list[dict[str, Any]] = [{"item": "parent", "name": parent, "value": total}]
    drawn = {name: _displayed(axes, outline) for name, outline in outlines.items()}
    every = max(1, total // _FOR_ENDS)
    cells = []
    for place, (letter, axis) in enumerate(zip("xy", axes, strict=True)):
        corners = np.concatenate([corner[:, place] for corner in drawn.values()])
        low, high = _ends(axis.some_places(members, every), corners[np.isfinite(corners)])
        rows.append(
            {"item": f"{letter}_axis", "name": axis.label, "x": low, "y": high, "value": CELLS}
        )
        if axis.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                ticks = axis.to_display(np.array(_TICKS))
            rows += [
                {"item": f"{letter}_tick", "x": round(float(at), 5), "value": value}
                for at, value in zip(ticks, _TICKS, strict=True)
                if low <= at <= high
            ]
        cells.append(axis.cells(members, low, high))
    for name, corners in drawn.items():
        share = 100 * float(inside[name].sum()) / total if total else np.nan
        rows += [
            {
                "item": "gate",
                "name": name,
                "x": _corner(x),
                "y": _corner(y),
                "value": round(share, 4),
            }
            for x, y in corners
        ]
    counts = np.zeros(CELLS**2, int)
    for start in range(0, total, _AT_ONCE):  # a count of all at once takes 8 bytes an event
        x, y = (cell[start : start + _AT_ONCE].astype(np.intp) for cell in cells)
        counts += np.bincount(x * CELLS + y, minlength=CELLS**2)
    rows += [
        {"item": "cell", "x": int(place) // CELLS, "y": int(place) % CELLS, "value": int(count)}
        for place, count in enumerate(counts)
        if count
    ]
    return rows


def _ends(values: np.ndarray, corners: np.ndarray) -> tuple[float, float]:
    """Where an axis begins and ends: nearly all events, and gates' corners that are not far off."""
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.001, 0.999]) if len(values) else (0.0, 1.0)
    reach = 0.3 * (high - low)
    near = corners[(corners >= low - reach) & (corners <= high + reach)]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.06 * (high - low) or 0.5
    return round(float(low - margin), 5), round(float(high + margin), 5)


def _corner(value: float) -> float:
    return round(float(value), 5) if np.isfinite(value) else np.nan


def _displayed(axes, outline: np.ndarray) -> np.ndarray:
    """An outline on the scale of the axes; with one column, a gate on the x axis alone."""
    if outline.shape[1] == 1:
        low, high = outline[:, 0]
        outline = _rectangle((low, high), (-np.inf, np.inf))
    columns = []
    for axis, values in zip(axes, outline.T, strict=True):
        ends = np.isfinite(values)
        columns.append(np.where(ends, axis.from_gate(np.where(ends, values, 0.0)), values))
    return np.column_stack(columns)


def _rectangle(x, y) -> np.ndarray:
    return np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], float)


def _outline(strategy: Strategy, key: tuple[str, ...]):
    """The first two dimensions of a gate and its corners (n, 2) on their scale; (2, 1) with one."""
    gate = strategy.gates.get(key)
    if gate is None:  # one of the quadrants of the gate above
        gate = strategy.gates[key[:-1]]
        dividers = gate.dimensions[:2]
        quadrant = gate.quadrants[key[-1]]
        cut = quadrant.divider_refs  # a quadrant may lie across a divider
        ends = [quadrant.get_divider_range(d.id) if d.id in cut else (None, None) for d in dividers]
        ends = [_open(low, high) for low, high in ends]
        dimensions = [
            Dimension(d.dimension_ref, d.compensation_ref, d.transformation_ref) for d in dividers
        ]
        return dimensions, _rectangle(*ends) if len(ends) == 2 else np.array(ends).T
    dimensions = gate.dimensions[:2]
    if any(kind(d) == "RatioDimension" for d in dimensions):
        return None
    if kind(gate) == "RectangleGate":
        ends = [_open(d.min, d.max) for d in dimensions]
        return dimensions, _rectangle(*ends) if len(ends) == 2 else np.array(ends).T
    if kind(gate) == "PolygonGate":
        return dimensions, _dense(np.array(gate.vertices, float))
    if kind(gate) == "EllipsoidGate" and len(gate.dimensions) == 2:
        angles = np.linspace(0, 2 * np.pi, _CURVE, endpoint=False)
        circle = np.sqrt(gate.distance_square) * np.vstack([np.cos(angles), np.sin(angles)])
        root = np.linalg.cholesky(np.array(gate.covariance_matrix, float))
        return dimensions, np.array(gate.coordinates, float) + (root @ circle).T
    return None


def _open(low, high) -> tuple[float, float]:
    return (-np.inf if low is None else float(low), np.inf if high is None else float(high))


def _dense(corners: np.ndarray) -> np.ndarray:
    """A polygon with points along its sides, which are curves where the axis is not the gate's."""
    parts = max(_CURVE // len(corners), 1)
    steps = np.arange(parts)[:, None] / parts
    following = np.roll(corners, -1, axis=0)
    sides = [a + steps * (b - a) for a, b in zip(corners, following, strict=True)]
    return np.concatenate(sides)


def _second(fcs: FcsFile, first: str):
    """A second axis for a gate on one channel: side scatter, or what the file has in its place."""
    for start in ("SSC", "FSC"):
        for channel in fcs.channels:
            if channel.upper().startswith(start) and channel != first:
                return Dimension(channel)
    return Dimension(next((c for c in fcs.channels if c != first), first))
