"""Counts of a 96-well proliferation plate and their export, as a TopCount writes it."""

import csv
from math import exp, log, sqrt
from pathlib import Path

import numpy as np

from simulation.biology import Blood

ROWS = "ABCDEFGH"
COLUMNS = range(1, 13)
WELLS = [f"{row}{column}" for row in ROWS for column in COLUMNS]


def read_plate_map(path: str | Path) -> list[dict]:
    """Rows of a plate map: well, well_role, dose (a float, or None where the cell is empty)."""
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [row | {"dose": float(row["dose"]) if row["dose"] else None} for row in rows]


def draw_counts(
    settings: dict,
    blood: Blood,
    wells: list[dict],
    subject: str,
    day: int,
    rng: np.random.Generator,
) -> tuple[dict[str, int], dict]:
    """Counts a minute of all 96 wells, and the truth about the plate.

    The response to a dose d is 1 - plateau / (1 + (midpoint / d)^hill) of the stimulated control,
    both after subtraction of the blank.
    """
    plan = settings["plates"]
    plateau = next(
        (low["plateau"] for low in plan["low_plateaus"] if _matches(low, subject, day)),
        blood.plateau,
    )
    stimulated = plan["stimulated"]["geometric_mean"] * exp(
        plan["stimulated"]["spread"] * rng.standard_normal()
    )
    outliers = {
        entry["well"]: entry["factor"]
        for entry in plan["outliers"]
        if _matches(entry, subject, day)
    }
    roles = {row["well"]: row for row in wells}
    spread = sqrt(log(1 + plan["replicate_cv"] ** 2))
    replicate = np.exp(spread * rng.standard_normal(len(WELLS)))
    unused = rng.uniform(*plan["unused"], len(WELLS))
    expected = np.empty(len(WELLS))
    for index, well in enumerate(WELLS):
        role = roles[well]["well_role"] if well in roles else "unused"
        if role in ("unused", "blank"):
            expected[index] = plan["blank"] if role == "blank" else unused[index]
            continue
        signal = plan["unstimulated"] - plan["blank"]
        if role in ("sample", "control"):
            dose = roles[well]["dose"] or 0.0
            signal = stimulated * (1 - _inhibition(dose, plateau, blood))
        edge = well[0] in "AH" or well[1:] in ("1", "12")
        factor = replicate[index] * outliers.get(well, 1.0) * (plan["edge"] if edge else 1.0)
        expected[index] = plan["blank"] + signal * factor
    counts = rng.poisson(np.rint(expected * 1024) / 1024)
    truth = {
        "stimulated_above_blank_cpm": round(stimulated, 3),
        "plateau_inhibition_percent": round(100 * plateau, 6),
        "hill_slope": round(blood.hill, 6),
        "relative_ic50": round(blood.midpoint, 6),
        "absolute_ic50": absolute_ic50(blood.midpoint, plateau, blood.hill),
        "reaches_half_inhibition": plateau > 0.5,
        "outlier_wells": sorted(outliers),
    }
    return dict(zip(WELLS, counts.tolist(), strict=True)), truth


def absolute_ic50(midpoint: float, plateau: float, hill: float) -> float | None:
    """The dose that halves the control's response; None where the plateau stays below half."""
    if plateau <= 0.5:
        return None
    return round(midpoint * (0.5 / (plateau - 0.5)) ** (1 / hill), 6)


def write_topcount_grid(path: str | Path, counts: dict[str, int], seconds_per_well: int) -> None:
    """A grid of counts and, below it, one of clock times; tab-separated, CRLF."""
    times = _clock_times(seconds_per_well)
    lines = []
    for grid in (counts, times):
        lines.append("\t".join(["    ", *(str(column) for column in COLUMNS)]))
        for row in ROWS:
            cells = [str(grid[f"{row}{column}"]) for column in COLUMNS]
            lines.append("\t".join([f"{row:<4}", *cells]))
        lines.append("")
    Path(path).write_bytes("\r\n".join(lines).encode("ascii"))


def write_topcount_list(path: str | Path, counts: dict[str, int], seconds_per_well: int) -> None:
    """One line a well: index (1 is A1, 2 is A2, 96 is H12), count, clock time; CRLF."""
    times = _clock_times(seconds_per_well)
    lines = ["index ,count ,time"]
    lines += [f"{i} ,{counts[well]} ,{times[well]}" for i, well in enumerate(WELLS, start=1)]
    Path(path).write_bytes(("\r\n".join(lines) + "\r\n").encode("ascii"))


WRITERS = {"topcount_grid": write_topcount_grid, "topcount_list": write_topcount_list}


def _inhibition(dose: float, plateau: float, blood: Blood) -> float:
    return plateau / (1 + (blood.midpoint / dose) ** blood.hill) if dose else 0.0


def _matches(entry: dict, subject: str, day: int) -> bool:
    return entry["subject"] == subject and entry["day"] == day


def _clock_times(seconds_per_well: int) -> dict[str, str]:
    start = 9 * 3600
    return {well: _clock(start + i * seconds_per_well) for i, well in enumerate(WELLS)}


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
