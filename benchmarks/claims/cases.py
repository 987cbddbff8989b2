"""Many simulated cases at the level of tables, with the simulator's truth, variation and noise.

What the pipeline would tabulate is drawn without making files: cells of each kind by a multinomial
draw, positive cells by binomial draws, medians of CCR7 from the brightness of each cell, plates by the
simulator's own wells. The gates' own errors are so left out (the tests of the bundled case hold them to
1 percentage point), and spillover. The bundled case's one outlier well and its last plate, whose curve
never reaches half, are in the cases only where the design says so. A case is told from the others by its
panel and drug, so that the analysis takes all of them in one go.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulation.biology import LINEAGES, PARTS, RECEPTORS, SUBSETS, Blood, blood
from simulation.plates import absolute_ic50, draw_counts
from simulation.randomness import generator

DAYS = (-28, -14, -1, 7, 21, 42, 70, 105, 150)
SUBJECTS = {"MSC01": "patient", "HC01": "control"}
LIVE = "singlets/lymphocytes/live"
T_CELLS = [f"{LIVE}/T cells/{lineage}" for lineage in LINEAGES[:2]]
B_CELLS = f"{LIVE}/B cells"
BRIGHT = "CCR7"
"""The marker whose medians are simulated, in CD45RA+ cells."""


@dataclass(frozen=True)
class Design:
    """What is simulated, and how it is sampled.

    sign and size: of the bundled effects (-1 as the abstract tells them). composition: shift of the
    CD45RA+ share at the nadir (logit). batch: by day, what every subject's measurement moves by.
    lasting: no effect wanes. patient_sd: how many times the control's the patient's own standard
    deviations from day to day are. odd_plates: with the bundled case's outlier well and flat plate.
    """

    sign: int = 0
    size: float = 1.0
    composition: float = 0.0
    batch: tuple[tuple[int, float], ...] = ()
    days: tuple[int, ...] = DAYS
    events: float = 1.0
    control: bool = True
    lasting: bool = False
    patient_sd: float = 1.0
    odd_plates: bool = False

    def settings(self, settings: dict) -> dict:
        """The simulator's settings with this design's effects."""
        settings = copy.deepcopy(settings)
        for effect in settings["effects"].values():
            for scale in ("logit", "log", "log_intensity"):
                effect[scale] = self.sign * self.size * effect.get(scale, 0.0)
        settings["effects"]["CD45RA"] = {"course": "transient", "logit": self.composition}
        settings["scenarios"] = {"benchmark": {"sign": 1, "clinical_course": "failure"}}
        names = (*RECEPTORS, "B switched memory", "steroid midpoint")
        settings["batch_effects"] = {day: dict.fromkeys(names, size) for day, size in self.batch}
        if self.lasting:
            settings["courses"]["lasting"]["waning_days"] = math.inf
            for effect in settings["effects"].values():
                effect["course"] = "lasting"
        if not self.odd_plates:
            settings["plates"] |= {"outliers": [], "low_plateaus": []}
        return settings

    def of(self, role: str, settings: dict) -> dict:
        """The settings of a role: the patient's own deviations may be larger."""
        if role != "patient" or self.patient_sd == 1:
            return settings
        larger = {
            kind: {
                part: sd * (1 if part == "shared" else self.patient_sd) for part, sd in sds.items()
            }
            for kind, sds in settings["variation"].items()
        }
        return settings | {"variation": larger}


