"""What a design can see: the smallest change that would be beyond the reference change, by measurement."""

import numpy as np
import pandas as pd

from immunotrace.longitudinal.changes import percent_change
from immunotrace.longitudinal.variation import t_quantile

POWER = 0.8
COLUMNS = [
    "measurement",
    "population",
    "marker",
    "panel",
    "drug",
    "design",
    "baseline_days",
    "later_days",
    "smallest_decrease_percent",
    "smallest_increase_percent",
    "power",
    "level",
    "baseline",
    "unit",
    "subject",
]
_SERIES = ["measurement", "population", "marker", "panel", "drug", "subject"]
_AS_IT_IS = "as it is"


def detectable_changes(changes: pd.DataFrame, patient: str, level: float) -> pd.DataFrame:
    """The smallest change of one day that each of the patient's measurements could have shown.

    `changes` is the table of `immunotrace.longitudinal.changes.changes`. A change of that size is beyond the
    reference change (all later days together, at `level`) with a probability of `POWER`, at the
    variation that was seen; percent of baseline, NaN where no fall is large enough. Designs: the
    case's own, and what one or twice as many baseline days, half or twice as many later days, and a
    quarter or four times the events or wells would have made of it; NaN too where a design would show
    no usual variation. A row a design of a series.
    """
    own = changes[(changes["subject"] == patient) & changes["reference_change_low"].notna()]
    rows = []
    keys = {name: own[name].fillna("") for name in _SERIES}
    for name, series in own.assign(**keys).groupby(_SERIES, sort=True):
        bounded = series[["bound", "baseline_bound"]].fillna("").ne("").any(axis=1)
        exact = series[~bounded]
        if exact.empty:
            continue
        first = exact.iloc[0]
        days, later = int(first["baseline_days"]), len(series)
        designs = {
            _AS_IT_IS: (days, later, 1.0),
            "one baseline day": (1, later, 1.0),
            "twice the baseline days": (2 * days, later, 1.0),
            "half of the later days": (days, max(later // 2, 1), 1.0),
            "twice the later days": (days, 2 * later, 1.0),
            "a quarter of the events or wells": (days, later, 0.25),
            "four times the events or wells": (days, later, 4.0),
        }
        for design, (baseline_days, later_days, events) in designs.items():
            size = _detectable(exact, baseline_days - days, later_days, events, level)
            rows.append(
                dict(zip(_SERIES, name, strict=True))
                | {
                    "design": design,
                    "baseline_days": baseline_days,
                    "later_days": later_days,
                    **{
                        f"smallest_{name}_percent": float(
                            percent_change(first["scale"], first["baseline"], change)
                        )
                        for name, change in (("decrease", -size), ("increase", size))
                    },
                    "power": POWER,
                    "level": level,
                    "baseline": first["baseline"],
                    "unit": first["unit"],
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _detectable(
    series: pd.DataFrame, more_baselines: int, later: int, events: float, level: float
) -> float:
    """A change on the analysis scale: the quantile of the reference change and that of the power.

    Counting error is that of a day in the middle of the series, so its median.
    """
    first = series.iloc[0]
    days = first["baseline_days"] + more_baselines
    counting = series["variance_of_value"].median() / events
    baseline = series["variance_of_baseline"].median() * first["baseline_days"] / days / events
    total = first["variance_between_days"] * (1 + 1 / days) + counting + baseline
    if first["days_degrees_of_freedom"] + more_baselines < 1:
        return np.nan  # nothing would show how much a day varies
    freedom = series["degrees_of_freedom"].median()
    freedom = np.inf if np.isnan(freedom) else max(freedom + more_baselines, 1)
    reference = t_quantile(freedom, 1 - (1 - level) / (2 * later))
    return float((reference + t_quantile(freedom, POWER)) * np.sqrt(total))
