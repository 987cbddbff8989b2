"""Counts the events inside the drawn outline of a gate, from what is drawn alone."""

import numpy as np
import pandas as pd
from matplotlib.path import Path as Outline


def drawn_counts(step: pd.DataFrame) -> pd.DataFrame:
    """One row a gate of one step: population, percent, and the least and the most events inside.

    A cell is inside or outside an outline where its four corners are. Events of cells that the outline
    crosses, or at the end of an axis, beyond which they may lie, are counted in `most` only.
    """
    items = dict(list(step.groupby("item")))
    x, y = items["x_axis"].iloc[0], items["y_axis"].iloc[0]
    width, height = (x["y"] - x["x"]) / x["value"], (y["y"] - y["x"]) / y["value"]
    cells = items["cell"]
    low = np.column_stack([x["x"] + cells["x"] * width, y["x"] + cells["y"] * height])
    at_end = (
        cells["x"].isin([0, x["value"] - 1]) | cells["y"].isin([0, y["value"] - 1])
    ).to_numpy()
    rows = []
    for name, outline in items["gate"].groupby("name", sort=False):
        corners = outline[["x", "y"]].to_numpy(float)
        open_sides = np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]])
        if np.isnan(corners).any():
            corners = np.where(np.isnan(corners), open_sides, corners)
        shape = Outline(corners)
        # More than the corners, for a narrow gate can pass between them.
        inside = np.column_stack(
            [
                shape.contains_points(low + [a * width, b * height])
                for a in np.linspace(0, 1, 6)
                for b in np.linspace(0, 1, 6)
            ]
        )
        certain, possible = inside.all(axis=1) & ~at_end, inside.any(axis=1) | at_end
        counts = cells["value"].to_numpy()
        rows.append(
            {
                "population": name,
                "percent": outline["value"].iloc[0],
                "least": counts[certain].sum(),
                "most": counts[possible].sum(),
            }
        )
    return pd.DataFrame(rows)
