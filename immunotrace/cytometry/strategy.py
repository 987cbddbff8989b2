"""Gates, scales and compensation matrices of a gating strategy, as plain data.

The names and attributes are FlowKit's, so what works on these works on the gates that FlowKit reads
from a workspace. FlowKit itself takes longer to import than a file takes to be counted, and is imported
where it is used. Scales are those of Gating-ML 2.0 (Spidlen et al. 2015, Cytometry A 87A:683), computed
by FlowUtils, as FlowKit does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flowutils import transforms

Key = tuple[str, ...]  # a gate's path of names, without "root"


@dataclass
class Strategy:
    """Gates by their paths, parents first, and what their dimensions refer to, by ID."""

    gates: dict[Key, Any] = field(default_factory=dict)
    transformations: dict[str, Any] = field(default_factory=dict)
    comp_matrices: dict[str, Any] = field(default_factory=dict)

    def paths(self) -> Iterator[Key]:
        """The paths of all gates and of the quadrants in them, parents first."""
        for key, gate in self.gates.items():
            yield key
            if kind(gate) == "QuadrantGate":
                yield from ((*key, name) for name in gate.quadrants)


def kind(thing: Any) -> str:
    """What a gate, dimension, scale or matrix is, ours or FlowKit's: the name of its class."""
    return type(thing).__name__


def of_flowkit(strategy) -> Strategy:
    """The gates of an fk.GatingStrategy; they are shared, not copied."""
    from flowkit.exceptions import QuadrantReferenceError

    found = {}
    for name, ancestors in strategy.get_gate_ids():
        try:
            found[*ancestors[1:], name] = strategy.get_gate(name, ancestors)
        except QuadrantReferenceError:  # a single quadrant is not a gate
            continue
    return Strategy(found, dict(strategy.transformations), dict(strategy.comp_matrices))


# --- gates --------------------------------------------------------------------------------------


@dataclass
class Dimension:
    id: str
    compensation_ref: str = "uncompensated"
    transformation_ref: str | None = None
    min: float | None = None
    max: float | None = None


@dataclass
class RatioDimension:
    ratio_ref: str
    compensation_ref: str
    transformation_ref: str | None = None
    min: float | None = None
    max: float | None = None


@dataclass
class QuadrantDivider:
    id: str
    dimension_ref: str
    compensation_ref: str
    values: list[float]
    transformation_ref: str | None = None


@dataclass
class RectangleGate:
    gate_name: str
    dimensions: list[Any]
    use_complement: bool = False


@dataclass
class PolygonGate:
    gate_name: str
    dimensions: list[Any]
    vertices: list[Any]
    use_complement: bool = False


@dataclass
class EllipsoidGate:
    gate_name: str
    dimensions: list[Any]
    coordinates: list[float]
    covariance_matrix: list[list[float]]
    distance_square: float


@dataclass
class Quadrant:
    id: str
    ranges: dict[str, tuple[float | None, float | None]]

    @property
    def divider_refs(self) -> list[str]:
        return list(self.ranges)

    def get_divider_range(self, divider: str) -> tuple[float | None, float | None]:
        return self.ranges[divider]


@dataclass
class QuadrantGate:
    gate_name: str
    dimensions: list[QuadrantDivider]
    quadrants: dict[str, Quadrant]


@dataclass
class BooleanGate:
    """`type` is and, or, not; each of `gate_refs` has ref, path ("root" first) and complement."""

    gate_name: str
    type: str
    gate_refs: list[dict[str, Any]]
    dimensions: tuple = ()


@dataclass
class Matrix:
    """A spillover matrix (n, n), a row a fluorochrome, a column a detector."""

    matrix: np.ndarray
    detectors: list[str]
    fluorochromes: list[str]


# --- scales -------------------------------------------------------------------------------------


@dataclass
class RatioTransform:
    dimensions: list[str]
    param_a: float
    param_b: float
    param_c: float


@dataclass
class LinearTransform:
    param_t: float
    param_a: float

    def apply(self, events: np.ndarray) -> np.ndarray:
        return (events + self.param_a) / (self.param_t + self.param_a)

    def inverse(self, events: np.ndarray) -> np.ndarray:
        return events * (self.param_t + self.param_a) - self.param_a


class _OfFlowUtils:
    """A scale that FlowUtils computes; its parameters are t, w, m and a, as far as it has them."""

    def apply(self, events: np.ndarray) -> np.ndarray:
        return self._call(self._function, events)

    def inverse(self, events: np.ndarray) -> np.ndarray:
        return self._call(f"{self._function}_inverse", events)

    def _call(self, name: str, events: np.ndarray) -> np.ndarray:
        parameters = {key.removeprefix("param_"): value for key, value in vars(self).items()}
        return getattr(transforms, name)(events, None, **parameters)


@dataclass
class LogTransform(_OfFlowUtils):
    _function = "log"
    param_t: float
    param_m: float


@dataclass
class AsinhTransform(_OfFlowUtils):
    _function = "asinh"
    param_t: float
    param_m: float
    param_a: float


@dataclass
class LogicleTransform(_OfFlowUtils):
    _function = "logicle"
    param_t: float
    param_w: float
    param_m: float
    param_a: float


@dataclass
class HyperlogTransform(_OfFlowUtils):
    _function = "hyperlog"
    param_t: float
    param_w: float
    param_m: float
    param_a: float
