"""Wilson intervals against published values; intervals of medians against the binomial."""

import math

import numpy as np
import pytest

from immunotrace.statistics import median_interval, wilson_interval


def test_published_example():
    # Newcombe 1998, Stat Med 17:857, table I, method 3 (Wilson score), as printed there.
    for count, total, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(count, total) == pytest.approx((low, high), abs=5e-5)


def test_all_and_none_and_empty():
    low, high = wilson_interval([0, 10, 0], [10, 10, 0])
    assert low[0] == 0.0
    assert high[1] == 1.0
    assert np.isnan(low[2])
    assert np.isnan(high[2])


def test_median_interval_covers_and_is_as_short_as_can_be():
    """Of 16 values the 4th and the 13th (97.9 %), of 5 none; any n against the exact binomial."""
    assert median_interval(np.arange(1.0, 17.0)) == (4.0, 13.0)
    assert all(np.isnan(median_interval(np.arange(5.0))))
    assert median_interval(np.arange(6.0)) == (0.0, 5.0)
    for n in range(6, 200):
        low, high = median_interval(np.arange(float(n)))
        assert low + high == n - 1
        covered = [
            sum(math.comb(n, k) for k in range(out + 1, n - out)) / 2**n
            for out in (int(low), int(low) + 1)
        ]
        assert covered[0] >= 0.95 > covered[1]
