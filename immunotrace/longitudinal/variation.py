"""How much each measurement usually varies from day to day, and on which days the control moved."""

from dataclasses import dataclass

import numpy as np

from immunotrace.baseline import ENOUGH_DAYS
from immunotrace.longitudinal.grid import Grid, plain_change
from immunotrace.longitudinal.measurements import ADJUSTED

NO_CONTROL = "what the run of a day adds (no control)"


@dataclass(frozen=True)
class Usual:
    """Variance from day to day without counting error, a row a series; and where it is from.

    `spread` is the variance with counting error, from which it was estimated with `freedom` degrees of
    freedom (0: not known; infinite: taken as known).
    """

    variance: np.ndarray
    spread: np.ndarray
    freedom: np.ndarray
    sources: list[str]
    not_known: list[str]
    judged: np.ndarray  # whether it is a yardstick, or known in part only


def usual_variation(
    grid: Grid, control: str | None, level: float, literature: dict
) -> tuple[Usual, np.ndarray]:
    """Day-to-day variation of every series, and where the control moved (series x days: -1, 0, 1).

    The patient's baseline days and the control's days are pooled, as if both varied alike: few baseline
    days cannot show that a patient varies more. From `ENOUGH_DAYS` on, the patient's own stand alone.
    """
    subject = grid.series["subject"].to_numpy()
    is_control, control_row = grid.is_control, grid.control_row
    own = _squares(grid, grid.exact & grid.before)
    moved = _control_moves(grid, is_control, own, level)
    # A day on which the control moved tells of its run, not of usual variation.
    steady = _squares(grid, grid.exact & (moved == 0))
    beside = (control_row >= 0) & ~is_control
    pooled = beside & (own[0] < ENOUGH_DAYS)
    squares, counting, freedom = (
        mine + np.where(pooled, theirs[control_row], 0.0)
        for mine, theirs in zip(own[1:], steady[1:], strict=True)
    )
    # Of the control itself: all its days that did not move, and what others' baselines show.
    others = _of_all(grid, own) - np.array(own[1:])
    for total, theirs, rest in zip((squares, counting, freedom), steady[1:], others, strict=True):
        total[is_control] = (theirs + rest)[is_control]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(freedom > 0, np.maximum(squares, counting) / freedom, 0.0)
        variance = np.where(freedom > 0, np.maximum(squares - counting, 0.0) / freedom, 0.0)
    sources, not_known = [], []
    judged = freedom > 0
    bounded = (grid.before & (grid.above | grid.below)).any(axis=1)
    bounds = np.where(bounded, " of an exact value", "")
    for i in range(len(subject)):
        found, missing = [], []
        if is_control[i]:
            found.append(f"{int(steady[0][i])} days of {control} and baseline days of others")
        else:
            days = int(own[0][i])
            if days > 1:
                found.append(f"{days} baseline days")
            else:
                missing.append(
                    f"how much {subject[i]} varies from day to day ({days} baseline "
                    f"{'day' if days == 1 else 'days'}{bounds[i]})"
                )
            c = control_row[i]
            if pooled[i] and steady[0][c] > 1:
                left_out = grid.days[moved[c] != 0]
                but = f" (without day {', '.join(map(str, left_out))})" if len(left_out) else ""
                found.append(f"{int(steady[0][c])} days of {control}{but}")
            elif not (beside[i] and steady[0][c] > 1):
                missing.append(NO_CONTROL)
        if not judged[i]:
            found, known = _fall_back(grid, i, literature)
            if known is not None:
                variance[i], spread[i], freedom[i], judged[i] = known
        sources.append(" and ".join(found) or "none")
        not_known.append("; ".join(missing))
    usual = Usual(variance, spread, freedom, sources, not_known, judged)
    return usual, np.where(beside[:, None], moved[control_row], 0)


def _fall_back(grid: Grid, i: int, literature: dict):
    """Variation where no days show it: replicates of a day, and a value of the configuration.

    Returns its sources, and variance, spread, degrees of freedom and whether it is a yardstick:
    replicates of one draw say nothing of the person.
    """
    same = grid.same == grid.same[i]
    several = np.isfinite(grid.x[same]) & (grid.replicates[same] > 1)
    freedom = float((grid.replicates[same][several] - 1).sum())
    found, variance, known_freedom = [], 0.0, 0.0
    if freedom:
        variance = max(0.0, float(grid.replicate_squares[same][several].sum()) / freedom)
        # that of a day's mean
        variance /= float(np.nanmin(np.where(several, grid.replicates[same], np.nan)))
        known_freedom = freedom
        found.append(f"replicates of {int(several.sum())} days")
    name = grid.series["measurement"][i].removesuffix(ADJUSTED)
    judged = name in literature
    if judged:
        entry = literature[name]
        log_variance = np.log1p(entry["cv"] ** 2)
        if grid.series["scale"][i] == "logit":
            level = np.nanmean(np.where(grid.before, grid.value[i], np.nan)) / 100
            log_variance /= (1 - level) ** 2
        total = variance + log_variance
        # Satterthwaite: the value of the configuration is taken as known.
        known_freedom = total**2 / (variance**2 / freedom) if variance else np.inf
        variance = total
        found.append(f"the configured CV of {100 * entry['cv']:g} % ({entry['source']})")
    return found, (variance, variance, known_freedom, judged) if found else None


