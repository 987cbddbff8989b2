"""What a fitted curve allows to report: an IC50, a bound, or a reason why neither.

An IC50 is reported by the rules of Sebaugh 2011 (Pharm Stat 10:128): the relative IC50 with at least
two doses beyond each bend of the curve, the absolute IC50 with at least two doses on either side of
50 %. The zero dose counts as a dose. Nothing is reported of a curve without effect or whose
parameters the data do not determine.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.fit import Fit
from immunotrace.doseresponse.models import (
    ABSOLUTE,
    BOTTOM,
    LOG_ZERO_DOSE,
    MIDPOINT,
    SLOPE,
    TOP,
    Level,
    evaluate,
    log_effective_dose,
)

DETERMINED, CENSORED, NOT_DETERMINED = "determined", "censored", "not_determined"

# Height of the bends of a four-parameter logistic, as a fraction of the way from one plateau to the
# other (Sebaugh & McCray 2003, Pharm Stat 2:167); the other models are judged at the same heights.
_BEND = 1 / (1 + 4.6805)
_LARGEST_CONDITION = 1e8
_SATURATED = np.log(99)  # |u| at which a logistic curve is within 1 % of its plateau
_FARTHEST_MIDPOINT = np.log(1e3)


@dataclass(frozen=True)
class Call:
    call: str
    reason: str = ""


def no_effect_p(curves: Curves, found: Fit) -> np.ndarray:
    """P value of the F test of each fit against a constant, (curves,)."""
    mean = np.sum(curves.weight * curves.mean, axis=0) / curves.weight.sum(axis=0)
    constant = np.sum(curves.weight * (curves.mean - mean) ** 2, axis=0) + curves.scatter
    extra = len(found.free) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (constant - found.rss) / extra / found.variance
    return fdtrc(extra, np.maximum(found.df, 1), np.maximum(f, 0.0))


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
    lowest, highest = curves.tested_range()
    reasons = []
    for i in range(curves.wells.size):
        slope, midpoint = found.theta[SLOPE, i], found.theta[MIDPOINT, i]
        log_doses = curves.log_doses_of(i)
        reason = ""
        if found.df[i] < 1 or log_doses.size < len(found.free):
            reason = f"too few wells: {log_doses.size} doses for {len(found.free)} parameters"
        elif not p[i] < 1 - level:
            reason = f"flat: no effect of the dose (F test against a constant, p = {p[i]:.2g})"
        elif np.sum(np.abs(slope * (log_doses - midpoint)) < _SATURATED) < 2:
            reason = "runaway slope: fewer than two doses lie between the plateaus"
        elif midpoint > highest[i] + _FARTHEST_MIDPOINT:
            reason = (
                "no plateau at high doses: the fitted midpoint runs away beyond the tested doses"
            )
        elif midpoint < lowest[i] - _FARTHEST_MIDPOINT:
            reason = "no plateau at low doses: the fitted midpoint runs away below the tested doses"
        elif not condition[i] < _LARGEST_CONDITION:
            reason = "the wells do not determine the parameters (singular information matrix)"
        elif not found.converged[i]:
            reason = "the fit did not converge"
        reasons.append(reason)
    return reasons


def relative_call(curves: Curves, found: Fit, i: int) -> Call:
    """Whether curve `i`, whose parameters are determined, has a relative IC50."""
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
    falling = _falls(found, i)
    if TOP in found.model.held:
        below, above = (2, above) if falling else (below, 2)
    if BOTTOM in found.model.held:
        below, above = (below, 2) if falling else (2, above)
    return below, above


def absolute_call(curves: Curves, found: Fit, i: int, unit: str) -> Call:
    """Whether curve `i`, whose parameters are determined, has an absolute IC50."""
    log_doses = curves.log_doses_of(i)
    theta = found.theta[:, [i]]
    fitted = evaluate(found.model, theta, log_doses[:, None])[0][:, 0]
    half = float(ABSOLUTE.value(theta)[0])
    lowest = log_doses[log_doses > LOG_ZERO_DOSE][0]
    top_dose = float(np.exp(log_doses[-1]))
    if not fitted[-1] <= half:
        return Call(
            CENSORED,
            f"> {top_dose:.6g} {unit}: the fitted curve stays above 50 % of control at the top dose",
        )
    if not fitted[log_doses == lowest][0] >= half:
        return Call(
            NOT_DETERMINED,
            f"< {np.exp(lowest):.6g} {unit}: the fitted curve is below 50 % of control at the "
            "lowest dose",
        )
    above, below = int(np.sum(fitted > half)), int(np.sum(fitted < half))
    if min(above, below) < 2:
        side, count = ("above", above) if above < 2 else ("below", below)
        return Call(
            NOT_DETERMINED, f"{count} of 2 doses whose fitted response is {side} 50 % of control"
        )
    return Call(DETERMINED)


def _falls(found: Fit, i: int) -> bool:
    """Whether the fitted curve falls with the dose."""
    ends = np.array([[-1.0], [1.0]]) + found.theta[MIDPOINT, i]
    low, high = evaluate(found.model, found.theta[:, [i]], ends)[0][:, 0]
    return bool(low > high)
