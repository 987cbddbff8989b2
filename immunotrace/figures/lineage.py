"""Figures of one lineage's panels: courses of subsets and markers, densities, two-marker panels.

T cells and B cells share them. Each figure has a function for its data, which is published beside it,
and one that draws those data. With a single day the x axis names acquisitions in place of days.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from immunotrace.baseline import LAST_DAY
from immunotrace.figures import style
from immunotrace.report.wording import day as day_text
from immunotrace.report.wording import leaf, number, short_names, span

_KEYS = ["acquisition", "subject", "role", "day"]
_COURSE = [*_KEYS, "population", "marker", "value", "low", "high", "n", "verdict"]
_COURSE += ["reference_low", "reference_high"]

_OVERLAP = 1.5  # the height of the highest density, in distances between two of them
_DRAWN_EVENTS = 700  # more are not told apart in a panel of 16 mm

# Which corner of a two-marker panel is which subset: (x positive, y positive).
_QUADRANTS = {
    ("CD4", "CD8"): {"CD4": (True, False), "CD8": (False, True)},
    ("CD27", "IgD"): {
        "naive": (False, True),
        "unswitched memory": (True, True),
        "switched memory": (True, False),
        "double negative": (False, False),
    },
    ("CD45RA", "CCR7"): {
        "naive": (True, True),
        "central memory": (False, True),
        "effector memory": (False, False),
        "TEMRA": (True, False),
    },
}


def _quadrants(x_marker: str, y_marker: str) -> dict[str, tuple[bool, bool]]:
    """The subsets of a pair of markers and their corners; none for a pair we have no names for."""
    if (y_marker, x_marker) in _QUADRANTS:
        swapped = _QUADRANTS[y_marker, x_marker]
        return {name: (right, upper) for name, (upper, right) in swapped.items()}
    return _QUADRANTS.get((x_marker, y_marker), {})


# -- courses: a value with its interval against time ----------------------------------------------


def positive_data(
    markers: pd.DataFrame, changes: pd.DataFrame | None, within: bool = False
) -> pd.DataFrame:
    """Percent positive of every marker in the highest populations measured, or, with `within`, in
    those that lie inside another measured one."""
    nested = _nested(markers["population"].unique())
    rows = markers[markers["population"].isin(nested) == within]
    rows = rows[rows["percent_positive"].notna()]
    rows = _renamed(rows, "percent_positive", total="count")
    return _with_reference(rows, changes, "percent_positive")


def median_data(markers: pd.DataFrame, changes: pd.DataFrame | None) -> pd.DataFrame:
    """Median intensity of all cells of the highest populations measured, with its interval."""
    nested = _nested(markers["population"].unique())
    rows = markers[~markers["population"].isin(nested) & markers["median_all"].notna()]
    rows = _renamed(rows, "median_all", total="count")
    return _with_reference(rows, changes, "median_all")


def subset_data(populations: pd.DataFrame, changes: pd.DataFrame | None) -> pd.DataFrame:
    """Percent of parent of the populations that share their parent with others.

    Of two that are each other's complement ("CD45RA+" and "CD45RA-") the positive one is kept.
    """
    rows = populations.assign(parent=populations["parent"].fillna(""), marker="")
    siblings = rows.groupby("parent", sort=False)["population"].unique()
    kept = []
    for children in siblings:
        if len(children) > 1:
            kept += [c for c in children if not (c.endswith("-") and c[:-1] + "+" in children)]
    rows = rows[rows["population"].isin(kept) & rows["percent_of_parent"].notna()]
    rows = _renamed(rows, "percent_of_parent", total="parent_count")
    return _with_reference(rows, changes, "percent_of_parent")


def _renamed(rows: pd.DataFrame, column: str, total: str) -> pd.DataFrame:
    names = {column: "value", f"{column}_low": "low", f"{column}_high": "high", total: "n"}
    return rows.rename(columns=names).reindex(columns=_COURSE)


def _nested(populations: Sequence[str]) -> list[str]:
    return [p for p in populations if any(p.startswith(f"{other}/") for other in populations)]


def _with_reference(
    rows: pd.DataFrame, changes: pd.DataFrame | None, measurement: str
) -> pd.DataFrame:
    keys = ["subject", "population", "marker", "day"]
    wanted = ["verdict", "reference_low", "reference_high"]
    if changes is None:
        return rows.reset_index(drop=True)
    rows = rows.drop(columns=wanted)
    known = changes[(changes["measurement"] == measurement) & (changes["role"] == "patient")]
    known = known.assign(
        population=known["population"].fillna(""), marker=known["marker"].fillna("")
    )
    return rows.merge(known[keys + wanted], on=keys, how="left")[_COURSE]


def draw_markers(
    data: pd.DataFrame,
    timeline: pd.DataFrame | None,
    *,
    percent: bool,
    interval: str,
) -> Figure:
    """Marker by marker (rows) in each population (columns), patient and control."""
    populations, markers = list(data["population"].unique()), list(data["marker"].unique())
    names = short_names(populations)
    if 1 < len(populations) <= 4:
        cells = [[(p, m) for p in populations] for m in markers]
    else:
        every = [(p, m) for m in markers for p in populations]
        cells = [every[i : i + 4] for i in range(0, len(every), 4)]

    def title(cell):
        return f"{style.text_of(cell[1], 16)} in {style.text_of(names[cell[0]], 34)}"

    def label(cell):
        marker = style.text_of(cell[1], 16)
        return f"{marker}+ cells (%)" if percent else f"{marker} median (a.u.)"

    what = (
        "percent positive of the cells of the population"
        if percent
        else ("median fluorescence of all cells of the population (arbitrary units)")
    )
    return _draw_courses(data, timeline, cells, title, label, what, interval)


def draw_subsets(data: pd.DataFrame, timeline: pd.DataFrame | None, interval: str) -> Figure:
    """Each subset in a panel of its own, one row of panels a parent population."""
    cells = []
    parents = data["population"].str.rpartition("/")[0]
    for parent in dict.fromkeys(parents):
        children = list(data.loc[parents == parent, "population"].unique())
        width = 5 if len(children) > 4 else 4
        cells += [
            [(child, "") for child in children[i : i + width]]
            for i in range(0, len(children), width)
        ]

    def label(cell):
        parent = leaf(cell[0].rpartition("/")[0])
        return f"% of {style.text_of(parent, 18)}"

    return _draw_courses(
        data,
        timeline,
        cells,
        lambda cell: style.text_of(leaf(cell[0]), 24),
        label,
        "percent of the parent population",
        interval,
    )


def tree_data(populations: pd.DataFrame) -> pd.DataFrame:
    """Percent of parent of every population, in the order of the gating tree."""
    rows = populations[populations["percent_of_parent"].notna()]
    return _renamed(rows, "percent_of_parent", total="parent_count").assign(marker="")


def draw_tree(data: pd.DataFrame) -> Figure:
    """All populations (rows, indented below their parent) in all acquisitions of a single day."""
    acquisitions = list(dict.fromkeys(data["acquisition"]))
    rows = _tree_order(data["population"].unique())
    left = 2.3
    made = style.grid(
        1,
        1,
        panel_height=0.155 * len(rows),
        note="Numbers and shades: percent of the parent population, under which the name is indented. Empty: "
        f"the acquisition has no such gate, or no cell in the parent. n = {span(data['n'])} cells in a "
        "parent.",
        left=left,
        right=max(0.15, style.WIDTH - left - 0.45 * len(acquisitions)),
        widest=style.WIDTH,
        bottom=style.category_room(acquisitions),
        top=0.1,
        key=False,
    )
    axis = made.axes[0][0]
    shades = style.colour_map("Blues")
    for row in data.itertuples():
        place = acquisitions.index(row.acquisition), rows.index(row.population)
        style.cell(axis, *place, row.value / 100, f"{row.value:.1f}", shades)
    style.category_axis(axis, acquisitions, labels=True)
    axis.set(xlim=(-0.5, len(acquisitions) - 0.5), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    for place, population in enumerate(rows):
        axis.annotate(
            style.text_of(leaf(population), 40),
            (0, place),
            xycoords=("axes fraction", "data"),
            xytext=(-left * 72 + 12 + 8 * population.count("/"), 0),
            textcoords="offset points",
            va="center",
            fontsize=5.8,
        )
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return made.figure


def _tree_order(populations: Sequence[str]) -> list[str]:
    """Every population after its parent and before its parent's next sibling, else as they come."""
    known = list(populations)

    def below(parent: str) -> list[str]:
        ordered = []
        for child in known:
            if child.rpartition("/")[0] == parent:
                ordered += [child, *below(child)]
        return ordered

    tops = [p for p in known if p.rpartition("/")[0] not in known]
    return [name for top in tops for name in (top, *below(top))]


