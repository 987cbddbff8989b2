"""Change of each measurement from baseline, day by day, against what variation alone explains.

Fractions are compared on the logit scale, intensities and IC50s on the log scale. The yardstick is
a reference change value (Fraser & Harris 1989, Crit Rev Clin Lab Sci 27:409), log-normal and so
asymmetric in percent (Fokkema et al. 2006, Clin Chem 52:1602). It joins

- variation from day to day (within the person and of the assay): of the patient's own baseline days
  and the control's days, pooled; where there are neither, of replicates within a day and of values
  in the configuration;
- the counting or fitting error of each value. It is taken out of the former and added again for each
  value as it is there, for a rare population is counted less well on one day than on another.

An IC50 is compared by the ratio of its curve to the curve through all baseline wells (contrasts.tsv):
its profile interval is the fitting error, joined side by side with the variation from day to day
(Zou & Donner 2008, Stat Med 27:1693).
"""

import numpy as np
import pandas as pd

from immunotrace.longitudinal.grid import Grid, make_grid, plain_change
from immunotrace.longitudinal.variation import (
    Usual,
    effective_freedom,
    t_quantile,
    usual_variation,
)

COLUMNS = [
    "measurement",
    "subject",
    "population",
    "marker",
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
    "degrees_of_freedom",
    "variation_from",
    "level",
    "unit",
    "panel",
    "drug",
    "bound",
    "baseline_bound",
    "control_moved",
    "control_change",
    "control_change_percent",
    "exceeds_control",
    "control_reference",
    "not_known",
    "variance_between_days",
    "variance_of_value",
    "variance_of_baseline",
    "days_degrees_of_freedom",
    "baseline_days",
]


def changes(
    values: pd.DataFrame,
    control: str | None,
    level: float,
    contrasts: pd.DataFrame | None = None,
    contrast_level: float = 0.95,
    variation: dict | None = None,
) -> pd.DataFrame:
    """Change of every measurement on every day after baseline.

    `values` is what `measurements` returns, `contrasts` the table of `fit_curves` with intervals at
    `contrast_level`; `variation` maps a measurement to its usual day-to-day `cv` (a fraction) and
    `source`. `change`, its interval (one day, at `level`) and the reference change (all days of the
    series together, at `level`, Bonferroni) are differences on the analysis scale; `reference_low` and
    `reference_high` are the same band around baseline on the measurement's own scale. `bound` (of the
    value) and `baseline_bound` are ">" or "<" where the true one is above or below the number; the end of
    the change's interval that is so unknown is empty. Verdicts: `decrease`, `increase`, `no_change`,
    `no_yardstick` (nothing shows how much variation is usual) and `no_baseline`. `control_moved`: how the
    control changed on that day, beyond its own variation. `exceeds_control` (yes, no, or empty without a
    control's value): whether the change is larger than the control's of that day, `control_change`, by
    more than `control_reference`.
    `not_known`: what the design cannot tell.
    """
    if values.empty:
        return pd.DataFrame(columns=COLUMNS)
    grid = make_grid(values, control, contrasts, contrast_level)
    usual, moved = usual_variation(grid, control, level, variation or {})
    return _table(grid, usual, moved, level)


