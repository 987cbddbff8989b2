"""Numbers and lists as words."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunotrace.report import wording


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_number_keeps_three_significant_digits(value):
    text = wording.number(value)
    assert "e" not in text
    back = float(text.replace(",", ""))
    # Half a unit of the third digit, or of the last digit before the point.
    unit = 10 ** min(math.floor(math.log10(value)) - 2, 0)
    assert abs(back - value) <= 0.5 * unit * (1 + 1e-9)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (pd.NA, "–"), (0, "0"), (-14.2, "−14.2"), (12345.6, "12,346"),
     (0.000123, "0.000123"), (float("inf"), "∞"), (30.0, "30")],
)  # fmt: skip
def test_number_examples(value, text):
    assert wording.number(value) == text


def test_intervals_and_their_open_ends():
    assert wording.interval(1, 2) == "1 to 2"
    assert wording.interval(None, 2) == "up to 2"
    assert wording.interval(1, None) == "from 1"
    assert wording.with_interval(1.5, None, None) == "1.5"
    assert wording.with_interval(1.5, 1, 2) == "1.5 (1 to 2)"


def test_lists_and_days():
    assert wording.listed([]) == ""
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.days([7, -14, 7]) == "days −14 and 7"
    assert wording.days([0]) == "day 0"
    assert wording.things(0, "plate") == "no plates"
    assert wording.things(1, "plate") == "1 plate"
    assert wording.things(1200, "plate") == "1,200 plates"
    assert wording.span([3, 3]) == "3"
    assert wording.span([3, 6]) == "3 to 6"


@given(st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4).map("/".join))
def test_short_name_is_an_end_of_the_path(path):
    assert path.replace("/", ", ").endswith(wording.short_names([path])[path])


def test_short_names_tell_populations_apart():
    paths = ["T/CD4", "T/CD4/naive", "T/CD8/naive", "B/naive B"]
    assert wording.short_names(paths) == {
        "T/CD4": "CD4",
        "T/CD4/naive": "CD4, naive",
        "T/CD8/naive": "CD8, naive",
        "B/naive B": "naive B",
    }
    assert len(set(wording.short_names(paths).values())) == len(paths)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (48_700, "48.7 kB"),
        (79_300_000, "79.3 MB"),
    ],
)
def test_file_size(size, text):
    assert wording.file_size(size) == text


def test_what_rounds_to_zero_has_no_sign():
    assert wording.fixed(-0.04) == "0.0"
    assert wording.fixed(-0.06) == "−0.1"