def _draw_courses(data, timeline, cells, title, label, what, interval) -> Figure:
    days = sorted(data["day"].unique())
    over_time = len(days) > 1
    columns = max(len(row) for row in cells)
    limits = style.time_limits(days)
    lanes = style.lanes_of(timeline, limits) if over_time else []
    banded = data["reference_low"].notna().any()
    changed = data["verdict"].isin(["decrease", "increase"]).any()
    left = style.LANE_LEFT if lanes else 0.55
    # Medians have longer numbers on their axes than percentages.
    gap = 0.42
    width = style.panel_width(columns, left, 0.15, gap)
    note = f"Points: {what}. "
    note += f"Bars: {interval} interval, where longer than the symbol. "
    note += f"n = {span(data['n'])} cells a point"
    note += ", one blood draw of one person each. " if over_time else ". "
    if over_time and width < 1.4:
        note += "Days count from the first infusion. "
    if banded:
        note += (
            "Band: reference change around the mean of the patient's baseline days; inside it a change "
            "is no more than counting and day-to-day variation explain."
        )
    titles = {cell: style.wrapped(title(cell), width + 0.2) for row in cells for cell in row}
    made = style.grid(
        len(cells),
        columns,
        panel_height=1.05,
        note=note,
        left=left,
        column_gap=gap,
        row_gap=0.27,
        title_lines=max(text.count("\n") + 1 for text in titles.values()),
        bottom=0.36 if over_time else style.category_room(data["acquisition"]),
        lanes=len(lanes),
    )
    names = list(dict.fromkeys(data["acquisition"]))
    for strip in made.strips:
        style.draw_lanes(strip, timeline, lanes, limits, labels=strip is made.strips[0])
    for r, row in enumerate(cells):
        for c, axis in enumerate(made.axes[r]):
            if c >= len(row):
                axis.remove()
                continue
            population, marker = row[c]
            part = data[(data["population"] == population) & (data["marker"] == marker)]
            lowest = r == len(cells) - 1 or c >= len(cells[r + 1])
            if over_time:
                style.time_axis(axis, days, limits, labels=lowest)
                _draw_series(axis, part)
            else:
                style.category_axis(axis, names, labels=lowest)
                _draw_points(axis, part, names)
            top = (
                np.nanmax([part["value"].max(), part["high"].max(), part["reference_high"].max()])
                if len(part)
                else 1
            )
            low = np.nanmin([0, part["value"].min(), part["reference_low"].min()])
            # From zero, and below it where compensation has put a median there.
            axis.set_ylim(low * 1.08, max(top, 0) * 1.08 if max(top, -low) > 0 else 1)
            axis.locator_params(axis="y", nbins=4)
            axis.yaxis.set_major_formatter(lambda value, _: number(value))
            style.row_lines(axis)
            axis.set_title(titles[row[c]])
            axis.set_ylabel(label(row[c]), labelpad=2)
    handles = style.role_handles(data)
    if banded:
        handles.append(style.band_handle("reference-change band"))
    if changed:
        handles.append(style.changed_handle())
    style.key(made.figure, handles, left=style.LANE_LEFT if lanes else 0.55)
    return made.figure


