"""The one design of all figures: sizes, colours, encodings, time strip and footer.

Sizes are for print at 178 mm, two columns of a journal. Colours are chosen for colour-blind readers:
populations take the palette of Okabe & Ito (2008, jfly.uni-koeln.de/color), days run through viridis
with the baseline days in greys. Patient and control also differ in marker and line, so that they are
told apart without colour.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import TICKDOWN, TICKLEFT, Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import NullLocator

from immunotrace.baseline import LAST_DAY
from immunotrace.figures.fonts import FAMILY, printable
from immunotrace.report.wording import leaf, number

WIDTH = 7.0  # inches: 178 mm
INK, MUTED, FAINT = "#1f2933", "#6b7580", "#d9dee3"
PATIENT, CONTROL, BAND, ALERT = "#0b4f8a", "#767676", "#cfe1f2", "#c4451c"
OTHER, OTHER_PATIENT = "#8a6d3b", "other patient"  # a patient beside the one the case is about
VERDICTS = {"pass": "#5b8c6e", "warn": "#b87a00", "fail": "#c4451c"}
DPI = 250

_RC = {
    "font.family": [FAMILY],
    "font.size": 7,
    "text.parse_math": False,  # "$" in a file's text is a dollar sign
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 3.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "hatch.linewidth": 0.4,
    "svg.fonttype": "path",
    "svg.hashsalt": "immunotrace",
    "path.simplify": True,
}

_OKABE_ITO = [
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8a6d3b",
    "#4d4d4d",
]
_POPULATION_COLOURS = {
    "CD4": "#0072b2",
    "CD8": "#d55e00",
    "CD45RA+": "#009e73",
    "CD45RA-": "#cc79a7",
    "naive": "#009e73",
    "central memory": "#0072b2",
    "effector memory": "#d55e00",
    "TEMRA": "#8a6d3b",
    "unswitched memory": "#0072b2",
    "switched memory": "#d55e00",
    "double negative": "#8a6d3b",
}


def styled():
    """The context in which figures are made and saved; a user's matplotlibrc has no say in it."""
    return mpl.style.context(["default", _RC])


def population_colours(populations: Iterable[str]) -> dict[str, str]:
    """One fixed colour a population: by its name where we know it, else by alphabetical order."""
    names = sorted({leaf(population) for population in populations})
    others = [name for name in names if name not in _POPULATION_COLOURS]
    colours = {name: _OKABE_ITO[i % len(_OKABE_ITO)] for i, name in enumerate(others)}
    return {p: {**_POPULATION_COLOURS, **colours}[leaf(p)] for p in populations}


def day_colours(days: Sequence[int]) -> dict[int, str]:
    """One colour a day of the case: greys for baseline days, then viridis in order of time."""
    before = sorted(day for day in days if day <= LAST_DAY)
    after = sorted(day for day in days if day > LAST_DAY)
    greys = np.linspace(0.74, 0.42, len(before)) if len(before) > 1 else [0.62] * len(before)
    colours = {day: mpl.colors.to_hex((g, g, g)) for day, g in zip(before, greys, strict=True)}
    viridis = mpl.colormaps["viridis"]
    for day, place in zip(after, np.linspace(0.05, 0.84, len(after)), strict=True):
        colours[day] = mpl.colors.to_hex(viridis(place))
    return colours


def role_style(role: str) -> dict:
    """Line and marker of a role: filled circles and a full line for the patient."""
    if role == "patient":
        return dict(color=PATIENT, marker="o", markerfacecolor=PATIENT, linestyle="-")
    if role == OTHER_PATIENT:
        return dict(color=OTHER, marker="^", markerfacecolor="white", linestyle=(0, (1, 1)))
    return dict(color=CONTROL, marker="s", markerfacecolor="white", linestyle=(0, (4, 1.6)))


