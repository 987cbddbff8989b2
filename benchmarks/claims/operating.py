"""False positive rate and power of each claim, and coverage of the interval of change.

    python -m benchmarks.claims.operating [cases a scenario] [scenario ...]

Simulates cases (see `cases.py`), takes them through the functions of the pipeline with the bundled
claims and some of other courses (`MORE`), and prints a table. Without arguments it runs all scenarios and
puts the table in the place of that in `README.md`.
"""

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.claims.cases import DAYS, T_CELLS, Design, draw_cases
from immunotrace.claims import judge_claims
from immunotrace.doseresponse.calls import Call, absolute_call, unidentified
from immunotrace.doseresponse.contrasts import compare
from immunotrace.doseresponse.fit import fit_wells
from immunotrace.doseresponse.intervals import effective_dose
from immunotrace.doseresponse.models import ABSOLUTE, MODELS
from immunotrace.longitudinal.changes import changes
from immunotrace.longitudinal.composition import standardised
from immunotrace.longitudinal.measurements import measurements
from simulation.plates import read_plate_map
from simulation.settings import read_settings

CASE = Path(__file__).parents[2] / "resources/case"
README = Path(__file__).with_name("README.md")
LEVEL = 0.95
FEW = 0.05
THREE_RUNS = (7, 21, 42)
RETURN = (70, 105, 150)
MANY_BASELINES = (-84, -70, -56, -42, -35, *DAYS)
SCENARIOS = {
    "null": Design(),
    "null, no control": Design(control=False),
    "null, 1 baseline day": Design(days=DAYS[2:]),
    "null, few events": Design(events=FEW),
    "batch -0.4 on day 21": Design(batch=((21, -0.4),)),
    "batch -0.8 on day 21": Design(batch=((21, -0.8),)),
    "batch -0.4 on days 7 to 42": Design(batch=tuple((day, -0.4) for day in THREE_RUNS)),
    "batch -0.8 on days 7 to 42": Design(batch=tuple((day, -0.8) for day in THREE_RUNS)),
    "composition: naive cells fall": Design(composition=-1.2),
    "composition: naive cells rise": Design(composition=1.2),
    "null, patient varies 1.5 times as much": Design(patient_sd=1.5),
    "null, patient varies twice as much": Design(patient_sd=2),
    "same, 8 baseline days": Design(patient_sd=2, days=MANY_BASELINES),
    "opposite": Design(sign=1),
    "lasting fall": Design(sign=-1, lasting=True),
    "lasting fall, batch +0.4 on days 70 to 150": Design(
        sign=-1, lasting=True, batch=tuple((day, 0.4) for day in RETURN)
    ),
    "lasting fall, batch +0.8 on days 70 to 150": Design(
        sign=-1, lasting=True, batch=tuple((day, 0.8) for day in RETURN)
    ),
    "abstract": Design(sign=-1),
    "abstract, 3/4 of the effects": Design(sign=-1, size=0.75),
    "abstract, half of the effects": Design(sign=-1, size=0.5),
    "abstract, no control": Design(sign=-1, control=False),
    "abstract, 1 baseline day": Design(sign=-1, days=DAYS[2:]),
    "abstract, days 7, 42, 105 missing": Design(sign=-1, days=(-28, -14, -1, 21, 70, 150)),
    "abstract, no day after 42": Design(sign=-1, days=DAYS[:6]),
    "abstract, few events": Design(sign=-1, events=FEW),
    "abstract, batch -0.8 on day 21": Design(sign=-1, batch=((21, -0.8),)),
    "abstract, batch +0.8 on days 7 to 42": Design(
        sign=-1, batch=tuple((day, 0.8) for day in THREE_RUNS)
    ),
    "abstract, batch -0.8 on days 70 to 150": Design(
        sign=-1, batch=tuple((day, -0.8) for day in RETURN)
    ),
    "abstract, 8 baseline days": Design(sign=-1, days=MANY_BASELINES),
    "abstract, with the bundled case's odd plates": Design(sign=-1, odd_plates=True),
}
# Cases of the scenarios that a bar is set for, and of the others.
MANY, SOME = 500, 100
BARS = ("null", "batch -0.8 on days 7 to 42", "composition: naive cells fall",
        "composition: naive cells rise", "lasting fall, batch +0.8 on days 70 to 150",
        "abstract")  # fmt: skip
