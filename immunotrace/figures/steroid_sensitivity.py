"""Dose-response figures: every curve with its wells, the courses of IC50 and Imax, ratios to baseline.

The dose without drug has no place on a logarithmic axis: it is drawn apart, left of a break.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from immunotrace.figures import style
from immunotrace.report.wording import day as day_text
from immunotrace.report.wording import number, p_value

_HALF = (0, (3, 2))  # the dashes of the line at 50 % of control
_GAP = 0.55  # decades between the lowest dose and the place of dose zero


# -- curves with their wells ----------------------------------------------------------------------


def curve_data(wells: pd.DataFrame, curves: pd.DataFrame, fitted: pd.DataFrame) -> pd.DataFrame:
    """Wells and fitted lines of every curve in one table, told apart by `part` (well, fit).

    Columns: part, curve, subject, role, day, drug, dose_unit, dose, response (percent of the
    stimulated control), low, high (of the fit), well, flag.
    """
    info = curves[["curve", "plate", "subject", "role", "day", "drug", "dose_unit"]]
    used = wells[wells["well_role"].isin(["sample", "control"])]
    used = used.merge(info[["curve", "plate"]], on="plate")
    used = used.assign(part="well", dose=used["dose"].fillna(0.0), low=np.nan, high=np.nan)
    lines = fitted.merge(info, on="curve").assign(part="fit", response=fitted["fitted"].to_numpy())
    columns = ["part", "curve", "subject", "role", "day", "drug", "dose_unit", "dose", "response"]
    both = pd.concat(
        [part.reindex(columns=[*columns, "low", "high", "plate", "well", "flag"])
         for part in (used, lines)], ignore_index=True,
    )  # fmt: skip
    return both


def draw_curves(data: pd.DataFrame, curves: pd.DataFrame, level: float) -> Figure:
    """A panel a day, patient and control together; with more than two subjects a panel a curve."""
    few = data["subject"].nunique() <= 2
    keys = ["drug", "dose_unit", "day"] if few else ["drug", "dose_unit", "day", "subject"]
    panels = list(data.groupby(keys, sort=True))
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    replicates = data[data["part"] == "well"].groupby(["curve", "dose"]).size()
    flagged = data["flag"].notna().sum()
    note = (
        f"Points: n = {(data['part'] == 'well').sum():,} wells, {replicates.min()} to {replicates.max()} a dose, replicates of one blood draw. "
        f"Lines: fitted curves with the {level:.0%} band of the fitted mean. ".replace("%", " %")
        + f"Diamonds: absolute IC50 (50 % of the control without drug) and its {level * 100:g} % interval"
        + (
            f". Crosses: flagged wells ({flagged}), at the edge where off the axis."
            if flagged
            else "."
        )
        + " Dose zero is left of the break."
    )
    top = np.nanpercentile(data["response"], 99.5)
    limits = (min(-8, np.nanpercentile(data["response"], 0.5) - 5), min(max(120, top * 1.08), 220))
    made = style.grid(
        lines, columns, panel_height=1.25, note=note, left=0.5, column_gap=0.3, row_gap=0.34,
        bottom=0.4,
    )  # fmt: skip
    axes = [axis for row in made.axes for axis in row]
    for axis in axes[len(panels) :]:
        axis.remove()
    for place, (axis, (name, part)) in enumerate(zip(axes, panels, strict=False)):
        drug, unit, day = name[:3]
        limit = _dose_axis(axis, part)
        _half_line(axis)
        axis.set_ylim(limits)
        for (curve, role), own in part.groupby(["curve", "role"], sort=True):
            _draw_curve(axis, own, role, limit, limits)
            fit = curves[curves["curve"] == curve]
            if len(fit):
                _draw_ic50(axis, fit.iloc[0], role)
        axis.set_title(day_text(day) if few else f"{style.text_of(name[3], 14)}, {day_text(day)}")
        if place % columns == 0:
            axis.set_ylabel("proliferation (% of control)")
        else:
            axis.set_yticklabels([])
        if place + columns >= len(panels):
            axis.set_xlabel(f"{style.text_of(drug, 24)} ({style.text_of(unit, 12)})")
    handles = style.role_handles(data)
    for handle in handles:
        handle.set_linestyle("-")
    handles.append(
        Line2D([], [], marker="D", linestyle="-", linewidth=0.9, markersize=3.4, color=style.INK,
               label="absolute IC50 and interval")
    )  # fmt: skip
    handles.append(
        Line2D([], [], color=style.MUTED, linewidth=0.5, linestyle=_HALF, label="50 % of control")
    )
    style.key(made.figure, handles)
    return made.figure


def _dose_axis(axis: Axes, part: pd.DataFrame) -> float:
    """A logarithmic dose axis with a place for dose zero; returns that place."""
    doses = part.loc[part["dose"] > 0, "dose"]
    low, high = doses.min(), doses.max()
    zero = low / 10**_GAP
    _log_doses(axis, low, high)
    ticks, labels, _ = style.log_ticks(low, high)
    axis.set_xticks([zero, *ticks], ["0", *labels])
    axis.set_xlim(zero / 10**0.18, high * 10**0.12)
    middle = np.sqrt(zero * low)
    for shift in (0.93, 1.07):
        axis.plot(
            [middle * shift / 1.06, middle * shift * 1.06],
            [-0.028, 0.028],
            transform=axis.get_xaxis_transform(),
            color=style.MUTED,
            linewidth=0.7,
            clip_on=False,
            zorder=10,
        )
    return float(zero)


def _draw_curve(axis: Axes, own: pd.DataFrame, role: str, zero: float, limits) -> None:
    look = style.role_style(role)
    colour = look["color"]
    front = 3 if role == "patient" else 2
    line = own[(own["part"] == "fit") & (own["dose"] > 0)].sort_values("dose")
    axis.fill_between(
        line["dose"], line["low"], line["high"], color=colour, alpha=0.16, linewidth=0, zorder=1
    )
    axis.plot(line["dose"], line["response"], color=colour, zorder=front, linewidth=1.2)
    wells = own[own["part"] == "well"]
    flagged = wells["flag"].notna()
    places = wells["dose"].where(wells["dose"] > 0, zero)
    inside = wells["response"].between(*limits)
    axis.plot(
        places[~flagged & inside],
        wells.loc[~flagged & inside, "response"],
        linestyle="none",
        marker=look["marker"],
        markersize=2.4,
        markerfacecolor=look["markerfacecolor"],
        markeredgecolor=colour,
        markeredgewidth=0.5,
        alpha=0.8,
        zorder=front,
    )
    axis.plot(
        places[flagged],
        wells.loc[flagged, "response"].clip(*limits),
        linestyle="none",
        marker="x",
        markersize=3.6,
        color=style.ALERT,
        zorder=5,
        clip_on=False,
    )


def _draw_ic50(axis: Axes, fit: pd.Series, role: str) -> None:
    if pd.isna(fit["absolute_ic50"]):
        return
    colour = style.role_style(role)["color"]
    face = colour if role == "patient" else "white"
    ends = fit[["absolute_ic50_low", "absolute_ic50_high"]].fillna(fit["absolute_ic50"])
    axis.plot(ends.astype(float), [50, 50], color=colour, linewidth=1.4, zorder=6)
    axis.plot(
        fit["absolute_ic50"], 50, marker="D", markersize=3.4, markerfacecolor=face,
        markeredgecolor=colour, zorder=7,
    )  # fmt: skip


# -- all fitted lines together --------------------------------------------------------------------


def overlay_data(fitted: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    info = curves[["curve", "subject", "role", "day", "drug", "dose_unit"]]
    return fitted[fitted["dose"] > 0].merge(info, on="curve")


def draw_overlay(data: pd.DataFrame, days: Sequence[int]) -> Figure:
    """The fitted lines of each subject and drug in one panel, coloured by day."""
    keys = ["drug", "role", "subject"]
    panels = data[keys].drop_duplicates().sort_values(keys, ascending=[True, False, True])
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    made = style.grid(
        lines, columns, panel_height=1.9, left=0.5, right=1.0, column_gap=0.3, row_gap=0.45,
        bottom=0.4, key=False,
        note=f"Lines: fitted curves, one a plate ({data['curve'].nunique()} plates, one blood draw "
        "of one person each). Wells and intervals are in the figure of the single curves.",
    )  # fmt: skip
    colours = style.day_colours(days)
    axes = [axis for row in made.axes for axis in row]
    for axis in axes[len(panels) :]:
        axis.remove()
    top = max(np.nanmax(data["fitted"]) * 1.08, 110)
    for place, (axis, panel) in enumerate(zip(axes, panels.itertuples(), strict=False)):
        part = data[(data["subject"] == panel.subject) & (data["drug"] == panel.drug)]
        _log_doses(axis, part["dose"].min(), part["dose"].max())
        axis.set_ylim(min(0, np.nanmin(data["fitted"]) * 1.05), top)
        _half_line(axis)
        for (_, day), line in part.groupby(["curve", "day"], sort=False):
            line = line.sort_values("dose")
            axis.plot(line["dose"], line["fitted"], color=colours[day])
        axis.set_title(f"{style.text_of(panel.subject, 24)} ({panel.role})")
        unit = part["dose_unit"].iloc[0]
        axis.set_xlabel(f"{style.text_of(panel.drug, 24)} ({style.text_of(unit, 12)})")
        if place % columns == 0:
            axis.set_ylabel("proliferation (% of control)")
        else:
            axis.set_yticklabels([])
    present = [day for day in days if (data["day"] == day).any()]
    made.figure.legend(
        handles=[
            Line2D([], [], color=colours[day], linewidth=1.6, label=day_text(day))
            for day in present
        ],
        loc="upper left",
        bbox_to_anchor=(1 - 0.92 / style.WIDTH, 1 - 0.16 / made.figure.get_figheight()),
        borderaxespad=0,
        handlelength=1.4,
    )
    return made.figure


def _log_doses(axis: Axes, low: float, high: float) -> None:
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks, labels, minor = style.log_ticks(low, high)
    axis.set_xticks(ticks, labels)
    style.minor_ticks(axis.xaxis, minor)


def _half_line(axis: Axes) -> None:
    axis.axhline(50, color=style.MUTED, linewidth=0.5, linestyle=_HALF, zorder=0.5)


# -- the course of IC50 and Imax ------------------------------------------------------------------


def course_data(curves: pd.DataFrame, changes: pd.DataFrame | None) -> pd.DataFrame:
    """Absolute and relative IC50 (with interval or bound) and Imax of every curve.

    `bound` is ">" or "<" where the value is censored; then `value` is the end of the dose range that
    it lies beyond.
    """
    info = ["curve", "subject", "role", "day", "drug", "dose_unit", "call"]
    parts = []
    for kind in ("absolute_ic50", "relative_ic50"):
        part = curves[info].assign(
            measurement=kind,
            value=curves[kind],
            low=curves[f"{kind}_low"],
            high=curves[f"{kind}_high"],
            bound="",
        )
        if kind == "absolute_ic50":
            part["bound"] = curves["bound"].fillna("")
            part["value"] = part["value"].where(part["bound"] == "", curves["bound_dose"])
        parts.append(part)
    parts.append(
        curves[info].assign(
            measurement="imax_top_dose",
            value=curves["imax_top_dose"],
            low=np.nan,
            high=np.nan,
            bound="",
        )
    )
    data = pd.concat(parts, ignore_index=True)
    if changes is None:
        return data.assign(verdict=None, reference_low=np.nan, reference_high=np.nan)
    known = changes[["measurement", "subject", "day", "verdict", "reference_low", "reference_high"]]
    known = known[
        known["measurement"].isin(["absolute_ic50", "relative_ic50"])
        & (changes["role"] == "patient")
    ]
    return data.merge(known, on=["measurement", "subject", "day"], how="left")


def draw_course(data: pd.DataFrame, timeline: pd.DataFrame | None, level: float) -> Figure:
    """Absolute IC50, relative IC50 (logarithmic) and Imax against time, a row a drug."""
    days = sorted(data["day"].unique())
    over_time = len(days) > 1
    limits = style.time_limits(days)
    lanes = style.lanes_of(timeline, limits) if over_time else []
    banded = data["reference_low"].notna().any()
    censored = (data["bound"] != "").sum()
    missing = data["value"].isna().any()
    left = style.LANE_LEFT if lanes else 0.5
    note = (
        f"Points: one plate, one blood draw of one person. Bars: {level * 100:g} % profile-likelihood "
        "interval, to the edge where open; Imax has none. "
        + (
            f"Arrows: censored ({censored}), the IC50 lies beyond the doses tested. "
            if censored
            else ""
        )
        + ("n.d.: not determined. " if missing else "")
        + (
            "Band: reference change around the mean of the patient's baseline days. "
            if banded
            else ""
        )
        + f"n = {data['curve'].nunique()} curves."
    )
    drugs = list(data["drug"].unique())
    made = style.grid(
        len(drugs), 3, panel_height=1.7, note=note, left=left, column_gap=0.45, row_gap=0.55,
        bottom=0.36 if over_time else style.category_room(data["curve"]), lanes=len(lanes),
    )  # fmt: skip
    for strip in made.strips:
        style.draw_lanes(strip, timeline, lanes, limits, labels=strip is made.strips[0])
    names = list(dict.fromkeys(data["curve"]))
    for row, drug in zip(made.axes, drugs, strict=True):
        of_drug = data[data["drug"] == drug]
        unit = style.text_of(of_drug["dose_unit"].iloc[0], 12)
        drug = style.text_of(drug, 24)
        titles = {
            "absolute_ic50": ("absolute IC50", f"{drug} ({unit})"),
            "relative_ic50": ("relative IC50", f"{drug} ({unit})"),
            "imax_top_dose": ("Imax at the highest dose", f"inhibition by {drug} (%)"),
        }
        for axis, (kind, (title, label)) in zip(row, titles.items(), strict=True):
            part = of_drug[of_drug["measurement"] == kind]
            axis.set_title(title)
            axis.set_ylabel(label, labelpad=2)
            if over_time:
                style.time_axis(axis, days, limits, labels=row is made.axes[-1])
                part = part.assign(place=part["day"].astype(float))
            else:
                style.category_axis(axis, names, labels=row is made.axes[-1])
                part = part.assign(place=part["curve"].map(names.index).astype(float))
            known = part[part["value"].notna()]
            if kind == "imax_top_dose" and len(known):
                low, high = known["value"].min(), known["value"].max()
                axis.set_ylim(min(0, low * 1.1), max(100, high * 1.05))
            elif len(known):
                _log_values(axis, known)
            else:
                axis.set_yticks([])
            style.row_lines(axis)
            for (_, role), rows in part.groupby(["subject", "role"], sort=False):
                _draw_ic50_course(axis, rows.sort_values("place"), role, over_time)
    handles = style.role_handles(data)
    if banded:
        handles.append(style.band_handle("reference-change band"))
    if data["verdict"].isin(["decrease", "increase"]).any():
        handles.append(style.changed_handle())
    style.key(made.figure, handles, left=left)
    return made.figure


def _log_values(axis: Axes, part: pd.DataFrame) -> None:
    every = part[["value", "low", "high", "reference_low", "reference_high"]].to_numpy(float)
    every = every[np.isfinite(every) & (every > 0)]
    low, high = every.min() / 1.35, every.max() * (2 if (part["bound"] == ">").any() else 1.35)
    low = low / 1.5 if (part["bound"] == "<").any() else low
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    ticks, labels, minor = style.log_ticks(low, high)
    axis.set_yticks(ticks, labels)
    style.minor_ticks(axis.yaxis, minor)


def _draw_ic50_course(axis: Axes, rows: pd.DataFrame, role: str, over_time: bool) -> None:
    look = style.role_style(role)
    colour = look["color"]
    if not over_time:
        look["linestyle"] = "none"
    if role == "patient":
        band = rows[rows["reference_low"].notna()]
        axis.fill_between(
            band["place"], band["reference_low"].astype(float), band["reference_high"].astype(float),
            color=style.BAND, linewidth=0, zorder=0.4,
        )  # fmt: skip
    for place in rows.loc[rows["value"].isna(), "place"]:
        axis.annotate(
            "n.d.", (place, 0.01 if role == "patient" else 0.07), rotation=0, ha="center", va="bottom",
            xycoords=("data", "axes fraction"), fontsize=5.4, color=colour,
        )  # fmt: skip
    exact = rows[(rows["bound"] == "") & rows["value"].notna()]
    if rows["measurement"].iloc[0] != "imax_top_dose":
        bottom, top = axis.get_ylim()
        axis.vlines(
            exact["place"], exact["low"].fillna(bottom), exact["high"].fillna(top), color=colour,
            linewidth=0.8,
        )  # fmt: skip
    axis.plot(exact["place"], exact["value"], **look)
    for row in rows[rows["bound"] != ""].itertuples():
        up = 1 if row.bound == ">" else -1
        changed = role == "patient" and row.verdict in ("decrease", "increase")
        shade = style.ALERT if changed else colour
        axis.plot(row.place, row.value, marker="_", markersize=5, color=shade)
        axis.annotate(
            "",
            (row.place, row.value * 1.55**up),
            xytext=(row.place, row.value),
            arrowprops=dict(arrowstyle="->", color=shade, linewidth=1.1, shrinkA=0, shrinkB=0),
        )
    if role == "patient":
        beyond = exact[exact["verdict"].isin(["decrease", "increase"])]
        axis.plot(beyond["place"], beyond["value"], zorder=4, **style.CHANGED)


# -- residuals ------------------------------------------------------------------------------------


def draw_residuals(data: pd.DataFrame) -> Figure:
    """Standardised residuals of every well against the fitted response and the dose, a row a drug."""
    drugs = list(data["drug"].unique())
    limit = max(3.0, np.nanmax(np.abs(data["standardised"])) * 1.08)
    shown = min(limit, 6.0)
    beyond = int((data["standardised"].abs() > shown).sum())
    made = style.grid(
        len(drugs), 2, panel_height=1.7, left=0.5, column_gap=0.45, row_gap=0.55, bottom=0.4,
        note=f"Points: n = {len(data):,} wells of {data['curve'].nunique()} curves, well minus fitted curve in "
        "standard deviations of the fit's noise there. Lines: 0 and 2 standard deviations. Crosses: "
        f"flagged wells ({data['flag'].notna().sum()})"
        + (f"; {beyond} wells beyond the axis are at its edge." if beyond else ".")
        + " Dose zero is left of the break.",
    )  # fmt: skip
    for row, drug in zip(made.axes, drugs, strict=True):
        part = data[data["drug"] == drug]
        unit = style.text_of(part["dose_unit"].iloc[0], 12)
        left, right = row
        zero = _dose_axis(right, part)
        left.set_xlabel("fitted response (% of control)")
        right.set_xlabel(f"{style.text_of(drug, 24)} ({unit})")
        left.set_ylabel("standardised residual")
        right.set_yticklabels([])
        for axis, places in (
            (left, part["fitted"]),
            (right, part["dose"].where(part["dose"] > 0, zero)),
        ):
            axis.set_ylim(-shown, shown)
            for level in (-2, 0, 2):
                axis.axhline(
                    level,
                    color=style.MUTED,
                    linewidth=0.5,
                    linestyle=_HALF if level else "-",
                    zorder=0.5,
                )
            _draw_residual_points(axis, places, part, shown)
    handles = style.role_handles(data)
    for handle in handles:
        handle.set_linestyle("none")
    style.key(made.figure, handles)
    return made.figure


def _draw_residual_points(axis: Axes, places: pd.Series, part: pd.DataFrame, shown: float) -> None:
    heights, flagged = part["standardised"].clip(-shown, shown), part["flag"].notna()
    for role in sorted(part["role"].unique()):
        look = style.role_style(role)
        own = (part["role"] == role) & ~flagged
        axis.plot(
            places[own], heights[own], linestyle="none", marker=look["marker"], markersize=2.2,
            markerfacecolor=look["markerfacecolor"], markeredgecolor=look["color"], markeredgewidth=0.5,
            alpha=0.8,
        )  # fmt: skip
    axis.plot(
        places[flagged], heights[flagged], linestyle="none", marker="x", markersize=3.6,
        color=style.ALERT, clip_on=False,
    )  # fmt: skip


# -- ratios to baseline ---------------------------------------------------------------------------


def ratio_data(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Contrasts in the order of drawing."""
    order = ["role", "subject", "drug", "day", "ic50_kind"]
    return contrasts.sort_values(order, ascending=[False, True, True, True, True], kind="stable")


