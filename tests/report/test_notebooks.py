"""The notebooks as they lie in the repository, and papermill's way with them."""

import ast
import json
import sys

import pytest
from example_report import NOTEBOOKS

from immunotrace.errors import InputError
from immunotrace.report import CHAPTERS
from immunotrace.report.run import run_chapters


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


def run(folder, template, parameters=None):
    output = folder / "chapters" / template.name
    run_chapters({template: output}, parameters or {}, folder / "failed")
    return json.loads(output.read_text(encoding="utf-8"))


def test_chapter_runs_alone_with_its_defaults(tmp_path, report, monkeypatch):
    monkeypatch.chdir(report("full"))
    ran = run(tmp_path, NOTEBOOKS / "summary.ipynb")
    outputs = [output for cell in ran["cells"] for output in cell.get("outputs", [])]
    kinds = [o["data"]["application/vnd.immunotrace.block+json"]["kind"] for o in outputs]
    assert kinds[:2] == ["note", "heading"]
    assert "claims" in kinds
    # For readers of the notebook itself every block has a form that Jupyter shows.
    assert all({"text/html", "image/png"} & output["data"].keys() for output in outputs)
    # What changes from run to run is left out.
    assert ran["metadata"]["papermill"] == {"parameters": {}}
    assert not list((tmp_path / "failed").iterdir())


def test_chapters_of_one_process_see_nothing_of_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main = sys.modules["__main__"]
    write(tmp_path / "a.ipynb", "left = 1\nprint('this is a')")
    write(tmp_path / "b.ipynb", "print('left' in globals(), __name__)", "import warnings")
    made = {tmp_path / f"{name}.ipynb": tmp_path / "out" / f"{name}.ipynb" for name in "ab"}
    run_chapters(made, {}, tmp_path / "failed")
    first, second = (json.loads(path.read_text(encoding="utf-8")) for path in made.values())
    assert first["cells"][0]["outputs"][0]["text"] == ["this is a\n"]
    assert second["cells"][0]["outputs"][0]["text"] == ["False __main__\n"]
    assert [cell["execution_count"] for cell in second["cells"]] == [1, 2]
    assert sys.modules["__main__"] is main


def test_failed_notebook_is_kept_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.ipynb", "print('so far')", "1 / 0", "print('never')")
    with pytest.raises(
        RuntimeError, match=r"chapter t, cell 2 .*ZeroDivisionError.*failed/t\.ipynb"
    ):
        run(tmp_path, tmp_path / "t.ipynb")
    kept = (tmp_path / "failed" / "t.ipynb").read_text(encoding="utf-8")
    assert "so far\\n" in kept
    assert "never\\n" not in kept
    assert not (tmp_path / "chapters" / "t.ipynb").exists()


def test_a_users_mistake_stays_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "t.ipynb",
        "from immunotrace.errors import InputError\nraise InputError('no such sheet')",
    )
    with pytest.raises(InputError, match="no such sheet"):
        run(tmp_path, tmp_path / "t.ipynb")
