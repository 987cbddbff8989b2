"""The gating hierarchy of an acquisition: what each gate saw, its outline and the percentage inside."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from immunotrace.figures import saving, style
from immunotrace.report.wording import count, leaf, number, span
from immunotrace.report.wording import day as day_text

_COLUMNS = 4
_SIZE, _GAP, _LEFT = 1.24, 0.46, 0.53  # inches
_KEYS = ["acquisition", "subject", "role", "day"]


def hierarchy_data(steps: pd.DataFrame, populations: pd.DataFrame) -> pd.DataFrame:
    """The steps (columns of hierarchy.tsv) of the patient's first acquisition of each panel.

    Columns as there, with subject, role and day. Without a patient, of the first acquisition.
    """
    order = populations.sort_values(["role", "day"], ascending=[False, True], kind="stable")
    chosen = order.drop_duplicates("panel")[_KEYS]
    return chosen.merge(steps, on="acquisition")


def draw_hierarchy(data: pd.DataFrame) -> Figure:
    """Draw the steps of one or more acquisitions, one after the other, each on its own rows."""
    lines = []
    for _, own in data.groupby("acquisition", sort=False):
        steps = [step for _, step in own.groupby("step")]
        lines += [steps[i : i + _COLUMNS] for i in range(0, len(steps), _COLUMNS)]
    totals = data.loc[data["item"] == "parent", "value"]
    note = (
        "Colour: events in a cell of the grid, on a logarithmic scale of each panel's own from one event (dark) to the "
        "most (bright); every event of the parent population is drawn, those beyond an axis at its end. Red: gates, "
        f"with their percentage of the parent. Axes in arbitrary units. n = {span(totals)} events a panel."
    )
    made = style.grid(
        len(lines),
        _COLUMNS,
        panel_height=_SIZE,
        note=note,
        left=_LEFT,
        right=style.WIDTH - _LEFT - _COLUMNS * _SIZE - (_COLUMNS - 1) * _GAP,
        column_gap=_GAP,
        row_gap=0.62,
        top=0.42,
        bottom=0.34,
        key=False,
    )
    for row, steps in zip(made.axes, lines, strict=True):
        for axis, step in zip(row, steps, strict=False):
            _draw_step(axis, step)
        for axis in row[len(steps) :]:
            axis.remove()
        first = steps[0].iloc[0]
        if first["step"] == 0:
            title = f"{first['acquisition']}: {first['subject']} ({first['role']}), {day_text(first['day'])}"
            row[0].annotate(
                style.text_of(title, 90), (0, 1), xycoords="axes fraction", xytext=(0, 23),
                textcoords="offset points", fontsize=7.5, fontweight="bold",
            )  # fmt: skip
    return made.figure


def draw_pages(
    steps: pd.DataFrame, populations: pd.DataFrame, path: str | Path, simulated: bool
) -> None:
    """Pages of the supplement: {acquisition}.svg of every acquisition that has steps, in one ZIP archive.

    The same pages give the same bytes. (One file, for Snakemake knows no checksum of a folder.)
    """
    known = populations.drop_duplicates("acquisition")[_KEYS].merge(steps, on="acquisition")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w") as archive:
        for acquisition, own in known.groupby("acquisition"):
            page = Path(folder) / f"{acquisition}.svg"
            with style.styled():
                saving.write_svg(draw_hierarchy(own), page, simulated)
            # A member named so, not taken from a file, is dated 1980.
            archive.writestr(zipfile.ZipInfo(page.name), page.read_bytes(), zipfile.ZIP_DEFLATED)


def write_supplement(
    archives: Sequence[str | Path], populations: pd.DataFrame, path: str | Path
) -> None:
    """A PDF of all pages (`draw_pages`) in `archives`: patients first, then by day."""
    order = populations.sort_values(
        ["panel", "role", "subject", "day"], ascending=[True, False, True, True], kind="stable"
    )
    with tempfile.TemporaryDirectory() as folder:
        for archive in archives:
            with zipfile.ZipFile(archive) as drawn:
                drawn.extractall(folder)
        names = dict.fromkeys(order["acquisition"])
        pages = [page for name in names if (page := Path(folder, f"{name}.svg")).exists()]
        if not pages:
            pages = [Path(folder) / "none.svg"]
            with style.styled():
                none = style.nothing("no acquisition has a gate with an outline")
                saving.write_svg(none, pages[0], simulated=False)
        Path(path).write_bytes(saving.typeset(pages, "pdf"))


def _draw_step(axis: Axes, step: pd.DataFrame) -> None:
    items = dict(list(step.groupby("item", sort=False)))
    x, y = items["x_axis"].iloc[0], items["y_axis"].iloc[0]
    columns, rows = int(x["value"]), int(y["value"])
    counts = np.full((rows, columns), np.nan)
    cells = items.get("cell", step.iloc[:0])
    counts[cells["y"].astype(int), cells["x"].astype(int)] = cells["value"]
    if len(cells):
        axis.imshow(
            counts, origin="lower", extent=(x["x"], x["y"], y["x"], y["y"]), aspect="auto",
            cmap="viridis", norm=LogNorm(1, max(cells["value"].max(), 2)), interpolation="none",
        )  # fmt: skip
    axis.set(xlim=(x["x"], x["y"]), ylim=(y["x"], y["y"]))
    for letter, this in (("x", x), ("y", y)):
        set_label = getattr(axis, f"set_{letter}label")
        set_label(style.text_of(this["name"], 26), labelpad=1.5, fontsize=6)
        _ticks(getattr(axis, f"{letter}axis"), items.get(f"{letter}_tick"))
    for side in ("top", "right"):
        axis.spines[side].set_visible(True)
    axis.tick_params(labelsize=5.2)
    parent = items["parent"].iloc[0]
    axis.set_title(
        f"{style.text_of(leaf(parent['name']), 24)}\nn = {count(parent['value'])}",
        fontsize=6, fontweight="normal",
    )  # fmt: skip
    corners = _emptiest_corners(counts)
    gates = items.get("gate", step.iloc[:0])
    for name, outline in gates.groupby("name", sort=False):
        _draw_gate(axis, name, outline, corners)


def _emptiest_corners(counts: np.ndarray) -> list[tuple[bool, bool]]:
    """The corners of a panel, (right, top) each, those with the fewest events first."""
    rows, columns = counts.shape[0] // 3, counts.shape[1] // 2
    part = {True: slice(-columns, None), False: slice(columns)}
    tall = {True: slice(-rows, None), False: slice(rows)}
    every = [(False, True), (True, True), (True, False), (False, False)]
    return sorted(every, key=lambda corner: np.nansum(counts[tall[corner[1]], part[corner[0]]]))


def _ticks(axis, ticks: pd.DataFrame | None) -> None:
    if ticks is None:
        axis.get_major_locator().set_params(nbins=3)
        axis.set_major_formatter(lambda value, _: _thousands(value))
    else:
        names = {-1000.0: "−10³", 0.0: "0", 1e3: "10³", 1e4: "10⁴", 1e5: "10⁵"}
        axis.set_ticks(list(ticks["x"]), [names[value] for value in ticks["value"]])


def _thousands(value: float) -> str:
    return f"{number(value / 1000)}k" if abs(value) >= 1000 else number(value)


def _draw_gate(
    axis: Axes, name: str, outline: pd.DataFrame, corners: list[tuple[bool, bool]]
) -> None:
    """The outline and its label: in the gate's own corner where it reaches an edge of the panel.

    The label of a gate in the middle would hide its events; it takes the next of the `corners`.
    """
    limits = axis.get_xlim(), axis.get_ylim()
    # Only rectangles are open; their corners are in this order (see immunotrace.cytometry.hierarchy).
    beyond = [(False, True, True, False), (False, False, True, True)]
    places = []
    for column, (low, high), upper in zip("xy", limits, beyond, strict=True):
        values = outline[column].to_numpy(float)
        if np.isnan(values).any():
            far = np.where(upper, 2 * high - low, 2 * low - high)
            values = np.where(np.isnan(values), far, values)
        places.append(values)
    axis.add_patch(
        Polygon(
            np.column_stack(places), closed=True, fill=False, edgecolor=style.ALERT, linewidth=0.8
        )
    )
    reaches = [
        v.min() <= low or v.max() >= high for v, (low, high) in zip(places, limits, strict=True)
    ]
    if any(reaches):
        ends = [
            (v.min().clip(*edge), v.max().clip(*edge))
            for v, edge in zip(places, limits, strict=True)
        ]
        right, top = (bool(sum(end) >= sum(edge)) for end, edge in zip(ends, limits, strict=True))
    else:
        right, top = corners.pop(0) if corners else (False, True)
        ends = limits
    axis.annotate(
        f"{style.text_of(leaf(name), 20)}\n{number(outline['value'].iloc[0])} %",
        (ends[0][right], ends[1][top]), xytext=(-2 if right else 2, -2 if top else 2),
        textcoords="offset points", ha="right" if right else "left",
        va="top" if top else "bottom", fontsize=5, linespacing=1.05,
        bbox=dict(boxstyle="square,pad=0.12", facecolor="white", alpha=0.8, linewidth=0),
    )  # fmt: skip
