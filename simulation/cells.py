"""Events of a tube before the instrument: what each is, what it carries and how it scatters light."""

from dataclasses import dataclass
from math import inf
from statistics import NormalDist

import numpy as np

from simulation.biology import Blood

DEBRIS = "debris"


@dataclass(frozen=True)
class Cells:
    """Labelled events; arrays have one row an event, matrices one column a marker of the panel.

    kind: index into `kinds`. dyes: each marker's dye in units of its own detector. own_light: the
    autofluorescence in each of these detectors. area and height: columns forward, side scatter.
    """

    kinds: tuple[str, ...]
    markers: tuple[str, ...]
    kind: np.ndarray
    dead: np.ndarray
    doublet: np.ndarray
    positive: np.ndarray
    dyes: np.ndarray
    own_light: np.ndarray
    area: np.ndarray
    height: np.ndarray

    def is_kind(self, prefix: str) -> np.ndarray:
        """Mask of the events whose kind begins with a prefix."""
        return np.array([kind.startswith(prefix) for kind in self.kinds])[self.kind]

    def has(self, marker: str) -> np.ndarray:
        """Mask of the events that carry a marker."""
        return self.positive[:, self.markers.index(marker)]


def draw_cells(
    settings: dict, panel: str, blood: Blood, events: int, rng: np.random.Generator
) -> Cells:
    """Events of one tube in random order, doublets merged.

    A doublet is the sum of two cells and keeps the first one's labels; masks of populations have to
    leave it out by `doublet`.
    """
    contents = settings["contents"]
    kinds = (*blood.abundance[panel], DEBRIS)
    shares = np.array([*blood.abundance[panel].values(), 0.0])
    with_debris = shares * (1 - contents["debris"])
    with_debris[-1] = contents["debris"]
    first = _singles(settings, panel, blood, kinds, with_debris, events, rng)
    doublet = (first.kind != len(kinds) - 1) & (rng.random(events) < contents["doublets"])
    second = _singles(settings, panel, blood, kinds, shares, int(doublet.sum()), rng)
    shape = settings["scatter"]["doublet_height"]
    taller = np.maximum(first.height[doublet], second.height) * (
        shape["median"] * np.exp(shape["spread"] * rng.standard_normal((len(second.kind), 1)))
    )
    first.height[doublet] = taller
    for name in ("area", "dyes", "own_light"):
        getattr(first, name)[doublet] += getattr(second, name)
    first.doublet[:] = doublet
    return first


def _singles(
    settings: dict,
    panel: str,
    blood: Blood,
    kinds: tuple[str, ...],
    shares: np.ndarray,
    events: int,
    rng: np.random.Generator,
) -> Cells:
    markers = tuple(settings["panels"][panel]["markers"])
    edges = np.cumsum(shares / shares.sum())
    kind = np.minimum(np.searchsorted(edges, rng.random(events), side="right"), len(kinds) - 1)
    debris = kind == kinds.index(DEBRIS)
    dead = ~debris & (rng.random(events) < blood.dead)
    positive = _positive(
        settings["panels"][panel], blood.positive[panel], kinds, markers, kind, rng
    )
    positive[:, markers.index("Viability")] = dead
    dyes = _dyes(settings["panels"][panel], blood, kinds, markers, kind, positive, rng)
    dyes[dead] += _log_normal(settings["instrument"]["dead_uptake"], (dead.sum(), 1), rng)
    clumps = debris & (rng.random(events) < settings["contents"]["aggregates"])
    dyes[clumps] += _log_normal(
        settings["instrument"]["aggregate"], (clumps.sum(), len(markers)), rng
    )
    area = _area(settings["scatter"], kinds, kind, dead, rng)
    width = settings["scatter"]["pulse_width"]
    height = area / (width["median"] * np.exp(width["spread"] * rng.standard_normal((events, 1))))
    return Cells(
        kinds=kinds,
        markers=markers,
        kind=kind,
        dead=dead,
        doublet=np.zeros(events, dtype=bool),
        positive=positive,
        dyes=dyes,
        own_light=_own_light(settings, panel, blood, kinds, kind, dead, rng),
        area=area,
        height=height,
    )


