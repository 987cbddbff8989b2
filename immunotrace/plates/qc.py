"""Quality control of a plate of proliferation counts."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import gammaincinv

# Robust z of a well within its replicates beyond which it is an outlier: with normal noise one
# plate of 48 wells in 250 has one.
OUTLIER_Z = 4.5

# Limits of the verdict: what a careful reader of a plate would not pass over.
MIN_Z_PRIME_PASS, MIN_Z_PRIME = 0.5, 0.0  # Zhang et al. 1999, J Biomol Screen 4:67
MIN_STIMULATION_INDEX_PASS, MIN_STIMULATION_INDEX = 3.0, 1.5
MAX_CV_PERCENT = 20.0
MAX_EFFECT_PERCENT = 15.0  # edge or drift, where it is also 3 standard errors from none
MAX_BLANK_PERCENT = 10.0  # of the stimulated control

_SLIP_WIDTH = 0.35  # in natural logarithms: 7 to 14 times

_NOISE_GROUPS = (("sample", "control"), ("unstimulated",), ("blank",))


def outlier_flags(wells: pd.DataFrame, limit: float = OUTLIER_Z) -> pd.Series:
    """The flag of each well that is far from its replicates; None for the others.

    Replicates share role and dose. The scatter is judged on logarithms and pooled over replicate sets
    of the same kind of well by the median of their standard deviations, which outliers in fewer than
    half of the sets leave alone. In a set, the well farthest from the median is tested against the
    median of the others, and again without it, while three are left. A well that is ten times or a
    tenth of its replicates is said to be one: a slip of the decimal point looks like that. A well of 0
    or less is no slip of a decimal point.
    """
    flags = pd.Series(None, index=wells.index, dtype=object)
    for roles in _NOISE_GROUPS:
        sets = _replicate_sets(wells[wells["well_role"].isin(roles)])
        scale = _pooled_scale([values for _, values in sets])
        if not scale > 0:
            continue
        for index, values in sets:
            while values.size >= 3:
                far = int(np.argmax(np.abs(values - np.median(values))))
                others = np.delete(values, far)
                # Variance of the median of n normal values; of two it is their mean.
                spread = 0.5 if others.size == 2 else math.pi / 2 / others.size
                away = values[far] - np.median(others)
                if abs(away) <= limit * scale * math.sqrt(1 + spread):
                    break
                slip = abs(abs(away) - math.log(10)) < _SLIP_WIDTH
                slip &= wells.loc[index[far], "value"] > 0
                factor = "10 times" if away > 0 else "a tenth of"
                flags[index[far]] = f"outlier, {factor} its replicates" if slip else "outlier"
                index, values = np.delete(index, far), others
    return flags


def plate_quality(wells: pd.DataFrame, exported: Iterable[str] | None = None) -> dict:
    """One row of plate_qc.tsv for the wells of a plate.

    `exported`: the names of all wells of the export, which show whether the plate has 96 or 384; by
    default those of `wells`. The verdict is `fail`, `warn`, `pass`, or `unchecked` where nothing of
    the plate tells whether it was stimulated or whether replicates agree. Effects of position are
    relative changes of the counts: of edge wells against inner wells, and from the first to the last
    row and column of the plate. Flagged wells are left out. `z_prime` is
    of stimulated against unstimulated counts; the stimulation index is after subtraction of the
    blank.
    """
    clean = wells[wells["flag"].isna()]
    mean = clean.groupby("well_role")["value"].mean()
    spread = clean.groupby("well_role")["value"].std()
    control, unstimulated = mean.get("control", math.nan), mean.get("unstimulated", math.nan)
    blank = mean.get("blank", math.nan)
    background = 0.0 if math.isnan(blank) else blank
    scatter = spread.get("control", math.nan) + spread.get("unstimulated", math.nan)
    z_prime = 1 - 3 * scatter / gap if (gap := abs(control - unstimulated)) > 0 else math.nan
    driven = clean[clean["well_role"].isin(["sample", "control"])]
    replicates = driven.groupby(["well_role", "dose"])["value"]
    cv = 100 * replicates.std() / replicates.mean()
    effects = _position_effects(clean, wells["well"] if exported is None else exported)
    edge, down, across = (effect for effect, _ in effects.values())
    signal, noise = control - background, unstimulated - background
    outliers = wells.loc[wells["flag"].str.startswith("outlier", na=False), "well"]
    unreadable = wells.loc[wells["value"].isna(), "well"]
    first = wells.iloc[0]
    quality = {
        "plate": first["plate"],
        "subject": first["subject"],
        "role": first["role"],
        "day": first["day"],
        "replicate_cv_percent": cv.median(),
        "replicate_cv_max_percent": cv.max(),
        "control_cv_percent": _percent(spread.get("control", math.nan), control),
        "z_prime": z_prime,
        "stimulation_index": signal / noise if noise > 0 else math.nan,
        "edge_effect_percent": edge,
        "row_drift_percent": down,
        "column_drift_percent": across,
        "blank_mean": blank,
        "blank_percent_of_control": _percent(blank, control),
        "outlier_wells": ", ".join(outliers),
        "unreadable_wells": ", ".join(unreadable),
    }
    return quality | _verdict(quality, effects)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole > 0 else math.nan


def _verdict(quality: dict, effects: dict[str, tuple[float, float]]) -> dict:
    fails, warnings, unchecked = [], [], []
    z_prime, index = quality["z_prime"], quality["stimulation_index"]
    if z_prime < MIN_Z_PRIME:
        fails.append(f"Z' {z_prime:.2f}: stimulated and unstimulated wells overlap")
    elif z_prime < MIN_Z_PRIME_PASS:
        warnings.append(f"Z' {z_prime:.2f} below {MIN_Z_PRIME_PASS}")
    if index < MIN_STIMULATION_INDEX:
        fails.append(f"stimulation index {index:.1f}: hardly stimulated")
    elif index < MIN_STIMULATION_INDEX_PASS:
        warnings.append(f"stimulation index {index:.1f} below {MIN_STIMULATION_INDEX_PASS:g}")
    if quality["replicate_cv_percent"] > MAX_CV_PERCENT:
        warnings.append(f"replicate CV {quality['replicate_cv_percent']:.0f} %")
    if quality["blank_percent_of_control"] > MAX_BLANK_PERCENT:
        warnings.append(f"blank {quality['blank_percent_of_control']:.0f} % of the control")
    for name, (effect, error) in effects.items():
        if abs(effect) > MAX_EFFECT_PERCENT and abs(effect) > 3 * error:
            warnings.append(f"{name} {effect:+.0f} %")
    if quality["outlier_wells"]:
        warnings.append(f"outlier wells {quality['outlier_wells']}")
    if quality["unreadable_wells"]:
        warnings.append(f"unreadable wells {quality['unreadable_wells']}")
    if math.isnan(z_prime) and math.isnan(index):
        unchecked.append("stimulation not checked: too few unstimulated wells")
    if math.isnan(quality["replicate_cv_percent"]):
        unchecked.append("replicates not checked: one well a dose")
    verdict = "fail" if fails else "warn" if warnings else "unchecked" if unchecked else "pass"
    return {"verdict": verdict, "reason": "; ".join(fails + warnings + unchecked)}


def _replicate_sets(wells: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Index and logarithm of the readable wells of every set of replicates.

    A well of 0 or less has no logarithm: among replicates that count it stands at a tenth of the
    least of them, which shows it as the outlier that it is. A set without any count is left out.
    """
    sets = []
    for _, some in wells[wells["value"].notna()].groupby(["well_role", "dose"], dropna=False):
        values = some["value"].to_numpy(float)
        if (values > 0).any():
            floor = values[values > 0].min() / 10
            sets.append((some.index.to_numpy(), np.log(np.maximum(values, floor))))
    return sets


