"""What a fitted curve allows to report: an IC50, a bound, or a reason why neither.

An IC50 is reported by the rules of Sebaugh 2011 (Pharm Stat 10:128): the relative IC50 with at least
two doses beyond each bend of the curve, the absolute IC50 with at least two doses on either side of
50 %. The zero dose counts as a dose. A curve that rises with the dose has no IC50. Her rule of choice, the relative IC50 where the 50 % level is
known to no better than 5 %, refuses nothing: `preferred_kind` says so. Nothing is reported of a curve
without effect or whose parameters the data do not determine, with one exception: where only the
plateau at high doses is missing, the absolute IC50 may lie well within the doses, and is reported if
its interval does too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.fit import Fit, Places, curve_parameters
from immunotrace.doseresponse.models import (
    ABSOLUTE,
    ASYMMETRY,
    BOTTOM,
    LOG_ZERO_DOSE,
    MIDPOINT,
    SLOPE,
    TOP,
    Level,
    Model,
    evaluate,
    log_effective_dose,
)

DETERMINED, CENSORED, NOT_DETERMINED = "determined", "censored", "not_determined"

# Height of the bends of a four-parameter logistic, as a fraction of the way from one plateau to the
# other (Sebaugh & McCray 2003, Pharm Stat 2:167); the other models are judged at the same heights.
_BEND = 1 / (1 + 4.6805)
_LARGEST_CONDITION = 1e8
_SATURATED = np.log(99)  # |u| at which a logistic curve is within 1 % of its plateau
_ROUNDING = 1e-24  # of a sum of squares, relative to that of the responses
_FARTHEST_MIDPOINT = np.log(1e3)
_LARGEST_ERROR_AT_HALF = 0.05  # Sebaugh 2011: of the 50 % level, for the absolute IC50
_NO_HIGH_PLATEAU = "no plateau at high doses: the fitted midpoint runs away beyond the tested doses"
_NO_LOW_PLATEAU = "no plateau at low doses: the fitted midpoint runs away below the tested doses"
RISING = "rising: the fitted response grows with the dose, so there is no inhibition to halve"


@dataclass(frozen=True)
class Call:
    """A call and its reason; a censored one has the side of its bound, `>` or `<`, and the dose."""

    call: str
    reason: str = ""
    side: str = ""
    dose: float = np.nan


def no_effect_p(curves: Curves, found: Fit) -> np.ndarray:
    """P value of the F test of each fit against a constant, (curves,); 1 where all wells are alike."""
    mean = np.sum(curves.weight * curves.mean, axis=0) / curves.weight.sum(axis=0)
    constant = np.sum(curves.weight * (curves.mean - mean) ** 2, axis=0) + curves.scatter
    extra = len(found.free) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (constant - found.rss) / extra / found.variance
    p = fdtrc(extra, np.maximum(found.df, 1), np.maximum(f, 0.0))
    total = np.sum(curves.weight * curves.mean**2, axis=0)
    return np.where(constant <= _ROUNDING * total, 1.0, p)


def lack_of_fit_p(curves: Curves, found: Fit) -> np.ndarray:
    """P value of the F test of each fit against one mean a dose, (curves,); NaN without replicates."""
    doses = np.sum(curves.weight > 0, axis=0)
    between, within = doses - len(found.free), curves.wells - doses
    testable = (between > 0) & (within > 0) & (curves.scatter > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (found.rss - curves.scatter) / between / (curves.scatter / within)
    p = fdtrc(np.maximum(between, 1), np.maximum(within, 1), np.maximum(f, 0.0))
    return np.where(testable, p, np.nan)


def unidentified(curves: Curves, found: Fit, level: float) -> list[str]:
    """Why the parameters of each curve are not determined; empty text where they are."""
    p = no_effect_p(curves, found)
    condition = found.condition()
    reasons = []
    for i in range(curves.wells.size):
        log_doses = curves.log_doses_of(i)
        if found.df[i] < 1 or log_doses.size < len(found.free):
            reason = f"too few wells: {log_doses.size} doses for {len(found.free)} parameters"
        elif not p[i] < 1 - level:
            reason = f"flat: no effect of the dose (F test against a constant, p = {p[i]:.2g})"
        else:
            reason = _runaway(
                found.model, found.theta[:, i], log_doses, condition[i], found.converged[i]
            )
        reasons.append(reason)
    return reasons


def unidentified_jointly(groups: Sequence[Curves], found: Fit, places: Places) -> list[str]:
    """The same for each joint fit of the curves in one column of all `groups`.

    `places`: as for `refit`. The reason names the curve by its number, from 1.
    """
    condition = found.condition()
    reasons = []
    for i in range(found.rss.size):
        reason = ""
        if found.df[i] < 1:
            reason = "too few wells for the parameters"
        for number, (group, place) in enumerate(zip(groups, places, strict=True), start=1):
            theta = curve_parameters(found.theta[:, [i]], place)[:, 0]
            own = _runaway(
                found.model, theta, group.log_doses_of(i), condition[i], found.converged[i]
            )
            reason = reason or (own and f"curve {number}: {own}")
        reasons.append(reason)
    return reasons


def _runaway(model: Model, theta, log_doses, condition: float, converged: bool) -> str:
    """Why the parameters of a fit with an effect are not determined; empty where they are."""
    slope, midpoint = theta[SLOPE], theta[MIDPOINT]
    tested = log_doses[log_doses > LOG_ZERO_DOSE]
    steep = np.sum(np.abs(slope * (log_doses - midpoint)) < _SATURATED) < 2
    singular = not condition < _LARGEST_CONDITION
    undetermined = steep or singular or not converged
    # With an asymmetry the midpoint is no dose of the curve, and what runs away is a trade of three.
    above, below = midpoint - tested[-1], tested[0] - midpoint
    if above > _FARTHEST_MIDPOINT or (above > 0 and undetermined and not _asymmetric(model)):
        return _NO_HIGH_PLATEAU
    if below > _FARTHEST_MIDPOINT or (below > 0 and undetermined and not _asymmetric(model)):
        return _NO_LOW_PLATEAU
    if steep:
        return "runaway slope: fewer than two doses lie between the plateaus"
    if singular:
        return "the wells do not determine the parameters (singular information matrix)"
    return "" if converged else "the fit did not converge"


def _asymmetric(model: Model) -> bool:
    return model.parameters > ASYMMETRY and ASYMMETRY not in model.held


def preferred_kind(found: Fit, i: int) -> str:
    """Advice on the kind of IC50 for curve `i`, whose parameters are determined; or empty text.

    The 50 % level is half of the fitted top; its error is the top's standard error.
    """
    if TOP in found.model.held:
        return ""
    error = np.sqrt(found.take([i]).covariance()[TOP, TOP, 0]) / found.theta[TOP, i]
    if error <= _LARGEST_ERROR_AT_HALF:
        return ""
    return f"relative IC50 preferred: the 50 % level is known to {100 * error:.1f} % only"


def calls(
    curves: Curves, found: Fit, i: int, unit: str, reason: str, bounds: dict[str, tuple]
) -> dict[str, Call]:
    """The calls of curve `i`, by kind of IC50: `absolute` and `relative`.

    `reason`: why its parameters are not determined, of `unidentified`. `bounds`: the profile interval
    of the log IC50 of each kind.
    """
    if not reason:
        out = {
            "absolute": absolute_call(curves, found, i, unit),
            "relative": relative_call(curves, found, i),
        }
    else:
        out = dict.fromkeys(("absolute", "relative"), Call(NOT_DETERMINED, reason))
        if not _asymmetric(found.model):
            out["absolute"] = _absolute_without_plateau(curves, found, i, unit, reason, bounds)
    for kind, call in out.items():
        if call.call == DETERMINED and not np.isfinite(bounds[kind]).all():
            side = "upper" if np.isfinite(bounds[kind][0]) else "lower"
            out[kind] = Call(NOT_DETERMINED, f"the {kind} IC50 has no {side} bound")
    return out


def _absolute_without_plateau(curves, found, i, unit, reason, bounds) -> Call:
    """What is known of the absolute IC50 of curve `i` all the same: a bound, or all of it."""
    call = absolute_call(curves, found, i, unit)
    log_doses = curves.log_doses_of(i)
    low, high = bounds["absolute"]
    inside = log_doses[log_doses > LOG_ZERO_DOSE][0] <= low and high <= log_doses[-1]
    if reason == _NO_HIGH_PLATEAU and (call.call != DETERMINED or inside):
        return call
    if reason == _NO_LOW_PLATEAU and call.side == "<" and log_doses[0] == LOG_ZERO_DOSE:
        return call
    return Call(NOT_DETERMINED, reason)


def relative_call(curves: Curves, found: Fit, i: int) -> Call:
    """Whether curve `i`, whose parameters are determined, has a relative IC50."""
    if not falls(found, i):
        return Call(NOT_DETERMINED, RISING)
    missing = [
        f"no plateau at {side} doses: {count} of 2 doses beyond the bend"
        for side, count in zip(("low", "high"), doses_beyond_bends(curves, found, i), strict=True)
        if count < 2
    ]
    return Call(NOT_DETERMINED, "; ".join(missing)) if missing else Call(DETERMINED)


def doses_beyond_bends(curves: Curves, found: Fit, i: int) -> tuple[int, int]:
    """Number of doses below the lower-dose bend and above the higher-dose bend of curve `i`.

    A plateau that the model fixes needs no doses and counts as two.
    """
    theta = found.theta[:, [i]]
    bends = sorted(
        float(
            log_effective_dose(found.model, theta, Level(of_top=share, of_bottom=1 - share))[0][0]
        )
        for share in (_BEND, 1 - _BEND)
    )
    log_doses = curves.log_doses_of(i)
    below, above = int(np.sum(log_doses < bends[0])), int(np.sum(log_doses > bends[1]))
    falling = falls(found, i)
    if TOP in found.model.held:
        below, above = (2, above) if falling else (below, 2)
    if BOTTOM in found.model.held:
        below, above = (below, 2) if falling else (2, above)
    return below, above


def absolute_call(curves: Curves, found: Fit, i: int, unit: str) -> Call:
    """Whether curve `i` has an absolute IC50, or a bound of it where 50 % lies beyond the doses."""
    if not falls(found, i):
        return Call(NOT_DETERMINED, RISING)
    log_doses = curves.log_doses_of(i)
    theta = found.theta[:, [i]]
    fitted = evaluate(found.model, theta, log_doses[:, None])[0][:, 0]
    half = float(ABSOLUTE.value(theta)[0])
    lowest = log_doses[log_doses > LOG_ZERO_DOSE][0]
    # Doses are told apart to 12 digits (`log_dose`): rounding gives back the dose itself.
    low_dose, top_dose = (float(f"{np.exp(end):.12g}") for end in (lowest, log_doses[-1]))
    if not fitted[-1] <= half:
        return Call(
            CENSORED,
            f"> {top_dose:.6g} {unit}: the fitted curve stays above 50 % of control at the top dose",
            ">",
            top_dose,
        )
    if not fitted[log_doses == lowest][0] >= half:
        return Call(
            CENSORED,
            f"< {low_dose:.6g} {unit}: the fitted curve is below 50 % of control at the lowest dose",
            "<",
            low_dose,
        )
    above, below = int(np.sum(fitted > half)), int(np.sum(fitted < half))
    if min(above, below) < 2:
        side, count = ("above", above) if above < 2 else ("below", below)
        return Call(
            NOT_DETERMINED, f"{count} of 2 doses whose fitted response is {side} 50 % of control"
        )
    return Call(DETERMINED)


def falls(found: Fit, i: int) -> bool:
    """Whether the fitted curve falls with the dose."""
    ends = np.array([[-1.0], [1.0]]) + found.theta[MIDPOINT, i]
    low, high = evaluate(found.model, found.theta[:, [i]], ends)[0][:, 0]
    return bool(low > high)
