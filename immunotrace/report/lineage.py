"""What the chapters on T cells and B cells say of their tables; both use the same words."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from immunotrace.report import wording
from immunotrace.report.tables import load_table, patients_first
from immunotrace.tables import read_tsv

_MEASUREMENTS = {
    "percent_of_parent": "percent of parent",
    "percent_positive": "percent positive",
    "median_all": "median of all cells",
}
_MOST_LINES = 8


@dataclass(frozen=True)
class Chapter:
    """The panels of one lineage and their rows of the published tables."""

    panels: dict[str, dict]
    populations: pd.DataFrame
    markers: pd.DataFrame
    changes: pd.DataFrame

    @property
    def days(self) -> list[int]:
        return sorted({int(day) for day in self.populations["day"]})

    @property
    def over_time(self) -> bool:
        return len(self.days) > 1


def read_chapter(results: str, case: dict, lineage: str) -> Chapter:
    """The tables of the panels of `lineage` ("T" or "B")."""
    panels = {k: panel for k, panel in case["panels"].items() if panel["lineage"] == lineage}
    populations, markers = load_table(results, "populations"), load_table(results, "markers")
    if not populations.empty:
        populations = populations[populations["panel"].isin(panels)]
        populations = populations.assign(parent=populations["parent"].fillna(""))
    if not markers.empty:
        markers = markers[markers["panel"].isin(panels)]
    changes = load_table(results, "changes")
    if not changes.empty:
        own = changes["measurement"].isin(_MEASUREMENTS) & (changes["subject"] == case["patient"])
        measured = {*populations["population"], *markers["population"]}
        changes = changes[own & changes["population"].isin(measured)]
    return Chapter(panels, populations, markers, changes)


def overview(chapter: Chapter) -> str:
    """One paragraph on what was stained, whose blood and when."""
    panels = wording.listed(
        f"{name} ({panel['title']}: {wording.listed(panel['markers'])})"
        for name, panel in chapter.panels.items()
    )
    stains = chapter.populations["acquisition"].nunique()
    subjects = patients_first(chapter.populations)
    when = wording.days(chapter.days)
    return (
        f"{wording.sentence(wording.things(len(chapter.panels), 'panel'))}: {panels}. "
        f"{wording.sentence(wording.things(stains, 'full stain'))} of {wording.listed(subjects)} "
        f"{'on' if chapter.over_time else 'of'} {when} could be quantified."
    )


def who(chapter: Chapter) -> str:
    """The subjects and samples of a figure, for its caption."""
    if not chapter.over_time:
        stains = chapter.populations["acquisition"].nunique()
        return f"{wording.things(stains, 'acquisition')} of {wording.day(chapter.days[0])}"
    parts = []
    for subject in patients_first(chapter.populations):
        rows = chapter.populations[chapter.populations["subject"] == subject]
        draws = wording.things(rows["day"].nunique(), "blood draw")
        parts.append(f"{subject} ({rows['role'].iloc[0]}, {draws})")
    return wording.listed(parts)


def highest(populations) -> list[str]:
    """The populations that lie inside no other one of them."""
    names = list(dict.fromkeys(populations))
    return [p for p in names if not any(p.startswith(f"{other}/") for other in names)]


def changed_series(chapter: Chapter, measurement: str) -> pd.DataFrame:
    """The patient's series with values beyond the reference change, one row a series and direction.

    Of markers only the highest populations measured. Columns: population (its shortest clear name),
    marker, verdict, days (as words), day and value of the extreme, baseline, reference_low,
    reference_high, control (a sentence on days on which the control moved as well, or nothing).
    """
    columns = ["population", "marker", "verdict", "days", "day", "value", "baseline"]
    columns += ["reference_low", "reference_high", "control"]
    rows = _judged(chapter, measurement)
    names = wording.short_names(rows["population"]) if len(rows) else {}
    seen = rows[rows["verdict"].isin(["decrease", "increase"])] if len(rows) else rows
    out = []
    keys = ["population", "marker", "verdict"]
    for _, part in seen.groupby(keys, dropna=False, sort=False) if len(seen) else ():
        extreme = part.loc[part["change"].abs().idxmax()]
        days = wording.days(part["day"])
        told = {"population": names[extreme["population"]], "days": days}
        out.append({**extreme, **told, "control": control_text(part)})
    return pd.DataFrame(out, columns=columns)


def control_text(rows: pd.DataFrame) -> str:
    """On which days of changed values the control moved the same way, as a sentence to add; or nothing."""
    moved = rows.loc[rows["control_moved"] == rows["verdict"], "day"]
    return f" The control moved the same way on {wording.days(moved)}." if len(moved) else ""


def _judged(chapter: Chapter, measurement: str) -> pd.DataFrame:
    rows = chapter.changes
    if rows.empty:
        return rows
    rows = rows[rows["measurement"] == measurement]
    if measurement != "percent_of_parent":
        return rows[rows["population"].isin(highest(chapter.markers["population"]))]
    # Of two populations that are each other's complement the figures show the positive one.
    every = set(rows["population"])
    return rows[[not (p.endswith("-") and f"{p[:-1]}+" in every) for p in rows["population"]]]


def change_text(chapter: Chapter, measurement: str, unit: str) -> list[str]:
    """What changed beyond the reference change, a line a series; or one line why there is none."""
    if not chapter.over_time:
        return []
    rows = _judged(chapter, measurement)
    if rows.empty:
        return ["No change is judged: the patient has no value after baseline."]
    keys = ["population", "marker"]
    known = rows[~rows["verdict"].isin(["no_yardstick", "no_baseline"])]
    if known.empty:
        missing = set(rows["verdict"]) == {"no_baseline"}
        return [
            "No change is judged: "
            + ("there is no day of baseline." if missing else "nothing shows how much the values usually vary.")
        ]  # fmt: skip
    judged = known.groupby(keys, dropna=False).ngroups
    unjudged = rows.groupby(keys, dropna=False).ngroups - judged
    tail = [
        f"{wording.sentence(wording.things(unjudged, 'series', 'series'))} could not be judged."
    ]
    tail = tail if unjudged else []
    series = changed_series(chapter, measurement)
    if series.empty:
        return [
            f"None of {wording.things(judged, 'series', 'series')} of the patient went beyond its "
            "reference change.",
            *tail,
        ]
    lines = [
        (
            f"{row.population}"
            if wording.is_missing(row.marker)
            else f"{row.marker} in {row.population}"
        )
        + f" {'below' if row.verdict == 'decrease' else 'above'} its reference band on {row.days}: "
        f"{wording.number(row.value)}{unit} on {wording.day(row.day)}, baseline "
        f"{wording.number(row.baseline)}{unit}.{row.control}"
        for row in series.itertuples()
    ]
    rest = len(lines) - _MOST_LINES
    more = [f"{rest} more, in the table of changes."] if rest > 0 else []
    return [*lines[:_MOST_LINES], *more, *tail]


def cut_by_a_marker(chapter: Chapter, results: str, group: str) -> str:
    """A caution where a marker that is measured also cuts the subsets; else nothing."""
    cutting = set(subset_thresholds(results, group)["marker"])
    both = [name for name in chapter.markers["marker"].unique() if name in cutting]
    if not both or not chapter.over_time:
        return ""
    return (
        f"Subsets are cut by {wording.listed(both)}, measured here as well: where such a marker falls or rises on "
        "all cells, cells move between subsets by that alone, which is no second finding."
    )


def medians_below_thresholds(chapter: Chapter) -> str:
    """A caution about medians that lie below their marker's threshold on half of the values or more."""
    rows = chapter.markers.dropna(subset=["median_all", "threshold"])
    below = (rows["median_all"] < rows["threshold"]).groupby([rows["marker"], rows["population"]])
    often = (below.mean() >= 0.5).groupby("marker").agg(["sum", "count"])
    told = [
        f"{marker} (in {number} of {wording.things(populations, 'population')})"
        for marker, number, populations in often[often["sum"] > 0].itertuples()
    ]
    if not told:
        return ""
    return (
        f"Most medians lie below the marker's threshold for {wording.listed(told)}: such a median is that of a "
        "cell without the marker, and tells little of its expression."
    )