def draw_cases(
    design: Design, settings: dict, plate_map: list[dict], seeds: range
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict], pd.DataFrame]:
    """The tables populations and markers of all cases, their plates, and the truth.

    The truth has a row a series of the patient and day: change (analysis scale) without variation.
    """
    settings = design.settings(settings)
    populations, markers, plates, truths = [], [], [], []
    plan = [(subject, SUBJECTS[subject], day) for subject in SUBJECTS for day in design.days]
    expected = [
        _expected(settings, blood(settings, "benchmark", 0, *sample, with_variation=False))
        for sample in plan
    ]
    truth = _true_changes(plan, expected)
    for seed in seeds:
        case = f"case {seed}"
        truths.append(truth.assign(case=case))
        for subject, role, day in plan:
            if role == "control" and not design.control:
                continue
            own = design.of(role, settings)
            sample = blood(own, "benchmark", seed, subject, role, day)
            rng = generator(seed, "benchmark tubes", subject, day)
            about = {"acquisition": f"{case} {subject} {day}", "subject": subject, "role": role,
                     "day": day, "panel": case}  # fmt: skip
            for rows, found in zip(
                (populations, markers), _tubes(settings, design, sample, rng), strict=True
            ):
                rows.extend(about | row for row in found)
            plate_rng = generator(seed, "plate", subject, day)
            counts, _ = draw_counts(settings, sample, plate_map, subject, day, plate_rng)
            plates.append(
                _plate(
                    counts, plate_map, {"drug": case, "subject": subject, "role": role, "day": day}
                )
            )
    return pd.DataFrame(populations), pd.DataFrame(markers), plates, pd.concat(truths)


def _tubes(settings: dict, design: Design, sample: Blood, rng) -> tuple[list[dict], list[dict]]:
    """Rows of populations and markers of a subject's two tubes of a day."""
    contents = settings["contents"]
    kept = (1 - contents["debris"]) * (1 - contents["doublets"]) * (1 - sample.dead)
    low, high = settings["events"]["full"]
    populations, markers = [], []
    drawn = {}
    for panel in ("T", "B"):
        kinds = list(sample.abundance[panel])
        events = int(rng.integers(low, high + 1) * design.events * kept)
        shares = np.array([sample.abundance[panel][kind] for kind in kinds])
        drawn |= dict(zip(kinds, rng.multinomial(events, shares / shares.sum()), strict=True))
        if panel == "B":
            continue
        for path, lineage in zip(T_CELLS, LINEAGES, strict=False):
            parts = {part: drawn[f"T {lineage} {part}"] for part in PARTS}
            whole = sum(parts.values())
            positive = dict.fromkeys(RECEPTORS, 0)
            for part, count in parts.items():
                populations.append(_population(f"{path}/{part}", path, count, whole))
                for receptor in RECEPTORS:
                    fraction = sample.positive["T"][f"T {lineage} {part}"][receptor]
                    found = rng.binomial(count, fraction)
                    positive[receptor] += found
                    row = _marker(f"{path}/{part}", receptor, found, count)
                    if (receptor, part) == (BRIGHT, PARTS[0]) and count:
                        row |= _median(_bright(settings, sample, lineage, found, count, rng))
                    markers.append(row)
            for receptor, found in positive.items():
                markers.append(_marker(path, receptor, found, whole))
    subsets = {name: drawn[f"B {name}"] for name in SUBSETS}
    for name, count in subsets.items():
        populations.append(_population(f"{B_CELLS}/{name}", B_CELLS, count, sum(subsets.values())))
    return populations, markers


def _population(path: str, parent: str, count: int, total: int) -> dict:
    return {"population": path, "parent": parent, "count": count, "parent_count": total}


def _marker(path: str, marker: str, positive: int, count: int) -> dict:
    return {
        "population": path,
        "marker": marker,
        "percent_positive": 100 * positive / count if count else np.nan,
        "count": count,
        "count_positive": positive,
        "median_all": np.nan,
        "median_all_low": np.nan,
        "median_all_high": np.nan,
        "flag": "" if count >= 100 else "few events (n < 100)",
    }


def _bright(settings: dict, sample: Blood, lineage: str, positive: int, count: int, rng):
    """Signals of CD45RA+ cells in the detector of `BRIGHT`, in ascending order."""
    panel, instrument = settings["panels"]["T"], settings["instrument"]
    stain = panel["markers"][BRIGHT]
    mean, spread = stain["positive"]
    factor = panel["brightness"].get(f"T {lineage} {PARTS[0]}", {}).get(BRIGHT, 1.0)
    shift = sample.log_intensity[BRIGHT] + sample.log_expression[BRIGHT]
    own = instrument["autofluorescence"]
    light = own["detectors"][stain["dye"]] * np.exp(
        sample.log_autofluorescence
        + math.hypot(own["spread_cell"], own["spread_detector"]) * rng.standard_normal(count)
    )
    light[:positive] += mean * factor * np.exp(shift + spread * rng.standard_normal(positive))
    return np.sort(
        light + instrument["electronic_noise"]["fluorescence"] * rng.standard_normal(count)
    )


