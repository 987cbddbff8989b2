"""Robust fits: the estimating equation, outliers, and how often their intervals hold the truth."""

import numpy as np
import pytest
from scipy.optimize import minimize

from immunotrace.doseresponse.fit import fit_wells
from immunotrace.doseresponse.intervals import effective_dose, effective_dose_interval
from immunotrace.doseresponse.models import ABSOLUTE, MIDPOINT, MODELS, evaluate, log_dose

LOGISTIC = MODELS["four_parameter"]
DOSE = np.concatenate([np.zeros(6), np.repeat(np.geomspace(0.05, 250, 10), 3)])
TRUTH = np.array([1.0, 10, 100, np.log(8)])


def simulate(count, outliers, seed):
    """Wells with a noise of 6 %, of which `outliers` a plate count 40 % of the control too much."""
    rng = np.random.default_rng(seed)
    value = evaluate(LOGISTIC, TRUTH[:, None], log_dose(DOSE)[:, None])[0][:, 0]
    response = value + 6 * rng.standard_normal((count, DOSE.size))
    for row in response:
        row[rng.choice(DOSE.size, outliers, replace=False)] += 40
    return [DOSE] * count, list(response)


def test_it_is_a_minimum_of_tukeys_loss():
    """SciPy (Nelder-Mead) minimises the bisquare's loss at the scale of the fit's residuals."""
    dose, response = simulate(1, 2, 1)
    _, found = fit_wells(LOGISTIC, dose, response, robust=True)
    x = log_dose(DOSE)[:, None]

    def residual(theta):
        return response[0] - evaluate(LOGISTIC, theta[:, None], x)[0][:, 0]

    theta = found.theta[:, 0]
    wells = DOSE.size
    scale = np.median(np.abs(residual(theta))) / 0.6745 * np.sqrt(wells / (wells - 4))

    def loss(theta):
        u = np.minimum(np.abs(residual(theta)) / (4.685 * scale), 1)
        return np.sum(1 - (1 - u**2) ** 3)

    best = minimize(loss, theta, method="Nelder-Mead", options=dict(xatol=1e-9, fatol=1e-13))
    np.testing.assert_allclose(theta, best.x, rtol=1e-5)


def test_one_gross_outlier_hardly_moves_the_ic50():
    dose, response = simulate(20, 0, 2)
    clean = fit_wells(LOGISTIC, dose, response)[1].theta[MIDPOINT]
    spoilt = [row.copy() for row in response]
    for row in spoilt:
        row[6 + 3 * 7] *= 10  # a slip of the decimal point
    for weights in ("constant", "relative"):
        moved = fit_wells(LOGISTIC, dose, spoilt, weights, robust=True)[1].theta[MIDPOINT] - clean
        assert np.abs(moved).max() < 0.5
    trusting = fit_wells(LOGISTIC, dose, spoilt)[1].theta[MIDPOINT] - clean
    assert np.median(np.abs(trusting)) > 1


@pytest.mark.parametrize("outliers", [0, 2])
def test_intervals_hold_the_truth(outliers):
    """Large-sample intervals of 36 wells, much shorter than those of least squares with outliers."""
    dose, response = simulate(200, outliers, 3)
    truth = TRUTH[MIDPOINT] + np.log(50 / 40)
    curves, found = fit_wells(LOGISTIC, dose, response, robust=True)
    low, high = effective_dose_interval(found, curves, ABSOLUTE)
    # Three standard errors of 200 intervals are 5 %, and 1 % for the large-sample theory.
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.06)
    _, error = effective_dose(found, ABSOLUTE)
    _, plain = effective_dose(fit_wells(LOGISTIC, dose, response)[1], ABSOLUTE)
    # 95 % efficient with normal noise; with two outliers in 36 wells least squares loses more.
    if outliers:
        assert np.median(error) < 0.75 * np.median(plain)
    else:
        assert np.median(error) == pytest.approx(np.median(plain) / np.sqrt(0.95), rel=0.05)
