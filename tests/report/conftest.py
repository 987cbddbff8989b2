"""Reports of the example cases, their notebooks run in this process, with one small figure for all."""

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "figures"))

from example_tables import write_example

from immunotrace.figures import FIGURES, style
from immunotrace.report import CHAPTERS, blocks
from immunotrace.report.compile import compile_report

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def chapters_of(case: dict) -> list[str]:
    """The chapters that a case has data for, as the rules choose them."""
    lineages = {panel["lineage"] for panel in case["panels"].values()}
    wanted = {
        "summary": True,
        "timeline": case["has_timeline"],
        "t_cells": "T" in lineages,
        "b_cells": "B" in lineages,
        "steroid_sensitivity": case["has_plates"],
        "quality": True,
        "methods": True,
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


@pytest.fixture(scope="session")
def small_figure(tmp_path_factory) -> Path:
    """The stem of one figure, which stands for every figure."""
    stem = tmp_path_factory.mktemp("figure") / "small"
    with style.styled():
        style.save_figure(style.nothing("this is a test"), stem, simulated=True)
    stem.with_suffix(".tsv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    return stem


@pytest.fixture(scope="session")
def report(tmp_path_factory, small_figure):
    """A function from a kind of case to the folder of its compiled report."""
    made: dict[tuple, Path] = {}

    def make(kind: str, texts: bool = False) -> Path:
        if (kind, texts) in made:
            return made[kind, texts]
        folder = tmp_path_factory.mktemp(kind)
        case = write_example(folder, kind, texts)
        figures = folder / "results" / "figures"
        figures.mkdir()
        for group in FIGURES.values():
            for name in group:
                for suffix in (".svg", ".pdf", ".png", ".tsv"):
                    shutil.copy(small_figure.with_suffix(suffix), figures / f"{name}{suffix}")
        with pytest.MonkeyPatch.context() as patch:
            paths = [run_in_process(name, folder, patch) for name in chapters_of(case)]
            results = folder / "results"
            report = results / "report"
            compile_report(
                paths, report / "case.json", results, report / "report.html", report / "report.pdf"
            )
        made[kind, texts] = folder
        return folder

    return make
