"""Models: derivatives against differences, inverses, zero doses."""

import numpy as np
import pytest

from immunotrace.doseresponse.models import (
    ABSOLUTE,
    BOTTOM,
    MIDPOINT,
    MODELS,
    RELATIVE,
    SLOPE,
    TOP,
    Level,
    curvature,
    evaluate,
    log_dose,
    log_effective_dose,
    midpoint_for,
)

DOSES = np.array([0, 0.05, 0.4, 2, 9, 40, 250.0])


def parameters(model, slope=1.3):
    """Two curves; a slope that makes the model fall."""
    sign = -1 if model.name == "weibull2" else 1
    theta = np.array([[sign * slope, 0.6 * sign], [8, 30], [103, 95], np.log([4, 11])])
    if model.parameters == 5:
        theta = np.vstack([theta, np.log([0.4, 2.5])])
    return theta


def differences(function, theta, step=1e-6):
    """Central differences; error about step^2 and 1e-16 / step, 1e-9 of the scale here."""
    out = []
    for i in range(len(theta)):
        high, low = theta.copy(), theta.copy()
        high[i] += step
        low[i] -= step
        out.append((function(high) - function(low)) / (2 * step))
    return np.array(out)


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    return request.param


def test_derivatives(model):
    theta = parameters(model)
    x = log_dose(DOSES)[:, None]
    _, jacobian, parts = evaluate(model, theta, x)
    expected = differences(lambda t: evaluate(model, t, x)[0], theta)
    np.testing.assert_allclose(np.array(jacobian), expected, rtol=1e-6, atol=1e-6)
    weight = np.random.default_rng(1).normal(size=(DOSES.size, 2))
    second = curvature(model, theta, parts, weight)
    expected = differences(
        lambda t: np.einsum("kn,ikn->in", weight, np.array(evaluate(model, t, x)[1])), theta
    )
    np.testing.assert_allclose(second, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("level", [RELATIVE, ABSOLUTE, Level(response=60), Level(of_top=0.9)])
def test_effective_dose_inverts_the_model(model, level):
    theta = parameters(model)
    dose, derivatives = log_effective_dose(model, theta, level)
    value = evaluate(model, theta, dose[None])[0][0]
    np.testing.assert_allclose(value, level.value(theta), rtol=1e-12)
    expected = differences(lambda t: log_effective_dose(model, t, level)[0], theta)
    np.testing.assert_allclose(derivatives, expected, rtol=1e-6, atol=1e-8)
    swapped = theta.copy()
    swapped[MIDPOINT] = dose
    back, first, second = midpoint_for(model, swapped, level)
    np.testing.assert_allclose(back, theta, rtol=1e-12)
    expected = differences(lambda t: midpoint_for(model, t, level)[0][MIDPOINT], swapped)
    np.testing.assert_allclose(first, expected, rtol=1e-6, atol=1e-8)
    expected = differences(lambda t: midpoint_for(model, t, level)[1], swapped)
    np.testing.assert_allclose(second, expected, rtol=1e-4, atol=1e-7)


def test_zero_dose_lies_exactly_on_the_asymptote(model):
    theta = parameters(model)
    value, jacobian, _ = evaluate(model, theta, log_dose([0.0])[:, None])
    np.testing.assert_array_equal(value[0], theta[TOP])
    assert all(np.isfinite(column).all() for column in jacobian)
    np.testing.assert_allclose(jacobian[SLOPE], 0, atol=1e-100)
    np.testing.assert_array_equal(jacobian[TOP], 1)
    rising = theta.copy()
    rising[SLOPE] *= -1
    value = evaluate(model, rising, log_dose([0.0])[:, None])[0]
    np.testing.assert_allclose(value[0], rising[BOTTOM], rtol=1e-14)


def test_an_unreached_level_has_no_dose(model):
    dose, _ = log_effective_dose(model, parameters(model), Level(response=200))
    assert np.isnan(dose).all()


def test_negative_doses_are_refused():
    for dose in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="doses"):
            log_dose([dose])
