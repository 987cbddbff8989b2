"""Quality control at a glance: what was kept of each acquisition, and every plate as a heat map."""

import re

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from immunotrace.figures import style
from immunotrace.report.wording import day as day_text
from immunotrace.report.wording import span


def draw_cytometry(checks: pd.DataFrame) -> Figure:
    """Percent of events removed, a row a subject, panel and staining, a column a day or batch.

    The frame of a cell is the verdict where it is not "pass".
    """
    over_time = checks["day"].nunique() > 1
    rows = checks.assign(
        removed_percent=100 * (1 - checks["events_kept"] / checks["events"]),
        row=checks["subject"].astype(str) + "  " + checks["panel"] + "  " + checks["staining"],
        column=checks["day"] if over_time else "",
    )
    if not over_time or rows.duplicated(["row", "column"]).any():
        rows["row"] = rows["acquisition"]
    order = rows.sort_values(
        ["panel", "role", "subject", "staining"], key=_full_first, kind="stable"
    )
    names = list(dict.fromkeys(order["row"]))
    columns = sorted(rows["column"].unique())
    high = 0.165
    made = style.grid(
        1,
        1,
        panel_height=max(high * len(names), 0.5),
        note=f"Numbers and shades: percent of events removed by quality control. n = {len(checks)} "
        f"acquisitions with {span(checks['events_kept'])} events kept.",
        left=1.75,
        widest=style.WIDTH,
        bottom=0.42 if over_time else 0.1,
        right=0.15 if over_time else 4.4,
        top=0.1,
    )
    axis = made.axes[0][0]
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(names) - 0.5, -0.5))
    colours = style.colour_map("Blues")
    darkest = max(np.nanmax(rows["removed_percent"]), 10)
    for row in rows.itertuples():
        x, y = columns.index(row.column), names.index(row.row)
        share = 0.0 if np.isnan(row.removed_percent) else row.removed_percent
        edge = style.VERDICTS.get(row.verdict, style.MUTED) if row.verdict != "pass" else "none"
        style.cell(axis, x, y, share / darkest, f"{share:.1f} %", colours, edge)
    axis.set_yticks(range(len(names)), [style.text_of(name, 44) for name in names], fontsize=5.8)
    axis.tick_params(length=0)
    labels = [str(c).replace("-", "−") for c in columns]
    axis.set_xticks(range(len(columns)), labels)
    if over_time:
        axis.set_xlabel("day from the first infusion")
    for spine in axis.spines.values():
        spine.set_visible(False)
    seen = [v for v in ("pass", "warn", "fail") if (checks["verdict"] == v).any()]
    handles = [
        Patch(
            facecolor=colours(0.1),
            edgecolor="none" if v == "pass" else style.VERDICTS[v],
            linewidth=1.3,
            label=f"{v} ({(checks['verdict'] == v).sum()})",
        )
        for v in seen
    ]
    style.key(made.figure, handles, left=1.75)
    return made.figure


def _full_first(column: pd.Series) -> pd.Series:
    if column.name == "staining":
        return column.ne("full").astype(str) + column
    return column.ne("patient") if column.name == "role" else column


def plate_data(wells: pd.DataFrame, plate_checks: pd.DataFrame) -> pd.DataFrame:
    """The wells with their row (A is 0) and column (1 is 0) and the verdict on their plate."""
    places = [_place(well) for well in wells["well"]]
    rows = wells.assign(plate_row=[r for r, _ in places], plate_column=[c for _, c in places])
    if plate_checks.empty:
        return rows.assign(plate_verdict=None)
    verdicts = plate_checks.set_index("plate")["verdict"]
    return rows.assign(plate_verdict=rows["plate"].map(verdicts))


def _place(well: str) -> tuple[int, int]:
    letters, digits = re.fullmatch(r"([A-Za-z]+)0*(\d+)", str(well)).groups()
    row = 0
    for letter in letters.upper():
        row = 26 * row + ord(letter) - 64
    return row - 1, int(digits) - 1