def draw_ratios(data: pd.DataFrame, level: float) -> Figure:
    """A forest of IC50 ratios, a column a kind of IC50, a row a later curve."""
    kinds = list(data["ic50_kind"].unique())
    order = data[["curve", "subject", "role", "day", "drug"]].drop_duplicates()
    names, several = list(order["curve"]), order["drug"].nunique() > 1
    every = data[["ratio", "ratio_low", "ratio_high"]].to_numpy(float)
    every = every[np.isfinite(every) & (every > 0)]
    low, high = (
        (min(every.min() / 1.15, 0.8), max(every.max() * 1.15, 1.25)) if len(every) else (0.5, 2)
    )
    low, high = max(low, 0.01), min(high, 100)
    made = style.grid(
        1, len(kinds), panel_height=max(0.16 * len(names) + 0.1, 0.5), left=1.7 if several else 0.95,
        right=1.25,
        column_gap=1.35, bottom=0.4, key=False,
        note=f"Points: IC50 of the day over the IC50 of the subject's baseline curves fitted together; bars: "
        f"{level * 100:g} % interval of the wells, within plates only. Right: ratio, that interval, and P by the "
        f"scatter between days of baseline and control, plates not wells being the replicates (– where that is not "
        f"known). n = {len(names)} curves, each of one plate.",
    )  # fmt: skip
    for axis, kind in zip(made.axes[0], kinds, strict=True):
        part = data[data["ic50_kind"] == kind]
        axis.set_xscale("log")
        axis.set(xlim=(low, high), ylim=(len(names) - 0.4, -0.6))
        ticks, labels, minor = style.log_ticks(low, high)
        axis.set_xticks(ticks, labels)
        style.minor_ticks(axis.xaxis, minor)
        axis.axvline(1, color=style.MUTED, linewidth=0.6)
        axis.set_title(f"{kind} IC50")
        axis.set_xlabel("ratio to baseline")
        axis.set_yticks(range(len(names)))
        axis.tick_params(axis="y", length=0)
        labels = [
            f"{style.text_of(r.subject, 12)} {day_text(r.day)}"
            + (f" {style.text_of(r.drug, 14)}" if several else "")
            for r in order.itertuples()
        ]
        axis.set_yticklabels(labels if kind == kinds[0] else [])
        axis.spines["left"].set_visible(False)
        for row in part.itertuples():
            place = names.index(row.curve)
            look = style.role_style(row.role)
            if pd.isna(row.ratio):
                text = "not determined" if pd.isna(row.reason) else _last_word(row.reason)
            else:
                text = (
                    f"{_ratio(row.ratio)} ({_ratio(row.ratio_low)} to {_ratio(row.ratio_high)})  "
                    f"{_p_text(row.plates_p)}"
                )
                axis.hlines(
                    place,
                    max(row.ratio_low, low) if pd.notna(row.ratio_low) else low,
                    min(row.ratio_high, high) if pd.notna(row.ratio_high) else high,
                    color=look["color"], linewidth=1,
                )  # fmt: skip
                axis.plot(row.ratio, place, **{**look, "linestyle": "none"})
            axis.annotate(
                text, (1, place), xycoords=("axes fraction", "data"), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=5.6,
            )  # fmt: skip
    return made.figure


def _last_word(reason: str) -> str:
    """The end of "the absolute IC50 of this curve is censored", which the axis says the rest of."""
    return style.text_of(reason.rpartition(" is ")[2], 26)


def _ratio(value: float) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.2f}" if value < 10 else number(value, 2)


def _p_text(p: float) -> str:
    text = p_value(p)
    return f"P {text}" if text.startswith("<") else f"P = {text}"