def changes_table(chapter: Chapter) -> pd.DataFrame:
    """The changed series of all measurements, for a table."""
    parts = [
        changed_series(chapter, name).assign(measurement=text)
        for name, text in _MEASUREMENTS.items()
    ]
    rows = pd.concat([part for part in parts if len(part)] or parts)
    return rows.assign(
        band=[
            wording.interval(low, high)
            for low, high in zip(rows["reference_low"], rows["reference_high"], strict=True)
        ]
    )


def values_by_day(chapter: Chapter) -> tuple[pd.DataFrame, dict[str, str]]:
    """Percent positive, a row a subject, population and marker, a column a day, and the headings.

    With one day, a row an acquisition, with interval and median.
    """
    markers = chapter.markers
    if not chapter.over_time:
        frame = markers.assign(
            leaf=markers["population"].map(wording.short_names(markers["population"])),
            positive=[
                wording.with_interval(*values)
                for values in zip(
                    markers["percent_positive"],
                    markers["percent_positive_low"],
                    markers["percent_positive_high"],
                    strict=True,
                )
            ],
        )
        headings = {
            "acquisition": "Acquisition", "leaf": "Population", "marker": "Marker", "count": "Cells",
            "positive": "Positive, % (95 % interval)", "median_all": "Median, all cells (a.u.)",
        }  # fmt: skip
        return frame, headings
    rows = markers[markers["percent_positive"].notna()]
    if rows.empty:
        return rows, {}
    keys = ["subject", "population", "marker"]
    frame = rows.pivot_table(
        index=keys, columns="day", values="percent_positive", sort=False
    ).reset_index()
    order = {subject: place for place, subject in enumerate(patients_first(rows))}
    frame = frame.sort_values("subject", key=lambda s: s.map(order), kind="stable")
    frame["population"] = frame["population"].map(wording.short_names(frame["population"]))
    days = sorted(set(rows["day"]))
    frame.columns = [str(column) for column in frame.columns]
    headings = {"subject": "Subject", "population": "Population", "marker": "Marker"}
    return frame, headings | {str(d): wording.sentence(wording.day(d)) for d in days}