def _median(signals: np.ndarray) -> dict:
    """The median and its interval of order statistics."""
    n = len(signals)
    half = 0.98 * np.sqrt(n)
    ends = np.clip([np.floor(n / 2 - half), np.ceil(n / 2 + half)], 0, n - 1).astype(int)
    low, high = signals[ends]
    return {"median_all": np.median(signals), "median_all_low": low, "median_all_high": high}


def _plate(counts: dict, plate_map: list[dict], about: dict) -> dict:
    """A plate's wells that a fit uses: doses, and responses as `immunotrace.plates.wells` makes them."""
    roles = np.array([row["well_role"] for row in plate_map])
    value = np.array([counts[row["well"]] for row in plate_map], float)
    blank = value[roles == "blank"].mean()
    usable = np.isin(roles, ["sample", "control"])
    response = 100 * (value - blank) / (value[roles == "control"].mean() - blank)
    doses = np.array([row["dose"] or 0.0 for row in plate_map])
    return about | {"dose": doses[usable], "response": response[usable]}


_MANY = 100_000  # cells, of which the median is known to 0.2 %


def _expected(settings: dict, sample: Blood) -> dict[tuple[str, str, str], float]:
    """Each measurement without variation: fractions 0..1, IC50 in ng/ml, medians; and CD45RA mixes."""
    out = {}
    for path, lineage in zip(T_CELLS, LINEAGES, strict=False):
        kinds = [f"T {lineage} {part}" for part in PARTS]
        shares = np.array([sample.abundance["T"][kind] for kind in kinds])
        out["mix", path, ""] = shares / shares.sum()
        for receptor in RECEPTORS:
            fractions = np.array([sample.positive["T"][kind][receptor] for kind in kinds])
            out["percent_positive", path, receptor] = float(shares @ fractions / shares.sum())
            out["percent_positive_adjusted", path, receptor] = fractions
        positive = round(_MANY * sample.positive["T"][kinds[0]][BRIGHT])
        cells = _bright(settings, sample, lineage, positive, _MANY, generator(0, "truth", lineage))
        out["median_all", f"{path}/{PARTS[0]}", BRIGHT] = float(np.median(cells))
    b_cells = {name: sample.abundance["B"][f"B {name}"] for name in SUBSETS}
    for name, share in b_cells.items():
        out["percent_of_parent", f"{B_CELLS}/{name}", ""] = share / sum(b_cells.values())
    out["absolute_ic50", "", ""] = absolute_ic50(sample.midpoint, sample.plateau, sample.hill)
    out["relative_ic50", "", ""] = sample.midpoint
    return out


def _true_changes(plan: list[tuple], expected: list[dict]) -> pd.DataFrame:
    own = [(day, values) for (_, role, day), values in zip(plan, expected, strict=True)
           if role == "patient"]  # fmt: skip
    baseline = own[0][1]
    rows = []
    for day, values in own:
        if day <= 0:
            continue
        for (measurement, population, marker), value in values.items():
            if measurement == "mix":
                continue
            before = baseline[measurement, population, marker]
            if measurement == "percent_positive_adjusted":
                mix = baseline["mix", population, ""]
                value, before = float(mix @ value), float(mix @ before)
            if value is None:
                continue
            if measurement.endswith(("ic50", "median_all")):
                change = np.log(value / before)
            else:
                change = np.log(value / (1 - value)) - np.log(before / (1 - before))
            rows.append((measurement, population, marker, day, change))
    return pd.DataFrame(rows, columns=["measurement", "population", "marker", "day", "truth"])
