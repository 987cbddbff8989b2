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
    bound ("" or ">": the true value is above `value`), replicates (values of the day) and
    replicate_squares (their sum of squares, counting error taken out). Values of several acquisitions
    or plates of one day are averaged on the analysis scale.
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
        # A bound below the lowest dose is not compared with anything yet.
        beyond = curves[(curves["call"] == "censored") & (curves.get("bound", ">") != "<")]
        parts.append(
            _logs(beyond, "absolute_ic50", beyond["top_dose"], 0.0, beyond["dose_unit"]).assign(
                bound=">"
            )
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
    """Medians that can be compared: of enough events, in a series that is positive throughout.

    A median of 0 and below has no logarithm, and leaving out such days alone would hide the lowest.
    Their sampling error is that of their interval, where the table has one; else it is not known and
    stays in the variation from day to day.
    """
    flags = markers["flag"].fillna("").astype(str)
    enough = markers[markers[name].notna() & ~flags.str.contains("few events")]
    enough = enough[
        enough.groupby(["subject", "panel", "population", "marker"])[name].transform("min") > 0
    ]
    variance = pd.Series(0.0, enough.index)
    if f"{name}_low" in enough and f"{name}_high" in enough:
        z = NormalDist().inv_cdf(0.975)
        ends = enough[[f"{name}_low", f"{name}_high"]]
        width = np.log(ends.iloc[:, 1] / ends.iloc[:, 0].where(ends.iloc[:, 0] > 0))
        variance = ((width / (2 * z)) ** 2).fillna(0.0)
    return _logs(enough, name, enough[name], variance, "")


def _daily_means(values: pd.DataFrame) -> pd.DataFrame:
    groups = values.groupby([*SERIES, "role", "day", "scale", "unit"], sort=True)
    daily = groups.agg(
        transformed=("transformed", "mean"),
        mean_variance=("variance", "mean"),
        squares=("transformed", "var"),
        bound=("bound", "max"),
        value=("value", "first"),
        replicates=("value", "size"),
    ).reset_index()
    n = daily["replicates"]
    daily["variance"] = daily["mean_variance"] / n
    squares = (daily["squares"].fillna(0.0) - daily["mean_variance"]) * (n - 1)
    daily["replicate_squares"] = squares.where(n > 1, 0.0)
    several = n > 1
    percent = several & (daily["scale"] == "logit")
    daily.loc[percent, "value"] = 100 / (1 + np.exp(-daily.loc[percent, "transformed"]))
    logs = several & (daily["scale"] == "log")
    daily.loc[logs, "value"] = np.exp(daily.loc[logs, "transformed"])
    return daily
