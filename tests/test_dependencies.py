"""A digest changes with what a script imports, and with nothing else."""

import json

from immunotrace.dependencies import code_digest


def write_package(folder, **modules):
    package = folder / "science"
    package.mkdir(exist_ok=True)
    for name, text in {"__init__": "", **modules}.items():
        (package / f"{name}.py").write_text(text)


def test_follows_imports_and_ignores_the_rest(tmp_path):
    write_package(tmp_path, a="from science import b\n", b="x = 1\n", unused="x = 1\n")
    script = tmp_path / "script.py"
    script.write_text("def run():\n    from science.a import f\n")

    def digest():
        return code_digest(script, tmp_path, ("science",))

    first = digest()
    (tmp_path / "science" / "unused.py").write_text("x = 2\n")
    assert digest() == first
    (tmp_path / "science" / "b.py").write_text("x = 2\n")
    second = digest()
    assert second != first
    script.write_text("from science.a import f  # another text\n")
    assert digest() != second


def test_same_code_elsewhere_has_the_same_digest(tmp_path):
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        write_package(folder, a="x = 1\n")
        (folder / "s.py").write_text("import science.a\n")
        digests.append(code_digest(folder / "s.py", folder, ("science",)))
    assert digests[0] == digests[1]


def test_reads_the_code_cells_of_notebooks(tmp_path):
    write_package(tmp_path, a="x = 1\n")
    cells = [
        {"cell_type": "markdown", "source": ["import nothing"]},
        {"cell_type": "code", "source": ["import science.a"]},
    ]
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    before = code_digest(notebook, tmp_path, ("science",))
    (tmp_path / "science" / "a.py").write_text("x = 2\n")
    assert code_digest(notebook, tmp_path, ("science",)) != before


def test_every_script_of_the_repository_can_be_followed(repository):
    scripts = sorted((repository / "scripts").glob("*.py"))
    assert scripts
    digests = {code_digest(s, repository, ("immunotrace", "simulation")) for s in scripts}
    assert len(digests) == len(scripts)