def text_of(value, longest: int = 10_000) -> str:
    """Text from a file as a label: drawable, on one line, cut with an ellipsis where too long."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def panel_width(
    columns: int, left: float, right: float, column_gap: float, widest: float = 3.1
) -> float:
    """The width in inches of each of `columns` equal panels; few panels do not fill the page."""
    return min((WIDTH - left - right - (columns - 1) * column_gap) / columns, widest)


def wrapped(title: str, inches: float) -> str:
    """A panel's title in as many lines as it needs above a panel so wide."""
    # A bold character of 7.5 points takes 0.064 inch on average.
    return "\n".join(textwrap.wrap(title, max(int(inches / 0.064), 8)))


@dataclass(frozen=True)
class Grid:
    """A figure of equal panels: `axes[row][column]`, and above each column its time strip."""

    figure: Figure
    axes: list[list[Axes]]
    strips: list[Axes]


def grid(
    rows: int,
    columns: int,
    *,
    panel_height: float,
    note: str,
    left: float = 0.6,
    right: float = 0.15,
    bottom: float = 0.38,
    row_gap: float | Sequence[float] = 0.3,
    column_gap: float = 0.4,
    top: float = 0.2,
    key: bool = True,
    lanes: int = 0,
    title_lines: int = 1,
    widest: float = 3.1,
) -> Grid:
    """Panels on a page 178 mm wide, all sizes in inches.

    `note` is the footer, which says what a point, an interval and n are; `key` keeps a line for the
    key on top; `lanes` is the height of the time strip. `bottom` and `top` are what the labels of the
    lowest and the titles of the highest row need, where the titles have one line; `row_gap` may be a
    gap below each row but the last; no panel is wider than `widest`.
    """
    titles = 0.125 * (title_lines - 1)
    top += titles
    gaps = [row_gap] * (rows - 1) if isinstance(row_gap, float | int) else list(row_gap)
    gaps = [gap + titles for gap in gaps]
    lines = textwrap.wrap(text_of(note), 142)
    foot = 0.16 + 0.115 * len(lines)
    head = 0.25 if key else 0.04
    strip = 0.115 * lanes + 0.09 if lanes else 0.0
    height = head + strip + top + rows * panel_height + sum(gaps) + bottom + foot
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    size = panel_width(columns, left, right, column_gap, widest)
    starts = [left + column * (size + column_gap) for column in range(columns)]
    axes = []
    for row in range(rows):
        y = height - head - strip - top - (row + 1) * panel_height - sum(gaps[:row])
        axes.append(
            [
                figure.add_axes(
                    (x / WIDTH, y / height, size / WIDTH, panel_height / height),
                    label=f"panel {row} {column}",
                )
                for column, x in enumerate(starts)
            ]
        )
    strips = []
    if lanes:
        y = height - head - strip + 0.05
        strips = [
            figure.add_axes(
                (x / WIDTH, y / height, size / WIDTH, (strip - 0.09) / height),
                label=f"strip {column}",
            )
            for column, x in enumerate(starts)
        ]
    figure.text(
        0.06 / WIDTH,
        0.07 / height,
        "\n".join(lines),
        fontsize=5.8,
        color=MUTED,
        va="bottom",
        linespacing=1.25,
    )
    return Grid(figure, axes, strips)


def nothing(what: str) -> Figure:
    """The figure that stands for one without data."""
    made = grid(1, 1, panel_height=0.3, note="", key=False, bottom=0.05, top=0.05)
    axis = made.axes[0][0]
    axis.axis("off")
    axis.text(0, 0.5, f"No data for this figure: {what}", va="center", color=MUTED)
    return made.figure


def key(figure: Figure, handles: Sequence, left: float = 0.5, columns: int | None = None) -> None:
    """The key, in one line on top of the figure."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(left / width, 1 - 0.02 / height),
        ncols=columns or len(handles),
        borderaxespad=0,
        borderpad=0.1,
        handlelength=1.9,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def role_handles(subjects: pd.DataFrame) -> list[Line2D]:
    """Key entries of the subjects: those of a role that has several share one entry."""
    handles = []
    for role, rows in subjects[["subject", "role"]].drop_duplicates().groupby("role", sort=False):
        names = list(rows["subject"])
        label = f"{text_of(names[0], 24)} ({role})" if len(names) == 1 else f"{len(names)} × {role}"
        handles.append(Line2D([], [], label=label, markersize=3.6, **role_style(role)))
    return sorted(handles, key=lambda handle: "(patient)" not in handle.get_label())


CHANGED = dict(
    linestyle="none", marker="o", markersize=3.6, markerfacecolor=ALERT, markeredgecolor=ALERT
)
"""A patient's point that lies beyond the reference change."""


