"""How often 95 % intervals of the IC50s hold the truth, and how often the F test is wrong.

    python -m benchmarks.doseresponse.coverage [curves a design]

Simulated plates with six stimulated wells without drug and constant normal noise, given in percent of
the control; falls of 90 % with hill slope -1 over 0.05 to 250. Prints a Markdown table. "missing":
curves whose fit gives no interval, which count as covered, for they are reported as not determined;
"F": tests of two curves with the same truth that find p below 0.05. An open end of an interval holds everything beyond it.
"""

import sys
from dataclasses import dataclass
from itertools import product

import numpy as np

from immunotrace.doseresponse.batch import Curves, summarise_design
from immunotrace.doseresponse.contrasts import compare
from immunotrace.doseresponse.fit import Fit, fit
from immunotrace.doseresponse.intervals import effective_dose, effective_dose_interval, quantile
from immunotrace.doseresponse.models import ABSOLUTE, MODELS, RELATIVE, evaluate, log_dose

MODEL = MODELS["four_parameter"]
LOWEST, HIGHEST, TOP, BOTTOM = 0.05, 250.0, 100.0, 10.0
PLACES = {"middle": (LOWEST * HIGHEST) ** 0.5, "low end": 8 * LOWEST, "high end": HIGHEST / 8}


@dataclass(frozen=True)
class Design:
    doses: int
    replicates: int
    noise: float
    place: str


DESIGNS = [Design(*values) for values in product((8, 10, 12), (2, 3, 4), (5, 10, 20), PLACES)]


def simulate(design: Design, count: int, rng: np.random.Generator) -> tuple[Curves, Fit, float]:
    """Fitted curves of a design, and their true log midpoint."""
    dose = np.repeat(np.geomspace(LOWEST, HIGHEST, design.doses), design.replicates)
    dose = np.concatenate([np.zeros(6), dose])
    midpoint = np.log(PLACES[design.place])
    theta = np.array([[1.0], [BOTTOM], [TOP], [midpoint]])
    value = evaluate(MODEL, theta, log_dose(dose)[:, None])[0][:, 0]
    response = value + design.noise * rng.standard_normal((count, dose.size))
    curves = summarise_design(dose, response)
    return curves, fit(MODEL, curves), midpoint


def covered(design: Design, count: int, rng: np.random.Generator) -> dict[str, float]:
    """Fractions of curves: profile and Wald intervals that hold the truth, F tests below 5 %."""
    curves, found, midpoint = simulate(design, count, rng)
    halfway = np.log((TOP - TOP / 2) / (TOP / 2 - BOTTOM))  # log x / midpoint where y is 50
    out = {}
    for name, at, truth in (
        ("relative", RELATIVE, midpoint),
        ("absolute", ABSOLUTE, midpoint + halfway),
    ):
        low, high = effective_dose_interval(found, curves, at)
        out[name] = np.mean((low <= truth) & (truth <= high) | np.isnan(low))
        out[f"{name} missing"] = np.mean(np.isnan(low))
        estimate, error = effective_dose(found, at)
        out[f"{name} Wald"] = np.mean(np.abs(estimate - truth) <= error * quantile(found.df, 0.95))
    other, other_found, _ = simulate(design, count, rng)
    for name, at in (("relative", RELATIVE), ("absolute", ABSOLUTE)):
        p = compare(curves, found, other, other_found, at, None).p_value
        out[f"{name} F"] = np.mean(p[np.isfinite(p)] < 0.05)
    return out


def main(count: int) -> None:
    rows = []
    for number, design in enumerate(DESIGNS):
        row = covered(design, count, np.random.default_rng([2015, number]))
        if not rows:
            print(_line(["doses", "replicates", "noise", "IC50 at", *row]))
            print(_line(["---"] * (4 + len(row))))
        rows.append(row)
        cells = [design.doses, design.replicates, f"{design.noise} %", design.place]
        print(_line([*cells, *(f"{100 * value:.1f}" for value in row.values())]), flush=True)
    for name, function in (("lowest", min), ("mean", np.mean), ("highest", max)):
        values = [function([100 * row[column] for row in rows]) for column in rows[0]]
        print(_line([name, "", "", "", *(f"{value:.1f}" for value in values)]))
    error = 100 * (0.95 * 0.05 / count) ** 0.5
    print(f"\nPercent of {count:,} curves a design; standard error of one figure {error:.1f}.")


def _line(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