def _pooled_scale(sets: list[np.ndarray]) -> float:
    """Median over sets of the standard deviation, each divided by its median for normal noise."""
    scales = [
        np.std(values, ddof=1) / math.sqrt(2 * gammaincinv(dof / 2, 0.5) / dof)
        for values in sets
        if (dof := values.size - 1) > 0
    ]
    return float(np.median(scales)) if scales else math.nan


def _position_effects(
    wells: pd.DataFrame, exported: Iterable[str]
) -> dict[str, tuple[float, float]]:
    """Relative change of the counts (percent) and its standard error, by kind of position.

    One least-squares fit of the logarithm within sets of replicates, with the edge, the row and the
    column together. NaN where the layout cannot tell: where replicates do not differ in position,
    or the error exceeds what would matter.
    """
    row = wells["well"].str[0].map("ABCDEFGHIJKLMNOP".index).astype(float)
    column = wells["well"].str[1:].astype(float)
    large = any(well[0] > "H" or int(well[1:]) > 12 for well in exported)
    last_row, last_column = (15, 24) if large else (7, 12)
    on_edge = row.isin([0, last_row]) | column.isin([1, last_column])
    position = np.column_stack([on_edge, row / last_row, (column - 1) / (last_column - 1)])
    position = position.astype(float)
    position = pd.DataFrame(position, index=wells.index)
    names = ("edge effect", "drift from top to bottom", "drift from left to right")
    out = dict.fromkeys(names, (math.nan, math.nan))
    sets = _replicate_sets(wells[wells["well_role"] != "blank"])
    if not sets:
        return out
    x = np.concatenate([(position.loc[i] - position.loc[i].mean()).to_numpy() for i, _ in sets])
    y = np.concatenate([values - values.mean() for _, values in sets])
    known = np.flatnonzero(np.ptp(x, axis=0) > 0)
    degrees = y.size - len(sets) - known.size
    if degrees < 3 or np.linalg.matrix_rank(x[:, known]) < known.size:
        return out
    slopes, *_ = np.linalg.lstsq(x[:, known], y, rcond=None)
    variance = np.sum((y - x[:, known] @ slopes) ** 2) / degrees
    errors = np.sqrt(variance * np.diag(np.linalg.inv(x[:, known].T @ x[:, known])))
    for i, slope, error in zip(known, slopes, errors, strict=True):
        if 100 * error <= MAX_EFFECT_PERCENT:
            out[names[i]] = 100 * math.expm1(slope), 100 * math.exp(slope) * error
    return out