def draw_plates(data: pd.DataFrame) -> Figure:
    """Each plate as a map of its wells on one common colour scale of the readout's logarithm."""
    plates = data.drop_duplicates("plate").sort_values(
        ["day", "role"], ascending=[True, False], kind="stable"
    )
    height = max(int(data["plate_row"].max()) + 1, 8)
    width = max(int(data["plate_column"].max()) + 1, 12)
    columns = 4
    lines = -(-len(plates) // columns)
    readouts = ", ".join(sorted(data["readout"].dropna().astype(str).unique()))
    positive = data.loc[data["value"] > 0, "value"]
    low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 10.0)
    if low == high:
        high = low * 10
    made = style.grid(
        lines,
        columns,
        panel_height=1.02,
        note=f"Colour: {style.text_of(readouts, 40)} of a well, logarithmic, one scale for all plates. "
        "Empty: not used. Cross: flagged well. Letters: c stimulated without drug, u unstimulated, "
        f"b blank. n = {len(plates)} plates, {len(data):,} wells.",
        left=0.3,
        right=0.75,
        bottom=0.1,
        column_gap=0.22,
        row_gap=0.3,
        top=0.3,
        key=False,
    )
    norm = mpl.colors.LogNorm(low, high)
    colours = mpl.colormaps["cividis"].copy()
    letters = {"control": "c", "unstimulated": "u", "blank": "b"}
    axes = [axis for row in made.axes for axis in row]
    for axis in axes[len(plates) :]:
        axis.remove()
    for axis, plate in zip(axes, plates.itertuples(), strict=False):
        wells = data[data["plate"] == plate.plate]
        values = np.full((height, width), np.nan)
        values[wells["plate_row"], wells["plate_column"]] = wells["value"].clip(lower=low)
        axis.pcolormesh(
            np.arange(width + 1) - 0.5,
            np.arange(height + 1) - 0.5,
            np.ma.masked_invalid(values),
            norm=norm,
            cmap=colours,
            edgecolor="white",
            linewidth=0.4,
        )
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        for well in wells.itertuples():
            dark = norm(max(well.value, low)) < 0.6 if well.value > 0 else True
            ink = "white" if dark else style.INK
            if well.well_role in letters:
                axis.text(
                    well.plate_column, well.plate_row, letters[well.well_role], fontsize=3.8,
                    ha="center", va="center", color=ink,
                )  # fmt: skip
            if isinstance(well.flag, str) and well.flag:
                axis.plot(
                    well.plate_column, well.plate_row, marker="x", color=style.ALERT,
                    markersize=4, markeredgewidth=1.2,
                )  # fmt: skip
        axis.set_yticks(
            range(height),
            [chr(65 + r) for r in range(height)] if height <= 26 else [],
            fontsize=4.4,
        )
        axis.set_xticks(range(0, width, 1 if width <= 12 else 3),
                        [c + 1 for c in range(0, width, 1 if width <= 12 else 3)], fontsize=4.4)  # fmt: skip
        axis.tick_params(length=0, pad=1)
        axis.xaxis.tick_top()
        for spine in axis.spines.values():
            spine.set_visible(False)
        title = f"{style.text_of(plate.subject, 14)}, {day_text(plate.day)}"
        verdict = plate.plate_verdict
        axis.set_title(title, fontsize=6.5, pad=9)
        if isinstance(verdict, str) and verdict != "pass":
            axis.set_title(
                style.text_of(verdict, 12), fontsize=6.5, pad=9, loc="right",
                color=style.VERDICTS.get(verdict, style.MUTED),
            )  # fmt: skip
    figure_width, figure_height = made.figure.get_size_inches()
    bar_axis = made.figure.add_axes(
        (
            1 - 0.6 / figure_width,
            1 - (0.42 + 1.4) / figure_height,
            0.09 / figure_width,
            1.4 / figure_height,
        ),
        label="scale",
    )
    scale = made.figure.colorbar(mpl.cm.ScalarMappable(norm, colours), cax=bar_axis)
    ticks, labels, _ = style.log_ticks(low, high)
    scale.set_ticks(ticks, labels=labels)
    scale.ax.minorticks_off()
    scale.ax.tick_params(labelsize=5.2, length=2)
    scale.outline.set_visible(False)
    scale.ax.set_title(style.text_of(readouts, 12), fontsize=6, fontweight="normal")
    return made.figure