def _draw_series(axis: Axes, part: pd.DataFrame) -> None:
    for (_, role), rows in part.groupby(["subject", "role"], sort=False):
        rows = rows.sort_values("day")
        if role == "patient":
            band = rows[rows["reference_low"].notna()]
            axis.fill_between(
                band["day"].astype(float),
                band["reference_low"].astype(float),
                band["reference_high"].astype(float),
                color=style.BAND,
                linewidth=0,
                zorder=0.4,
            )
        _interval_bars(axis, rows["day"], rows, role)
        order = 3 if role == "patient" else 2
        axis.plot(rows["day"], rows["value"], zorder=order, **style.role_style(role))
        if role == "patient":
            beyond = rows[rows["verdict"].isin(["decrease", "increase"])]
            axis.plot(beyond["day"], beyond["value"], zorder=4, **style.CHANGED)


def _draw_points(axis: Axes, part: pd.DataFrame, names: list[str]) -> None:
    for role, rows in part.groupby("role", sort=False):
        places = rows["acquisition"].map(names.index)
        _interval_bars(axis, places, rows, role)
        axis.plot(places, rows["value"], **{**style.role_style(role), "linestyle": "none"})


def _interval_bars(axis: Axes, places: pd.Series, rows: pd.DataFrame, role: str) -> None:
    colour = style.role_style(role)["color"]
    axis.vlines(places, rows["low"], rows["high"], color=colour, linewidth=0.8, zorder=1.9)