def changed_handle() -> Line2D:
    return Line2D([], [], label="beyond the reference change", **CHANGED)


def line_handles(colours: dict[str, str]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, marker="o", markersize=3, label=label)
        for label, colour in colours.items()
    ]


def band_handle(label: str) -> Patch:
    return Patch(facecolor=BAND, edgecolor="none", label=label)


def row_lines(axis: Axes) -> None:
    axis.grid(axis="y", color=FAINT, linewidth=0.5)


# -- time -----------------------------------------------------------------------------------------

LONGEST_LANE = 27  # characters of a lane's name; 0.042 inch each
LANE_LEFT = 1.17  # what they need left of a figure with a time strip, in inches
_LANE_KINDS = ("sampling", "infusion", "drug", "procedure", "rescue")


def time_limits(days: Sequence[int]) -> tuple[float, float]:
    span = max(max(days) - min(days), 1)
    return min(days) - 0.045 * span, max(days) + 0.045 * span


def lanes_of(timeline: pd.DataFrame | None, limits: tuple[float, float]) -> list[tuple[str, str]]:
    """The lanes (kind, name) of the time strip: what happened within the limits."""
    if timeline is None:
        return []
    end = timeline["end_day"].fillna(timeline["day"]).astype(float)
    inside = timeline[(timeline["day"] <= limits[1]) & (end >= limits[0])]
    lanes = []
    for kind in _LANE_KINDS:
        rows = inside[inside["kind"] == kind].sort_values("day", kind="stable")
        lanes += [(kind, name) for name in dict.fromkeys(rows["name"])]
    return lanes