def _squares(grid: Grid, use: np.ndarray) -> tuple[np.ndarray, ...]:
    """Days in use, their sum of squares, the part of it that counting explains, degrees of freedom."""
    n = use.sum(axis=1)
    x = np.where(use, grid.x, 0.0)
    mean = x.sum(axis=1) / np.maximum(n, 1)
    squares = np.where(use, (grid.x - mean[:, None]) ** 2, 0.0).sum(axis=1)
    freedom = np.maximum(n - 1, 0).astype(float)
    counting = np.where(use, grid.variance, 0.0).sum(axis=1) / np.maximum(n, 1) * freedom
    return n, squares, counting, freedom


def _of_all(grid: Grid, parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """Sums over all subjects of a measurement: squares, counting, freedom, each (series,)."""
    totals = [np.bincount(grid.same, part) for part in parts[1:]]
    return np.array(totals)[:, grid.same]


def _control_moves(grid: Grid, is_control, own, level) -> np.ndarray:
    """Where the control changed from its baseline beyond its own variation: -1, 0 or 1.

    Judged twice, each at half the error rate: against the baseline days of all subjects, which no
    later batch can have touched, and against the control's other days, which are more.
    """
    moved = np.zeros(grid.x.shape, int)
    bounded = (np.isfinite(grid.x) & ~grid.exact & grid.before).any(axis=1, keepdims=True)
    after = grid.exact & ~grid.before & ~bounded
    change, error = plain_change(grid)
    every = np.maximum(after.sum(axis=1), 1)[:, None]
    p = 1 - (1 - level) / (4 * every)
    baselines = [part[:, None] for part in _of_all(grid, own)]
    n, squares, counting, freedom = (part[:, None] for part in _squares(grid, grid.exact))
    mean = np.where(grid.exact, grid.x, 0.0).sum(axis=1, keepdims=True) / np.maximum(n, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = squares - (grid.x - mean) ** 2 * n / (n - 1)
        counting = counting * (freedom - 1) / freedom
    rest = _of_all(grid, own) - np.array(own[1:])
    others = [
        part + more[:, None]
        for part, more in zip((squares, counting, freedom - 1), rest, strict=True)
    ]
    for squares, counting, freedom in (baselines, others):
        _, beyond = _beyond(change, error, own[0], squares, counting, freedom, p)
        moved = np.where(beyond, np.sign(np.nan_to_num(change)).astype(int), moved)
    return np.where(is_control[:, None] & after, moved, 0)


def _beyond(change, error, baseline_days, squares, counting, freedom, p):
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = np.maximum(squares - counting, 0.0) / freedom
        spread = np.maximum(squares, counting) / freedom
        times = 1 + 1 / np.where(baseline_days, baseline_days, np.nan)[:, None]
        total = times * usual + error
        t = t_quantile(effective_freedom(total, times * spread, freedom), p)
        reference = t * np.sqrt(total)
        known = (freedom > 0) & (total > 0)
        return reference, known & (np.abs(change) > reference)


def effective_freedom(total, estimated, freedom):
    """Degrees of freedom of a sum of a known variance and an estimated one.

    After Satterthwaite (1946, Biometrics 2:110); `estimated` is with the counting error that was in
    it when it was estimated. Never fewer than those of the estimate.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = freedom * (total / estimated) ** 2
    return np.where(estimated > 0, np.fmax(found, freedom), freedom)


def t_quantile(freedom, p):
    """Quantile of Student's t; of the normal where the degrees of freedom are infinite; NaN at 0."""
    from scipy.special import ndtri, stdtrit

    freedom, p = np.broadcast_arrays(np.asarray(freedom, float), p)
    usable = np.isfinite(freedom) & (freedom > 0)
    out = np.where(np.isposinf(freedom), ndtri(p), np.nan)
    out[usable] = stdtrit(freedom[usable], p[usable])
    return out
