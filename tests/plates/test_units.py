"""Units of doses."""

import pytest

from immunotrace.errors import InputError
from immunotrace.plates.units import dose_factor, rounded

METHYLPREDNISOLONE = 374.47  # g/mol


@pytest.mark.parametrize(
    ("unit", "wanted", "factor"),
    [
        ("ng/ml", "ng/ml", 1),
        ("ug/ml", "ng/ml", 1000),
        ("nM", "uM", 1e-3),
        ("nM", "ng/ml", 0.37447),
        ("ug/ml", "uM", 1 / 0.37447),
    ],
)
def test_factors(unit, wanted, factor):
    assert dose_factor(unit, wanted, METHYLPREDNISOLONE, "") == pytest.approx(factor, rel=1e-12)
    back = dose_factor(wanted, unit, METHYLPREDNISOLONE, "")
    assert back == pytest.approx(1 / factor, rel=1e-12)


def test_a_published_concentration():
    """4.4 nM methylprednisolone are 1.65 ng/ml (three digits are given)."""
    assert 4.4 * dose_factor("nM", "ng/ml", METHYLPREDNISOLONE, "") == pytest.approx(
        1.65, abs=0.005
    )


@pytest.mark.parametrize(
    "dose", [250, 128.7, 64.35, 64.1, 15.6, 9.2, 3.9, 2.3, 1.1, 0.98, 0.7, 0.24, 0.06]
)
def test_a_converted_dose_is_the_one_that_was_written(dose):
    """0.1287 ug/ml is 128.70000000000002 ng/ml in floating point; of 13 such doses several are off."""
    written = float(f"{dose / 1000:.9g}")
    assert rounded(written * dose_factor("ug/ml", "ng/ml", None, "")) == dose


def test_refusals():
    with pytest.raises(InputError, match=r"plate p: doses in nM .* molar mass"):
        dose_factor("nM", "ng/ml", None, "plate p")
    with pytest.raises(InputError, match="plate p: the dose unit 'mg' is not known"):
        dose_factor("mg", "ng/ml", None, "plate p")
