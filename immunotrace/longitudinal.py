"""Change of each measurement from baseline, day by day, against what variation alone explains.

Fractions are compared on the logit scale, intensities and IC50s on the log scale. The yardstick is
a reference change value (Fraser & Harris 1989, Crit Rev Clin Lab Sci 27:409) built from the day-to-day
variation that was seen in this case itself: the control subject's series and the patient's own
baseline days, pooled. Counting and fitting errors are taken out of that variation and added again for
each value as they are there, for a rare population is counted less well on one day than on another.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from immunotrace.baseline import LAST_DAY

SERIES = ["measurement", "subject", "population", "marker", "panel", "drug"]
COLUMNS = [
    *SERIES[:4],
    "day",
    "baseline",
    "value",
    "change",
    "change_low",
    "change_high",
    "reference_change_low",
    "reference_change_high",
    "verdict",
    "scale",
    "reference_low",
    "reference_high",
    "role",
    "standard_error",
    "degrees_of_freedom",
    "variation_from",
    "level",
    "unit",
    "panel",
    "drug",
]


@dataclass(frozen=True)
class Variation:
    """Day-to-day variance without counting error, its degrees of freedom and its sources."""

    variance: float
    degrees_of_freedom: int
    sources: tuple[str, ...]


def measurements(
    populations: pd.DataFrame | None, markers: pd.DataFrame | None, curves: pd.DataFrame | None
) -> pd.DataFrame:
    """All measured values in one tidy table, on their own scale and on the analysis scale.

    Columns: measurement, subject, role, population, marker, day, value, scale (logit | log),
    transformed (value on that scale), variance (of its counting or fitting error on that scale; 0
    where it is not known), unit and bound ("" or ">": the true value is above `value`). Values of several
    acquisitions or plates of one day are averaged on the analysis scale.
    """
    parts = []
    if populations is not None and len(populations):
        inside = populations[populations["parent_count"] > 0]
        parts.append(
            _fractions(inside, "percent_of_parent", inside["count"], inside["parent_count"])
        )
    if markers is not None and len(markers):
        counted = markers[markers["percent_positive"].notna() & (markers["count"] > 0)]
        parts.append(
            _fractions(counted, "percent_positive", counted["count_positive"], counted["count"])
        )
        bright = _with_medians(markers)
        parts.append(_logs(bright, "median_all", bright["median_all"], 0.0, ""))
    if curves is not None and len(curves):
        for kind in ("absolute_ic50", "relative_ic50"):
            found = curves[curves[kind].notna()]
            error = found[f"log10_{kind}_se"].fillna(0.0) * np.log(10)
            parts.append(_logs(found, kind, found[kind], error**2, found["dose_unit"]))
        # A bound below the lowest dose is not compared with anything yet.
        beyond = curves[(curves["call"] == "censored") & (curves.get("bound", ">") != "<")]
        parts.append(
            _logs(beyond, "absolute_ic50", beyond["top_dose"], 0.0, beyond["dose_unit"]).assign(
                bound=">"
            )
        )
    columns = [
        *SERIES, "role", "day", "value", "scale", "transformed", "variance", "bound", "unit",
    ]  # fmt: skip
    if not parts:
        return pd.DataFrame(columns=columns)
    return _daily_means(pd.concat(parts, ignore_index=True))[columns]


def changes(values: pd.DataFrame, control: str | None, level: float) -> pd.DataFrame:
    """Change of every measurement on every day after baseline.

    `values` is what `measurements` returns. `change`, its interval (one day, at `level`) and the
    reference change (all days of the series together, at `level`, Bonferroni) are differences on
    the analysis scale; `reference_low` and `reference_high` are the same band around baseline on the
    measurement's own scale. Verdicts: `decrease`, `increase`, `no_change`, `no_yardstick` (nothing
    shows how much variation is usual) and `no_baseline`.
    """
    tables = [
        _series_changes(
            series.sort_values("day"),
            _variation(same, subject, control),
            level,
        )
        for _, same in values.groupby(
            ["measurement", "population", "marker", "panel", "drug"], sort=True
        )
        for subject, series in same.groupby("subject", sort=True)
    ]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _series_changes(series: pd.DataFrame, usual: Variation, level: float) -> pd.DataFrame:
    """The changes of one measurement in one subject; columns as in `changes`."""
    from scipy.special import stdtrit

    is_before = series["day"] <= LAST_DAY
    before, after = series[is_before], series[~is_before]
    if after.empty:
        return after
    # A baseline day above the highest dose makes the baseline a lower bound: a fall from it can be
    # seen, a rise cannot.
    at_least = bool((before["bound"] == ">").any())
    baseline = before["transformed"].mean()
    error = half = reference = pd.Series(np.nan, after.index)
    if len(before):
        error = np.sqrt(
            usual.variance
            + after["variance"]
            + (usual.variance + before["variance"]).sum() / len(before) ** 2
        )
    # Two equal values do not show that there is no variation: without any there is no yardstick.
    if len(before) and usual.degrees_of_freedom and (error > 0).all():
        half = error * stdtrit(usual.degrees_of_freedom, 0.5 + level / 2)
        reference = error * stdtrit(usual.degrees_of_freedom, 1 - (1 - level) / (2 * len(after)))
    back = _expit_percent if after["scale"].iloc[0] == "logit" else np.exp
    change = after["transformed"] - baseline
    return after.assign(
        baseline=back(baseline),
        change=change,
        change_low=np.nan if at_least else change - half,
        change_high=(change + half).where(after["bound"] == ""),
        reference_change_low=-reference,
        reference_change_high=reference,
        verdict=[
            _verdict(*row, len(before), at_least)
            for row in zip(change, reference, after["bound"], strict=True)
        ],
        reference_low=back(baseline - reference),
        reference_high=back(baseline + reference),
        standard_error=error,
        degrees_of_freedom=usual.degrees_of_freedom,
        variation_from=" and ".join(usual.sources) or "none",
        level=level,
    )


def _fractions(rows: pd.DataFrame, measurement: str, count, total) -> pd.DataFrame:
    # Half an event is added on both sides (Haldane 1956; Anscombe 1956), so that 0 and 100 % have a
    # logit.
    inside, outside = count + 0.5, total - count + 0.5
    return _common(rows, measurement).assign(
        value=100 * count / total,
        scale="logit",
        transformed=np.log(inside / outside),
        variance=1 / inside + 1 / outside,
        unit="%",
    )


def _logs(rows: pd.DataFrame, measurement: str, value, variance, unit) -> pd.DataFrame:
    return _common(rows, measurement).assign(
        value=value, scale="log", transformed=np.log(value), variance=variance, unit=unit
    )


def _common(rows: pd.DataFrame, measurement: str) -> pd.DataFrame:
    names = {name: rows.get(name, "") for name in ("population", "marker", "panel", "drug")}
    return rows[["subject", "role", "day"]].assign(measurement=measurement, bound="", **names)


def _with_medians(markers: pd.DataFrame) -> pd.DataFrame:
    """Rows whose medians can be compared: of enough events, in a series that is positive throughout.

    A median of 0 and below has no logarithm, and leaving out such days alone would hide the lowest.
    """
    flags = markers["flag"].fillna("").astype(str)
    enough = markers[markers["median_all"].notna() & ~flags.str.contains("few events")]
    series = enough.groupby(["subject", "panel", "population", "marker"])["median_all"]
    return enough[series.transform("min") > 0]


def _daily_means(values: pd.DataFrame) -> pd.DataFrame:
    groups = values.groupby([*SERIES, "role", "day", "scale", "unit"], sort=True)
    daily = groups.agg(
        transformed=("transformed", "mean"),
        variance=("variance", lambda v: v.sum() / len(v) ** 2),
        bound=("bound", "max"),
        value=("value", "first"),
        n=("value", "size"),
    ).reset_index()
    several = daily["n"] > 1
    percent = several & (daily["scale"] == "logit")
    daily.loc[percent, "value"] = _expit_percent(daily.loc[percent, "transformed"])
    logs = several & (daily["scale"] == "log")
    daily.loc[logs, "value"] = np.exp(daily.loc[logs, "transformed"])
    return daily


def _variation(same: pd.DataFrame, subject: str, control: str | None) -> Variation:
    """Pooled variation of one measurement, from the rows of all subjects that have it."""
    same = same[same["bound"] == ""]
    own = same[(same["subject"] == subject) & (same["day"] <= LAST_DAY)]
    groups = [(f"{len(own)} baseline days", own)]
    if control is not None and control != subject:
        series = same[same["subject"] == control]
        groups.append((f"{len(series)} days of {control}", series))
    squares, counting, freedom, sources = 0.0, 0.0, 0, []
    for name, group in groups:
        if len(group) > 1:
            squares += float(((group["transformed"] - group["transformed"].mean()) ** 2).sum())
            counting += float(group["variance"].mean()) * (len(group) - 1)
            freedom += len(group) - 1
            sources.append(name)
    between_days = max(0.0, (squares - counting) / freedom) if freedom else 0.0
    return Variation(between_days, freedom, tuple(sources))


def _verdict(
    change: float, reference: float, bound: str, baseline_days: int, at_least: bool
) -> str:
    if not baseline_days:
        return "no_baseline"
    if np.isnan(reference):
        return "no_yardstick"
    if change > reference and not at_least:
        return "increase"
    # Above the highest dose, how far above is unknown: such a value is never a decrease.
    if change < -reference and not bound:
        return "decrease"
    return "no_change"


def _expit_percent(logit):
    return 100 / (1 + np.exp(-logit))
