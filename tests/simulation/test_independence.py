"""The simulator and the analysis share no code."""

import ast
import sys

import pytest


def imported(path) -> set[str]:
    """Top-level packages that a Python file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module.partition(".")[0])
    return names


def test_simulation_needs_numpy_and_pyyaml_and_nothing_of_the_analysis(repository):
    files = sorted((repository / "simulation").rglob("*.py"))
    assert len(files) > 5
    allowed = {"numpy", "yaml", "simulation", *sys.stdlib_module_names}
    for path in files:
        assert imported(path) <= allowed, path.name


@pytest.mark.parametrize("folder", ["immunotrace"])
def test_analysis_imports_nothing_of_the_simulation(repository, folder):
    for path in sorted((repository / folder).rglob("*.py")):
        assert "simulation" not in imported(path), path.name


def test_settings_say_that_everything_is_simulated(repository, settings):
    text = (repository / "resources" / "case" / "simulation.yaml").read_text()
    assert text.startswith(
        "# THE TRUTH OF THE SIMULATED CASE: EVERYTHING IN THIS FILE IS INVENTED."
    )
    assert settings["notice"].startswith("SIMULATED")
