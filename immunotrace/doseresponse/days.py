"""IC50s by day and between plates: the plate, not the well, is the replicate."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from immunotrace import baseline

COLUMNS = [
    "subject", "role", "day", "drug", "dose_unit", "ic50_kind", "plates", "plates_determined", "ic50",
    "ic50_low", "ic50_high", "log10_plate_sd", "plate_df",
]  # fmt: skip
PLATE_COLUMNS = [
    "plates_p",
    "plates_low",
    "plates_high",
    "log10_plates_sd",
    "plates_df",
    "plates_note",
]
_KEYS = ["subject", "role", "day", "dose_unit"]


@dataclass(frozen=True)
class Scatter:
    """How log10 IC50s of one drug scatter: variances with their degrees of freedom.

    `day`: of the means of days of one subject; `plate`: of plates of one subject and day. NaN without
    degrees of freedom. `plates`: plates a day (harmonic mean); `error`: the mean squared standard error
    of the IC50s in it, of their wells.
    """

    day: float
    day_df: int
    plate: float
    plate_df: int
    plates: float
    error: float


def scatter_of(curves: pd.DataFrame, kind: str) -> Scatter:
    """The scatter of the IC50s of one kind that are determined, in a table of curves of one drug."""
    known = curves.assign(log=np.log10(curves[f"{kind}_ic50"].astype(float)))
    known = known[known["log"].notna()]
    days = known.groupby(["subject", "day"])["log"].agg(["mean", "count"])
    plate, plate_df = _pooled(known["log"], known.groupby(["subject", "day"])["log"])
    day, day_df = _pooled(days["mean"], days.groupby("subject")["mean"])
    plates = len(days) / (1 / days["count"]).sum() if len(days) else np.nan
    error = (known[f"log10_{kind}_ic50_se"].astype(float) ** 2).mean()
    return Scatter(day, day_df, plate, plate_df, plates, error)


def _pooled(values: pd.Series, groups) -> tuple[float, int]:
    """Variance of values around the means of their groups, and its degrees of freedom."""
    df = int((groups.count() - 1).clip(lower=0).sum())
    squares = ((values - groups.transform("mean")) ** 2).sum()
    return (squares / df if df else np.nan), df


def days_table(curves: pd.DataFrame, level: float) -> pd.DataFrame:
    """Geometric mean IC50 of the plates of each day, by subject, drug and kind of IC50.

    `log10_plate_sd` is the standard deviation of log10 IC50 between plates of one day and subject,
    pooled over all days of the drug that have several; `plate_df` its degrees of freedom. Intervals
    (at `level`) are of that scatter, which holds that of the wells; without a day of several plates
    there are none. Plates whose IC50 is not determined are counted and left out.
    """
    rows = []
    for kind in ("absolute", "relative"):
        for drug, of_drug in curves.groupby("drug", sort=False):
            scatter = scatter_of(of_drug, kind)
            df, sd = scatter.plate_df, np.sqrt(scatter.plate)
            for key, day in of_drug.groupby(_KEYS, sort=False):
                found = np.log10(day[f"{kind}_ic50"].astype(float).dropna())
                mean = found.mean()
                known = df and len(found)
                half = stdtrit(df, 0.5 + level / 2) * sd / np.sqrt(len(found)) if known else np.nan
                rows.append(
                    dict(zip(_KEYS, key, strict=True))
                    | {
                        "drug": drug,
                        "ic50_kind": kind,
                        "plates": len(day),
                        "plates_determined": len(found),
                        "ic50": 10**mean,
                        "ic50_low": 10 ** (mean - half),
                        "ic50_high": 10 ** (mean + half),
                        "log10_plate_sd": sd,
                        "plate_df": df,
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def usual_curves(curves: pd.DataFrame, drug: str, subject: str) -> pd.DataFrame:
    """The curves that show how a drug's IC50 varies where nothing was done: all of baseline, and later
    ones of other subjects who are controls."""
    untouched = (curves["day"] <= baseline.LAST_DAY) | (
        (curves["role"] == "control") & (curves["subject"] != subject)
    )
    return curves[(curves["drug"] == drug) & untouched]


def between_plates(
    ratio: float, error: float, scatter: Scatter, days: int, same_day: bool, level: float
) -> dict:
    """The columns `PLATE_COLUMNS` of an IC50 ratio: a t test with plates as replicates, not wells.

    `error`: the standard error of the curve's own log10 IC50, of its wells; what it exceeds that of
    the usual curves by is added. `days`: baseline days that the ratio's reference is of, 0 where it
    is another single plate, which is of the `same_day` or not. A single plate varies by
    ``day + (1 - 1 / plates) * plate``, with degrees of freedom after Satterthwaite 1946 (Biometrics
    Bull 2:110); a mean of baseline days by ``day / days``. Without scatter between days (or, on one
    day, between plates) all is NaN, and the note says so.
    """
    share = 0.0 if same_day or not scatter.plates > 1 else 1 - 1 / scatter.plates
    times = 0.0 if same_day else 1 + 1 / days if days else 2.0
    of_plate = 2.0 if same_day else share * (1 if days else 2)
    parts = [(times * scatter.day, scatter.day_df)] if times else []
    parts += [(of_plate * scatter.plate, scatter.plate_df)] if of_plate else []
    if any(df == 0 for _, df in parts):
        what = "plates of one day" if same_day else "days"
        note = f"within plates only: nothing shows how IC50s vary between {what}"
        return dict.fromkeys(PLATE_COLUMNS, np.nan) | {"plates_note": note}
    variance = sum(part for part, _ in parts)
    df = variance**2 / sum(part**2 / df for part, df in parts) if variance > 0 else parts[0][1]
    if error**2 > scatter.error:
        variance += error**2 - scatter.error
    sd = np.sqrt(variance)
    half = stdtrit(df, 0.5 + level / 2) * sd
    log_ratio = np.log10(ratio)
    with np.errstate(divide="ignore"):
        p = 2 * stdtr(df, -abs(log_ratio) / sd)
    return {
        "plates_p": p,
        "plates_low": 10 ** (log_ratio - half),
        "plates_high": 10 ** (log_ratio + half),
        "log10_plates_sd": sd,
        "plates_df": df,
        "plates_note": "",
    }
