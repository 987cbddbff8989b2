"""Dose-response models: value and derivatives for many curves at once.

Every model is ``y = bottom + (top - bottom) * S(u)`` with ``u = slope * (log dose - log midpoint)`` and
natural logarithms, in the parametrisation of Ritz et al. 2015 (PLoS ONE 10:e0146021); `slope` is
positive where a logistic curve falls, so it is minus the Hill slope. Parameters are rows of an array of
shape (parameters, curves): slope, bottom, top, log midpoint and, for the five-parameter logistic,
log asymmetry. Doses lie along the first axis of a (doses, curves) array.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

SLOPE, BOTTOM, TOP, MIDPOINT, ASYMMETRY = range(5)

# A zero dose: far enough below every dose that exp() puts the curve exactly on its asymptote, yet
# finite, so that no derivative becomes 0 * infinity.
LOG_ZERO_DOSE = -1e6
_LARGEST_EXPONENT = 300.0  # products of what exp() makes of it are still ordinary numbers
_LARGEST_LOG_RATE = 30.0  # exp(-exp(30)) is 0
_DOSE_DIGITS = 12  # a conversion of units changes the last ones of the 15 to 17 that a number has


def log_dose(dose) -> np.ndarray:
    """Natural logarithm of doses, with `LOG_ZERO_DOSE` for a dose of zero.

    Doses that agree to 12 significant digits have the same logarithm: they are one level.
    """
    dose = np.asarray(dose, float)
    if not np.all(np.isfinite(dose) & (dose >= 0)):
        raise ValueError("doses must be finite and not negative")
    positive = np.where(dose > 0, dose, 1.0)
    scale = 10.0 ** (_DOSE_DIGITS - 1 - np.floor(np.log10(positive)))
    return np.where(dose > 0, np.log(np.round(positive * scale) / scale), LOG_ZERO_DOSE)


@dataclass(frozen=True)
class Shape:
    """S(u) in 0..1 and its derivatives by u and by log asymmetry `a`, each (doses, curves)."""

    value: np.ndarray
    by_u: np.ndarray
    by_uu: np.ndarray
    by_a: np.ndarray | None = None
    by_ua: np.ndarray | None = None
    by_aa: np.ndarray | None = None


def _logistic(u, a):
    s = 1 / (1 + np.exp(u))
    by_u = s * (s - 1)
    return Shape(s, by_u, by_u * (2 * s - 1))


def _logistic_inverse(s, a):
    return np.log((1 - s) / s)


def _five_parameter(u, a):
    f = np.exp(np.minimum(a, _LARGEST_EXPONENT))
    log_base = np.logaddexp(0, u)
    g = np.exp(u - log_base)
    s = np.exp(-f * log_base)
    by_u = -f * s * g
    by_a = -f * log_base * s
    return Shape(
        s, by_u, by_u * (1 - g - f * g), by_a, -f * g * (s + by_a), by_a * (1 - f * log_base)
    )


def _five_parameter_inverse(s, a):
    return np.log(np.expm1(-np.log(s) / np.exp(a)))


def _weibull1(u, a):
    rate = np.exp(np.minimum(u, _LARGEST_LOG_RATE))
    s = np.exp(-rate)
    by_u = -rate * s
    return Shape(s, by_u, by_u * (1 - rate))


def _weibull1_inverse(s, a):
    return np.log(-np.log(s))


def _weibull2(u, a):
    rate = np.exp(np.minimum(u, _LARGEST_LOG_RATE))
    by_u = rate * np.exp(-rate)
    return Shape(-np.expm1(-rate), by_u, by_u * (1 - rate))


def _weibull2_inverse(s, a):
    return np.log(-np.log1p(-s))


@dataclass(frozen=True)
class Model:
    """A model: its shape ``S(u)`` with derivatives by u and log asymmetry, its inverse, its parameters.

    `held` gives the parameters that the model fixes, by index. `symmetric`: slope and -slope with
    bottom and top exchanged are the same curve. `half_at_midpoint`: the midpoint is the relative
    effective dose.
    """

    name: str
    title: str
    shape: Callable
    inverse: Callable
    parameters: int = 4
    held: dict[int, float] = field(default_factory=dict)
    symmetric: bool = False
    half_at_midpoint: bool = False

    @property
    def free(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.parameters) if i not in self.held)


MODELS = {
    model.name: model
    for model in (
        Model(
            "four_parameter",
            "four-parameter logistic",
            _logistic,
            _logistic_inverse,
            symmetric=True,
            half_at_midpoint=True,
        ),
        Model(
            "three_parameter",
            "three-parameter logistic, bottom 0",
            _logistic,
            _logistic_inverse,
            held={BOTTOM: 0.0},
            half_at_midpoint=True,
        ),
        Model(
            "five_parameter",
            "five-parameter logistic",
            _five_parameter,
            _five_parameter_inverse,
            parameters=5,
        ),
        Model("weibull1", "Weibull type 1", _weibull1, _weibull1_inverse),
        Model("weibull2", "Weibull type 2", _weibull2, _weibull2_inverse),
    )
}


@dataclass(frozen=True)
class Level:
    """A response level: ``response + of_top * top + of_bottom * bottom``."""

    response: float = 0.0
    of_top: float = 0.0
    of_bottom: float = 0.0

    def value(self, theta: np.ndarray) -> np.ndarray:
        return self.response + self.of_top * theta[TOP] + self.of_bottom * theta[BOTTOM]


RELATIVE = Level(of_top=0.5, of_bottom=0.5)  # half-way between the plateaus
ABSOLUTE = Level(of_top=0.5)  # half of the response without drug, for a falling curve


def evaluate(model: Model, theta: np.ndarray, log_doses: np.ndarray):
    """Value (doses, curves), derivatives by each parameter (a list of such arrays) and their parts.

    The parts are what `curvature` needs.
    """
    distance = log_doses - theta[MIDPOINT]
    u = theta[SLOPE] * distance
    np.maximum(u, -_LARGEST_EXPONENT, out=u)
    np.minimum(u, _LARGEST_EXPONENT, out=u)
    shape = model.shape(u, _log_asymmetry(model, theta))
    span = theta[TOP] - theta[BOTTOM]
    by_u = span * shape.by_u
    derivatives = [by_u * distance, 1 - shape.value, shape.value, by_u * -theta[SLOPE]]
    if shape.by_a is not None:
        derivatives.append(span * shape.by_a)
    return theta[BOTTOM] + span * shape.value, derivatives, (distance, shape)


def curvature(model: Model, theta: np.ndarray, parts, weight: np.ndarray) -> np.ndarray:
    """Second derivatives of the model, summed over the doses with a weight (doses, curves).

    Returns (parameters, parameters, curves).
    """

    distance, shape = parts
    slope, span = theta[SLOPE], theta[TOP] - theta[BOTTOM]
    weighted = weight * distance
    by_u = np.einsum("kn,kn->n", weight, shape.by_u)
    by_slope = np.einsum("kn,kn->n", weighted, shape.by_u)
    by_uu = np.einsum("kn,kn->n", weight, shape.by_uu)
    weighted_uu = weighted * shape.by_uu
    out = np.zeros((model.parameters, model.parameters, theta.shape[1]))

    def put(i, j, value):
        out[i, j] = out[j, i] = value

    put(SLOPE, SLOPE, span * np.einsum("kn,kn->n", weighted_uu, distance))
    put(SLOPE, MIDPOINT, -span * (by_u + slope * weighted_uu.sum(axis=0)))
    put(MIDPOINT, MIDPOINT, span * slope**2 * by_uu)
    put(SLOPE, TOP, by_slope)
    put(SLOPE, BOTTOM, -by_slope)
    put(MIDPOINT, TOP, -slope * by_u)
    put(MIDPOINT, BOTTOM, slope * by_u)
    if shape.by_a is not None:
        by_ua = np.einsum("kn,kn->n", weight, shape.by_ua)
        by_a = np.einsum("kn,kn->n", weight, shape.by_a)
        put(ASYMMETRY, ASYMMETRY, span * np.einsum("kn,kn->n", weight, shape.by_aa))
        put(SLOPE, ASYMMETRY, span * np.einsum("kn,kn->n", weighted, shape.by_ua))
        put(MIDPOINT, ASYMMETRY, -span * slope * by_ua)
        put(ASYMMETRY, TOP, by_a)
        put(ASYMMETRY, BOTTOM, -by_a)
    return out


def log_effective_dose(model: Model, theta: np.ndarray, level: Level):
    """Log dose at which curves reach a response level, and its derivatives by each parameter.

    Returns (curves,) and (parameters, curves); NaN where a curve never reaches the level.
    """
    offset, first, _ = _offset(model, theta, level)
    first[MIDPOINT] = 1.0
    return theta[MIDPOINT] + offset, first


def midpoint_for(model: Model, theta: np.ndarray, level: Level):
    """The inverse: `theta` holds the log effective dose of `level` in place of the midpoint.

    Returns theta with the midpoint (NaN where no curve has that effective dose) and the first and
    second derivatives of the midpoint by the given theta, (parameters, curves) and
    (parameters, parameters, curves).
    """
    offset, first, second = _offset(model, theta, level)
    out = theta.copy()
    out[MIDPOINT] -= offset
    first = np.negative(first, out=first)
    first[MIDPOINT] = 1.0
    return out, first, np.negative(second, out=second)


def _offset(model: Model, theta, level: Level):
    """Log effective dose minus log midpoint, and its first and second derivatives.

    It does not depend on the midpoint. With ``S(u, a) = share`` at the level, u has the derivatives
    of an implicit function.
    """
    slope, bottom, top = theta[SLOPE], theta[BOTTOM], theta[TOP]
    a = _log_asymmetry(model, theta)
    first = np.zeros_like(theta)
    second = np.zeros((len(theta), *theta.shape))

    def put(i, j, value):
        second[i, j] = value
        if i != j:
            second[j, i] = value

    with np.errstate(divide="ignore", invalid="ignore"):
        per_span = 1 / (top - bottom)
        share = (level.value(theta) - bottom) * per_span
        share = np.where((share > 0) & (share < 1), share, np.nan)
        u = model.inverse(share, a)
        shape = model.shape(u, a)
        per_slope = 1 / slope
        u_by_share = 1 / shape.by_u
        u_by_share_twice = -shape.by_uu * u_by_share**3
        by_bottom = (level.of_bottom - 1 + share) * per_span
        by_top = (level.of_top - share) * per_span
        first[SLOPE] = -u * per_slope**2
        first[BOTTOM] = u_by_share * by_bottom * per_slope
        first[TOP] = u_by_share * by_top * per_slope
        put(SLOPE, SLOPE, -2 * per_slope * first[SLOPE])
        put(SLOPE, BOTTOM, -per_slope * first[BOTTOM])
        put(SLOPE, TOP, -per_slope * first[TOP])
        bent, straight = u_by_share_twice * per_slope, u_by_share * per_span * per_slope
        put(BOTTOM, BOTTOM, by_bottom * (bent * by_bottom + 2 * straight))
        put(TOP, TOP, by_top * (bent * by_top - 2 * straight))
        put(BOTTOM, TOP, bent * by_bottom * by_top + straight * (by_top - by_bottom))
        if a is not None:
            u_by_a = -shape.by_a * u_by_share
            crossed = -(shape.by_uu * u_by_a + shape.by_ua) * u_by_share**2
            twice = -(shape.by_uu * u_by_a**2 + 2 * shape.by_ua * u_by_a + shape.by_aa)
            first[ASYMMETRY] = u_by_a * per_slope
            put(SLOPE, ASYMMETRY, -per_slope * first[ASYMMETRY])
            put(BOTTOM, ASYMMETRY, crossed * by_bottom * per_slope)
            put(TOP, ASYMMETRY, crossed * by_top * per_slope)
            put(ASYMMETRY, ASYMMETRY, twice * u_by_share * per_slope)
        return u * per_slope, first, second


def _log_asymmetry(model: Model, theta):
    return theta[ASYMMETRY] if model.parameters > ASYMMETRY else None
