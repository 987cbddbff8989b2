"""The clinical course of the simulated patient."""

import csv
import json
from pathlib import Path

from simulation.paths import ready
from simulation.settings import choose

COLUMNS = ["subject", "day", "end_day", "kind", "name", "value", "unit"]


def simulate_timeline(
    settings: dict, scenario: str, path: str | Path, truth_path: str | Path | None = None
) -> None:
    """Write timeline.tsv (infusions, drugs, disease activity score, rescue) and, aside, its truth."""
    plan = settings["timeline"]
    chosen = choose(settings["scenarios"], scenario, "scenario")
    clinical = chosen["clinical_course"]
    scores = [
        {"day": day, "kind": "score", "value": value, **plan["score"]}
        for day, value in plan["scores"][clinical].items()
    ]
    events = [*plan["always"], *plan[clinical], *scores]
    rows = [
        {"subject": plan["subject"], **event}
        for event in sorted(events, key=lambda event: (event["day"], event["kind"]))
    ]
    with open(ready(path), "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    if truth_path is not None:
        truth = {
            "notice": settings["notice"],
            "scenario": scenario,
            "sign_of_effects": chosen["sign"],
            "clinical_course": clinical,
        }
        ready(truth_path).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
