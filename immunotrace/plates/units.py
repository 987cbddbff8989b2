"""Doses in one unit."""

from immunotrace.errors import InputError

# Factor to the first unit of each kind: mass in ng/ml, amount in nM.
_MASS = {"ng/ml": 1.0, "ug/ml": 1000.0}
_AMOUNT = {"nM": 1.0, "uM": 1000.0}


def rounded(dose: float) -> float:
    """A dose to 12 significant digits: 0.1287 ug/ml are 128.7 ng/ml, not 128.70000000000002."""
    return float(f"{dose:.12g}")


def dose_factor(unit: str, wanted: str, molar_mass: float | None, where: str) -> float:
    """The factor from doses in `unit` to doses in `wanted` (ng/ml, ug/ml, nM or uM).

    `molar_mass` in g/mol is needed between mass and amount: 1 nM is molar_mass / 1000 ng/ml. Raises
    InputError, beginning with `where`, for an unknown unit or a missing molar mass.
    """
    for name in (unit, wanted):
        if name not in _MASS and name not in _AMOUNT:
            raise InputError(
                f"{where}: the dose unit {name!r} is not known; expected one of "
                f"{', '.join([*_MASS, *_AMOUNT])}."
            )
    scale = (_MASS | _AMOUNT)[unit] / (_MASS | _AMOUNT)[wanted]
    if (unit in _MASS) == (wanted in _MASS):
        return scale
    if molar_mass is None:
        raise InputError(
            f"{where}: doses in {unit} are wanted in {wanted}, which takes the drug's molar mass; name "
            "it (g/mol) in dose_response.molar_mass."
        )
    nanogram_per_nanomole = molar_mass / 1000
    return scale * nanogram_per_nanomole if unit in _AMOUNT else scale / nanogram_per_nanomole
