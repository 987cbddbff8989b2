"""Fits a CPU second, beside scipy.optimize.curve_fit and lmfit on the same curves.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.doseresponse.speed [curves]

Four-parameter fits to 10 doses in triplicate with six wells without drug and 8 % noise. Every optimum
that the others find is compared with ours; lmfit is left out where it is not installed.
"""

import sys
import time
import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from immunotrace.doseresponse.batch import summarise_design
from immunotrace.doseresponse.fit import fit
from immunotrace.doseresponse.intervals import (
    bootstrap,
    effective_dose,
    effective_dose_interval,
)
from immunotrace.doseresponse.models import ABSOLUTE, MODELS, RELATIVE, evaluate, log_dose

MODEL = MODELS["four_parameter"]
DOSE = np.concatenate([np.zeros(6), np.repeat(np.geomspace(0.05, 250, 10), 3)])
LOG_DOSE = log_dose(DOSE)
OTHERS = 300  # curves that the slower programs fit


def simulate(count: int) -> np.ndarray:
    rng = np.random.default_rng(2015)
    theta = np.array(
        [
            rng.uniform(0.7, 1.8, count),
            rng.uniform(5, 30, count),
            rng.uniform(90, 110, count),
            rng.uniform(np.log(1), np.log(40), count),
        ]
    )
    value = evaluate(MODEL, theta, LOG_DOSE[:, None])[0]
    return (value + 8 * rng.standard_normal(value.shape)).T


def logistic(log_doses, slope, bottom, top, midpoint):
    return bottom + (top - bottom) / (1 + np.exp(np.minimum(slope * (log_doses - midpoint), 700)))


def seconds(function, *arguments):
    start = time.process_time()
    result = function(*arguments)
    return time.process_time() - start, result


def starts(response):
    low, high = response[-3:].mean(), response[:6].mean()
    return dict(slope=1.0, bottom=low, top=high, midpoint=np.log(5.0))


def with_scipy(responses):
    out = []
    for response in responses:
        start = list(starts(response).values())
        theta, _ = curve_fit(logistic, LOG_DOSE, response, start, maxfev=5000)
        out.append(np.sum((logistic(LOG_DOSE, *theta) - response) ** 2))
    return np.array(out)


def with_lmfit(responses):
    from lmfit import Model

    model = Model(logistic)
    return np.array(
        [
            np.sum(model.fit(response, log_doses=LOG_DOSE, **starts(response)).residual ** 2)
            for response in responses
        ]
    )


def main(count: int) -> None:
    responses = simulate(count)
    fit(MODEL, summarise_design(DOSE, responses[:2000]))  # warm up

    def fits_with_errors():
        curves = summarise_design(DOSE, responses)
        found = fit(MODEL, curves)
        return curves, found, effective_dose(found, RELATIVE)

    fitting, (curves, found, _) = seconds(fits_with_errors)
    print(f"{count / fitting:12,.0f} fits/s with Wald errors of the relative IC50 (ours)")
    for name, at in (("relative", RELATIVE), ("absolute", ABSOLUTE)):
        profile, _ = seconds(effective_dose_interval, found, curves, at)
        print(
            f"{count / (fitting + profile):12,.0f} fits/s with profile intervals of the {name} IC50"
        )
    times = [1000 * seconds(bootstrap, found, curves, 0, 1000, seed)[0] for seed in range(20)]
    print(
        f"{np.median(times):12.1f} ms for 1,000 bootstrap refits of one curve (median of 20; least "
        f"{min(times):.1f}, most {max(times):.1f})"
    )

    for name, function in (("scipy curve_fit", with_scipy), ("lmfit", with_lmfit)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", (OptimizeWarning, RuntimeWarning))
                duration, rss = seconds(function, responses[:OTHERS])
        except ModuleNotFoundError:
            print(f"{'-':>12} {name}: not installed")
            continue
        excess = rss / found.rss[:OTHERS] - 1
        if excess.min() < -1e-9:
            raise AssertionError(f"{name} found a lower sum of squares: {excess.min():.1e}")
        same = np.mean(excess < 1e-6)
        print(f"{OTHERS / duration:12,.0f} fits/s with Wald errors, {name}; "
              f"{100 * same:.1f} % of its optima are ours, the others are worse")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
