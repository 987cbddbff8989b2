"""Reports of the example cases, with one small figure for all."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "figures"))

from example_report import chapters_of, run_in_process
from example_tables import write_example

from immunotrace.figures import FIGURES, saving, style
from immunotrace.report.compile import compile_report


@pytest.fixture(scope="session")
def small_figure(tmp_path_factory) -> Path:
    """The stem of one figure, which stands for every figure."""
    stem = tmp_path_factory.mktemp("figure") / "small"
    with style.styled():
        saving.save_figure(style.nothing("this is a test"), stem, simulated=True)
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
