"""Wilson intervals against published values."""

import numpy as np
import pytest

from immunotrace.statistics import wilson_interval


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
