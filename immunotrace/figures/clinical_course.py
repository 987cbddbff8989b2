"""The clinical course: scores against time under the strip of treatments, and the days of sampling."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from immunotrace.figures import style

_SCORE_COLOURS = [style.PATIENT, "#d55e00", "#009e73", "#8a6d3b"]


def draw_course(timeline: pd.DataFrame, days: Sequence[int]) -> Figure:
    """Draw a timeline (columns of timeline.tsv; days from the first infusion).

    Every score has a panel of its own, for scores differ in unit. Ticks under the last panel mark the
    days in `days`, on which blood was drawn.
    """
    ends = timeline["end_day"].dropna()
    sampled = pd.DataFrame({"day": list(days), "kind": "sampling", "name": "blood drawn"})
    timeline = pd.concat([timeline, sampled], ignore_index=True)
    every = [*timeline["day"], *ends]
    limits = style.time_limits([min(every), max(every)])
    lanes = style.lanes_of(timeline, limits)
    scores = timeline[timeline["kind"] == "score"]
    names = list(dict.fromkeys(scores["name"]))
    rows = max(len(names), 1)
    note = (
        f"Dots: the {len(days)} days on which blood was drawn. Triangles: infusions. Bars: drugs, height "
        "relative to the drug's highest dose. Upright strokes: procedures. Diamonds: rescue treatment."
        + (" Scores: one rating a point, without an interval." if names else "")
    )
    made = style.grid(
        rows,
        1,
        panel_height=1.35 if names else 0.25,
        note=note,
        left=1.25,
        widest=style.WIDTH,
        lanes=max(len(lanes), 1) * 2,
        key=False,
        bottom=0.4,
        top=0.12,
    )
    if lanes:
        style.draw_lanes(made.strips[0], timeline, lanes, limits, doses=True)
    else:
        made.strips[0].axis("off")
    for place in range(rows):
        axis = made.axes[place][0]
        style.time_axis(axis, list(range(_step_floor(limits[0]), int(limits[1]) + 1, 28)), limits,
                        labels=place == rows - 1)  # fmt: skip
        if names:
            part = scores[scores["name"] == names[place]].sort_values("day")
            colour = _SCORE_COLOURS[place % len(_SCORE_COLOURS)]
            axis.add_line(Line2D(part["day"], part["value"], color=colour, marker="o", zorder=3))
            axis.set_ylim(0, part["value"].max() * 1.1 or 1)
            units = part["unit"].dropna().unique()
            unit = f" ({style.text_of(units[0], 20)})" if len(units) else ""
            axis.set_ylabel(f"{style.text_of(names[place], 34)}{unit}")
            axis.locator_params(axis="y", nbins=5)
            style.row_lines(axis)
        else:
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
    return made.figure


def _step_floor(value: float, step: int = 28) -> int:
    """The first multiple of four weeks that is not below `value`."""
    return int(-(-value // step) * step)