def _table(grid: Grid, usual: Usual, control_moves: np.ndarray, level: float) -> pd.DataFrame:
    """The table of changes from grids, a row a series and day after baseline."""
    base = np.isfinite(grid.x) & grid.before
    n = base.sum(axis=1)[:, None]
    change, error = plain_change(grid)
    baseline = grid.x - change
    by_ratio = np.isfinite(grid.ratio)
    # A curve that has no ratio to the baseline's, for it is above the top dose, is compared with the
    # same baseline as the others.
    with np.errstate(invalid="ignore"):
        known = by_ratio.any(axis=1, keepdims=True)
        pooled = np.where(by_ratio, grid.x - grid.ratio, 0.0).sum(axis=1, keepdims=True)
        pooled = pooled / np.maximum(by_ratio.sum(axis=1, keepdims=True), 1)
    baseline = np.where(by_ratio, grid.x - grid.ratio, np.where(known, pooled, baseline))
    change = grid.x - baseline
    # A baseline day above the highest dose makes the mean baseline a lower bound: a fall from it can be
    # seen, a rise cannot; the other way round below the lowest. The likelihood of all baseline wells
    # needs no such bound.
    baseline_above = (grid.above & grid.before).any(axis=1, keepdims=True) & ~known
    baseline_below = (grid.below & grid.before).any(axis=1, keepdims=True) & ~known
    at_least, at_most = grid.above | baseline_below, grid.below | baseline_above
    below = np.where(by_ratio, grid.ratio_below, error)
    above = np.where(by_ratio, grid.ratio_above, error)
    after = np.isfinite(grid.x) & ~grid.before
    p_all = 1 - (1 - level) / (2 * np.maximum(after.sum(axis=1), 1)[:, None])
    freedom = usual.freedom[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        times = 1 + 1 / np.where(n, n, np.nan)
        between = times * usual.variance[:, None]
        sides = {}
        for name, fitting in (("low", below), ("high", above)):
            total = between + fitting
            known_total = np.where(total > 0, total, np.nan)
            df = effective_freedom(total, times * usual.spread[:, None], freedom)
            df = np.where(freedom > 0, df, 0.0)
            sides[name] = (
                t_quantile(df, 0.5 + level / 2) * np.sqrt(known_total),
                t_quantile(df, p_all) * np.sqrt(known_total),
                df,
            )
        # Whether there is less than before is a question of the change's upper side.
        reference_low = np.where(usual.judged[:, None], -sides["high"][1], np.nan)
        reference_high = np.where(usual.judged[:, None], sides["low"][1], np.nan)
    # Two equal values do not show that there is no variation: without any there is no yardstick.
    unknown = np.isnan(reference_low) & np.isnan(reference_high)
    verdict = np.full(change.shape, "no_change", object)
    # How far above the highest dose a value lies is unknown: it is never a decrease.
    verdict[(change > reference_high) & ~at_most] = "increase"
    verdict[(change < reference_low) & ~at_least] = "decrease"
    verdict[unknown] = "no_yardstick"
    verdict[np.broadcast_to(n == 0, verdict.shape)] = "no_baseline"
    low = np.where(at_most, np.nan, change - sides["low"][0])
    high = np.where(at_least, np.nan, change + sides["high"][0])
    beside = ((grid.control_row >= 0) & ~grid.is_control)[:, None]
    known = beside & ~(at_least | at_most)[grid.control_row]
    of_control = np.where(known, change[grid.control_row], np.nan)
    exceeds, control_reference = _exceeds_control(
        grid, change, of_control, between + np.stack([below, above]), freedom, after, level
    )
    i, j = np.nonzero(after)
    c = grid.control_row[i]
    logit = (grid.series["scale"] == "logit").to_numpy()[i]

    def back(x):
        with np.errstate(over="ignore"):
            return np.where(logit, 100 / (1 + np.exp(-x)), np.exp(x))

    def cells(x):
        return np.broadcast_to(x, after.shape)[i, j]

    finite = lambda x: np.where(np.isinf(x), np.nan, x)  # noqa: E731
    names = {name: grid.series[name].to_numpy()[i] for name in grid.series.columns}
    error = finite(((below + above) / 2)[i, j])
    of_value = np.fmin(grid.variance[i, j], error)
    return pd.DataFrame(
        names
        | {
            "day": grid.days[j],
            "baseline": back(cells(baseline)),
            "value": grid.value[i, j],
            "change": change[i, j],
            "change_low": finite(low[i, j]),
            "change_high": finite(high[i, j]),
            "reference_change_low": finite(reference_low[i, j]),
            "reference_change_high": finite(reference_high[i, j]),
            "verdict": verdict[i, j],
            "reference_low": back(cells(baseline) + reference_low[i, j]),
            "reference_high": finite(back(cells(baseline) + reference_high[i, j])),
            "degrees_of_freedom": np.where(
                np.isfinite(sides["high"][2][i, j]), np.round(sides["high"][2][i, j], 1), np.nan
            ),
            "variation_from": np.array(usual.sources, object)[i],
            "level": level,
            "bound": _bounds(grid.below[i, j], grid.above[i, j]),
            "baseline_bound": _bounds(cells(baseline_below), cells(baseline_above)),
            "control_moved": np.array(["", "increase", "decrease"], object)[control_moves[i, j]],
            "control_change": of_control[i, j],
            "control_change_percent": percent_change(
                grid.series["scale"].to_numpy()[i], back(baseline[c, j]), of_control[i, j]
            ),
            "exceeds_control": exceeds[i, j],
            "control_reference": control_reference[i, j],
            "not_known": np.array(usual.not_known, object)[i],
            "variance_between_days": usual.variance[i],
            "variance_of_value": of_value,
            "variance_of_baseline": error - of_value,
            "days_degrees_of_freedom": finite(usual.freedom[i]),
            "baseline_days": cells(n),
        },
        columns=COLUMNS,
    )


def _exceeds_control(
    grid, change, of_control, totals, freedom, after, level
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a change is larger than the control's of the same day: "yes", "no", "" (no control).

    And by how much it must be, on the analysis scale. What a run adds to both subjects is not in their
    difference. One-sided, all days together at `level`; `totals`: variance of the lower and of the
    upper side of each change.
    """
    p = 1 - (1 - level) / np.maximum(after.sum(axis=1), 1)[:, None]
    t = t_quantile(freedom, p)
    below, above = totals
    c = grid.control_row
    with np.errstate(invalid="ignore"):
        reference = t * np.sqrt(np.where(change < 0, above + below[c], below + above[c]))
        more = np.where(change < 0, -1, 1) * (change - of_control) > reference
    known = np.isfinite(of_control)
    exceeds = np.where(known, np.where(more, "yes", "no"), "").astype(object)
    return exceeds, np.where(known & np.isfinite(reference), reference, np.nan)


def _bounds(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.array(["", ">", "<", "<>"], object)[2 * below + above.astype(int)]


def percent_change(scale, baseline, change):
    """A change on the analysis scale (`log` or `logit`, of percents) as percent of baseline."""
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = np.divide(baseline, 100 - np.asarray(baseline)) * np.exp(change)
        share = 100 * odds / (1 + odds)
        return np.where(
            np.equal(scale, "log"), 100 * np.expm1(change), 100 * (share / baseline - 1)
        )
