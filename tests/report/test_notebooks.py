"""The notebooks as they lie in the repository, and papermill's way with them."""

import ast
import json
import os
import subprocess
import sys

import pytest
from example_report import NOTEBOOKS

from immunotrace.errors import InputError
from immunotrace.report import CHAPTERS
from immunotrace.report.run import run_chapter


def notebook(name):
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))


def test_every_chapter_has_a_notebook_and_every_notebook_a_chapter():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(CHAPTERS)


@pytest.mark.parametrize("name", CHAPTERS)
def test_notebook_is_a_template(name):
    content = notebook(name)
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    defaults = {}
    exec("".join(tagged[0]["source"]), defaults)
    assert (defaults["results"], defaults["case"]) == ("results", "results/report/case.json")
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    first = "".join(content["cells"][0]["source"])
    assert first.startswith("# ")
    for cell in code:
        ast.parse("".join(cell["source"]))  # raises where a cell is no plain Python


def write(path, *cells):
    path.write_text(
        json.dumps(
            {
                "cells": [
                    {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [],
                     "source": source}
                    for i, source in enumerate(cells)
                ],
                "metadata": {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )  # fmt: skip


def run(tmp_path, repository, template, parameters=None):
    run_chapter(
        template,
        tmp_path / "chapters" / "x.ipynb",
        parameters or {},
        code=repository,
        failed=tmp_path / "failed" / "x.ipynb",
    )
    return json.loads((tmp_path / "chapters" / "x.ipynb").read_text(encoding="utf-8"))


def test_chapter_runs_alone_with_its_defaults(tmp_path, repository, report, monkeypatch):
    monkeypatch.chdir(report("full"))
    ran = run(tmp_path, repository, NOTEBOOKS / "summary.ipynb")
    outputs = [output for cell in ran["cells"] for output in cell.get("outputs", [])]
    kinds = [o["data"]["application/vnd.immunotrace.block+json"]["kind"] for o in outputs]
    assert kinds[:2] == ["note", "heading"]
    assert "claims" in kinds
    # For readers of the notebook itself every block has a form that Jupyter shows.
    assert all({"text/html", "image/png"} & output["data"].keys() for output in outputs)
    # What changes from run to run is left out.
    assert ran["metadata"]["papermill"] == {"parameters": {}}
    assert not (tmp_path / "failed" / "x.ipynb").exists()


def test_chapters_run_side_by_side(tmp_path, repository, monkeypatch):
    # Kernels that share a socket answer each other's cells, or refuse each other's signatures.
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        write(
            tmp_path / f"{name}.ipynb", "import time\ntime.sleep(0.5)", f"print('this is {name}')"
        )
    code = (
        "import sys; from immunotrace.report.run import run_chapter; n = sys.argv[1];"
        f"run_chapter(n + '.ipynb', 'out/' + n + '.ipynb', {{}}, code={str(repository)!r},"
        " failed='failed/' + n + '.ipynb')"
    )
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code, name], env={**os.environ, "PYTHONPATH": str(repository)}
        )
        for name in "ab"
    ]
    assert [job.wait(timeout=60) for job in jobs] == [0, 0]
    for name in "ab":
        assert f"this is {name}" in (tmp_path / "out" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not list(tmp_path.glob("*ipc*"))


def test_failed_notebook_is_kept_and_named(tmp_path, repository, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.ipynb", "print('so far')", "1 / 0", "print('never')")
    with pytest.raises(
        RuntimeError, match=r"chapter x, cell 2 .*ZeroDivisionError.*failed/x\.ipynb"
    ):
        run(tmp_path, repository, tmp_path / "t.ipynb")
    kept = (tmp_path / "failed" / "x.ipynb").read_text(encoding="utf-8")
    assert "so far" in kept
    assert not (tmp_path / "chapters" / "x.ipynb").exists()


def test_a_users_mistake_stays_one(tmp_path, repository, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "t.ipynb",
        "from immunotrace.errors import InputError\nraise InputError('no such sheet')",
    )
    with pytest.raises(InputError, match="no such sheet"):
        run(tmp_path, repository, tmp_path / "t.ipynb")
