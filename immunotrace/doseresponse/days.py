"""IC50s by day where a day has several plates: the plate, not the well, is the replicate."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

COLUMNS = [
    "subject", "role", "day", "drug", "dose_unit", "ic50_kind", "plates", "plates_determined", "ic50",
    "ic50_low", "ic50_high", "log10_plate_sd", "plate_df",
]  # fmt: skip


def days_table(curves: pd.DataFrame, level: float) -> pd.DataFrame:
    """Geometric mean IC50 of the plates of each day, by subject, drug and kind of IC50.

    `log10_plate_sd` is the standard deviation of log10 IC50 between plates of one day and subject,
    pooled over all days of the drug that have several; `plate_df` its degrees of freedom. Intervals
    (at `level`) are of that scatter, which holds that of the wells; without a day of several plates
    there are none. Plates whose IC50 is not determined are counted and left out.
    """
    rows = []
    for kind in ("absolute", "relative"):
        values = np.log10(curves[f"{kind}_ic50"].astype(float))
        for _, of_drug in curves.assign(log=values).groupby("drug", sort=False):
            by_day = of_drug.groupby(["subject", "role", "day", "dose_unit"], sort=False)
            known = by_day["log"].count()
            df = int((known - 1).clip(lower=0).sum())
            squares = ((of_drug["log"] - by_day["log"].transform("mean")) ** 2).sum()
            sd = np.sqrt(squares / df) if df else np.nan
            for key, day in by_day:
                found = day["log"].dropna()
                mean = found.mean()
                half = stdtrit(df, 0.5 + level / 2) * sd / np.sqrt(len(found)) if df else np.nan
                rows.append(
                    dict(zip(("subject", "role", "day", "dose_unit"), key, strict=True))
                    | {
                        "drug": day["drug"].iloc[0],
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
