"""Gate templates: data-driven gates described once, placed on the events of each acquisition.

A template (YAML) lists *cuts*, one a marker, and *gates*:

    logicle: {T: 262144, W: 0.5, M: 4.5, A: 0}     # the scale on which cuts are placed
    threshold_populations: [lymphocytes/T cells]   # where FMO quantiles are taken
    cuts:
      CD3:  {method: valley, population: lymphocytes, single_peak: positive}
      IgD:  {method: quadrants, with: CD27, population: lymphocytes/B cells, single_peak: positive}
      CD27: {method: quadrants, with: IgD, population: lymphocytes/B cells}
      CCR7: {method: threshold}                    # one threshold a subject, given from outside
    gates:
      - {name: singlets, method: singlets, channels: [FSC-A, FSC-H]}
      - {name: lymphocytes, parent: singlets, method: scatter, channels: [FSC-A, SSC-A],
         minimum: [30000, 0]}
      - {name: T cells, parent: singlets/lymphocytes, method: cuts, above: [CD3]}

Structural gates (singlets, lymphocytes, valleys) are placed on every acquisition anew, for scatter
and staining intensity shift from day to day with the instrument and the antibody lot, and two
well-separated peaks show where the cut is without any control. Where a marker by itself shows no
valley, `quadrants` finds its cut and that of a second marker from both together
(`immunotrace.cytometry.quadrants`); that too is placed anew. Thresholds of dim, smeared markers
are not placed here: a valley would follow the very change that is to be measured, so each has one
value across a subject's time line (`immunotrace.cytometry.thresholds`). The logicle parameters are
fixed, so cuts of different days are on one scale.

This module needs NumPy and the logicle function only; `immunotrace.cytometry.gates` turns placed
gates into a FlowKit strategy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flowutils import transforms

from immunotrace.cytometry.events import Events, evenly
from immunotrace.cytometry.fcs import FcsFile, find_channel
from immunotrace.cytometry.placement import beside_peak, scatter_ellipse, singlet_polygon, valley
from immunotrace.cytometry.quadrants import quadrant_lines
from immunotrace.cytometry.template_file import DEFAULT_LOGICLE, path_of
from immunotrace.errors import InputError


def logicle(values: np.ndarray, scale: Mapping[str, float] = DEFAULT_LOGICLE) -> np.ndarray:
    """Linear values on the logicle scale of 0..1 (Moore and Parks 2012, Cytometry A 81A:273)."""
    return transforms.logicle(
        np.asarray(values, float), None, t=scale["T"], m=scale["M"], w=scale["W"], a=scale["A"]
    )


def logicle_inverse(values: np.ndarray, scale: Mapping[str, float] = DEFAULT_LOGICLE) -> np.ndarray:
    """The inverse of `logicle`."""
    return transforms.logicle_inverse(
        np.asarray(values, float), None, t=scale["T"], m=scale["M"], w=scale["W"], a=scale["A"]
    )


@dataclass(frozen=True)
class Cut:
    """Where a marker is cut: on the logicle scale, on the linear scale, and how it was found."""

    display: float
    linear: float
    found: str


@dataclass(frozen=True)
class PlacedGate:
    """One gate with its geometry: edges on the logicle scale (cuts), else on the linear scale."""

    name: str
    parent: str
    channels: tuple[str, ...]
    method: str
    edges: tuple[tuple[float | None, float | None], ...] = ()
    vertices: np.ndarray | None = None
    centre: np.ndarray | None = None
    covariance: np.ndarray | None = None
    distance: float | None = None

    @property
    def path(self) -> str:
        return f"{self.parent}/{self.name}" if self.parent else self.name


@dataclass
class Placement:
    """Gates placed on one acquisition, in the template's order, with the events inside each."""

    gates: list[PlacedGate] = field(default_factory=list)
    cuts: dict[str, Cut] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)


