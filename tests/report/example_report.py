"""The chapters of an example case, their notebooks run in this process."""

import json
from pathlib import Path

import pytest

from immunotrace.report import CHAPTERS, blocks

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def chapters_of(case: dict) -> list[str]:
    """The chapters that a case has data for, as the rules choose them."""
    lineages = {panel["lineage"] for panel in case["panels"].values()}
    wanted = {
        "what_is_new": True,
        "summary": True,
        "timeline": case["has_timeline"],
        "t_cells": "T" in lineages,
        "b_cells": "B" in lineages,
        "steroid_sensitivity": case["has_plates"],
        "quality": True,
        "methods": True,
        "provenance": True,
    }
    return [name for name in CHAPTERS if wanted[name]]


def run_in_process(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Run a chapter's cells here, as a kernel would; returns the notebook with its outputs."""
    shown: list[dict] = []
    patch.setattr(
        blocks, "publish_display_data", lambda data: shown.append({"data": data, "output_type": "display_data"})
    )  # fmt: skip
    patch.chdir(folder)
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    names: dict = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            shown.clear()
            exec(compile("".join(cell["source"]), f"{name} cell {number}", "exec"), names)
            cell |= {"outputs": list(shown), "execution_count": number}
    path = folder / "results" / "report" / "chapters" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path