def one_threshold(chapter: Chapter) -> bool:
    """Whether every subject's marker has one threshold on all of its days."""
    rows = chapter.markers[chapter.markers["threshold"].notna()]
    counts = rows.groupby(["subject", "panel", "marker"])["threshold"].nunique()
    return len(counts) > 0 and bool((counts == 1).all())


def thresholds(chapter: Chapter) -> pd.DataFrame:
    """The threshold of each subject's marker on the linear scale and how many values rest on it."""
    rows = chapter.markers[chapter.markers["threshold"].notna()]
    return (
        rows.groupby(["subject", "panel", "marker", "threshold"], sort=False)
        .agg(values=("percent_positive", "count"), days=("day", "nunique"))
        .reset_index()
    )


def subset_thresholds(results: str, group: str) -> pd.DataFrame:
    """The thresholds drawn between subsets in the two-marker panels of the figures of `group`.

    One row a subject and marker: subject, panel, marker, lowest and highest over the acquisitions
    (linear scale) and their number. None where the panels have no thresholds or no known scale.
    """
    columns = ["subject", "panel", "marker", "lowest", "highest", "acquisitions"]
    path = Path(results) / "figures" / f"{group}_panels.tsv"
    # The figure of a case without such panels has an empty table.
    drawn = read_tsv(path) if path.read_text(encoding="utf-8").strip() else pd.DataFrame()
    if "x_threshold_linear" not in drawn:
        return pd.DataFrame(columns=columns)
    keys = ["subject", "panel", "marker"]
    sides = [
        drawn[["acquisition", *keys[:2], f"{axis}_marker", f"{axis}_threshold_linear"]].set_axis(
            ["acquisition", *keys, "linear"], axis=1
        )
        for axis in ("x", "y")
    ]
    rows = pd.concat(sides).drop_duplicates().dropna()
    made = rows.groupby(keys, sort=False).agg(
        lowest=("linear", "min"), highest=("linear", "max"), acquisitions=("acquisition", "nunique")
    )
    return made.reset_index()[columns]


def flags(chapter: Chapter) -> pd.DataFrame:
    """What populations and markers were flagged with, and how often."""
    parts = []
    for kind, frame in (("population", chapter.populations), ("marker", chapter.markers)):
        if "flag" in frame:
            flagged = frame[frame["flag"].notna()]
            parts.append(flagged.assign(kind=kind)[["kind", "panel", "population", "flag"]])
    rows = (
        pd.concat(parts) if parts else pd.DataFrame(columns=["kind", "panel", "population", "flag"])
    )
    counted = rows.groupby(["kind", "panel", "population", "flag"], sort=False).size()
    return counted.rename("times").reset_index()


def hierarchy(chapter: Chapter) -> tuple[str, pd.DataFrame]:
    """The gating hierarchy of the patient's first acquisition of each panel, with its counts.

    Returns the acquisitions' names as text and the rows; `name` is indented by depth.
    """
    rows = chapter.populations
    order = rows.sort_values(["role", "day"], ascending=[False, True], kind="stable")
    chosen = list(order.drop_duplicates("panel")["acquisition"])
    rows = rows[rows["acquisition"].isin(chosen)]
    depth = rows["population"].str.count("/")
    return wording.listed(chosen), rows.assign(
        name=[
            "\u2003" * level + wording.leaf(population)
            for level, population in zip(depth, rows["population"], strict=True)
        ],
        share=[
            wording.with_interval(value, low, high)
            for value, low, high in zip(
                rows["percent_of_parent"],
                rows["percent_of_parent_low"],
                rows["percent_of_parent_high"],
                strict=True,
            )
        ],
    )