def draw_lanes(
    axis: Axes,
    timeline: pd.DataFrame,
    lanes: Sequence[tuple[str, str]],
    limits: tuple[float, float],
    labels: bool = True,
    doses: bool = False,
) -> None:
    """Infusions, drugs (height of the bar: dose as a part of the drug's highest) and events.

    One lane a name, from the top. `doses` writes the dose into each bar that has room for it.
    """
    axis.set(xlim=limits, ylim=(len(lanes), 0))
    axis.axis("off")
    for place, (kind, name) in enumerate(lanes):
        rows = timeline[(timeline["kind"] == kind) & (timeline["name"] == name)]
        axis.plot(limits, (place + 0.94,) * 2, color=FAINT, linewidth=0.4, solid_capstyle="butt")
        if kind == "drug":
            _draw_drug(axis, rows, place, limits, doses)
        else:
            _draw_events(axis, rows, place, limits, kind)
        if labels:
            axis.annotate(
                text_of(name, LONGEST_LANE),
                (0, place + 0.5),
                xycoords=("axes fraction", "data"),
                xytext=(-3, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=5.2,
                color=MUTED,
            )


def _draw_drug(
    axis: Axes, rows: pd.DataFrame, place: int, limits: tuple[float, float], doses: bool
) -> None:
    highest = rows["value"].max()
    inches = axis.get_window_extent().width / axis.figure.dpi / (limits[1] - limits[0])
    for row in rows.itertuples():
        # The last day is a day with the drug, so the bar runs to its end.
        last = limits[1] if pd.isna(row.end_day) else float(row.end_day) + 1
        first, last = max(float(row.day), limits[0]), min(last, limits[1])
        if last <= first:
            continue
        known = pd.notna(row.value) and highest > 0
        tall = 0.84 * (0.3 + 0.7 * row.value / highest) if known else 0.4
        axis.bar(
            first,
            -tall,
            width=last - first,
            bottom=place + 0.92,
            align="edge",
            color="#9fb4c7",
            edgecolor="white",
            linewidth=0.5,
        )
        if doses and known:
            unit = "" if pd.isna(row.unit) else f" {text_of(row.unit, 16)}"
            for label in (f"{number(row.value)}{unit}", number(row.value)):
                # A character of 5.6 points takes 0.045 inch on average.
                if 0.045 * len(label) < (last - first) * inches:
                    axis.text((first + last) / 2, place + 0.52, label, ha="center", va="center",
                              fontsize=5.6)  # fmt: skip
                    break


_EVENTS = {
    "sampling": ("o", INK),
    "infusion": ("v", ALERT),
    "procedure": ("|", INK),
    "rescue": ("D", "#7b3294"),
}


def _draw_events(
    axis: Axes, rows: pd.DataFrame, place: int, limits: tuple[float, float], kind: str
) -> None:
    marker, colour = _EVENTS[kind]
    wide = axis.get_window_extent().width / axis.figure.dpi > 1.4
    lasting = rows[rows["end_day"].notna() & (rows["day"] <= limits[1])]
    for row in lasting.itertuples():
        ends = max(row.day, limits[0]), min(row.end_day, limits[1])
        axis.plot(ends, (place + 0.5,) * 2, color=colour, linewidth=1)
    seen = rows[rows["day"].between(*limits)]
    axis.plot(
        seen["day"],
        [place + 0.5] * len(seen),
        linestyle="none",
        marker=marker,
        color=colour,
        markersize=(4.2 if wide else 3) if kind == "infusion" else 3.2,
        clip_on=False,
    )


def time_axis(axis: Axes, days: Sequence[int], limits: tuple[float, float], labels: bool) -> None:
    """A tick at each day of sampling, labelled where there is room; a line at the first infusion."""
    axis.set_xlim(limits)
    days = sorted(set(days))
    width = axis.get_window_extent().width / axis.figure.dpi
    gap = 0.25 * (limits[1] - limits[0]) / width  # a label takes a quarter of an inch
    shown: list[int] = []
    for day in days:
        if not shown or day - shown[-1] >= gap:
            shown.append(day)
    axis.set_xticks(
        shown, [str(day).replace("-", "−") for day in shown] if labels else [""] * len(shown)
    )
    axis.set_xticks([day for day in days if day not in shown], minor=True)
    if limits[0] < 0 < limits[1]:
        axis.axvline(0, color=MUTED, linewidth=0.5, linestyle=(0, (1, 1.5)), zorder=0.5)
    if labels:
        axis.set_xlabel("day from the first infusion" if width > 1.4 else "day", labelpad=2)


LONGEST_CATEGORY = 24  # characters


def category_room(names: Iterable[str]) -> float:
    """The height in inches that upright labels take below an axis, 0.044 inch a character."""
    return 0.14 + 0.044 * max(min(len(name), LONGEST_CATEGORY) for name in names)


def category_axis(axis: Axes, names: Sequence[str], labels: bool) -> None:
    """One place a name, for data of a single day."""
    axis.set_xlim(-0.7, len(names) - 0.3)
    axis.set_xticks(range(len(names)))
    if labels:
        axis.set_xticklabels(
            [text_of(name, LONGEST_CATEGORY) for name in names], rotation=90, fontsize=5.6
        )
    else:
        axis.set_xticklabels([])


# -- tables of shaded cells -----------------------------------------------------------------------


def colour_map(name: str) -> mpl.colors.Colormap:
    return mpl.colormaps[name]


def cell(
    axis: Axes,
    x: float,
    y: float,
    share: float,
    text: str,
    shades: mpl.colors.Colormap,
    edge: str = "none",
) -> None:
    """A cell of a shaded table: `share` of the darkest shade in 0..1, and its number."""
    axis.add_patch(
        Rectangle(
            (x - 0.46, y - 0.42), 0.92, 0.84, facecolor=shades(0.04 + 0.7 * share), edgecolor=edge,
            linewidth=1.3,
        )
    )  # fmt: skip
    axis.text(
        x, y + 0.02, text, ha="center", va="center", fontsize=5.6,
        color="white" if share > 0.7 else INK,
    )  # fmt: skip


# -- logarithmic axes -----------------------------------------------------------------------------


def log_ticks(low: float, high: float) -> tuple[list[float], list[str], list[float]]:
    """Places and labels of ticks for values between `low` and `high`, and the minor places.

    Full decades where there are three or more of them, else also 2 and 5 times a decade.
    """
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    steps = (1,) if np.log10(high / low) >= 2.6 else (1, 2, 5)
    all_ticks = [s * 10.0**p for p in range(first - 1, last + 1) for s in steps]
    ticks = [t for t in all_ticks if low * 0.999 <= t <= high * 1.001]
    minor = [s * 10.0**p for p in range(first - 1, last + 1) for s in range(1, 10)]
    return ticks, [number(t) for t in ticks], [t for t in minor if low <= t <= high]


def minor_ticks(axis: Axis, places: Sequence[float]) -> None:
    """Minor ticks within the axis' limits, as marks of one line: of a tick matplotlib makes five artists."""
    axis.set_minor_locator(NullLocator())
    low, high = sorted(axis.get_view_interval())
    places = [place for place in places if low <= place <= high]
    across, none = axis.axis_name == "x", [0] * len(places)
    axes = axis.axes
    axes.add_artist(
        Line2D(
            *((places, none) if across else (none, places)),
            transform=axes.get_xaxis_transform() if across else axes.get_yaxis_transform(),
            linestyle="none",
            marker=TICKDOWN if across else TICKLEFT,
            markersize=mpl.rcParams["xtick.minor.size"],
            markeredgewidth=mpl.rcParams["xtick.minor.width"],
            color=MUTED,
            clip_on=False,
        )
    )


# -- the logicle scale ----------------------------------------------------------------------------

LOGICLE_COLUMNS = ("logicle_t", "logicle_w", "logicle_m", "logicle_a")


@cache
def _logicle_scale(t: float, w: float, m: float, a: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear values and their places in 0..1, rising, dense enough to go between by interpolation."""
    from scipy.optimize import brentq

    b = (m + a) * np.log(10)
    width = w / (m + a)
    x2 = a / (m + a)
    x1 = x2 + width
    x0 = x2 + 2 * width
    d = b
    if width > 0:
        d = brentq(lambda d: 2 * np.log(d / b) + width * (b + d), 1e-12, b)
    c_a = np.exp(x0 * (b + d))
    f_a = np.exp(b * x1) - c_a / np.exp(d * x1)
    scale = t / (np.exp(b) - f_a - c_a / np.exp(d))
    places = np.linspace(x1, 1.1, 4001)
    linear = scale * (np.exp(b * places) - f_a - c_a / np.exp(d * places))
    # Below zero the scale is the mirror image of what is above.
    return (
        np.concatenate([-linear[:0:-1], linear]),
        np.concatenate([2 * x1 - places[:0:-1], places]),
    )


def logicle_display(values, t: float, w: float, m: float, a: float) -> np.ndarray:
    """Places in 0..1 of linear values on a logicle scale (Moore & Parks 2012, Cytometry A 81:273).

    Only as exact as a tick needs: the inverse, which is closed, is interpolated.
    """
    return np.interp(values, *_logicle_scale(t, w, m, a))


def logicle_linear(places, t: float, w: float, m: float, a: float) -> np.ndarray:
    """The linear values at places of a logicle scale, the inverse of `logicle_display`."""
    linear, known = _logicle_scale(t, w, m, a)
    return np.interp(places, known, linear)


def logicle_axis(axis: Axes, data: pd.DataFrame) -> None:
    """An x axis on the logicle scale, with ticks where the data carry its parameters."""
    axis.set_xlabel("fluorescence (a.u.)", labelpad=2)
    if not logicle_ticks(axis.xaxis, data):
        axis.set_xlabel("fluorescence (logicle scale)", labelpad=3)


def logicle_ticks(axis: Axis, data: pd.DataFrame, labels: bool = True, small: bool = False) -> bool:
    """Ticks in linear units, within the limits, where the data carry the scale's parameters.

    Returns whether they do. In a `small` panel there is room for few labels, and none for minor ticks.
    """
    if not set(LOGICLE_COLUMNS) <= set(data) or data[list(LOGICLE_COLUMNS)].isna().any(axis=None):
        axis.set_ticks([])
        return False
    scale = tuple(float(data[column].iloc[0]) for column in LOGICLE_COLUMNS)
    ticks = {-1000: "−10³", 0: "0", 1000: "10³", 10_000: "10⁴", 100_000: "10⁵"}
    if small:
        ticks = {0: "0", 1000: "10³", 100_000: "10⁵"}
    else:
        minor = [s * k * 10**p for s in (-1, 1) for p in (2, 3, 4, 5) for k in range(1, 10)]
        minor = sorted(v for v in minor if -1000 < v <= scale[0])
        minor_ticks(axis, logicle_display(np.array(minor, float), *scale))
    places = logicle_display(np.array(list(ticks), float), *scale)
    low, high = axis.get_view_interval()  # a tick beyond would move them
    shown = [(x, name) for x, name in zip(places, ticks.values(), strict=True) if low <= x <= high]
    axis.set_ticks([x for x, _ in shown], [name if labels else "" for _, name in shown])
    return True


# -- scatter --------------------------------------------------------------------------------------


def dots(
    axis: Axes, x: np.ndarray, y: np.ndarray, colour: str, points: float, alpha: float
) -> None:
    """Many dots as one image at the resolution of print, within the axes' limits.

    `points` is the diameter. What matplotlib would draw, without a canvas of the whole figure for each
    of many small panels.
    """
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    box = axis.get_position()
    inches = axis.figure.get_size_inches() * (box.width, box.height)
    columns, rows = np.maximum(np.round(inches * DPI).astype(int), 1)
    # A disc whose rim fades over a pixel has as much ink as a sharp one of this radius.
    radius = np.sqrt(max((points / 2 * DPI / 72) ** 2 - 1 / 12, 0))
    reach = int(np.ceil(radius + 0.5))
    across, up = (x - left) / (right - left) * columns, (y - low) / (high - low) * rows
    near = (np.abs(across / columns - 0.5) < 0.6) & (np.abs(up / rows - 0.5) < 0.6)
    across, up = across[near], up[near]
    pixel_x, pixel_y = np.floor(across).astype(int), np.floor(up).astype(int)
    clear = np.zeros((rows, columns))  # the logarithm of what each pixel lets through
    for step_x in range(-reach, reach + 1):
        for step_y in range(-reach, reach + 1):
            place_x, place_y = pixel_x + step_x, pixel_y + step_y
            far = np.hypot(place_x + 0.5 - across, place_y + 0.5 - up)
            share = np.clip(radius + 0.5 - far, 0, 1)  # of the pixel that the dot covers
            seen = (share > 0) & (place_x >= 0) & (place_x < columns)
            seen &= (place_y >= 0) & (place_y < rows)
            np.add.at(clear, (place_y[seen], place_x[seen]), np.log1p(-alpha * share[seen]))
    image = np.empty((rows, columns, 4))
    image[..., :3] = mpl.colors.to_rgb(colour)
    image[..., 3] = 1 - np.exp(clear)
    axis.imshow(
        np.round(255 * image).astype(np.uint8), origin="lower", extent=(left, right, low, high),
        aspect="auto", interpolation="none", zorder=1,
    )  # fmt: skip


# -- the mark of simulated data -------------------------------------------------------------------


def stamp(figure: Figure) -> None:
    """Mark a figure as one of simulated data, in its lower right corner."""
    width, height = figure.get_size_inches()
    figure.text(
        1 - 0.09 / width,
        0.09 / height,
        "SIMULATED DATA",
        ha="right",
        va="bottom",
        fontsize=5.8,
        fontweight="bold",
        color=ALERT,
        bbox=dict(boxstyle="square,pad=0.35", facecolor="white", edgecolor=ALERT, linewidth=0.5),
    )