# -- courses inside subpopulations ----------------------------------------------------------------


def draw_within(data: pd.DataFrame, timeline: pd.DataFrame | None, interval: str) -> Figure:
    """Percent positive inside subpopulations: their lines together, a column a parent and subject.

    Composition is not expression: a marker of naive cells falls in CD4 when naive cells become fewer,
    but then not within them.
    """
    days = sorted(data["day"].unique())
    over_time = len(days) > 1
    parents = data["population"].str.rpartition("/")[0]
    markers = list(data["marker"].unique())
    subjects = list(data["subject"].unique()) if over_time else [None]
    columns = [(p, s) for p in dict.fromkeys(parents) for s in subjects]
    limits = style.time_limits(days)
    lanes = style.lanes_of(timeline, limits) if over_time else []
    note = (
        "Points: percent positive of the cells of the subpopulation. "
        f"Bars: {interval} interval, where longer than the symbol. n = {span(data['n'])} cells a point. "
        "Full lines and dots: patient. Broken lines and squares: control."
    )
    made = style.grid(
        len(markers),
        len(columns),
        panel_height=1.05,
        note=note,
        left=style.LANE_LEFT if lanes else 0.55,
        column_gap=0.22,
        row_gap=0.2,
        bottom=0.36 if over_time else style.category_room(data["acquisition"]),
        lanes=len(lanes),
    )
    names = list(dict.fromkeys(data["acquisition"]))
    colours = style.population_colours(list(data["population"].unique()))
    for strip in made.strips:
        style.draw_lanes(strip, timeline, lanes, limits, labels=strip is made.strips[0])
    for r, marker in enumerate(markers):
        of_marker = data[data["marker"] == marker]
        for c, (parent, subject) in enumerate(columns):
            axis = made.axes[r][c]
            part = of_marker[parents[of_marker.index] == parent]
            if over_time:
                part = part[part["subject"] == subject]
                style.time_axis(axis, days, limits, labels=r == len(markers) - 1)
            else:
                style.category_axis(axis, names, labels=r == len(markers) - 1)
            for (population, role), rows in part.groupby(["population", "role"], sort=False):
                rows = rows.sort_values("day")
                places = rows["day"] if over_time else rows["acquisition"].map(names.index)
                colour = colours[population]
                axis.vlines(places, rows["low"], rows["high"], color=colour, linewidth=0.8)
                look = {**style.role_style(role), "color": colour, "markersize": 3}
                look["markerfacecolor"] = colour if role == "patient" else "white"
                look["linestyle"] = look["linestyle"] if over_time else "none"
                axis.plot(places, rows["value"], **look)
            axis.set_ylim(0, min(of_marker["high"].max() * 1.08, 102))
            axis.locator_params(axis="y", nbins=4)
            style.row_lines(axis)
            if c == 0:
                axis.set_ylabel(f"{style.text_of(marker, 16)}+ cells (%)", labelpad=2)
            else:
                axis.set_yticklabels([])
            if r == 0:
                name = style.text_of(leaf(parent), 16)
                axis.set_title(f"{name}, {style.text_of(subject, 14)}" if over_time else name)
    handles = style.line_handles(
        {style.text_of(leaf(p), 24): colours[p] for p in data["population"].unique()}
    )
    style.key(made.figure, handles, left=style.LANE_LEFT if lanes else 0.55)
    return made.figure


