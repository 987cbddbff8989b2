"""From plate exports and plate maps to one row a well."""

import logging
import math

import pandas as pd

from immunotrace.errors import InputError
from immunotrace.plates.qc import outlier_flags, plate_quality
from immunotrace.plates.readers import read_export

log = logging.getLogger(__name__)

COLUMNS = [
    "plate", "well", "subject", "role", "day", "drug", "dose", "dose_unit", "well_role", "value",
    "readout", "flag", "used", "response",
]  # fmt: skip


def read_plates(rows: list[dict], settings: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the plates of a sheet: a row a well, and a row of quality control a plate.

    `rows`: plate, subject, role, day, drug, dose_unit, readout, format, file, optionally grid, and
    `map`, the wells of the plate map (dicts of well, well_role and, for samples, dose). `settings`:
    `exclude_outlier_wells`. Wells come with `flag` (`outlier`, `unreadable: ...`), `used` (whether
    fits use them) and `response`, the percent of the plate's stimulated control after subtraction of
    the mean blank, for samples and controls. A control has the dose 0. Raises InputError.
    """
    plates = [_plate_wells(row, settings["exclude_outlier_wells"]) for row in rows]
    quality = [plate_quality(plate) for plate in plates]
    return pd.concat(plates, ignore_index=True)[COLUMNS], pd.DataFrame(quality)


def _plate_wells(row: dict, exclude_outliers: bool) -> pd.DataFrame:
    grid = read_export(row["file"], row["format"], row.get("grid"))
    missing = [entry["well"] for entry in row["map"] if entry["well"] not in grid.wells]
    if missing:
        raise InputError(
            f"{row['file']}: no reading of well {', '.join(missing)}, which the map of plate "
            f"{row['plate']} uses; the grid {grid.name!r} begins at line {grid.line} and has "
            f"{len(grid.wells)} wells."
        )
    records = []
    for entry in row["map"]:
        reading = grid.wells[entry["well"]]
        unreadable = math.isnan(reading.value)
        if unreadable:
            log.warning(
                "%s line %d: well %s holds %r, not a number; it is left out",
                row["file"], reading.line, entry["well"], reading.text,
            )  # fmt: skip
        dose = 0.0 if entry["well_role"] == "control" else entry.get("dose", math.nan)
        flag = f"unreadable: {reading.text or 'empty'}" if unreadable else None
        records.append((entry["well"], dose, entry["well_role"], reading.value, flag))
    wells = pd.DataFrame(records, columns=["well", "dose", "well_role", "value", "flag"])
    wells["flag"] = wells["flag"].astype(object)
    for column in ("plate", "subject", "role", "day", "drug", "dose_unit", "readout"):
        wells[column] = row[column]
    flags = outlier_flags(wells)
    outlier = flags.notna()
    wells.loc[outlier, "flag"] = flags[outlier]
    wells["used"] = wells["value"].notna() & ~(outlier & exclude_outliers)
    wells["response"] = _percent_of_control(wells)
    return wells


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
