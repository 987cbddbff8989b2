"""The Brain-Cousens model: against SciPy, and on data that are known for their hormesis."""

import csv

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import f as f_distribution

from immunotrace.doseresponse.batch import summarise
from immunotrace.doseresponse.fit import fit
from immunotrace.doseresponse.hormesis import hormesis
from immunotrace.doseresponse.models import MODELS

LOGISTIC = MODELS["four_parameter"]


def brain_cousens(dose, slope, bottom, top, midpoint, rise):
    u = slope * (np.log(np.maximum(dose, 1e-300)) - midpoint)
    return bottom + (top - bottom + rise * dose) / (1 + np.exp(u))


def read(reference, name):
    with open(reference / "doseresponse" / "data" / f"{name}.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["response"]]
    return [np.array([float(row[key]) for row in rows]) for key in ("dose", "response")]


def test_the_f_test_is_that_of_a_five_parameter_fit():
    rng = np.random.default_rng(4)
    dose = np.concatenate([np.zeros(6), np.repeat(np.geomspace(0.05, 250, 10), 3)])
    truth = 2.0, 10.0, 100.0, np.log(8), 10.0
    response = brain_cousens(dose, *truth) + 5 * rng.standard_normal(dose.size)
    curves = summarise([dose], [response])
    found = fit(LOGISTIC, curves)
    p, difference = hormesis(curves, found)
    theta, _ = curve_fit(brain_cousens, dose, response, truth, xtol=1e-14, ftol=1e-14)
    rss = np.sum((response - brain_cousens(dose, *theta)) ** 2)
    df = dose.size - 5
    expected = f_distribution.sf((found.rss[0] - rss) / (rss / df), 1, df)
    assert p[0] == pytest.approx(expected, rel=1e-5)
    n = dose.size
    aicc = [n * np.log(s / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
            for s, k in ((rss, 6), (found.rss[0], 5))]  # fmt: skip
    assert difference[0] == pytest.approx(aicc[0] - aicc[1], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "risen"), [("lettuce", True), ("leaflength", True), ("ryegrass", False)]
)
def test_data_known_for_hormesis_or_its_absence(reference, name, risen):
    """lettuce and leaflength are described as hormesis data by the reference's README."""
    dose, response = read(reference, name)
    curves = summarise([dose], [response])
    p, difference = hormesis(curves, fit(LOGISTIC, curves))
    assert (p[0] < 0.05 and difference[0] < 0) == risen