# -- densities ------------------------------------------------------------------------------------


def density_data(
    densities: pd.DataFrame, acquisitions: pd.DataFrame, markers: pd.DataFrame
) -> pd.DataFrame:
    """Histogram counts of the highest populations measured, with their percent positive."""
    rows = densities[~densities["population"].isin(_nested(densities["population"].unique()))]
    rows = rows.merge(acquisitions[_KEYS].drop_duplicates(), on="acquisition", how="left")
    keys = [*_KEYS, "population", "marker"]
    total = rows.groupby(keys, dropna=False)["count"].transform("sum")
    rows = rows.assign(
        n=total,
        density=np.where(
            total > 0, rows["count"] / total / (rows["bin_high"] - rows["bin_low"]), 0
        ),
    )
    known = ["acquisition", "population", "marker", "percent_positive"]
    rows = rows.merge(markers[known], on=known[:3], how="left")
    columns = [*keys, "bin_low", "bin_high", "count", "n", "density", "threshold_display"]
    columns += ["percent_positive"]
    columns += [c for c in style.LOGICLE_COLUMNS if c in rows]
    return rows[columns].reset_index(drop=True)


def draw_densities(data: pd.DataFrame, days: Sequence[int]) -> Figure:
    """Densities above each other, one a day (or acquisition), with the threshold of the marker."""
    markers = list(data["marker"].unique())
    over_time = data["day"].nunique() > 1
    populations = list(data["population"].unique())
    subjects = list(data["subject"].unique()) if over_time else [None]
    columns = [(p, s) for p in populations for s in subjects]
    colours = style.day_colours(days)
    ridges = data["day"].nunique() if over_time else data["acquisition"].nunique()
    thresholds = data["threshold_display"].notna().any()
    note = (
        "Densities of all cells of the population on the logicle scale, each of area 1, smoothed over three bins. "
        f"n = {span(data['n'])} cells a curve."
    )
    if over_time and min(data["day"]) <= LAST_DAY:
        note += " Dashed outline: mean of the subject's baseline days."
    note += (
        " Upright line: threshold of the marker; at the right the percentage beyond it."
        if thresholds
        else " No threshold was set."
    )
    rows_per_page = [columns[i : i + 4] for i in range(0, len(columns), 4)]
    layout = [(marker, block) for marker in markers for block in rows_per_page]
    names = short_names(populations)
    wide, left, gap = max(len(block) for block in rows_per_page), 0.68 if over_time else 0.2, 0.14
    width = style.panel_width(wide, left, 0.15, gap)

    def title(marker, population, subject):
        name = f"{style.text_of(marker, 14)} in {style.text_of(names[population], 34)}"
        return style.wrapped(f"{name}, {style.text_of(subject, 14)}" if over_time else name, width)

    titles = {(m, p, s): title(m, p, s) for m in markers for p, s in columns}
    made = style.grid(
        len(layout),
        wide,
        panel_height=max(0.5 + 0.13 * ridges, 0.9),
        note=note,
        left=left,
        column_gap=gap,
        title_lines=max(text.count("\n") + 1 for text in titles.values()),
        row_gap=0.56,
        bottom=0.4,
        key=False,
    )
    for r, (marker, block) in enumerate(layout):
        for c, axis in enumerate(made.axes[r]):
            if c >= len(block):
                axis.remove()
                continue
            population, subject = block[c]
            part = data[(data["marker"] == marker) & (data["population"] == population)]
            if over_time:
                part = part[part["subject"] == subject]
            _draw_ridges(axis, part, colours if over_time else None, labels=c == 0)
            axis.set_title(titles[marker, population, subject])
            occupied = data[(data["marker"] == marker) & (data["density"] > 0.02)]
            low, high = occupied["bin_low"].min() - 0.02, occupied["bin_high"].max() + 0.1
            # Names of acquisitions are written left of the curves, inside the panel.
            axis.set_xlim(low if over_time else low - 0.5 * (high - low), high)
            style.logicle_axis(axis, part)
            # What the axis is was said in the row's titles; its unit is said once a row.
            axis.set_xlabel(axis.get_xlabel().replace("fluorescence", style.text_of(marker, 16)))
            if c == 0 and over_time:
                axis.set_ylabel("day from the first infusion", labelpad=17)
    return made.figure


