"""How often reported 95 % intervals of the IC50s hold the truth, and how often the F test is wrong.

    python -m benchmarks.doseresponse.coverage [--curves N] [--weights W] [--noise POWER] [design ...]

Simulated plates with six stimulated wells without drug; responses are percent of the mean of these, as
in the pipeline; falls of 90 % with hill slope -1 over 0.05 to 250. The standard
deviation of a well is its design's percent of the control, times the expected response (a fraction of the
control) to the power of `--noise`: 0 is noise of one size, 1 is noise in proportion, and 0.75 is what real
thymidine counts show (tests/plates/test_noise.py). `--weights`: as `dose_response.weights` of the pipeline.
Without the two options all tables are made: weights that match the noise, then weights that do not, these of the
designs of ten doses in triplicate. A design is named by its number, from 0. Prints Markdown, all in percent.
"reported": curves whose IC50 the pipeline calls determined; the rest is of these. "profile", "Wald":
intervals that hold the truth, an open end holding everything beyond it. "F": pairs of reported curves
with the same truth for which p is below 0.05; "all F": the same of all pairs, reported or not. In brackets: designs that report fewer than half of the
curves, for too few doses lie beyond the IC50 by the rules of Sebaugh 2011; there a report is luck, and
luck is no fair sample.
"""

import argparse
import sys
from dataclasses import dataclass
from itertools import product

import numpy as np

from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.calls import DETERMINED, calls, unidentified
from immunotrace.doseresponse.contrasts import compare
from immunotrace.doseresponse.fit import Fit, fit_wells
from immunotrace.doseresponse.intervals import effective_dose, effective_dose_interval, quantile
from immunotrace.doseresponse.models import ABSOLUTE, MODELS, RELATIVE, evaluate, log_dose

MODEL = MODELS["four_parameter"]
KINDS = {"relative": RELATIVE, "absolute": ABSOLUTE}
LOWEST, HIGHEST, TOP, BOTTOM, CONTROLS = 0.05, 250.0, 100.0, 10.0, 6
PLACES = {"middle": (LOWEST * HIGHEST) ** 0.5, "low end": 8 * LOWEST, "high end": HIGHEST / 8}


@dataclass(frozen=True)
class Design:
    doses: int
    replicates: int
    noise: float
    place: str


DESIGNS = [Design(*values) for values in product((8, 10, 12), (2, 3, 4), (5, 10, 20), PLACES)]


# Weights and the power of the noise: the pairs that match, then those that do not.
MATCHED = [("relative", 1.0), ("constant", 0.0)]
PAIRS = [*MATCHED, ("relative", 0.75), ("relative", 0.0), ("constant", 1.0)]


def simulate(
    design: Design, count: int, rng: np.random.Generator, weights: str, power: float
) -> tuple[Curves, Fit, float]:
    """Fitted curves of a design, and their true log midpoint."""
    dose = np.repeat(np.geomspace(LOWEST, HIGHEST, design.doses), design.replicates)
    dose = np.concatenate([np.zeros(CONTROLS), dose])
    midpoint = np.log(PLACES[design.place])
    theta = np.array([[1.0], [BOTTOM], [TOP], [midpoint]])
    value = evaluate(MODEL, theta, log_dose(dose)[:, None])[0][:, 0]
    scale = design.noise * (value / 100) ** power
    response = value + scale * rng.standard_normal((count, dose.size))
    response *= 100 / response[:, :CONTROLS].mean(axis=1, keepdims=True)
    curves, found = fit_wells(MODEL, [dose] * count, list(response), weights)
    return curves, found, midpoint


def covered(
    design: Design,
    count: int,
    rng: np.random.Generator,
    weights: str = "constant",
    power: float = 0.0,
) -> dict[str, float]:
    """Fractions by kind of IC50: curves reported, intervals that hold the truth, F tests below 5 %."""
    curves, found, midpoint = simulate(design, count, rng, weights, power)
    other, other_found, _ = simulate(design, count, rng, weights, power)
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
        out[f"{name} profile"] = _share(((low <= truth[name]) & (truth[name] <= high))[some])
        out[f"{name} Wald"] = _share(near[some])
        out[f"{name} F"] = _share(p[pairs] < 0.05)
        out[f"{name} all F"] = _share(p[np.isfinite(p)] < 0.05)
    return out


def _share(hits: np.ndarray) -> float:
    return float(np.mean(hits)) if hits.size else float("nan")


def judge(curves: Curves, found: Fit):
    """By kind of IC50: the intervals, and whether each curve's is reported."""
    bounds = {name: effective_dose_interval(found, curves, at) for name, at in KINDS.items()}
    reported = {name: np.zeros(found.rss.size, bool) for name in KINDS}
    for i, reason in enumerate(unidentified(curves, found, 0.95)):
        own = {name: (low[i], high[i]) for name, (low, high) in bounds.items()}
        for name, call in calls(curves, found, i, "ng/ml", reason, own).items():
            reported[name][i] = call.call == DETERMINED
    return bounds, reported


def table(weights: str, power: float, numbers: list[int], count: int) -> None:
    print(f"## {weights.capitalize()} weights, noise of the power {power:g}\n")
    rows = []
    for number in numbers:
        design = DESIGNS[number]
        rng = np.random.default_rng([2015, number, PAIRS.index((weights, power))])
        row = covered(design, count, rng, weights, power)
        if not rows:
            print(_line(["number", "doses", "replicates", "noise", "IC50 at", *row]))
            print(_line(["---"] * (5 + len(row))))
        rows.append(row)
        cells = [number, design.doses, design.replicates, f"{design.noise} %", design.place]
        print(_line([*cells, *(_cell(row, name) for name in row)]), flush=True)
    for label, function in (("lowest", min), ("mean", np.mean), ("highest", max)):
        values = {name: [100 * row[name] for row in rows if _fair(row, name)] for name in rows[0]}
        cells = [f"{function(some):.1f}" if some else "" for some in values.values()]
        print(_line([label, "", "", "", "", *cells]))
    error = 100 * (0.95 * 0.05 / count) ** 0.5
    command = " ".join(["python -m benchmarks.doseresponse.coverage", *sys.argv[1:]])
    print(
        f"\nPercent of {count:,} curves a design; standard error of an interval's figure {error:.1f} "
        "where all are reported. The last rows are without the figures in brackets. "
        f"Made by `{command}`.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of the intervals, as Markdown.")
    parser.add_argument("--curves", type=int, default=4000)
    parser.add_argument("--weights", choices=["constant", "relative"])
    parser.add_argument("--noise", type=float, choices=[0.0, 0.75, 1.0])
    parser.add_argument("designs", nargs="*", type=int)
    wanted = parser.parse_args()
    for pair in PAIRS:
        if wanted.weights in (None, pair[0]) and wanted.noise in (None, pair[1]):
            part = [
                number
                for number, design in enumerate(DESIGNS)
                if pair in MATCHED or (design.doses, design.replicates) == (10, 3)
            ]
            table(*pair, wanted.designs or part, wanted.curves)


def _fair(row: dict[str, float], name: str) -> bool:
    kind, what = name.split(maxsplit=1)
    return what in ("reported", "all F") or row[f"{kind} reported"] >= 0.5


def _cell(row: dict[str, float], name: str) -> str:
    text = f"{100 * row[name]:.1f}" if np.isfinite(row[name]) else "none"
    return text if _fair(row, name) else f"({text})"


def _line(cells) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
