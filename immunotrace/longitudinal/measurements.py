"""All measured values in one table, on the scale on which they are compared."""

from statistics import NormalDist

import numpy as np
import pandas as pd

KEY = ["measurement", "population", "marker", "panel", "drug"]
SERIES = [*KEY, "subject"]
ADJUSTED = "_adjusted"
"""Ends the name of a measurement at the baseline's mix of cells."""


def measurements(
    populations: pd.DataFrame | None,
    markers: pd.DataFrame | None,
    curves: pd.DataFrame | None,
    composition: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """All measured values in one tidy table, on their own scale and on the analysis scale.

    `composition` is the table of `immunotrace.longitudinal.composition.standardised`. Columns: measurement, subject,
    role, population, marker, panel, drug, day, value, scale (logit | log), transformed (value on that
    scale), variance (of its counting or fitting error on that scale; 0 where it is not known), unit,
    bound (">" or "<": the true value is above or below `value`; "<>": one of the day's values is above,
    another below what was seen of it), replicates (values of the day) and replicate_squares (their sum of
    squares, counting error taken out). Values of several acquisitions or plates of one day are averaged
    on the analysis scale; a fraction has half an event more on both sides, as on the logit scale.
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
        parts.append(_medians(markers, "median_all"))
    if composition is not None and len(composition):
        known = composition[composition["percent_positive_adjusted"].notna()]
        share = known["percent_positive_adjusted"] / 100
        parts.append(
            _common(known, "percent_positive" + ADJUSTED).assign(
                value=100 * share,
                scale="logit",
                transformed=np.log(share / (1 - share)),
                variance=known["percent_positive_adjusted_logit_se"] ** 2,
                unit="%",
            )
        )
        parts.append(_medians(composition, "median_all" + ADJUSTED))
    if curves is not None and len(curves):
        for kind in ("absolute_ic50", "relative_ic50"):
            found = curves[curves[kind].notna()]
            error = found[f"log10_{kind}_se"].fillna(0.0) * np.log(10)
            parts.append(_logs(found, kind, found[kind], error**2, found["dose_unit"]))
        # Where a curve crosses half is known beyond the doses as well as in the subject's other curves.
        censored = curves["call"] == "censored"
        beyond = curves[censored]
        error = curves.groupby(["subject", "drug"])["log10_absolute_ic50_se"].transform("median")
        error = error[censored].fillna(0.0) * np.log(10)
        parts.append(
            _logs(
                beyond, "absolute_ic50", beyond["bound_dose"], error**2, beyond["dose_unit"]
            ).assign(bound=beyond["bound"])
        )
    columns = [
        *SERIES, "role", "day", "value", "scale", "transformed", "variance", "bound", "unit",
        "replicates", "replicate_squares",
    ]  # fmt: skip
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=columns)
    return _daily_means(pd.concat(parts, ignore_index=True))[columns]


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


def _medians(markers: pd.DataFrame, name: str) -> pd.DataFrame:
    """Medians of enough events; one of 0 and below is a bound, for it has no logarithm.

    It is below the smallest positive one of its series, and leaving it out would hide the lowest days.
    A series without any positive median cannot be compared. Their sampling error is that of their
    interval, where the table has one; else it is not known and stays in the variation from day to day.
    """
    flags = markers["flag"].fillna("").astype(str)
    enough = markers[markers[name].notna() & ~flags.str.contains("few events")]
    value, bound = positive_or_bound(enough, name)
    if f"{name}_bound" in enough:
        bound = bound.where(bound != "", enough[f"{name}_bound"].fillna(""))
    variance = pd.Series(0.0, enough.index)
    if f"{name}_low" in enough and f"{name}_high" in enough:
        low, high = (enough[f"{name}_{end}"] for end in ("low", "high"))
        width = np.log(high / low.where(low > 0))
        # An interval that reaches to 0 is open below on the log scale: its upper side is known.
        width = width.fillna(2 * np.log(high.where(high > 0) / value))
        z = NormalDist().inv_cdf(0.975)
        variance = ((width / (2 * z)) ** 2).where(bound == "", 0.0).fillna(0.0)
    rows = _logs(enough, name, value, variance, "").assign(bound=bound)
    return rows[rows["value"].notna()]


def positive_or_bound(rows: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    """Values with those at or below 0 replaced by the smallest positive one of the series; and "<" there.

    A series is what a subject, panel, population and marker have in common; without a positive value its
    values are NaN.
    """
    positive = rows[name].where(rows[name] > 0)
    smallest = positive.groupby([rows[n] for n in ("subject", "panel", "population", "marker")])
    value = positive.fillna(smallest.transform("min")).where(rows[name].notna())
    return value, pd.Series(np.where(rows[name] <= 0, "<", ""), rows.index)


def _daily_means(values: pd.DataFrame) -> pd.DataFrame:
    values = values.assign(
        below=values["bound"].str.contains("<"), above=values["bound"].str.contains(">")
    )
    groups = values.groupby([*SERIES, "role", "day", "scale", "unit"], sort=True)
    daily = groups.agg(
        transformed=("transformed", "mean"),
        mean_variance=("variance", "mean"),
        squares=("transformed", "var"),
        below=("below", "max"),
        above=("above", "max"),
        value=("value", "first"),
        replicates=("value", "size"),
    ).reset_index()
    daily["bound"] = np.where(daily["below"], "<", "") + np.where(daily["above"], ">", "").astype(
        object
    )
    n = daily["replicates"]
    daily["variance"] = daily["mean_variance"] / n
    squares = (daily["squares"].fillna(0.0) - daily["mean_variance"]) * (n - 1)
    daily["replicate_squares"] = squares.where(n > 1, 0.0)
    percent = daily["scale"] == "logit"
    daily["value"] = np.where(
        percent,
        100 / (1 + np.exp(-daily["transformed"])),
        np.where(n > 1, np.exp(daily["transformed"]), daily["value"]),
    )
    return daily
