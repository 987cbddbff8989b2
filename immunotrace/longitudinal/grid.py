"""The values of all series side by side: a series a row, a day a column."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from immunotrace.baseline import LAST_DAY
from immunotrace.longitudinal.measurements import KEY, SERIES


@dataclass(frozen=True)
class Grid:
    """All values, a series (row) by a day (column); NaN where there is none."""

    series: pd.DataFrame  # SERIES and role, scale, unit; a row a series
    days: np.ndarray
    value: np.ndarray
    x: np.ndarray  # on the analysis scale
    variance: np.ndarray
    above: np.ndarray  # the true value is above the one in `x`
    below: np.ndarray
    replicates: np.ndarray
    replicate_squares: np.ndarray
    # log ratio to the curve of all baseline wells, and the variances of its lower and upper side
    ratio: np.ndarray
    ratio_below: np.ndarray
    ratio_above: np.ndarray
    same: np.ndarray  # number of the measurement, the same in all subjects
    is_control: np.ndarray
    control_row: np.ndarray  # of the same measurement in the control; -1 where there is none

    @property
    def before(self) -> np.ndarray:
        return self.days <= LAST_DAY

    @property
    def exact(self) -> np.ndarray:
        return np.isfinite(self.x) & ~self.above & ~self.below


def make_grid(
    values: pd.DataFrame,
    control: str | None,
    contrasts: pd.DataFrame | None,
    contrast_level: float,
) -> Grid:
    values = values.assign(**{name: values[name].fillna("") for name in KEY})
    groups = values.groupby(SERIES, sort=True)
    row = groups.ngroup().to_numpy()
    days, column = np.unique(values["day"], return_inverse=True)
    series = groups[["role", "scale", "unit"]].first().reset_index()

    def spread_out(name, missing=np.nan):
        out = np.full((len(series), len(days)), missing)
        out[row, column] = values[name].to_numpy() if name in values else missing
        return out

    above, below = np.zeros((2, len(series), len(days)), bool)
    above[row, column] = values["bound"].str.contains(">")
    below[row, column] = values["bound"].str.contains("<")
    replicates = spread_out("replicates", 1.0)
    ratios = [np.full(above.shape, np.nan) for _ in range(3)]
    if contrasts is not None and len(contrasts):
        # A day's ratio is that of all its plates, or none: where one of them has no ratio, for it is
        # censored, the others' would be set against the mean of all.
        complete = np.where(above | below, np.nan, replicates)
        _place_ratios(ratios, series, days, contrasts, contrast_level, complete)
    same = series.groupby(KEY, sort=False).ngroup().to_numpy()
    is_control = (series["subject"] == control).to_numpy(bool)
    control_row = np.full(same.max() + 1, -1)
    control_row[same[is_control]] = np.flatnonzero(is_control)
    return Grid(
        series, days, spread_out("value"), spread_out("transformed"), spread_out("variance"), above,
        below, replicates, spread_out("replicate_squares", 0.0), *ratios,
        same, is_control, control_row[same],
    )  # fmt: skip


def _place_ratios(ratios, series, days, contrasts, level, plates) -> None:
    """Put the contrasts into grids: log ratio, variance of its lower and of its upper side.

    Of days that have as many contrasts as `plates`.
    """
    known = contrasts[contrasts["ratio"].notna() & contrasts["day"].isin(days)]
    z = NormalDist().inv_cdf(0.5 + level / 2)
    logs = pd.DataFrame(
        {
            "measurement": known["ic50_kind"] + "_ic50",
            "subject": known["subject"],
            "drug": known["drug"],
            "day": known["day"],
            "ratio": np.log(known["ratio"]),
            # An open end is infinitely uncertain.
            "below": (np.log(known["ratio"] / known["ratio_low"].fillna(0.0)) / z) ** 2,
            "above": (np.log(known["ratio_high"].fillna(np.inf) / known["ratio"]) / z) ** 2,
        }
    )
    # The baseline's error is in every plate of a day, so the mean's error is not divided.
    groups = logs.groupby(["measurement", "subject", "drug", "day"], sort=False)
    daily = groups.mean().assign(plates=groups.size())
    names = series[["measurement", "subject", "drug"]].itertuples(index=False, name=None)
    rows = {name: i for i, name in enumerate(names)}
    for (*name, day), (*ratio, found) in daily.iterrows():
        i, j = rows.get(tuple(name)), np.searchsorted(days, day)
        if i is not None and found == plates[i, j]:
            for grid, part in zip(ratios, ratio, strict=True):
                grid[i, j] = part


def plain_change(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Change from the mean baseline, and the variance of counting in it, series x days."""
    base = np.isfinite(grid.x) & grid.before
    n = base.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        baseline = np.where(base, grid.x, 0.0).sum(axis=1) / np.where(n, n, np.nan)
        error = np.where(base, grid.variance, 0.0).sum(axis=1) / np.where(n, n, np.nan) ** 2
    return grid.x - baseline[:, None], grid.variance + error[:, None]