def _draw_ridges(axis: Axes, part: pd.DataFrame, colours: dict | None, labels: bool) -> None:
    by = "day" if colours else "acquisition"
    groups = list(part.groupby(by, sort=bool(colours)))
    step = 1.0
    highest = max((_smooth(rows)[1].max() for _, rows in groups), default=1) or 1
    before = part[part["day"] <= LAST_DAY] if colours else part.iloc[:0]
    for place, (name, rows) in enumerate(groups):
        base = -place * step
        x, y = _smooth(rows)
        occupied = np.flatnonzero(y)
        if len(occupied):
            x, y = (v[max(occupied[0] - 1, 0) : occupied[-1] + 2] for v in (x, y))
        colour = colours[name] if colours else style.PATIENT
        heights = base + _OVERLAP * step * y / highest
        axis.fill(
            [x[0], *x, x[-1]], [base, *heights, base], color=colour, linewidth=0, zorder=place
        )
        axis.plot(x, heights, color="white", linewidth=0.5, zorder=place)
        if len(before) and name > LAST_DAY:
            reference_x, reference = _smooth(before)
            reference = np.where(reference > 0.01 * highest, reference, np.nan)
            axis.plot(
                reference_x, base + _OVERLAP * step * reference / highest, color=style.INK, linewidth=0.5,
                linestyle=(0, (2, 1.2)), zorder=place + 0.1,
            )  # fmt: skip
        percent = rows["percent_positive"].dropna().unique()
        if len(percent) == 1:
            axis.annotate(
                f"{percent[0]:.0f} %", (1, base + 0.12), xycoords=("axes fraction", "data"),
                ha="right", fontsize=5.4, color=style.INK, zorder=101,
            )  # fmt: skip
        if labels and colours:
            axis.annotate(
                str(name).replace("-", "−"), (0, base + 0.12), xycoords=("axes fraction", "data"),
                xytext=(-3, 0), textcoords="offset points", ha="right", fontsize=5.8,
            )  # fmt: skip
        elif not colours:
            axis.annotate(
                style.text_of(name, 20), (0, base + 0.12), xycoords=("axes fraction", "data"),
                fontsize=5, zorder=101,
            )  # fmt: skip
    common = part["threshold_display"].dropna().unique()
    if len(common) == 1:
        axis.axvline(common[0], color=style.INK, linewidth=0.7, zorder=100)
    for place, (_, rows) in enumerate(groups if len(common) > 1 else ()):
        own = rows["threshold_display"].dropna().unique()
        axis.vlines(
            own, -place * step, (1 - place) * step, color=style.INK, linewidth=0.7, zorder=100
        )
    axis.set_ylim(-(len(groups) - 1) * step - 0.1, (_OVERLAP + 0.15) * step)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)


