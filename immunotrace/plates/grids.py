"""Grids of readings in the text of an export, for the readers of all formats."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from immunotrace.errors import InputError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CLOCK_TIME = re.compile(r"\d{1,3}:\d{2}(:\d{2}(\.\d+)?)?", re.ASCII)
_WELL = re.compile(r"([A-P])0?([1-9]|1\d|2[0-4])", re.ASCII)
_COLUMN = re.compile(r"0?(\d{1,2})(\.0)?", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """What an export holds for one well; `value` is NaN where `text` is not a number."""

    value: float
    text: str
    line: int


@dataclass
class Grid:
    """One set of readings of a plate, by well name (A1)."""

    name: str
    line: int
    wells: dict[str, Reading] = field(default_factory=dict)

    @property
    def is_clock(self) -> bool:
        texts = [reading.text for reading in self.wells.values() if reading.text]
        return bool(texts) and all(_CLOCK_TIME.fullmatch(text) for text in texts)


def well_name(text: str) -> str | None:
    """A1 from A1, a01 or A01; None where the text is no well of a plate of up to 384."""
    match = _WELL.fullmatch(text.strip().upper())
    return match[1] + match[2] if match else None


def wells_of(text: str) -> list[str]:
    """The wells of a plate map's cell, along the rows: A1 alone, or the rectangle A1:C12.

    Raises ValueError where the text is neither, or the second well is not below or right of the first.
    """
    names = [well_name(part) for part in text.split(":")]
    if len(names) > 2 or None in names:
        raise ValueError(f"{text!r} is no well and no rectangle of wells")
    first, last = names[0], names[-1]
    rows = range(ord(first[0]), ord(last[0]) + 1)
    columns = range(int(first[1:]), int(last[1:]) + 1)
    if not (rows and columns):
        raise ValueError(f"{text!r} ends above or left of where it begins")
    return [f"{chr(row)}{column}" for row in rows for column in columns]


def add_reading(path: str | Path, grid: Grid, well: str, text: str, line: int) -> None:
    """Add a well to a grid. Raises InputError where the grid has it already."""
    if well in grid.wells:
        raise InputError(
            f"{path} line {line}: well {well} a second time (first at line "
            f"{grid.wells[well].line}); expected each well once."
        )
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    grid.wells[well] = Reading(value if math.isfinite(value) else math.nan, text, line)


def delimiter_of(lines: list[str]) -> str:
    """The separator with which the lines have the heading of a grid, else that of the first line that
    has one; a tab before a semicolon before a comma."""
    for delimiter in "\t;,":
        if next(headings(lines, delimiter), None):
            return delimiter
    for line in lines:
        for delimiter in "\t;,":
            if delimiter in line:
                return delimiter
    return ","


def split(line: str, delimiter: str) -> list[str]:
    """The cells of a line, without the blanks and quotation marks around them."""
    return [cell.strip().strip('"') for cell in line.split(delimiter)]


def headings(lines: list[str], delimiter: str, labelled: bool = False) -> Iterator[tuple[int, int]]:
    """Headings of grids: the index of the line and the number of columns, 1 to n.

    The first cell is blank and nothing follows; where `labelled`, both may hold a label.
    """
    for index, line in enumerate(lines):
        first, *cells = split(line, delimiter)
        columns = 0
        for cell in cells:
            match = _COLUMN.fullmatch(cell)
            if not match or int(match[1]) != columns + 1:
                break
            columns += 1
        rest = any(cells[columns:])
        if columns > (1 if labelled else 0) and (labelled or not (first or rest)):
            yield index, columns


def title_above(lines: list[str], heading: int, delimiter: str) -> str:
    """The text of the line above a heading; empty where that line is."""
    return lines[heading - 1].strip(delimiter + ' "') if heading else ""


def read_grid(
    path: str | Path,
    lines: list[str],
    heading: int,
    columns: int,
    delimiter: str,
    name: str,
    gaps: bool = False,
) -> Grid:
    """The rows A, B, ... below a heading, up to the first line that is not one.

    `gaps`: rows may be left out, and empty cells at the end of a row; both are wells not read.
    Raises InputError for rows out of order and cells too few or too many.
    """
    grid = Grid(name, heading + 1)
    last = -1
    for number, line in enumerate(lines[heading + 1 :], start=heading + 2):
        label, *cells = split(line, delimiter)
        if not re.fullmatch("[A-P]", label):
            break
        row = ord(label) - ord("A")
        if row <= last or (row != last + 1 and not gaps):
            raise InputError(
                f"{path} line {number}: row {label}; expected row {chr(ord('A') + last + 1)} of the "
                f"grid that begins at line {heading + 1}."
            )
        last = row
        if len(cells) < columns and gaps:
            cells += [""] * (columns - len(cells))
        if len(cells) < columns:
            raise InputError(
                f"{path} line {number}: {len(cells)} cells in row {label}; the heading at line "
                f"{heading + 1} has {columns} columns."
            )
        if any(cells[columns:]):
            raise InputError(
                f"{path} line {number}: more cells in row {label} than the {columns} columns of the "
                f"heading at line {heading + 1}."
            )
        for column in range(columns):
            if cells[column] or not gaps:
                add_reading(path, grid, f"{label}{column + 1}", cells[column], number)
    return grid