def find_cut(
    values: np.ndarray,
    scale: Mapping[str, float],
    single_peak: str = "negative",
    minimum_fraction: float = 0.002,
) -> Cut:
    """Cut linear `values` in the valley between two peaks, else beside the one peak there is."""
    between = valley(values, scale["T"], minimum_fraction)
    if between is not None:
        return _cut_at(between, scale, "valley")
    linear, found = beside_peak(values, scale["T"], single_peak, minimum_fraction)
    return _cut_at(linear, scale, found)


def _cut_at(linear: float, scale: Mapping[str, float], found: str) -> Cut:
    return Cut(float(logicle(np.array([linear]), scale)[0]), linear, found)


def place(
    template: Mapping[str, Any],
    fcs: FcsFile,
    events: np.ndarray,
    markers: Mapping[str, str],
    thresholds: Mapping[str, float],
    wanted: Iterable[str] | None = None,
) -> Placement:
    """Place a template's gates on compensated, linear `events` (n, channels) of `fcs`.

    `markers` gives each marker's channel ($PnN or $PnS), `thresholds` the linear value of the cuts
    with method `threshold`. With `wanted` (population paths) only those and what they stand on are
    placed. Of populations of more than `events.ENOUGH` events some tell where gates go. Raises InputError where a channel or a threshold is missing.
    """
    return _Placer(template, fcs, events, markers, thresholds).run(wanted)