def _smooth(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Bin centres and densities (mean over acquisitions), a moving mean over three bins."""
    curves = rows["density"].to_numpy().reshape(rows["acquisition"].nunique(), -1)
    bins = slice(curves.shape[1])
    x = ((rows["bin_low"] + rows["bin_high"]) / 2).to_numpy()[bins]
    return x, np.convolve(np.pad(curves.mean(axis=0), 1, mode="edge"), np.ones(3) / 3, "valid")


# -- two markers ----------------------------------------------------------------------------------


def panel_data(
    panels: pd.DataFrame, populations: pd.DataFrame, densities: pd.DataFrame
) -> pd.DataFrame:
    """The sampled events of the two-marker panels, and the subsets' exact percentages.

    `percent_naive` and so on are those of populations.tsv, from all events of the acquisition. The
    logicle scale of a panel is that of its densities; with it come the thresholds on the linear scale.
    """
    if set(style.LOGICLE_COLUMNS) <= set(densities):
        scales = densities.drop_duplicates("panel")[["panel", *style.LOGICLE_COLUMNS]]
        panels = panels.merge(scales, on="panel", how="left")
        for axis in ("x", "y"):
            panels[f"{axis}_threshold_linear"] = _linear(panels, f"{axis}_threshold")
    panels = _thinned(panels.assign(population=panels["population"].fillna("")))
    rows = panels.merge(populations[_KEYS].drop_duplicates(), on="acquisition", how="left")
    shares = populations[populations["parent"].isin(panels["population"].unique())].assign(
        subset=lambda frame: "percent_" + frame["population"].map(leaf).str.replace(" ", "_")
    )
    known = {"percent_" + n.replace(" ", "_") for q in _QUADRANTS.values() for n in q}
    shares = shares[shares["subset"].isin(known)]
    wide = shares.pivot_table(
        index=["acquisition", "parent"], columns="subset", values="percent_of_parent"
    ).reset_index()
    wide = wide.rename(columns={"parent": "population"})
    rows = rows.merge(wide, on=["acquisition", "population"], how="left")
    return rows.sort_values(
        ["population", "role", "day"], kind="stable", ascending=[True, False, True]
    )


def _linear(rows: pd.DataFrame, column: str) -> pd.Series:
    """A column of places on the logicle scale in linear units, to six digits."""
    out = pd.Series(np.nan, index=rows.index)
    for scale, part in rows.groupby(list(style.LOGICLE_COLUMNS)):
        out[part.index] = style.logicle_linear(part[column], *scale)
    return out.map({value: float(f"{value:.6g}") for value in out.unique()})


def _thinned(panels: pd.DataFrame) -> pd.DataFrame:
    """Every second, third, ... event of each panel, so that about `_DRAWN_EVENTS` are left."""
    groups = panels.groupby(["acquisition", "population", "x_marker", "y_marker"], sort=False)
    step = np.ceil(groups["x"].transform("size") / _DRAWN_EVENTS).astype(int)
    return panels[groups.cumcount() % step == 0]


def draw_panels(data: pd.DataFrame, days: Sequence[int]) -> Figure:
    """One small scatter a day (or acquisition), a row a population and subject."""
    over_time = data["day"].nunique() > 1
    kinds = data[["population", "x_marker", "y_marker"]].drop_duplicates().to_dict("records")
    rows = []
    for kind in kinds:
        part = data[(data[list(kind)] == pd.Series(kind)).all(axis=1)]
        if over_time:
            rows += [(kind, subject, own) for subject, own in part.groupby("subject", sort=False)]
        else:
            rows.append((kind, None, part))
    most = max(own["acquisition"].nunique() for _, _, own in rows)
    columns = -(-most // -(-most // (12 if over_time else 6)))
    # Days on one line have their titles on top of the figure, else every line has its own.
    titled = not over_time or most > columns
    lines = []
    for kind, subject, own in rows:
        names = list(dict.fromkeys(own["acquisition"]))
        lines += [
            (kind, subject, own, names[i : i + columns]) for i in range(0, len(names), columns)
        ]
    drawn = data.groupby(["acquisition", "population"]).size()
    note = (
        f"{span(drawn)} events a panel, drawn at random from the population's; both axes on the "
        "logicle scale, in arbitrary units."
    )
    if data[["x_threshold", "y_threshold"]].notna().any(axis=None):
        note += " Lines: thresholds."
    if any(column.startswith("percent_") for column in data):
        note += " Percentages: of all events of the population, not only of those drawn."
    gap = 0.06
    size = min((style.WIDTH - 0.95 - (columns - 1) * gap) / columns, 1.6)
    made = style.grid(
        len(lines),
        columns,
        panel_height=size,
        note=note,
        left=0.8,
        right=style.WIDTH - 0.8 - columns * size - (columns - 1) * gap,
        column_gap=gap,
        # Ticks and a label below the last row of a pair of markers; else a row's titles.
        row_gap=[
            (0.4 if below[0] is not line[0] else 0.1) + (0.16 if titled else 0)
            for line, below in pairwise(lines)
        ],
        bottom=0.36,
        key=False,
        top=0.2,
    )
    colours = style.day_colours(days)
    ends = _marker_limits(data)
    for r, (kind, subject, own, names) in enumerate(lines):
        for c, axis in enumerate(made.axes[r]):
            if c >= len(names):
                axis.remove()
                continue
            events = own[own["acquisition"] == names[c]]
            day = int(events["day"].iloc[0])
            colour = colours[day] if over_time else style.PATIENT
            axis.set(xlim=ends[kind["x_marker"]], ylim=ends[kind["y_marker"]])
            _draw_quadrants(axis, events, kind, colour)
            title = day_text(day) if over_time else style.text_of(names[c], 22)
            if r == 0 or titled:
                size = 6.3 if over_time else 5.6
                axis.set_title(title, fontsize=size, fontweight="normal", loc="center")
            last_of_kind = r == len(lines) - 1 or lines[r + 1][0] is not kind
            style.logicle_ticks(axis.xaxis, events, labels=last_of_kind, small=True)
            style.logicle_ticks(axis.yaxis, events, labels=c == 0, small=True)
            axis.tick_params(labelsize=5, length=1.6, pad=1.2)
            if last_of_kind and c == (len(names) - 1) // 2:
                axis.set_xlabel(f"{style.text_of(kind['x_marker'], 20)} (a.u.)", labelpad=2)
            if c == 0:
                lead = f"{style.text_of(leaf(kind['population']), 18)}"
                lead += f", {style.text_of(subject, 14)}" if subject is not None else ""
                axis.set_ylabel(
                    f"{lead}\n{style.text_of(kind['y_marker'], 20)} (a.u.)", fontsize=6.2
                )
    return made.figure


def _marker_limits(data: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """What each marker's axis spans: all but the outermost thousandth of the events drawn."""
    long = pd.concat(
        [
            data[[f"{axis}_marker", axis]].set_axis(["marker", "value"], axis=1)
            for axis in ("x", "y")
        ]
    )
    limits = {}
    for marker, values in long.groupby("marker")["value"]:
        low, high = values.quantile([0.001, 0.999])
        margin = 0.16 * (high - low) + 0.01  # room for the percentages
        limits[marker] = (low - margin, high + margin)
    return limits


def _draw_quadrants(axis: Axes, events: pd.DataFrame, kind: dict, colour: str) -> None:
    style.dots(axis, events["x"].to_numpy(), events["y"].to_numpy(), colour, 0.95, alpha=0.55)
    for side in ("top", "right"):
        axis.spines[side].set_visible(True)
    first = events.iloc[0]
    if pd.notna(first["x_threshold"]):
        axis.axvline(first["x_threshold"], color=style.INK, linewidth=0.5)
    if pd.notna(first["y_threshold"]):
        axis.axhline(first["y_threshold"], color=style.INK, linewidth=0.5)
    for name, (right, upper) in _quadrants(kind["x_marker"], kind["y_marker"]).items():
        share = first.get("percent_" + name.replace(" ", "_"))
        if share is not None and pd.notna(share):
            axis.text(
                0.97 if right else 0.03, 0.97 if upper else 0.03, f"{share:.0f} %", fontsize=5.2,
                transform=axis.transAxes,
                ha="right" if right else "left", va="top" if upper else "bottom",
                bbox=dict(boxstyle="square,pad=0.1", facecolor="white", alpha=0.75, linewidth=0),
            )  # fmt: skip
