"""Whether a curve first rises at low doses: the model of Brain & Cousens beside the logistic one.

Brain & Cousens 1989 (Weed Research 29:93): ``y = bottom + (top - bottom + rise * dose) / (1 + exp(u))``
with ``u = slope * (log dose - log midpoint)``; without `rise` it is the four-parameter logistic. It is
fitted to say that there is hormesis, never to give an IC50.
"""

from itertools import product

import numpy as np
from scipy.optimize import least_squares
from scipy.special import fdtrc

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.fit import Fit
from immunotrace.doseresponse.models import LOG_ZERO_DOSE

# Below a slope of 1 the curve does not come down again.
_SLOPES, _LEAST_SLOPE, _LARGEST_SLOPE = (1.3, 2.0, 3.5, 8.0), 1.0, 50.0
_MIDPOINTS = 9
_PARAMETERS = 5


def hormesis(curves: Curves, found: Fit) -> tuple[np.ndarray, np.ndarray]:
    """P value of the F test of `rise` = 0 for each curve, and AICc with `rise` minus AICc without.

    `found`: four-parameter logistic fits. Each (curves,); NaN without residuals or degrees of freedom, or
    with fewer doses than the model has parameters, and p 1 where `rise` is negative, which is none.
    """
    p, difference = np.full((2, found.rss.size), np.nan)
    doses = np.sum(curves.weight > 0, axis=0)
    for i in np.flatnonzero((found.df >= 3) & (doses >= _PARAMETERS) & (found.rss > 0)):
        rss, rise = _fit_one(curves, i)
        extra = max(found.rss[i] - rss, 0.0)
        p[i] = fdtrc(1, found.df[i] - 1, extra / (rss / (found.df[i] - 1))) if rise > 0 else 1.0
        wells = curves.wells[i]
        # AICc counts the variance as a parameter: 5 without `rise`, 6 with it.
        with_rise, without = (2 * k + 2 * k * (k + 1) / (wells - k - 1) for k in (6, 5))
        difference[i] = wells * np.log(rss / found.rss[i]) + with_rise - without
    return p, difference


def _fit_one(curves: Curves, i: int) -> tuple[float, float]:
    """Least sum of squares of curve `i` and its `rise`.

    Bottom, top and rise are linear: only slope and midpoint are searched (variable projection, Golub
    & Pereyra 1973), from the best point of a grid.
    """
    column = 0 if curves.log_dose.shape[1] == 1 else i
    used = curves.weight[:, column] > 0
    log_doses, root = curves.log_dose[used, column], np.sqrt(curves.weight[used, column])
    dose = np.where(log_doses > LOG_ZERO_DOSE, np.exp(np.minimum(log_doses, 700)), 0.0)
    response = root * curves.mean[used, i]

    def solve(parameters):
        slope, midpoint = parameters
        share = 1 / (1 + np.exp(np.minimum(slope * (log_doses - midpoint), 700)))
        basis = root[:, None] * np.column_stack([1 - share, share, share * dose / dose.max()])
        linear, *_ = np.linalg.lstsq(basis, response, rcond=None)
        return response - basis @ linear, linear[2]

    tested = log_doses[log_doses > LOG_ZERO_DOSE]
    low, high = tested[0], tested[-1]
    grid = product(_SLOPES, np.linspace(low, high, _MIDPOINTS))
    start = min(grid, key=lambda point: np.sum(solve(point)[0] ** 2))
    best = least_squares(
        lambda parameters: solve(parameters)[0],
        start,
        bounds=([_LEAST_SLOPE, 2 * low - high], [_LARGEST_SLOPE, 2 * high - low]),
        xtol=1e-12,
    )
    return 2 * best.cost + curves.scatter[i], solve(best.x)[1]
