"""One batch of the simulated case: all tubes and plates of a day, and the truth about them."""

import json
from pathlib import Path

import numpy as np

from simulation.biology import Blood, blood
from simulation.cells import Cells, draw_cells
from simulation.fcs import spillover_keyword, write_fcs
from simulation.instrument import channels, measure, spillover_matrix
from simulation.paths import ready
from simulation.plates import WRITERS, absolute_ic50, draw_counts, read_plate_map
from simulation.randomness import generator
from simulation.settings import choose
from simulation.truth import counted, planned


def simulate_batch(
    settings: dict,
    scenario: str,
    seed: int,
    rows: list[dict],
    plates: list[dict],
    truth_path: str | Path,
) -> None:
    """Write the FCS files and plate exports of a batch and the truth about them (JSON).

    rows: acquisition, subject, role, day, panel, staining (full, FMO:<marker> or unstained), path.
    plates: plate, subject, role, day, format (topcount_grid or topcount_list), map (path of the
    plate map), path. Each file's bytes follow from the seed, the scenario, the subject, role and
    day, and the panel and staining alone; up to day 0 the scenario makes no difference.

    Raises ValueError for a scenario, role, panel, staining or format that is not known.
    """
    truth = {
        "notice": settings["notice"],
        "scenario": scenario,
        "seed": seed,
        "acquisitions": {
            row["acquisition"]: _simulate_acquisition(settings, scenario, seed, row) for row in rows
        },
        "plates": {row["plate"]: _simulate_plate(settings, scenario, seed, row) for row in plates},
    }
    ready(truth_path).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


def draw_tube(
    settings: dict, scenario: str, seed: int, row: dict
) -> tuple[Cells, np.ndarray, np.ndarray, dict]:
    """The events of one tube: labelled cells, which dyes it holds, the raw values, the truth."""
    panel = choose(settings["panels"], row["panel"], "panel")
    subject, role, day = row["subject"], row["role"], int(row["day"])
    markers = list(panel["markers"])
    staining, _, left_out = row["staining"].partition(":")
    if left_out:
        choose(panel["markers"], left_out, f"marker of panel {row['panel']}")
    low, high = choose(settings["events"], staining, "staining")
    stained = np.array([staining != "unstained" and marker != left_out for marker in markers])
    sample = blood(settings, scenario, seed, subject, role, day)
    rng = generator(seed, "tube", subject, day, row["panel"], row["staining"])
    events = int(rng.integers(low, high + 1))
    cells = draw_cells(settings, row["panel"], sample, events, rng)
    clog = next((entry for entry in settings["clogs"] if _is_clogged(entry, row)), None)
    values, undisturbed, truth = measure(settings, panel, cells, stained, clog, rng)
    names, spill = spillover_matrix(panel)
    compensated = values[:, -len(names) :] @ np.linalg.inv(spill)
    return (
        cells,
        stained,
        values,
        _described(row, sample)
        | truth
        | {
            "events": events,
            "debris": int(cells.is_kind("debris").sum()),
            "doublets": int(cells.doublet.sum()),
            "dead_singlets": int((cells.dead & ~cells.doublet).sum()),
            **counted(settings, row["panel"], cells, stained, compensated, undisturbed),
            "parameters": planned(row["panel"], sample),
            "parameters_without_variation": planned(
                row["panel"],
                blood(settings, scenario, seed, subject, role, day, with_variation=False),
            ),
        },
    )


def _simulate_acquisition(settings: dict, scenario: str, seed: int, row: dict) -> dict:
    panel = choose(settings["panels"], row["panel"], "panel")
    _, _, values, truth = draw_tube(settings, scenario, seed, row)
    instrument = settings["instrument"]
    path = ready(row["path"])
    seconds = truth["seconds"]
    keywords = {
        "$FIL": path.name,
        "$PROJ": "immunotrace simulated case",
        "$SRC": "simulated",
        "$COM": settings["notice"],
        "$CYT": "simulated",
        "$INST": "simulated",
        "$OP": "simulated",
        "$CELLS": "simulated PBMC",
        "$SMNO": row["acquisition"],
        "$BTIM": "10:00:00.00",
        "$ETIM": f"10:{int(seconds // 60):02d}:{seconds % 60:05.2f}",
        "$TIMESTEP": f"{instrument['timestep']:g}",
        "$SPILLOVER": spillover_keyword(*spillover_matrix(panel)),
    }
    write_fcs(path, values, channels(panel), keywords, instrument["range"])
    return truth


def _simulate_plate(settings: dict, scenario: str, seed: int, row: dict) -> dict:
    subject, role, day = row["subject"], row["role"], int(row["day"])
    write = choose(WRITERS, row["format"], "plate format")
    sample = blood(settings, scenario, seed, subject, role, day)
    rng = generator(seed, "plate", subject, day)
    wells = read_plate_map(row["map"])
    counts, truth = draw_counts(settings, sample, wells, subject, day, rng)
    write(ready(row["path"]), counts, settings["plates"]["seconds_per_well"])
    plan = blood(settings, scenario, seed, subject, role, day, with_variation=False)
    truth["without_variation"] = {
        "relative_ic50": round(plan.midpoint, 6),
        "absolute_ic50": absolute_ic50(plan.midpoint, plan.plateau, plan.hill),
    }
    return _described(row, sample) | truth | {"counts": counts}


def _described(row: dict, sample: Blood) -> dict:
    names = ("subject", "role", "day", "panel", "staining")
    return {name: row[name] for name in names if name in row}


def _is_clogged(clog: dict, row: dict) -> bool:
    return int(row["day"]) == clog["day"] and all(
        row[name] == clog[name] for name in ("subject", "panel", "staining")
    )
