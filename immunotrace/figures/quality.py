"""Quality control at a glance: what was kept of each acquisition, and every plate as a heat map."""

import re

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from immunotrace.figures import style
from immunotrace.report.wording import day as day_text
from immunotrace.report.wording import span

_FLOW, _DRIFT = "#0072b2", "#d55e00"


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
        unread = np.isnan(row.removed_percent)
        share = 0.0 if unread else row.removed_percent
        edge = style.VERDICTS.get(row.verdict, style.MUTED) if row.verdict != "pass" else "none"
        style.cell(
            axis, x, y, share / darkest, "no events" if unread else f"{share:.1f} %", colours, edge
        )
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


MOST_FLOWS = 16


def flow_data(windows: pd.DataFrame) -> pd.DataFrame:
    """Windows of time with `rate_fold` and `level_fold`, each against the file's median window.

    Of the 16 acquisitions that depart most: those with removed windows first, then by the drift of
    their worst channel. `shown_of` is how many there are.
    """
    if windows.empty:
        return windows
    median = windows.groupby("acquisition")["events_per_second"].transform("median")
    data = windows.assign(
        rate_fold=windows["events_per_second"] / median,
        # The level is on an asinh scale, whose differences are logarithms of folds but round zero.
        level_fold=np.exp(windows["level"]),
        drift=windows["level"].abs(),
        shown_of=windows["acquisition"].nunique(),
    )
    by_file = data.groupby("acquisition", sort=False).agg(
        removed=("removed", "sum"), drift=("drift", "max")
    )
    order = by_file.sort_values(["removed", "drift"], ascending=False, kind="stable").index
    rank = {name: place for place, name in enumerate(order[:MOST_FLOWS])}
    data = data[data["acquisition"].isin(rank)]
    order = data.assign(rank=data["acquisition"].map(rank)).sort_values(["rank", "window"])
    return order.drop(columns=["rank", "drift"]).reset_index(drop=True)


def draw_flow(data: pd.DataFrame) -> Figure:
    """Flow rate and the channel that drifts furthest over time, a panel an acquisition."""
    names = list(dict.fromkeys(data["acquisition"]))
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    made = style.grid(
        lines,
        columns,
        panel_height=0.85,
        note="Each against the median window of its file; shaded: windows that quality control removed. "
        f"n = {len(names)} of {data['shown_of'].iloc[0]} acquisitions, those that depart most; a point a "
        f"window of {span(data['events'])} events.",
        left=0.45,
        column_gap=0.32,
        row_gap=0.42,
        top=0.22,
        widest=2.2,
    )
    folds = data[["rate_fold", "level_fold"]].to_numpy()
    folds = folds[np.isfinite(folds) & (folds > 0)]
    low, high = min(folds.min(), 0.5) / 1.1, max(folds.max(), 2.0) * 1.1
    axes = [axis for row in made.axes for axis in row]
    for axis in axes[len(names) :]:
        axis.remove()
    for number, (axis, name) in enumerate(zip(axes, names, strict=False)):
        own = data[data["acquisition"] == name]
        for window in own[own["removed"].astype(bool)].itertuples():
            axis.axvspan(window.start, window.end, color=style.ALERT, alpha=0.18, linewidth=0)
        middle = (own["start"] + own["end"]) / 2
        axis.axhline(1, color=style.MUTED, linewidth=0.5)
        axis.plot(middle, own["rate_fold"], color=_FLOW, linewidth=0.8)
        axis.plot(middle, own["level_fold"], color=_DRIFT, linewidth=0.8)
        axis.set_yscale("log")
        axis.set(ylim=(low, high), xlim=(own["start"].min(), own["end"].max()))
        ticks, labels, _ = style.log_ticks(low, high)
        axis.set_yticks(ticks, labels if number % columns == 0 else [""] * len(ticks))
        axis.minorticks_off()
        if number % columns == 0:
            axis.set_ylabel("fold of median", fontsize=6)
        if number >= len(names) - columns:
            axis.set_xlabel("time (s)", fontsize=6)
        axis.tick_params(labelsize=5.5)
        axis.set_title(style.text_of(name, 24), fontsize=6, pad=3)
        axis.text(
            0.98, 0.06, style.text_of(own["channel"].iloc[0], 16), fontsize=5.5, color=_DRIFT,
            ha="right", va="bottom", transform=axis.transAxes,
        )  # fmt: skip
    handles = [
        Line2D([], [], color=_FLOW, linewidth=1.2, label="flow rate"),
        Line2D(
            [],
            [],
            color=_DRIFT,
            linewidth=1.2,
            label="level of the channel that drifts most, named in the panel",
        ),
        Patch(facecolor=style.ALERT, alpha=0.18, label="removed"),
    ]
    style.key(made.figure, handles, left=0.45)
    return made.figure


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
    height = int(data["plate_row"].max()) + 1
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
        panel_height=max(1.53 * height / width, 0.3),  # wells are squares
        note=f"Colour: {style.text_of(readouts, 40)} of a well, logarithmic, one scale for all plates. "
        "Empty: not used; rows after the last used one are left out. Cross: flagged well. Letters: c stimulated without drug, u unstimulated, "
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
