"""Drawn figures of the example cases, drawn once."""

import pytest
from example_tables import example

from immunotrace.figures import style
from immunotrace.figures.groups import draw_group

style.DPI = 60  # what the tests look at does not depend on it, and the time they take does
PANELS = {"t_cells": ["T"], "b_cells": ["B"]}


def draw(tables, group, folder, simulated):
    days = {
        day for name in ("populations", "curves") if name in tables for day in tables[name]["day"]
    }
    draw_group(
        group,
        tables,
        folder,
        days=sorted(days),
        panels=PANELS.get(group, []),
        simulated=simulated,
        level=0.95,
    )


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """The folder with every figure of the full, simulated case."""
    from immunotrace.figures import FIGURES

    folder = tmp_path_factory.mktemp("full")
    tables, case = example("full")
    for group in FIGURES:
        draw(tables, group, folder, case["simulated"])
    return folder
