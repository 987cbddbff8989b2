"""Spillover matrices: from an FCS keyword or a CSV file, and their use for compensation."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from immunotrace.cytometry.fcs_text import listed, shown, to_number
from immunotrace.errors import InputError

# Real matrices have condition numbers below some hundred. At 1e5 the rounding of float32 data (6e-8)
# alone grows to more than half a percent of the compensated values.
MAX_CONDITION = 1e5
MAX_CSV_BYTES = 8 << 20
BLOCK_ROWS = 1 << 12  # stay in the cache of a core


@dataclass(frozen=True, eq=False)
class Spillover:
    """The fraction of each fluorochrome's signal (rows) that each detector sees (columns).

    channels: $PnN of the n detectors. matrix: float64 (n, n), row i = the fluorochrome of channel
    i, as in $SPILLOVER (FCS 3.1). source: where it is from, for messages.
    """

    channels: tuple[str, ...]
    matrix: np.ndarray
    source: str = "spillover matrix"


def parse_spillover(text: str, file_channels: Sequence[str], where: str) -> Spillover:
    """Read the value of $SPILLOVER or SPILL: `n,name 1,...,name n,n * n numbers row by row`.

    file_channels: the file's $PnN. Where no name is one of these and all are numbers from 1 to
    $PAR, they stand for the parameters of these numbers. where: file and keyword, for messages.
    Raises InputError.
    """
    fields = [field.strip() for field in text.split(",")]
    size = int(fields[0]) if re.fullmatch("[0-9]{1,4}", fields[0]) else 0
    if size == 0 or len(fields) != 1 + size + size * size:
        raise InputError(
            f"{where}: begins with {shown(fields[0])} and has {len(fields) - 1} more fields; "
            "expected the number n of channels, n names and n * n numbers. Give the matrix as a "
            "CSV file."
        )
    names = fields[1 : 1 + size]
    by_number = {str(number): name for number, name in enumerate(file_channels, start=1)}
    if not set(names) & set(file_channels) and set(names) <= set(by_number):
        names = [by_number[name] for name in names]
    rows = [fields[start : start + size] for start in range(1 + size, len(fields), size)]
    spillover = _checked(names, rows, where)
    matrix_columns(spillover, file_channels)
    return spillover


def read_spillover_csv(path: str | Path) -> Spillover:
    """Read a square table of fractions under a header of channel names (CSV or TSV, UTF-8).

    A first column may name the rows, in the header's order. FlowJo's `FITC-A :: CD3` stands for
    FITC-A. Raises InputError.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            lines = handle.read(MAX_CSV_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Expected CSV in UTF-8.") from error
    delimiter = max("\t;,", key=lines[0].count) if lines else ","
    try:
        table = [
            [cell.split(" :: ")[0].strip() for cell in row]
            for row in csv.reader(lines, delimiter=delimiter)
            if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise InputError(f"{path}: is no CSV table ({error}). Export it again.") from error
    header, rows = (table[0], table[1:]) if table else ([], [])
    size = len(rows)
    if header[-size:] != header or {len(row) for row in rows} == {size + 1}:
        header = header[-size:]
        if [row[0] for row in rows] != header:
            raise InputError(
                f"{path}: the rows are named {listed(row[0] for row in rows)} and the columns "
                f"{listed(header)}. Bring both into the same order."
            )
        rows = [row[1:] for row in rows]
    if size == 0 or len(header) != size or {len(row) for row in rows} != {size}:
        raise InputError(
            f"{path}: {size} rows under {len(header)} channel names; expected a square table of "
            "fractions, one row and one column a channel, under the channels' names."
        )
    return _checked(header, rows, str(path))


def compensate(events: np.ndarray, channels: Sequence[str], spillover: Spillover) -> np.ndarray:
    """Solve `observed = true @ matrix` for the channels of the matrix (Bagwell and Adams 1993).

    events: (n_events, n_channels) on the linear scale; channels: $PnN of its columns. Returns a new
    float64 array of this shape, with the other channels unchanged. An event that is NaN or infinite
    in one of the matrix' channels is so in all of them afterwards: see FcsFile.finite.
    Raises InputError where the events lack a channel or have it twice, and where the matrix cannot
    be inverted in a meaningful way.
    """
    columns = matrix_columns(spillover, channels)
    inverse = spillover_inverse(spillover)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity stay such, see above
        result = np.array(events, dtype=np.float64)
        for start in range(0, len(result), BLOCK_ROWS):
            block = result[start : start + BLOCK_ROWS]
            block[:, columns] = block[:, columns] @ inverse
    return result


def spillover_inverse(spillover: Spillover) -> np.ndarray:
    """The inverse of the matrix, float64 (n, n). Raises InputError where it has no meaningful one."""
    matrix, size = np.asarray(spillover.matrix, dtype=np.float64), len(spillover.channels)
    if matrix.shape != (size, size) or not np.isfinite(matrix).all():
        raise InputError(
            f"{spillover.source}: has the shape {matrix.shape} for {size} channels, or numbers that "
            "are not finite."
        )
    condition = np.linalg.cond(matrix)
    if not condition <= MAX_CONDITION:
        raise InputError(
            f"{spillover.source}: the matrix of {listed(spillover.channels)} cannot be inverted in "
            f"a meaningful way (condition number {condition:.3g}, accepted up to "
            f"{MAX_CONDITION:.0e}): some channels are nearly the same mixture. Give another matrix."
        )
    return np.linalg.inv(matrix)


def _checked(names: Sequence[str], rows: Sequence[Sequence[str]], source: str) -> Spillover:
    if len(set(names)) != len(names) or "" in names:
        raise InputError(
            f"{source}: names a channel twice or not at all: {listed(names)}. Expected one name a "
            "channel."
        )
    matrix = np.array([[to_number(cell) for cell in row] for row in rows])
    for row, column in np.argwhere(~np.isfinite(matrix)):
        raise InputError(
            f"{source}: the spillover from {listed([names[row]])} into {listed([names[column]])} is "
            f"{shown(rows[row][column])}; expected a finite number with a point. Correct the keyword or the CSV file."
        )
    if (matrix.diagonal() == 100).all():
        raise InputError(
            f"{source}: the diagonal is 100, so the matrix is in percent; expected fractions with 1 "
            "on the diagonal. Divide it by 100 in the keyword or the CSV file."
        )
    # Spillover can exceed 1, but then the rows are in units of the diagonal.
    for name, row, own in zip(names, matrix, matrix.diagonal(), strict=True):
        if own != 1 and own < row.max():
            raise InputError(
                f"{source}: in the row of {listed([name])} the largest spillover is into "
                f"{listed([names[row.argmax()]])}, {row.max():g}, and that into its own detector is "
                f"{own:g}; expected 1 on the diagonal. Bring rows and columns into the same order."
            )
    return Spillover(tuple(names), matrix, source)


def matrix_columns(spillover: Spillover, channels: Sequence[str]) -> list[int]:
    """The column of each channel of the matrix among `channels`. Raises InputError."""
    channels = list(channels)
    for name in spillover.channels:
        if channels.count(name) != 1:
            raise InputError(
                f"{spillover.source}: names the channel {shown(name)}, which the events have "
                f"{channels.count(name)} times; expected once among {listed(channels)}. Give a "
                "matrix with the $PnN of this file."
            )
    return [channels.index(name) for name in spillover.channels]
