"""Which events each population holds: FlowKit's gating strategies, applied in blocks with NumPy.

The same events as FlowKit's `GatingStrategy.gate_sample` finds, with less work: a gate sees the
events of its parent only; a channel is compensated or transformed for the events that a gate needs;
the edges of rectangles and quadrants are brought back to the linear scale instead of the events to
the scale of the edges. Where rounding could decide (an event within 1e-9 of an edge), and where a
transform has no such inverse (outside its domain, NaN), the transform itself is asked. What the
engine does not cover is named by `uncovered` and left to FlowKit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

import numpy as np
from flowutils import gating

from immunotrace.cytometry.events import unmixed
from immunotrace.cytometry.logicle import logicle_scale
from immunotrace.cytometry.spillover import Spillover, matrix_columns, spillover_inverse
from immunotrace.cytometry.strategy import Key, Strategy, kind

_TRANSFORMS = (
    *("LinearTransform", "LogTransform", "LogicleTransform", "HyperlogTransform"),
    *("AsinhTransform", "WSPLogTransform", "WSPBiexTransform"),
)
_GATES = ("RectangleGate", "PolygonGate", "EllipsoidGate", "QuadrantGate", "BooleanGate")
_NEAR = 1e-9  # relative; the rounding of transforms and covariances is below 1e-12


class Membership(Mapping[str, np.ndarray]):
    """Which events each population holds: population path -> boolean (n_events,), parents first.

    Kept as bits, an eighth of the size of booleans. `left_to_flowkit` says why FlowKit counted
    ("" where the engine did).
    """

    def __init__(self, populations: Sequence[str], left_to_flowkit: str = "") -> None:
        self._bits: dict[str, list[np.ndarray]] = {population: [] for population in populations}
        self._sizes: list[int] = []
        self.counts = dict.fromkeys(populations, 0)
        self.left_to_flowkit = left_to_flowkit

    def add_block(self, size: int, masks: Mapping[str, np.ndarray]) -> None:
        """The next `size` events: a mask for each population."""
        self._sizes.append(size)
        for population, mask in masks.items():
            self._bits[population].append(np.packbits(mask))
            self.counts[population] += int(np.count_nonzero(mask))

    def __getitem__(self, population: str) -> np.ndarray:
        out, done = np.empty(sum(self._sizes), bool), 0
        for bits, size in zip(self._bits[population], self._sizes, strict=True):
            out[done : done + size] = np.unpackbits(bits, count=size)
            done += size
        return out

    def __iter__(self) -> Iterator[str]:
        return iter(self._bits)

    def __len__(self) -> int:
        return len(self._bits)


def uncovered(strategy: Strategy) -> list[str]:
    """What of a strategy the engine does not cover, in words; empty if it does."""
    found = []
    for key, gate in strategy.gates.items():
        name = "/".join(key)
        if kind(gate) not in _GATES:
            found.append(f"gate {name} is a {kind(gate)}")
            continue
        matrices = {d.compensation_ref for d in gate.dimensions} - {None, "uncompensated"}
        if len(matrices) > 1:
            found.append(f"gate {name} mixes compensation matrices")
        for reference in matrices - {"FCS"}:
            if kind(strategy.comp_matrices.get(reference)) != "Matrix":
                found.append(f"gate {name} has the compensation {reference!r}")
        for reference in {d.transformation_ref for d in gate.dimensions} - {None}:
            if kind(strategy.transformations.get(reference)) not in _TRANSFORMS:
                found.append(f"gate {name} has the transformation {reference!r}")
    return found


def gate_events(strategy: Strategy, populations: Mapping[Key, str], table: Any) -> Membership:
    """Apply a strategy to an `immunotrace.cytometry.gates.EventTable`.

    `populations` maps gate paths to the names in the result. Raises LookupError
    where the table lacks a channel or the strategy a reference, InputError where a matrix cannot be
    inverted.
    """
    plan = _Plan(strategy, table)
    # Where a piece of this size was once freed, glibc keeps that much for the next block instead of
    # giving it back and taking it again, page by page (mallopt(3), M_TRIM_THRESHOLD).
    np.empty(1 << 22, np.uint8)
    membership = Membership(list(populations.values()))
    for block in table.blocks():
        masks = plan.masks(block)
        membership.add_block(len(block), {name: masks[key] for key, name in populations.items()})
    return membership


# --- columns ------------------------------------------------------------------------------------


class _Column(NamedTuple):
    """A column that gates look at: a channel, compensated by a matrix or not, or a ratio of two."""

    channel: int = -1
    matrix: str | None = None
    ratio: str | None = None


class _Population:
    """The events of a block that a population holds, and their columns as far as asked for."""

    def __init__(self, plan: "_Plan", block: np.ndarray, parent: "_Population | None", inside):
        self.plan, self.block, self.parent, self.inside = plan, block, parent, inside
        self.rows = inside  # None for all events of the block
        if parent is not None and parent.rows is not None:
            self.rows = parent.rows.take(inside)
        self._columns: dict[Any, np.ndarray] = {}
        self._bounds: dict[_Column, tuple[float, float]] = {}
        self._reached: dict[tuple[_Column, int], np.ndarray] = {}
        self._places: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.block) if self.rows is None else len(self.rows)

    def _places_in(self, ancestor: "_Population") -> np.ndarray:
        """Where these events are among those of an ancestor."""
        if ancestor is self.parent:
            return self.inside
        if id(ancestor) not in self._places:
            places = self.parent._places_in(ancestor).take(self.inside)
            self._places[id(ancestor)] = places
        return self._places[id(ancestor)]

    def values(self, column: _Column) -> np.ndarray:
        """Linear values, float64 (n,)."""
        return self._values(column, self._compute)

    def bounds(self, column: _Column) -> tuple[float, float]:
        """Numbers that no value of the column is beyond; NaN where there is a NaN."""
        population = self
        while population is not None:
            if column in population._bounds:
                return population._bounds[column]
            population = population.parent
        values = self.values(column)
        self._bounds[column] = values.min(initial=np.inf), values.max(initial=-np.inf)
        return self._bounds[column]

    def reached(self, column: _Column, edge: "_Edge") -> np.ndarray:
        """Which values are at the edge or above; not to be changed."""
        key = column, id(edge)
        if key not in self._reached:
            self._reached[key] = edge.reached(self.values(column))
        return self._reached[key]

    def shown(self, column: _Column, transform: str | None) -> np.ndarray:
        """Values on the scale of a transform, float64 (n,)."""
        if transform is None:
            return self.values(column)
        return self._values((column, transform), self._compute_shown)

    def _values(self, key, compute: Callable) -> np.ndarray:
        if key not in self._columns:
            ancestor = self.parent
            while ancestor is not None and key not in ancestor._columns:
                ancestor = ancestor.parent
            if ancestor is None:
                compute(key)
            else:
                self._columns[key] = ancestor._columns[key].take(self._places_in(ancestor))
        return self._columns[key]

    def _compute(self, column: _Column) -> None:
        if column.ratio is not None:
            transform, (top, bottom) = self.plan.ratios[column.ratio]
            with np.errstate(divide="ignore", invalid="ignore"):
                self._columns[column] = transform.param_a * (
                    (self.values(top) - transform.param_b)
                    / (self.values(bottom) - transform.param_c)
                )
        elif column.matrix is None:
            raw = self.block[:, column.channel]
            picked = raw if self.rows is None else raw[self.rows]
            self._columns[column] = picked.astype(np.float64)
        else:  # all channels that gates want of the matrix: one multiplication
            of_matrix, inverse, wanted = self.plan.matrices[column.matrix]
            block = self.block if self.rows is None else self.block.take(self.rows, axis=0)
            compensated = unmixed(block, of_matrix, inverse)
            self._columns |= dict(zip(wanted, compensated, strict=True))

    def _compute_shown(self, key: tuple[_Column, str]) -> None:
        column, transform = key
        self._columns[key] = self.plan.transformed(self.values(column), transform)


# --- edges --------------------------------------------------------------------------------------


class _Edge:
    """`transform(x) >= value` as a comparison of linear values."""

    def __init__(self, value: float, transform, low: float, high: float) -> None:
        """From `low` on it may be, from `high` on it is the case; `transform` decides between."""
        self.value, self.transform = value, transform
        self.low, self.high = low, high

    def reached(self, x: np.ndarray) -> np.ndarray:
        above = x >= self.high
        if self.low != self.high:
            candidates = x >= self.low
            if np.count_nonzero(candidates) != np.count_nonzero(above):
                unsure = np.flatnonzero(candidates & ~above)
                above[unsure] = _apply(self.transform, x[unsure]) >= self.value
        return above


def _apply(transform, values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return transform.apply(values.reshape(-1, 1)).reshape(-1)


def _domain(transform) -> tuple[float, float]:
    """Where a transform rises (or stands still) and has no NaN."""
    if transform is None:
        return -np.inf, np.inf
    if kind(transform) == "LogTransform":
        return 1e-300, 1e300
    if kind(transform) in ("WSPLogTransform", "WSPBiexTransform"):
        return -1e300, 1e300
    # Of logicle and hyperlog FlowUtils knows no solution where values are absurd.
    return -1e9 * abs(transform.param_t), 1e9 * abs(transform.param_t)


def _edges(transform, values: Sequence[float]) -> list[_Edge]:
    """The edges at `values` of one transform, found by halving where its inverse does not do."""
    bottom, top = _domain(transform)
    wanted = np.array(values, float)
    scale = getattr(transform, "param_t", getattr(transform, "max_value", 0.0))

    def margin(x: np.ndarray) -> np.ndarray:
        return _NEAR * np.abs(x) + 1e-3 * _NEAR * abs(scale)

    def found(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        ends = _apply(transform, np.concatenate([low, high])).reshape(2, -1)
        return (ends[0] < wanted) & (ends[1] >= wanted) & (bottom <= low) & (high <= top)

    try:
        with np.errstate(over="ignore", invalid="ignore"):
            guess = transform.inverse(wanted.reshape(-1, 1)).reshape(-1).astype(float)
    except (AttributeError, NotImplementedError):
        guess = np.full(len(wanted), np.nan)
    low, high = guess - margin(guess), guess + margin(guess)
    good = found(low, high)
    for at in np.flatnonzero(~good):
        value = wanted[at]
        ends = _apply(transform, np.array([bottom, top]))
        if ends[0] >= value or not ends[1] >= value:  # all of the domain is on one side
            low[at] = high[at] = -np.inf if ends[0] >= value else np.inf
            continue
        below, above = bottom, top
        while above - below > margin(np.array([above]))[0]:
            # Halve the exponent while the ends are far apart, then the distance.
            middle = _middle(below, above)
            if middle in (below, above):
                break
            reached = _apply(transform, np.array([middle]))[0] >= value
            below, above = (below, middle) if reached else (middle, above)
        low[at], high[at] = (
            below - margin(np.array([below]))[0],
            above + margin(np.array([above]))[0],
        )
    return [
        _Edge(float(value), transform, float(a), float(b))
        for value, a, b in zip(wanted, low, high, strict=True)
    ]


def _middle(low: float, high: float) -> float:
    squashed = np.arcsinh(np.array([low, high]) * 1e3)
    return float(np.sinh(squashed.mean()) / 1e3)


@dataclass(frozen=True)
class _Range:
    """`minimum <= x < maximum` on the scale of a transform, as Gating-ML 2.0 has it."""

    column: _Column
    transform: Any
    domain: tuple[float, float]
    minimum: _Edge | None
    maximum: _Edge | None  # one of them at least

    def inside(self, population: _Population) -> np.ndarray:
        least, most = population.bounds(self.column)
        bottom, top = self.domain
        if not (least >= bottom and most <= top):  # nor with NaN
            return self._by_transform(population.values(self.column))
        if self.maximum is None:
            return population.reached(self.column, self.minimum)
        below = ~population.reached(self.column, self.maximum)
        if self.minimum is not None:
            below &= population.reached(self.column, self.minimum)
        return below

    def _by_transform(self, x: np.ndarray) -> np.ndarray:
        shown = x if self.transform is None else _apply(self.transform, x)
        mask = np.ones(len(x), bool)
        if self.minimum is not None:
            mask &= shown >= self.minimum.value
        if self.maximum is not None:
            mask &= shown < self.maximum.value
        return mask


# --- the plan -----------------------------------------------------------------------------------


class _Plan:
    """A strategy for the channels of one table: a test for each gate, in the order of need."""

    def __init__(self, strategy: Strategy, table) -> None:
        self._strategy, self._table = strategy, table
        self.ratios: dict[str, tuple[Any, tuple[_Column, _Column]]] = {}
        self.matrices: dict[str, tuple[list[int], np.ndarray, list[_Column]]] = {}
        self._spread: dict[str, tuple[list[int], np.ndarray]] = {}
        self._tests: dict[Key, Callable[[_Population], np.ndarray]] = {}
        self._parents: dict[Key, Key] = {}
        self._booleans: dict[Key, Any] = {}
        self._ranges: dict[str | None, list[float]] = {}
        needs: dict[Key, set[Key]] = {}
        ranged: list[tuple[Key, Callable, bool, list[tuple]]] = []
        for key, gate in strategy.gates.items():
            self._add(key, gate, needs, ranged)
        edges = {
            (reference, value): edge
            for reference, values in self._ranges.items()
            for value, edge in zip(values, self._make_edges(reference, values), strict=True)
        }
        for key, test, complement, dimensions in ranged:
            ranges = [
                self._range(
                    column, reference, edges.get((reference, low)), edges.get((reference, high))
                )
                for column, reference, low, high in dimensions
                if low is not None or high is not None
            ]
            self._tests[key] = partial(test, ranges, complement)
        for reference, (_, _, wanted) in self.matrices.items():
            columns, inverse = self._spread[reference]
            positions = [columns.index(column.channel) for column in wanted]
            self.matrices[reference] = (columns, inverse[:, positions], wanted)
        self._order = list(TopologicalSorter(needs).static_order())
        self._with_children = {parent for parent in self._parents.values() if parent}

    def masks(self, block: np.ndarray) -> dict[Key, np.ndarray]:
        """Which events of a block each gate and quadrant holds, within its parents."""
        populations = {(): _Population(self, block, None, None)}
        masks: dict[Key, np.ndarray] = {}
        for key in self._order:
            parent_key = self._parents[key]
            if key in self._booleans:
                mask = self._combine(self._booleans[key], masks)
                if parent_key:
                    mask &= masks[parent_key]
                masks[key] = mask
                if key in self._with_children:
                    whole = populations[()]
                    populations[key] = _Population(self, block, whole, np.flatnonzero(mask))
                continue
            parent = populations[parent_key]
            inside = np.zeros(0, bool) if not len(parent) else self._tests[key](parent)
            if parent.rows is None:
                masks[key] = inside
            else:
                masks[key] = np.zeros(len(block), bool)
                masks[key][parent.rows] = inside
            if key in self._with_children:
                populations[key] = _Population(self, block, parent, np.flatnonzero(inside))
        return masks

    def transformed(self, values: np.ndarray, reference: str) -> np.ndarray:
        transform = self._strategy.transformations[reference]
        if kind(transform) == "LogicleTransform" and len(values):
            top = transform.param_t
            if np.abs(values).max() <= 1e3 * top:  # not so with NaN
                scale = logicle_scale(top, transform.param_w, transform.param_m, transform.param_a)
                return scale(values)
        return _apply(transform, values)

    def _add(self, key: Key, gate, needs, ranged) -> None:
        parent = key[:-1]
        if kind(gate) == "BooleanGate":
            operands = [
                ((*reference["path"][1:], reference["ref"]), reference["complement"])
                for reference in gate.gate_refs
            ]
            self._booleans[key] = (gate.type, operands)
            needs[key] = {operand for operand, _ in operands} | ({parent} - {()})
            self._parents[key] = parent
            return
        columns = [self._column(dimension, gate) for dimension in gate.dimensions]
        references = [dimension.transformation_ref for dimension in gate.dimensions]
        made = [key]
        if kind(gate) == "QuadrantGate":
            made = [(*key, name) for name in gate.quadrants]
            at = {divider.id: place for place, divider in enumerate(gate.dimensions)}
            for name, quadrant in gate.quadrants.items():
                dimensions = [
                    (
                        columns[at[divider]],
                        references[at[divider]],
                        *quadrant.get_divider_range(divider),
                    )
                    for divider in quadrant.divider_refs
                ]
                self._note_ranges(dimensions)
                ranged.append(((*key, name), _in_ranges, False, dimensions))
        elif kind(gate) == "RectangleGate":
            dimensions = [
                (column, reference, d.min, d.max)
                for column, reference, d in zip(columns, references, gate.dimensions, strict=True)
            ]
            self._note_ranges(dimensions)
            ranged.append((key, _in_ranges, gate.use_complement, dimensions))
        else:
            places = list(zip(columns, references, strict=True))
            if kind(gate) == "EllipsoidGate":
                self._tests[key] = _in_ellipsoid(gate, places)
            elif any(references):
                # Only events in the box round the polygon need to be transformed.
                corners = np.array(gate.vertices, float)
                tops = np.nextafter(corners.max(axis=0), np.inf).tolist()
                box = [
                    *zip(
                        *zip(*places, strict=True), corners.min(axis=0).tolist(), tops, strict=True
                    )
                ]
                self._note_ranges(box)
                ranged.append(
                    (key, partial(_in_boxed_polygon, gate, places), gate.use_complement, box)
                )
            else:
                self._tests[key] = partial(_in_polygon, gate, places, gate.use_complement)
        for one in made:
            self._parents[one] = parent
            needs[one] = {parent} - {()}

    def _note_ranges(self, dimensions) -> None:
        for _, reference, low, high in dimensions:
            values = self._ranges.setdefault(reference, [])
            values += [v for v in (low, high) if v is not None and v not in values]

    def _range(self, column, reference: str | None, minimum, maximum) -> _Range:
        transform = None if reference is None else self._strategy.transformations[reference]
        return _Range(column, transform, _domain(transform), minimum, maximum)

    def _make_edges(self, reference: str | None, values: list[float]) -> list[_Edge]:
        if reference is None:
            return [_Edge(value, None, value, value) for value in values]
        return _edges(self._strategy.transformations[reference], values) if values else []

    def _column(self, dimension, gate) -> _Column:
        # FlowKit compensates all dimensions of a gate if one is to be: so do we.
        matrices = {d.compensation_ref for d in gate.dimensions} - {None, "uncompensated"}
        matrix = next(iter(matrices), None)
        if kind(dimension) == "RatioDimension":
            transform = self._strategy.transformations[dimension.ratio_ref]
            of = [_Column(self._table.pnn_labels.index(name)) for name in transform.dimensions]
            self.ratios[dimension.ratio_ref] = transform, (of[0], of[1])
            return _Column(ratio=dimension.ratio_ref)
        name = getattr(dimension, "dimension_ref", dimension.id)
        channel = self._channel(name, dimension.compensation_ref)
        if matrix is None or (matrix == "FCS" and self._table.spillover is None):
            return _Column(channel)
        if matrix not in self.matrices:
            self._spread[matrix] = self._inverted(matrix)
            self.matrices[matrix] = ([], np.zeros(0), [])
        if channel not in self._spread[matrix][0]:
            return _Column(channel)
        column = _Column(channel, matrix)
        if column not in self.matrices[matrix][2]:
            self.matrices[matrix][2].append(column)
        return column

    def _channel(self, name: str, matrix: str | None) -> int:
        pnn = self._table.pnn_labels
        for names in (pnn, self._table.pns_labels, [n.replace("/", "_") for n in pnn]):
            if name in names:
                if names.count(name) > 1:
                    raise LookupError(f"{name} names {names.count(name)} channels")
                return names.index(name)
        of = self._strategy.comp_matrices.get(matrix)
        if of is not None and name in of.fluorochromes:
            return pnn.index(of.detectors[list(of.fluorochromes).index(name)])
        raise LookupError(f"{name} is not found as a channel label in {self._table}")

    def _inverted(self, reference: str) -> tuple[list[int], np.ndarray]:
        if reference == "FCS":
            spillover = self._table.spillover
            names = self._table.channels
        else:
            matrix = self._strategy.comp_matrices[reference]
            spillover = Spillover(tuple(matrix.detectors), matrix.matrix, f"matrix {reference}")
            names = self._table.pnn_labels
        return matrix_columns(spillover, names), spillover_inverse(spillover)

    @staticmethod
    def _combine(boolean: tuple, masks: Mapping[Key, np.ndarray]) -> np.ndarray:
        kind, operands = boolean
        parts = [~masks[key] if complement else masks[key] for key, complement in operands]
        if kind == "not":
            return ~parts[0]
        return (np.logical_and if kind == "and" else np.logical_or).reduce(parts)


def _in_ranges(ranges: Sequence[_Range], complement: bool, population: _Population) -> np.ndarray:
    if not ranges:
        return np.full(len(population), not complement)
    mask = ranges[0].inside(population)
    for one in ranges[1:]:
        mask = mask & one.inside(population)
    return ~mask if complement else mask


def _in_boxed_polygon(gate, places, box, complement: bool, population: _Population) -> np.ndarray:
    inside = np.full(len(population), complement)
    rows = np.flatnonzero(_in_ranges(box, False, population))
    boxed = _Population(population.plan, population.block, population, rows)
    inside[rows] = _in_polygon(gate, places, complement, boxed)
    return inside


def _in_polygon(gate, places, complement: bool, population: _Population) -> np.ndarray:
    points = np.empty((len(population), 2))
    for axis, (column, reference) in enumerate(places):
        points[:, axis] = population.shown(column, reference)
    inside = gating.points_in_polygon(np.array(gate.vertices, np.float64), points)
    return ~inside if complement else inside


def _in_ellipsoid(gate, places) -> Callable[[_Population], np.ndarray]:
    centre = np.array(gate.coordinates, float)
    inverse = np.linalg.inv(gate.covariance_matrix)
    limit = gate.distance_square

    def test(population: _Population) -> np.ndarray:
        offsets = np.empty((len(places), len(population)))
        for axis, (column, reference) in enumerate(places):
            np.subtract(population.shown(column, reference), centre[axis], out=offsets[axis])
        with np.errstate(invalid="ignore", over="ignore"):
            squared = np.einsum("ik,ik->k", inverse @ offsets, offsets)
        inside = squared <= limit
        near = np.flatnonzero(np.abs(squared - limit) <= _NEAR * abs(limit))
        if len(near):
            points = np.column_stack(
                [population.shown(column, reference)[near] for column, reference in places]
            )
            inside[near] = gating.points_in_ellipsoid(gate.covariance_matrix, centre, limit, points)
        return inside

    return test
