"""Intervals that every part of the analysis uses."""

from statistics import NormalDist

import numpy as np


def wilson_interval(count, total, level: float = 0.95):
    """Wilson score interval of a binomial fraction (Wilson 1927, J Am Stat Assoc 22:209).

    `count` and `total` are numbers or arrays of one shape; the bounds are fractions in 0..1 of that
    shape, NaN where `total` is 0.
    """
    count, total = np.asarray(count, float), np.asarray(total, float)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = count / total
        centre = (fraction + z**2 / (2 * total)) / (1 + z**2 / total)
        half = (
            z
            / (1 + z**2 / total)
            * np.sqrt(fraction * (1 - fraction) / total + z**2 / (4 * total**2))
        )
    # At 0 and at all of the events the bound is exactly 0 or 1; rounding would leave it a hair off.
    low = np.where(count == 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(count == total, 1.0, np.minimum(centre + half, 1.0))
    empty = total == 0
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def median_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Interval of the median between two order statistics (Conover 1999, Practical nonparametric
    statistics, 3.2): free of assumptions, covers with `level` or more.

    `values` are sorted. NaN where there are too few, fewer than 6 at 95 %.
    """
    from scipy.special import bdtr, bdtrik

    n, tail = len(values), (1 - level) / 2
    if n == 0 or 0.5**n > tail:
        return float("nan"), float("nan")
    # The most values that both ends can leave out: P(Binomial(n, 1/2) <= out) <= tail.
    out = int(bdtrik(tail, n, 0.5))
    while bdtr(out + 1, n, 0.5) <= tail:
        out += 1
    while bdtr(out, n, 0.5) > tail:
        out -= 1
    return float(values[out]), float(values[n - 1 - out])