class _Placer:
    def __init__(self, template, fcs, events, markers, thresholds):
        self.template, self.fcs = template, fcs
        self.events = events if isinstance(events, Events) else Events(events)
        self.markers, self.thresholds = markers, thresholds
        self.specs = {path_of(gate): gate for gate in template["gates"]}
        self.placed: dict[str, PlacedGate] = {}
        self.out = Placement(masks={"": np.ones(len(events), bool)})

    def run(self, wanted: Iterable[str] | None) -> Placement:
        for path in self.specs if wanted is None else wanted:
            self.mask(path)
        self.out.gates = [self.placed[path] for path in self.specs if path in self.placed]
        return self.out

    def mask(self, path: str) -> np.ndarray:
        if path not in self.out.masks:
            spec = self.specs[path]
            parent = self.mask(spec["parent"])
            gate, inside = getattr(self, "_" + spec["method"])(spec, parent)
            self.placed[path] = gate
            columns = [self.fcs.channels.index(channel) for channel in gate.channels]
            found = [inside(*part) for part in self.events.column_blocks(columns, parent)]
            self.out.masks[path] = parent.copy()
            self.out.masks[path][parent] = np.concatenate([np.zeros(0, bool), *found])
        return self.out.masks[path]

    def _name(self, channel: str) -> str:
        return self.fcs.channels[find_channel(self.fcs, channel)]

    def _values(self, channels: Sequence[str], population: np.ndarray) -> np.ndarray:
        """Values (channels, n) of the population, or of enough of its events."""
        columns = [find_channel(self.fcs, channel) for channel in channels]
        return self.events.columns(columns, evenly(population))

    def _top(self, name: str) -> float:
        return float(self.fcs.ranges[find_channel(self.fcs, name)])

    def _singlets(self, spec: dict, parent: np.ndarray) -> tuple[PlacedGate, Callable]:
        x, y = self._values(spec["channels"], parent)
        # Twice the range, so that the wedge's far end cuts off nothing.
        vertices = singlet_polygon(
            x, y, 2 * self._top(spec["channels"][1]), float(spec.get("width", 4))
        )
        channels = tuple(self._name(channel) for channel in spec["channels"])
        gate = PlacedGate(spec["name"], spec["parent"], channels, "polygon", vertices=vertices)
        return gate, lambda x, y: _in_polygon(vertices, np.column_stack([x, y]))

    def _scatter(self, spec: dict, parent: np.ndarray) -> tuple[PlacedGate, Callable]:
        centre, covariance, distance = scatter_ellipse(
            self._values(spec["channels"], parent).T,
            (self._top(spec["channels"][0]), self._top(spec["channels"][1])),
            tuple(spec.get("minimum", (0.0, 0.0))),
            float(spec.get("coverage", 0.998)),
        )
        gate = PlacedGate(
            spec["name"],
            spec["parent"],
            tuple(self._name(channel) for channel in spec["channels"]),
            "ellipse",
            centre=centre,
            covariance=covariance,
            distance=distance,
        )
        inverse = np.linalg.inv(covariance)

        def inside(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            offset = np.column_stack([x, y]) - centre
            return np.einsum("ij,jk,ik->i", offset, inverse, offset) <= distance

        return gate, inside

    def _cuts(self, spec: dict, parent: np.ndarray) -> tuple[PlacedGate, Callable]:
        above, below = set(spec.get("above", [])), set(spec.get("below", []))
        # In the order of `cuts`, so that sibling gates have their axes in one order.
        ordered = [m for m in self.template["cuts"] if m in above | below]
        cuts = [self._cut(marker) for marker in ordered]
        gate = PlacedGate(
            spec["name"],
            spec["parent"],
            tuple(self._name(self._marker_channel(marker)) for marker in ordered),
            "rectangle",
            edges=tuple(
                (cut.display, None) if marker in above else (None, cut.display)
                for marker, cut in zip(ordered, cuts, strict=True)
            ),
        )

        def inside(*columns: np.ndarray) -> np.ndarray:
            beyond = [
                (values >= cut.linear) == (marker in above)
                for marker, cut, values in zip(ordered, cuts, columns, strict=True)
            ]
            return np.logical_and.reduce(beyond)

        return gate, inside

    def _marker_channel(self, marker: str) -> str:
        if marker not in self.markers:
            raise InputError(
                f"the gate template cuts at marker {marker!r}, which the panel does not have; its "
                f"markers are {', '.join(self.markers)}"
            )
        return self.markers[marker]

    def _cut(self, marker: str) -> Cut:
        if marker in self.out.cuts:
            return self.out.cuts[marker]
        spec = self.template["cuts"][marker]
        scale = self.template["logicle"]
        if spec["method"] == "threshold":
            if marker not in self.thresholds:
                raise InputError(
                    f"{self.fcs.path}: the gate template takes the threshold of {marker!r} from "
                    "outside, but there is none for this subject; give the marker `threshold: fmo` "
                    "(with FMO rows in the acquisitions sheet), `valley` or a number in the panel"
                )
            cut = _cut_at(float(self.thresholds[marker]), scale, "threshold")
        elif spec["method"] == "quadrants":
            self._quadrants(marker, spec["with"])
            cut = self.out.cuts[marker]
        else:
            cut = self._single(marker)
        self.out.cuts[marker] = cut
        return cut

    def _single(self, marker: str) -> Cut:
        """The cut that a marker shows by itself."""
        spec = self.template["cuts"][marker]
        population = self.mask(spec.get("population", ""))
        return find_cut(
            self._values([self._marker_channel(marker)], population)[0],
            self.template["logicle"],
            spec.get("single_peak", "negative"),
            float(spec.get("minimum_fraction", 0.002)),
        )

    def _quadrants(self, *pair: str) -> None:
        """The cuts of two markers; where both together show no quadrants, each by itself."""
        pair = tuple(sorted(pair))
        specs, scale = [self.template["cuts"][marker] for marker in pair], self.template["logicle"]
        alone = [self._single(marker) for marker in pair]
        population = self.mask(specs[0].get("population", ""))
        columns = self._values([self._marker_channel(marker) for marker in pair], population)
        found = quadrant_lines(
            np.column_stack([logicle(values, scale) for values in columns]),
            (alone[0].display, alone[1].display),
            max(float(spec.get("minimum_fraction", 0.002)) for spec in specs),
        )
        for i, marker in enumerate(pair):
            cut = alone[i]
            if found is not None:
                linear = float(logicle_inverse(np.array([found.lines[i]]), scale)[0])
                cut = Cut(found.lines[i], linear, "quadrants")
            self.out.cuts[marker] = cut


def _in_polygon(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    from flowutils import gating

    return gating.points_in_polygon(np.ascontiguousarray(vertices), np.ascontiguousarray(points))