CLAIMS = ["C1", "C2", "C3", "C4", "C5"]
# Claims of other kinds, each made of a bundled one: its name, and what is changed in it.
MORE = {
    "median": ("C2", {"measurement": "median_all", "populations": [f"{path}/CD45RA+" for path in T_CELLS]}),
    "C2 lasting": ("C2", {"course": "lasting"}),
    "C5 lasting": ("C5", {"course": "lasting", "window": [1, 60], "return_window": [61, 365]}),
    "C2 none": ("C2", {"course": "none", "direction": None, "return_window": None}),
}  # fmt: skip


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else None
    table = [heading()]
    print(table[0])
    for name in sys.argv[2:] or SCENARIOS:
        start = time.process_time()
        cases = number or (MANY if name in BARS else SOME)
        table.append(line(name, *run(SCENARIOS[name], range(1, cases + 1))))
        print(table[-1], flush=True)
        print(f"{name}: {time.process_time() - start:.0f} s CPU", file=sys.stderr)
    if number is None:
        before, rest = README.read_text(encoding="utf-8").split("| scenario |", 1)
        after = rest.split("\n\n", 1)[1]
        README.write_text(before + "\n".join(table) + "\n\n" + after, encoding="utf-8")


def run(design: Design, seeds: range) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verdicts (case, claim, verdict, ...) of all cases, and whether each interval held the truth."""
    tables = [_tables(design, range(first, min(first + 50, seeds.stop)))
              for first in range(seeds.start, seeds.stop, 50)]  # fmt: skip
    verdicts = pd.concat([part[0] for part in tables], ignore_index=True)
    return verdicts, pd.concat([part[1] for part in tables], ignore_index=True)


def _tables(design: Design, seeds: range) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings, plate_map, claims = _case()
    populations, markers, plates, truth = draw_cases(design, settings, plate_map, seeds)
    curves, contrasts = fit_plates(plates)
    values = measurements(populations, markers, curves, standardised(populations, markers))
    table = changes(values, "HC01" if design.control else None, LEVEL, contrasts, LEVEL)
    table = table[table["subject"] == "MSC01"]
    table = table.assign(case=table["panel"].where(table["panel"] != "", table["drug"]))
    verdicts = [
        judge_claims(claims, own, [], "MSC01").assign(case=case)
        for case, own in table.groupby("case", sort=False)
    ]
    keys = ["case", "measurement", "population", "marker", "day"]
    # Inside, for the parts' percentages have no truth of their own.
    joined = table.merge(truth, on=keys, validate="one_to_one")
    known = joined.dropna(subset=["change_low", "change_high"])
    inside = (known["change_low"] <= known["truth"]) & (known["truth"] <= known["change_high"])
    return pd.concat(verdicts), known[keys].assign(covered=inside)


def fit_plates(plates: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The columns of curves.tsv and contrasts.tsv that changes are made of, of the absolute IC50.

    The fits, calls and ratios are those of `fit_curves`, of all plates at once; a test compares them.
    """
    model = MODELS["four_parameter"]
    curves, found = _fit(model, plates)
    log_ic50, error = effective_dose(found, ABSOLUTE)
    reasons = unidentified(curves, found, LEVEL)
    calls = [
        Call("not_determined") if reason else absolute_call(curves, found, i, "ng/ml")
        for i, reason in enumerate(reasons)
    ]
    determined = np.array([call.call == "determined" for call in calls])
    names = ("subject", "role", "day", "drug")
    table = pd.DataFrame({name: [plate[name] for plate in plates] for name in names}).assign(
        dose_unit="ng/ml",
        call=[call.call for call in calls],
        bound=[call.side for call in calls],
        bound_dose=[call.dose for call in calls],
        absolute_ic50=np.where(determined, np.exp(log_ic50), np.nan),
        log10_absolute_ic50_se=np.where(determined, error / np.log(10), np.nan),
        relative_ic50=np.nan,
        log10_relative_ic50_se=np.nan,
    )
    pooled: dict[tuple, dict] = {}
    for plate in plates:
        if plate["day"] <= 0:
            own = pooled.setdefault((plate["drug"], plate["subject"]), {"dose": [], "response": []})
            for name in own:
                own[name] = np.append(own[name], plate[name])
    references, reference_fit = _fit(model, list(pooled.values()))
    usable = [
        not reason and absolute_call(references, reference_fit, i, "ng/ml").call == "determined"
        for i, reason in enumerate(unidentified(references, reference_fit, LEVEL))
    ]
    place = {key: i for i, key in enumerate(pooled)}
    of = np.array([place[plate["drug"], plate["subject"]] for plate in plates])
    later = np.flatnonzero((table["day"] > 0) & determined & np.array(usable)[of])
    ratios = compare(
        curves.take(later), found.take(later),
        references.take(of[later]), reference_fit.take(of[later]), ABSOLUTE, LEVEL,
    )  # fmt: skip
    contrasts = table.iloc[later][list(names)].assign(
        ic50_kind="absolute",
        ratio=ratios.ratio,
        ratio_low=np.where(ratios.low > 0, ratios.low, np.nan),
        ratio_high=np.where(np.isfinite(ratios.high), ratios.high, np.nan),
    )
    return table, contrasts