def _positive(
    panel: dict,
    fractions: dict[str, dict[str, float]],
    kinds: tuple[str, ...],
    markers: tuple[str, ...],
    kind: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Which events carry which marker: a threshold on normals, some of which are correlated."""
    normal = rng.standard_normal((len(kind), len(markers)))
    for marker, correlation in panel.get("correlated_with_CCR7", {}).items():
        column = markers.index(marker)
        normal[:, column] *= np.sqrt(1 - correlation**2)
        normal[:, column] += correlation * normal[:, markers.index("CCR7")]
    limits = np.array(
        [
            [_normal_quantile(fractions[name].get(marker, 0.0)) for marker in markers]
            for name in kinds
        ]
    )
    return normal < limits[kind]


def _dyes(
    panel: dict,
    blood: Blood,
    kinds: tuple[str, ...],
    markers: tuple[str, ...],
    kind: np.ndarray,
    positive: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    brightness = np.log(
        [
            [panel["brightness"].get(name, {}).get(marker, 1.0) for marker in markers]
            for name in kinds
        ]
    )
    signal = rng.standard_normal(positive.shape)
    for column, marker in enumerate(markers):
        stain = panel["markers"][marker]
        carries = positive[:, column]
        (low, low_spread), (high, high_spread) = stain["negative"], stain["positive"]
        high_log = np.log(high) + blood.log_expression.get(marker, 0.0) + brightness[kind, column]
        signal[:, column] = np.where(
            carries,
            high_log + high_spread * signal[:, column],
            np.log(low) + low_spread * signal[:, column],
        )
        if "smear" in stain:
            smear = stain["smear"]
            between = np.flatnonzero(rng.random(len(kind)) < smear["fraction"])
            ends = np.log([smear["low"], smear["mid"], smear["high"]])
            upper = carries[between].astype(int)
            place = rng.random(len(between))
            signal[between, column] = ends[upper] + place * (ends[upper + 1] - ends[upper])
        signal[:, column] += blood.log_intensity[marker]
    return np.exp(signal)


def _own_light(
    settings: dict,
    panel: str,
    blood: Blood,
    kinds: tuple[str, ...],
    kind: np.ndarray,
    dead: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    light = settings["instrument"]["autofluorescence"]
    dyes = [stain["dye"] for stain in settings["panels"][panel]["markers"].values()]
    usual = np.log([light["detectors"][dye] for dye in dyes]) + blood.log_autofluorescence
    factor = np.log([light["factors"][_scatter_class(name)] for name in kinds])[kind]
    factor = factor + np.where(dead, np.log(light["factors"]["dead"]), 0.0)
    factor += light["spread_cell"] * rng.standard_normal(len(kind))
    detector = light["spread_detector"] * rng.standard_normal((len(kind), len(dyes)))
    return np.exp(usual + factor[:, None] + detector)


def _area(
    scatter: dict,
    kinds: tuple[str, ...],
    kind: np.ndarray,
    dead: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    shapes = np.array(
        [[scatter[_scatter_class(name)][axis] for axis in ("forward", "side")] for name in kinds]
    )
    median, spread = shapes[kind, :, 0], shapes[kind, :, 1]
    normal = rng.standard_normal(median.shape)
    correlation = scatter["correlation"]
    normal[:, 1] = correlation * normal[:, 0] + np.sqrt(1 - correlation**2) * normal[:, 1]
    area = median * np.exp(spread * normal)
    area[dead] *= [scatter["dead"]["forward"], scatter["dead"]["side"]]
    return area


def _scatter_class(kind: str) -> str:
    return kind if kind in ("monocyte", "granulocyte", DEBRIS) else "lymphocyte"


def _log_normal(shape: dict, size: tuple, rng: np.random.Generator) -> np.ndarray:
    return shape["geometric_mean"] * np.exp(shape["spread"] * rng.standard_normal(size))


def _normal_quantile(fraction: float) -> float:
    if fraction <= 0:
        return -inf
    return inf if fraction >= 1 else NormalDist().inv_cdf(fraction)
