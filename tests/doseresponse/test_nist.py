"""NIST StRD nonlinear regression: Rat42 and Rat43 (Ratkowsky 1983), certified values of NIST.

Their x is our log dose: Rat42 is a logistic with bottom 0, Rat43 the same with an asymmetry.
Data, certified values, standard deviations and residual sums of squares were compared, digit by digit,
with public copies of NIST's Rat42.dat and Rat43.dat (the files' text inside test problems for
R's nlsr; the certified values also in tests of the GSL and of Eigen). The last test does not trust
them: it solves the normal equations of the same data in 40 digits.
"""

from dataclasses import replace
from decimal import Decimal, localcontext

import numpy as np
import pytest

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.fit import fit
from immunotrace.doseresponse.models import ASYMMETRY, BOTTOM, MIDPOINT, MODELS, SLOPE, TOP

RAT42 = {
    "x": [9, 14, 21, 28, 42, 57, 63, 70, 79],
    "y": [8.93, 10.80, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08],
    "certified": [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02],
    "errors": [1.7340283401e00, 8.8295217536e-02, 3.4465663377e-03],
    "rss": 8.0565229338e00,
}
RAT43 = {
    "x": list(range(1, 16)),
    "y": [16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93,
          699.56, 689.96, 637.56, 717.41],
    "certified": [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00],
    "errors": [1.6302297817e01, 2.0828735829e00, 1.9566123451e-01, 6.8761936385e-01],
    "rss": 8.7864049080e03,
}  # fmt: skip


def solve(model, data):
    x, y = np.array(data["x"], float)[:, None], np.array(data["y"])[:, None]
    curves = Curves(x, y, np.ones((len(x), 1)), np.array([len(x)]), np.zeros(1))
    return fit(model, curves)


def certified_parameters(theta):
    """y = b1 / (1 + exp(b2 - b3 x))^(1 / b4)"""
    b3 = -theta[SLOPE, 0]
    values = [theta[TOP, 0], b3 * theta[MIDPOINT, 0], b3]
    return values + ([np.exp(-theta[ASYMMETRY, 0])] if len(theta) > ASYMMETRY else [])


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (MODELS["three_parameter"], RAT42),
        (replace(MODELS["five_parameter"], held={BOTTOM: 0.0}), RAT43),
    ],
    ids=["Rat42", "Rat43"],
)
def test_certified_values(model, data):
    found = solve(model, data)
    np.testing.assert_allclose(certified_parameters(found.theta), data["certified"], rtol=1e-8)
    assert found.rss[0] == pytest.approx(data["rss"], rel=1e-9)
    # Standard errors by the delta method: b2 is a product, b4 an exponential.
    covariance = found.covariance()[:, :, 0]
    slope, midpoint = found.theta[SLOPE, 0], found.theta[MIDPOINT, 0]
    rows = np.zeros((len(data["certified"]), len(covariance)))
    rows[0, TOP], rows[2, SLOPE] = 1, -1
    rows[1, SLOPE], rows[1, MIDPOINT] = -midpoint, -slope
    if len(rows) == 4:
        rows[3, ASYMMETRY] = -np.exp(-found.theta[ASYMMETRY, 0])
    errors = np.sqrt(np.diag(rows @ covariance @ rows.T))
    np.testing.assert_allclose(errors, data["errors"], rtol=1e-7)


@pytest.mark.parametrize("data", [RAT42, RAT43], ids=["Rat42", "Rat43"])
def test_certified_values_in_extended_precision(data):
    """Newton's method on the gradient of the sum of squares, by differences in 40 digits."""
    with localcontext() as context:
        context.prec = 40
        x, y = [Decimal(str(v)) for v in data["x"]], [Decimal(str(v)) for v in data["y"]]

        def rss(b):
            power = 1 / b[3] if len(b) == 4 else Decimal(1)
            fitted = [b[0] / ((1 + (b[1] - b[2] * v).exp()).ln() * power).exp() for v in x]
            return sum((v - f) ** 2 for v, f in zip(y, fitted, strict=True))

        b = [Decimal(str(value)) for value in data["certified"]]
        steps = [abs(value) * Decimal("1e-9") for value in b]

        def moved(*places):
            out = list(b)
            for place, sign in places:
                out[place] += sign * steps[place]
            return rss(out)

        size = range(len(b))
        gradient = [(moved((i, 1)) - moved((i, -1))) / (2 * steps[i]) for i in size]
        hessian = [
            [
                (moved((i, 1), (j, 1)) - moved((i, 1), (j, -1)) - moved((i, -1), (j, 1))
                 + moved((i, -1), (j, -1))) / (4 * steps[i] * steps[j])
                for j in size
            ]
            for i in size
        ]  # fmt: skip
        least = float(rss(b))
    newton = np.linalg.solve(np.array(hessian, float), np.array(gradient, float))
    # Eleven digits are certified: what is left to the optimum is half a unit in the last of them.
    assert np.all(np.abs(newton) < 1e-10 * np.abs(data["certified"]))
    assert least == pytest.approx(data["rss"], rel=1e-10)
