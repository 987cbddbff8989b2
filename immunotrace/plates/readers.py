"""Readers of plate exports: each returns the grids of a file by name, a value and a line a well.

A reader is strict about the layout, which it knows, and keeps what it cannot read as a number as text:
such a well has the value NaN, never zero. Clock times are recognised and are never data.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from immunotrace.errors import InputError

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_CLOCK_TIME = re.compile(r"\d{1,3}:\d{2}(:\d{2}(\.\d+)?)?")
_WELL = re.compile(r"([A-P])0?([1-9]|1\d|2[0-4])")
_TOPCOUNT_ROWS, _TOPCOUNT_COLUMNS = "ABCDEFGH", 12


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


def read_export(path: str | Path, format: str, grid: str | None = None) -> Grid:
    """The grid of readings that an export holds.

    Where a file has several, `grid` names the one that is meant. Raises InputError, with file and
    line, where the file is not of the format, and where no or several grids of data are in it.
    """
    if format not in READERS:
        raise InputError(
            f"{path}: no reader for the format {format!r}; expected one of {', '.join(READERS)}."
        )
    lines = _lines(path)
    data = [found for found in READERS[format](path, lines) if not found.is_clock]
    if grid is not None:
        data = [found for found in data if found.name == grid] or _no_such_grid(path, grid, data)
    if not data:
        raise InputError(f"{path}: no grid of readings in it; expected the format {format}.")
    if len(data) > 1:
        names = ", ".join(f"{found.name!r} (line {found.line})" for found in data)
        raise InputError(
            f"{path}: {len(data)} grids of data: {names}. Name the one that is meant in the column "
            "`grid` of the sheet of plates."
        )
    if all(math.isnan(reading.value) for reading in data[0].wells.values()):
        first = next(iter(data[0].wells.values()), Reading(math.nan, "", data[0].line))
        raise InputError(
            f"{path} line {first.line}: no well holds a number (the first is {first.text!r}); "
            f"expected the format {format}."
        )
    return data[0]


def _no_such_grid(path, grid, data):
    names = ", ".join(repr(found.name) for found in data) or "none"
    raise InputError(f"{path}: no grid named {grid!r}; the grids of data in it: {names}.")


def _topcount_grid(path, lines) -> list[Grid]:
    """Packard TopCount grid: tab-separated; a heading blank + 1..12, rows A..H; then clock times."""
    grids = []
    for index, columns, _ in _headings(lines, "\t"):
        if columns != _TOPCOUNT_COLUMNS:
            raise InputError(
                f"{path} line {index + 1}: a heading of {columns} columns; expected a tab-separated "
                f"heading of 1 to {_TOPCOUNT_COLUMNS} (format topcount_grid)."
            )
        grid = _grid(path, lines, index, columns, "\t", f"grid {len(grids) + 1}")
        rows = {well[0] for well in grid.wells}
        if rows != set(_TOPCOUNT_ROWS):
            line = index + 2 + len(rows)
            raise InputError(
                f"{path} line {line}: expected row {_TOPCOUNT_ROWS[len(rows)]} of the grid that "
                f"begins at line {index + 1}; a TopCount grid has the rows A to H."
            )
        grids.append(grid)
    if not grids:
        raise InputError(
            f"{path} line 1: no TopCount grid; expected a tab-separated heading, blank then 1 to 12."
        )
    return grids


def _topcount_list(path, lines) -> list[Grid]:
    """Packard TopCount list: `index ,count ,time`, index 1 is A1, 2 is A2, 96 is H12."""
    heading = [cell.strip().lower() for cell in lines[0].split(",")] if lines else []
    if heading[:2] != ["index", "count"]:
        raise InputError(
            f"{path} line 1: {lines[0] if lines else ''!r}; expected the heading "
            "'index ,count ,time' (format topcount_list)."
        )
    grid = Grid("count", 1)
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(heading) or not cells[0].isdigit() or not 1 <= int(cells[0]) <= 96:
            raise InputError(
                f"{path} line {number}: {line!r}; expected {len(heading)} cells, the first an "
                "index from 1 to 96."
            )
        row, column = divmod(int(cells[0]) - 1, _TOPCOUNT_COLUMNS)
        _add(path, grid, f"{_TOPCOUNT_ROWS[row]}{column + 1}", cells[1], number)
    return [grid]


def _plain_grid(path, lines) -> list[Grid]:
    """Any grid with a heading 1..n and rows A, B, ...; a line of text just above it names it."""
    delimiter = _delimiter(lines)
    return [
        _grid(path, lines, index, columns, delimiter, title or f"grid {number}")
        for number, (index, columns, title) in enumerate(_headings(lines, delimiter), start=1)
    ]


def _long_csv(path, lines) -> list[Grid]:
    """One line a well: columns `well` and `value`, and `grid` where there are several grids."""
    rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=_delimiter(lines))
    grids: dict[str, Grid] = {}
    columns: dict[str, int] = {}
    for cells in rows:
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if not columns:
            columns = {cell.lower(): i for i, cell in enumerate(cells)}
            if not {"well", "value"} <= set(columns):
                raise InputError(
                    f"{path} line {rows.line_num}: columns {', '.join(cells)}; expected `well` and "
                    "`value` (format long_csv)."
                )
            width = len(cells)
            continue
        if len(cells) != width:
            raise InputError(
                f"{path} line {rows.line_num}: {len(cells)} cells; the heading has {width}."
            )
        name = cells[columns["grid"]] if "grid" in columns else "value"
        match = _WELL.fullmatch(cells[columns["well"]].upper())
        if not match:
            raise InputError(
                f"{path} line {rows.line_num}: {cells[columns['well']]!r} in column well; expected "
                "a well such as A1."
            )
        grid = grids.setdefault(name, Grid(name, rows.line_num))
        _add(path, grid, match[1] + match[2], cells[columns["value"]], rows.line_num)
    return list(grids.values())


READERS: dict[str, Callable[[str | Path, list[str]], list[Grid]]] = {
    "topcount_grid": _topcount_grid,
    "topcount_list": _topcount_list,
    "plain_grid": _plain_grid,
    "long_csv": _long_csv,
}


def _lines(path) -> list[str]:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path} line {line}: not {'UTF-16' if wide else 'UTF-8'} text (byte {error.start}). Save the "
            "export as plain text in UTF-8."
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise InputError(
            f"{path} line {line}: a NUL character; expected a text file in UTF-8, or UTF-16 with its "
            "byte order mark."
        )
    return [line.rstrip("\r") for line in text.split("\n")]


def _delimiter(lines) -> str:
    """The separator of the first line that has one; a tab before a semicolon before a comma."""
    for line in lines:
        for delimiter in "\t;,":
            if delimiter in line:
                return delimiter
    return ","


def _headings(lines, delimiter) -> Iterator[tuple[int, int, str]]:
    """Grid headings: index of the line, number of columns, and the text of the line above."""
    for index, line in enumerate(lines):
        first, *cells = [cell.strip() for cell in line.split(delimiter)]
        while cells and not cells[-1]:
            cells.pop()
        if cells and not first and cells == [str(i + 1) for i in range(len(cells))]:
            yield index, len(cells), lines[index - 1].strip(delimiter + " ") if index else ""


def _grid(path, lines, heading, columns, delimiter, name) -> Grid:
    """The rows A, B, ... below a heading, up to the first line that is not one."""
    grid = Grid(name, heading + 1)
    for row, line in enumerate(lines[heading + 1 :]):
        number = heading + 2 + row
        label, *cells = [cell.strip() for cell in line.split(delimiter)]
        if not re.fullmatch("[A-P]", label):
            break
        if label != chr(ord("A") + row):
            raise InputError(
                f"{path} line {number}: row {label}; expected row {chr(ord('A') + row)} of the grid "
                f"that begins at line {heading + 1}."
            )
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
            _add(path, grid, f"{label}{column + 1}", cells[column], number)
    return grid


def _add(path, grid, well, text, line) -> None:
    if well in grid.wells:
        raise InputError(
            f"{path} line {line}: well {well} a second time (first at line "
            f"{grid.wells[well].line}); expected each well once."
        )
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    grid.wells[well] = Reading(value if math.isfinite(value) else math.nan, text, line)
