"""A panel applied to a file: the events that are kept, compensated as the panel wants them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import FcsFile, read_fcs
from immunotrace.cytometry.spillover import read_spillover_csv
from immunotrace.errors import InputError

# What to do about a file that cannot be read, beside mending it.
LEAVE_OUT = (
    "Mend such a file or take it out of the acquisitions sheet, or go on without it: cytometry: "
    "on_unreadable: exclude. The report then names it."
)


def marker_channels(panel: Mapping[str, Any]) -> dict[str, str]:
    """The channel ($PnN or $PnS) of each marker of a panel."""
    return {marker: entry["channel"] for marker, entry in panel["markers"].items()}


def read_acquisition(row: Mapping[str, Any]) -> FcsFile:
    """The FCS file of a row of the acquisitions sheet: its data set, and its spillover if it names one.

    Raises InputError.
    """
    return with_spillover(read_fcs(row["fcs"], row.get("dataset")), row)


def with_spillover(fcs: FcsFile, row: Mapping[str, Any]) -> FcsFile:
    """The file with the spillover that its row names in place of its own. Raises InputError."""
    if "spillover" not in row:
        return fcs
    return replace(fcs, given_spillover=read_spillover_csv(row["spillover"]))


def write_kept(masks: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write the mask of kept events of each acquisition to an NPZ file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as handle:
        np.savez_compressed(
            handle,
            acquisitions=np.array(list(masks), dtype=str),
            events=np.array([len(mask) for mask in masks.values()], dtype=np.int64),
            kept=np.concatenate([np.zeros(0, bool), *masks.values()]),
        )


def read_kept(path: str | Path) -> dict[str, np.ndarray]:
    """The masks that `write_kept` wrote, by acquisition."""
    with np.load(path) as file:
        names, kept = file["acquisitions"], file["kept"]
        parts = np.split(kept, np.cumsum(file["events"])[:-1]) if len(names) else []
    return {str(name): part for name, part in zip(names, parts, strict=True)}


def compensated_events(fcs: FcsFile, keep: np.ndarray, panel: Mapping[str, Any]) -> Events:
    """The kept events (n, channels) on the linear scale, compensated by the file's matrix if wanted.

    `compensation: workspace` is left to the gates' reader. Raises InputError where the panel wants
    the file's matrix and there is none, or the mask belongs to another file.
    """
    if len(keep) != len(fcs.events):
        raise InputError(
            f"{fcs.path}: has {len(fcs.events)} events, but quality control saw {len(keep)}; the "
            "file has changed since: run the pipeline again"
        )
    if panel.get("compensation", "fcs") != "fcs":
        return Events(fcs.events, keep)
    if fcs.spillover is None:
        raise InputError(
            f"{fcs.path}: the panel says `compensation: fcs`, but the file has no $SPILLOVER; give "
            "`compensation: none` if its values are compensated already, or name a CSV file in the "
            "column spillover of the acquisitions sheet"
        )
    return Events(fcs.events, keep, fcs.channels, fcs.spillover)
