"""Drawn figures of the full example case, drawn once."""

import pytest
from example_tables import draw, example

from immunotrace.figures import FIGURES, style

style.DPI = 60  # what the tests look at does not depend on it, and the time they take does


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """The folder with every figure of the full, simulated case."""
    folder = tmp_path_factory.mktemp("full")
    tables, case = example("full")
    for group in FIGURES:
        draw(tables, group, folder, case["simulated"])
    return folder
