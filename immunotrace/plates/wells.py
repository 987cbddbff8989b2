"""From plate exports and plate maps to one row a well."""

import logging
import math

import pandas as pd

from immunotrace.errors import InputError, not_read
from immunotrace.plates.grids import Grid
from immunotrace.plates.qc import outlier_flags, plate_quality
from immunotrace.plates.readers import read_export, sniff_format
from immunotrace.plates.units import dose_factor, rounded
from immunotrace.privacy import told

log = logging.getLogger(__name__)

COLUMNS = [
    "plate", "well", "subject", "role", "day", "drug", "dose", "dose_unit", "well_role", "value",
    "readout", "flag", "used", "response",
]  # fmt: skip


def read_plates(rows: list[dict], settings: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the plates of a sheet: a row a well, and a row of quality control a plate.

    `rows`: plate, subject, role, day, drug, dose_unit, readout, format (`auto`: found out and
    logged), file, optionally grid, and `map`, the wells of the plate map (dicts of well, well_role
    and, for samples, dose). `settings`: `exclude_outlier_wells`, and optionally `dose_unit`, the unit
    to give all doses in, with `molar_mass` (g/mol, by drug) to go between mass and amount, and
    `on_failed_plate` (keep, the default, exclude or stop) and `on_unreadable` (stop, the default, or
    exclude: such a plate has no wells, and its row of quality control says why). Wells come with `flag` (`outlier`,
    `unreadable: ...`), `used` (whether fits use them: none of an excluded plate, and of one that is dead) and `response`, the
    percent of the plate's stimulated control after subtraction of the mean blank, for samples and
    controls. A control has the dose 0. Raises InputError.
    """
    plates, quality, unread = [], [], []
    for row in rows:
        try:
            grid = _grid(row)
        except InputError as error:
            unread.append(error)
            about = {key: row[key] for key in ("plate", "subject", "role", "day")}
            quality.append({**about, "verdict": "fail", "reason": not_read(error, row["file"])})
            continue
        plates.append(_plate_wells(row, grid, settings))
        quality.append(plate_quality(plates[-1], grid.wells))
        if dead := _dead(plates[-1]):
            reason = "; ".join(filter(None, [dead, quality[-1]["reason"]]))
            quality[-1] |= {"verdict": "fail", "reason": reason}
            plates[-1]["used"] = False
    exclude_unread = settings.get("on_unreadable") == "exclude"
    if unread and not (exclude_unread and plates):
        advice = "Mend such a file, or take its plate out of the sheet of plates"
        if not exclude_unread:
            advice += ", or go on without it: dose_response: on_unreadable: exclude. The report then names it"
        raise InputError("\n".join([*map(str, unread), f"{advice}."]))
    quality = pd.DataFrame(quality)
    read = quality["plate"].isin([plate["plate"].iloc[0] for plate in plates])
    failed = read & (quality["verdict"] == "fail")
    on_failed = settings.get("on_failed_plate", "keep")
    if on_failed == "stop" and failed.any():
        named = "".join(
            f"\n  {row['file']}: plate {row['plate']}: {reason}"
            for row, reason, fails in zip(rows, quality["reason"], failed, strict=True)
            if fails
        )
        raise InputError(
            f"plates that fail quality control:{named}\nCount them again, take them out of the sheet of "
            "plates, or go on without them with dose_response: on_failed_plate: exclude"
        )
    for plate, fails in zip(plates, failed[read], strict=True):
        plate["used"] &= not (fails and on_failed == "exclude")
    used = [plate["plate"].iloc[0] for plate in plates if plate["used"].any()]
    quality["used"] = quality["plate"].isin(used)
    return pd.concat(plates, ignore_index=True)[COLUMNS], quality


def _grid(row: dict) -> Grid:
    format = row["format"]
    if format == "auto":
        format = sniff_format(row["file"])
        log.info("%s: read as %s", row["file"], format)
    grid = read_export(row["file"], format, row.get("grid"))
    missing = [entry["well"] for entry in row["map"] if entry["well"] not in grid.wells]
    if missing:
        raise InputError(
            f"{row['file']}: no reading of well {', '.join(missing)}, which the map of plate "
            f"{row['plate']} uses; the grid {told(grid.name)} begins at line {grid.line} and has "
            f"{len(grid.wells)} wells."
        )
    return grid


def _plate_wells(row: dict, grid: Grid, settings: dict) -> pd.DataFrame:
    unit = settings.get("dose_unit") or row["dose_unit"]
    molar_mass = settings.get("molar_mass", {}).get(row["drug"])
    factor = dose_factor(row["dose_unit"], unit, molar_mass, f"plate {row['plate']}")
    records = []
    for entry in row["map"]:
        reading = grid.wells[entry["well"]]
        unreadable = math.isnan(reading.value)
        if unreadable:
            log.warning(
                "%s line %d: well %s holds %s, not a number; it is left out",
                row["file"], reading.line, entry["well"], told(reading.text),
            )  # fmt: skip
        dose = (
            0.0
            if entry["well_role"] == "control"
            else rounded(entry.get("dose", math.nan) * factor)
        )
        flag = f"unreadable: {_unread(reading.text)}" if unreadable else None
        records.append((entry["well"], dose, entry["well_role"], reading.value, flag))
    wells = pd.DataFrame(records, columns=["well", "dose", "well_role", "value", "flag"])
    wells["flag"] = wells["flag"].astype(object)
    for column in ("plate", "subject", "role", "day", "drug", "readout"):
        wells[column] = row[column]
    wells["dose_unit"] = unit
    flags = outlier_flags(wells)
    outlier = flags.notna()
    wells.loc[outlier, "flag"] = flags[outlier]
    wells["used"] = wells["value"].notna() & ~(outlier & settings["exclude_outlier_wells"])
    wells["response"] = _percent_of_control(wells)
    return wells


def _dead(wells: pd.DataFrame) -> str:
    """Why no curve can be fitted to a plate, whatever is chosen for those that fail; or empty text."""
    means = wells[wells["used"]].groupby("well_role")["value"].mean()
    usable = wells[wells["used"] & wells["response"].notna()]
    if usable["dose"].nunique() > 1:
        return ""
    if usable.empty and "control" in means:
        blank = f"the blank ({means['blank']:.6g})" if "blank" in means else "0"
        return (
            f"dead: the stimulated control ({means['control']:.6g}) does not count more than {blank}, "
            "so there is no curve"
        )
    missing = "samples of several doses" if "control" in means else "stimulated control"
    return f"dead: no readable {missing}, so there is no curve"


def _unread(text: str) -> str:
    return told(text).strip("'") or "empty"


def _percent_of_control(wells: pd.DataFrame) -> pd.Series:
    """Percent of the mean stimulated control, both after subtraction of the mean blank.

    NaN where the plate has no usable control above its blank. Without blank wells nothing is
    subtracted.
    """
    means = wells[wells["used"]].groupby("well_role")["value"].mean()
    blank = means.get("blank", 0.0)
    control = means.get("control", math.nan) - blank
    percent = 100 * (wells["value"] - blank) / (control if control > 0 else math.nan)
    return percent.where(wells["well_role"].isin(["sample", "control"]))
