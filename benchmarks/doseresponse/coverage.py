"""How often reported 95 % intervals of the IC50s hold the truth, and how often the F test is wrong.

    python -m benchmarks.doseresponse.coverage [curves a design] [number of a design, from 0 ...]

Simulated plates with six stimulated wells without drug and constant normal noise, given in percent of
the control; falls of 90 % with hill slope -1 over 0.05 to 250. Prints a Markdown table, all in percent.
"reported": curves whose IC50 the pipeline calls determined; the rest is of these. "profile", "Wald":
intervals that hold the truth, an open end holding everything beyond it. "F": pairs of reported curves
with the same truth for which p is below 0.05; "all F": the same of all pairs, reported or not. In brackets: designs that report fewer than half of the
curves, for too few doses lie beyond the IC50 by the rules of Sebaugh 2011; there a report is luck, and
luck is no fair sample.
"""

import sys
from dataclasses import dataclass
from itertools import product

import numpy as np

from immunotrace.doseresponse.batch import Curves, summarise_design
from immunotrace.doseresponse.calls import DETERMINED, calls, unidentified
from immunotrace.doseresponse.contrasts import compare
from immunotrace.doseresponse.fit import Fit, fit
from immunotrace.doseresponse.intervals import effective_dose, effective_dose_interval, quantile
from immunotrace.doseresponse.models import ABSOLUTE, MODELS, RELATIVE, evaluate, log_dose

MODEL = MODELS["four_parameter"]
KINDS = {"relative": RELATIVE, "absolute": ABSOLUTE}
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
    """Fractions by kind of IC50: curves reported, intervals that hold the truth, F tests below 5 %."""
    curves, found, midpoint = simulate(design, count, rng)
    other, other_found, _ = simulate(design, count, rng)
    halfway = np.log((TOP - TOP / 2) / (TOP / 2 - BOTTOM))  # log x / midpoint where y is 50
    truth = {"relative": midpoint, "absolute": midpoint + halfway}
    bounds, reported = judge(curves, found)
    _, other_reported = judge(other, other_found)
    out = {}
    for name, at in KINDS.items():
        some = reported[name]
        low, high = bounds[name]
        estimate, error = effective_dose(found, at)
        near = np.abs(estimate - truth[name]) <= error * quantile(found.df, 0.95)
        pairs = some & other_reported[name]
        p = compare(curves, found, other, other_found, at, None).p_value
        out[f"{name} reported"] = some.mean()
        out[f"{name} profile"] = np.mean(((low <= truth[name]) & (truth[name] <= high))[some])
        out[f"{name} Wald"] = np.mean(near[some])
        out[f"{name} F"] = np.mean(p[pairs] < 0.05)
        out[f"{name} all F"] = np.mean(p[np.isfinite(p)] < 0.05)
    return out


def judge(curves: Curves, found: Fit):
    """By kind of IC50: the intervals, and whether each curve's is reported."""
    bounds = {name: effective_dose_interval(found, curves, at) for name, at in KINDS.items()}
    reported = {name: np.zeros(found.rss.size, bool) for name in KINDS}
    for i, reason in enumerate(unidentified(curves, found, 0.95)):
        own = {name: (low[i], high[i]) for name, (low, high) in bounds.items()}
        for name, call in calls(curves, found, i, "ng/ml", reason, own).items():
            reported[name][i] = call.call == DETERMINED
    return bounds, reported


def main(count: int, numbers: list[int]) -> None:
    rows = []
    for number in numbers or range(len(DESIGNS)):
        design = DESIGNS[number]
        row = covered(design, count, np.random.default_rng([2015, number]))
        if not rows:
            print(_line(["doses", "replicates", "noise", "IC50 at", *row]))
            print(_line(["---"] * (4 + len(row))))
        rows.append(row)
        cells = [design.doses, design.replicates, f"{design.noise} %", design.place]
        print(_line([*cells, *(_cell(row, name) for name in row)]), flush=True)
    for label, function in (("lowest", min), ("mean", np.mean), ("highest", max)):
        values = [
            function([100 * row[name] for row in rows if _fair(row, name)]) for name in rows[0]
        ]
        print(_line([label, "", "", "", *(f"{value:.1f}" for value in values)]))
    error = 100 * (0.95 * 0.05 / count) ** 0.5
    print(
        f"\nPercent of {count:,} curves a design; standard error of an interval's figure {error:.1f} "
        "where all are reported. The last rows are without the figures in brackets."
    )


def _fair(row: dict[str, float], name: str) -> bool:
    kind, what = name.split(maxsplit=1)
    return what in ("reported", "all F") or row[f"{kind} reported"] >= 0.5


def _cell(row: dict[str, float], name: str) -> str:
    text = f"{100 * row[name]:.1f}"
    return text if _fair(row, name) else f"({text})"


def _line(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000, [int(n) for n in sys.argv[2:]])