def _fit(model, plates: list[dict]):
    doses, responses = ([plate[name] for plate in plates] for name in ("dose", "response"))
    return fit_wells(model, doses, responses, "relative")


@cache
def _case() -> tuple[dict, list[dict], list[dict]]:
    found = yaml.safe_load((CASE / "claims.yaml").read_text(encoding="utf-8"))["claims"]
    bundled = {claim["claim"]: claim for claim in found if claim["claim"] in CLAIMS}
    more = [bundled[of] | changed | {"claim": name} for name, (of, changed) in MORE.items()]
    claims = [
        {key: value for key, value in claim.items() if value is not None}
        for claim in [*bundled.values(), *more]
    ]
    return read_settings(CASE / "simulation.yaml"), read_plate_map(CASE / "plate_map.tsv"), claims


def share(verdicts: pd.DataFrame, verdict: str) -> dict[str, float]:
    """Percent of the cases in which each claim, and any of `CLAIMS`, has a verdict."""
    found = (verdicts["verdict"] == verdict).groupby([verdicts["case"], verdicts["claim"]]).any()
    table = found.unstack()
    return {**(100 * table.mean()).to_dict(), "any": 100 * table[CLAIMS].any(axis=1).mean()}


def heading() -> str:
    names = ["scenario", "cases", *CLAIMS, "any of these", "contradicted (most)",
             "inconclusive (most)", *MORE, "C2 none contradicted", *KINDS.values()]  # fmt: skip
    return "| " + " | ".join(names) + " |\n|" + " --- |" * len(names)


KINDS = {
    "percent_positive": "coverage: percent positive",
    "percent_positive_adjusted": "same, mix held",
    "percent_of_parent": "percent of parent",
    "absolute_ic50": "absolute IC50",
    "median_all": "median",
}


def line(name: str, verdicts: pd.DataFrame, covered: pd.DataFrame) -> str:
    supported = share(verdicts, "supported")
    most = []
    for verdict in ("contradicted", "inconclusive"):
        rates = share(verdicts, verdict)
        claim = max(CLAIMS, key=rates.get)
        most.append(f"{rates[claim]:.1f} ({claim})")
    coverage = covered.groupby("measurement")["covered"].mean()
    cells = [
        name,
        str(verdicts["case"].nunique()),
        *(f"{supported[claim]:.1f}" for claim in [*CLAIMS, "any"]),
        *most,
        *(f"{supported[claim]:.1f}" for claim in MORE),
        f"{share(verdicts, 'contradicted')['C2 none']:.1f}",
        *(f"{100 * coverage[kind]:.1f}" for kind in KINDS),
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
