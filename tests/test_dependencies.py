"""A digest changes with what a script imports and with what counts of a file, and with nothing else."""

import ast
import json

import pytest

from immunotrace.dependencies import Dependencies, _imported_names


def write_package(folder, **modules):
    package = folder / "science"
    package.mkdir(exist_ok=True)
    for name, text in {"__init__": "", **modules}.items():
        (package / f"{name}.py").write_text(text)


def digest(folder, *files):
    return Dependencies(folder, ("science",)).digest(*files)


def test_follows_imports_and_ignores_the_rest(tmp_path):
    write_package(tmp_path, a="from science import b\n", b="x = 1\n", unused="x = 1\n")
    script = tmp_path / "script.py"
    script.write_text("def run():\n    from science.a import f\n")
    first = digest(tmp_path, "script.py")
    (tmp_path / "science" / "unused.py").write_text("x = 2\n")
    assert digest(tmp_path, "script.py") == first
    (tmp_path / "science" / "b.py").write_text("x = 2\n")
    second = digest(tmp_path, "script.py")
    assert second != first
    script.write_text("from science.a import f  # another text\n")
    assert digest(tmp_path, "script.py") != second


def test_same_code_elsewhere_has_the_same_digest(tmp_path):
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        write_package(folder, a="x = 1\n")
        (folder / "s.py").write_text("import science.a\n")
        digests.append(digest(folder, "s.py"))
    assert digests[0] == digests[1]


def cell(kind, source):
    return {"cell_type": kind, "source": [source], "outputs": []}


def test_of_a_notebook_the_sources_count(tmp_path):
    write_package(tmp_path, a="x = 1\n")
    notebook = tmp_path / "n.ipynb"

    def written(*cells):
        notebook.write_text(json.dumps({"cells": cells}))
        return digest(tmp_path, "n.ipynb")

    text, code = cell("markdown", "import nothing"), cell("code", "import science.a")
    first = written(text, code)
    assert written(text, {**code, "outputs": ["shown"], "execution_count": 1}) == first
    assert written(cell("markdown", "another text"), code) != first
    written(text, code)
    (tmp_path / "science" / "a.py").write_text("x = 2\n")
    assert digest(tmp_path, "n.ipynb") != first


def test_of_an_environment_the_data_count(tmp_path):
    environment = tmp_path / "e.yaml"
    environment.write_text("dependencies: [pandas =3.1]\n")
    first = digest(tmp_path, "e.yaml")
    environment.write_text("# A remark.\ndependencies:\n  - pandas =3.1\n")
    assert digest(tmp_path, "e.yaml") == first
    environment.write_text("dependencies: [pandas =3.2]\n")
    assert digest(tmp_path, "e.yaml") != first


@pytest.mark.parametrize("folder", ["scripts", "notebooks"])
def test_every_script_and_notebook_of_the_repository_can_be_followed(repository, folder):
    dependencies = Dependencies(repository, ("immunotrace", "simulation"))
    files = [f"{folder}/{path.name}" for path in (repository / folder).iterdir() if path.is_file()]
    assert len(files) >= 7
    assert len({dependencies.digest(file) for file in files}) == len(files)


def test_imports_are_those_that_python_sees(repository):
    for folder in ("immunotrace", "simulation", "scripts"):
        for path in (repository / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            expected = set()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Import):
                    expected |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    expected |= {f"{node.module}.{alias.name}" for alias in node.names}
            assert expected <= set(_imported_names(source)), path
