"""Units of doses."""

import pytest

from immunotrace.errors import InputError
from immunotrace.plates.units import dose_factor

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


def test_refusals():
    with pytest.raises(InputError, match=r"plate p: doses in nM .* molar mass"):
        dose_factor("nM", "ng/ml", None, "plate p")
    with pytest.raises(InputError, match="plate p: the dose unit 'mg' is not known"):
        dose_factor("mg", "ng/ml", None, "plate p")
