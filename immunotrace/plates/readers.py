"""Readers of plate exports: each returns the grids of a file by name, a value and a line a well.

A reader is strict about the layout, which it knows, and keeps what it cannot read as a number as text:
such a well has the value NaN, never zero. Clock times are recognised and are never data.
"""

import contextlib
import csv
import io
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from immunotrace.errors import InputError
from immunotrace.plates import instruments
from immunotrace.plates.grids import (
    Grid,
    Reading,
    add_reading,
    delimiter_of,
    headings,
    read_grid,
    title_above,
    well_name,
)
from immunotrace.plates.workbook import read_workbook
from immunotrace.privacy import told

_NAMED = 8  # grids listed in a message
_TOPCOUNT_ROWS, _TOPCOUNT_COLUMNS = "ABCDEFGH", 12
_MAGELLAN_WELLS = "Well positions"
_ROWS_OF_COLUMNS = {12: "ABCDEFGH", 24: "ABCDEFGHIJKLMNOP"}


def read_export(path: str | Path, format: str, grid: str | None = None) -> Grid:
    """The grid of readings that an export holds.

    Where a file has several, `grid` names the one that is meant; grids of one name are numbered, in
    the order of the file: `cpm (1)`, `cpm (2)`. Raises InputError, with file and line, where the file
    is not of the format, and where no or several grids of data are in it.
    """
    if format not in READERS:
        raise InputError(
            f"{path}: no reader for the format {format!r}; expected one of {', '.join(READERS)}."
        )
    data = _numbered([found for found in READERS[format](path) if not found.is_clock])
    if grid is not None:
        data = [found for found in data if found.name == grid] or _no_such_grid(path, grid, data)
    if not data:
        raise InputError(f"{path}: no grid of readings in it; expected the format {format}.")
    if len(data) > 1:
        names = ", ".join(f"{told(found.name)} (line {found.line})" for found in data[:_NAMED])
        more = f" and {len(data) - _NAMED} more" if len(data) > _NAMED else ""
        raise InputError(
            f"{path}: {len(data)} grids of data: {names}{more}. Name the one that is meant in the "
            "column `grid` of the sheet of plates."
        )
    if all(math.isnan(reading.value) for reading in data[0].wells.values()):
        first = next(iter(data[0].wells.values()), Reading(math.nan, "", data[0].line))
        raise InputError(
            f"{path} line {first.line}: no well holds a number (the first is {told(first.text)}); "
            f"expected the format {format}."
        )
    return data[0]


def _numbered(grids: list[Grid]) -> list[Grid]:
    names = [grid.name for grid in grids]
    return [
        replace(grid, name=f"{grid.name} ({names[: i + 1].count(grid.name)})")
        if names.count(grid.name) > 1
        else grid
        for i, grid in enumerate(grids)
    ]


def _no_such_grid(path, grid, data):
    names = ", ".join(f"{told(found.name)} (line {found.line})" for found in data[:_NAMED])
    raise InputError(
        f"{path}: no grid named {told(grid)}; the grids of data in it: {names or 'none'}."
    )


def _topcount_grid(path) -> list[Grid]:
    """Packard TopCount grid: tab-separated; a heading blank + 1..12, rows A..H; then clock times.

    Of a 384-well plate the heading runs to 24 and the rows to P.
    """
    lines, grids = read_lines(path), []
    for index, columns in headings(lines, "\t"):
        if columns not in _ROWS_OF_COLUMNS:
            raise InputError(
                f"{path} line {index + 1}: a heading of {columns} columns; expected a tab-separated "
                "heading of 1 to 12, or 1 to 24 (format topcount_grid)."
            )
        grid = read_grid(path, lines, index, columns, "\t", f"grid {len(grids) + 1}")
        rows, expected = {well[0] for well in grid.wells}, _ROWS_OF_COLUMNS[columns]
        if rows != set(expected):
            line = index + 2 + len(rows)
            raise InputError(
                f"{path} line {line}: expected row {expected[len(rows)]} of the grid that begins at "
                f"line {index + 1}; a TopCount grid of {columns} columns has the rows A to "
                f"{expected[-1]}."
            )
        grids.append(grid)
    if not grids:
        raise InputError(
            f"{path} line 1: no TopCount grid; expected a tab-separated heading, blank then 1 to 12."
        )
    return grids


def _topcount_list(path) -> list[Grid]:
    """Packard TopCount list: `index ,count ,time`, index 1 is A1, 2 is A2, 96 is H12."""
    lines = read_lines(path)
    heading = [cell.strip().lower() for cell in lines[0].split(",")] if lines else []
    if heading[:2] != ["index", "count"]:
        raise InputError(
            f"{path} line 1: {told(lines[0] if lines else '')}; expected the heading "
            "'index ,count ,time' (format topcount_list)."
        )
    grid = Grid("count", 1)
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        index = int(cells[0]) if re.fullmatch("[0-9]{1,4}", cells[0]) else 0
        if len(cells) != len(heading) or not 1 <= index <= 96:
            raise InputError(
                f"{path} line {number}: {told(line)}; expected {len(heading)} cells, the first an "
                "index from 1 to 96."
            )
        row, column = divmod(index - 1, _TOPCOUNT_COLUMNS)
        add_reading(path, grid, f"{_TOPCOUNT_ROWS[row]}{column + 1}", cells[1], number)
    return [grid]


def _plain_grid(path) -> list[Grid]:
    """Any grid with a heading 1..n and rows A, B, ...; a line of text just above it names it."""
    lines = read_lines(path)
    delimiter = delimiter_of(lines)
    grids = []
    for index, columns in headings(lines, delimiter):
        name = title_above(lines, index, delimiter) or f"grid {len(grids) + 1}"
        grids.append(read_grid(path, lines, index, columns, delimiter, name))
    return grids


def _xlsx_grid(path) -> list[Grid]:
    """Grids in the sheets of an Excel workbook, named by sheet and the text above or beside the 1.

    Grids without a number, such as layouts, are passed over.
    """
    grids = []
    for sheet, lines in read_workbook(path).items():
        for index, columns in headings(lines, "\t", labelled=True):
            label = lines[index].split("\t")[0] or title_above(lines, index, "\t")
            name = f"{sheet}: {label}" if label else sheet
            rows = ["\t".join(line.split("\t")[: columns + 1]) for line in lines]
            where = f"{path} sheet {sheet}"
            grid = read_grid(where, rows, index, columns, "\t", name, gaps=True)
            if any(not math.isnan(reading.value) for reading in grid.wells.values()):
                grids.append(grid)
    return grids


def _magellan(path) -> list[Grid]:
    """Tecan Magellan workbook: a column `Well positions`, and beside it a column a reading (`Label1`).

    Lines between the heading and the first well (times, temperatures) and columns without a number
    are passed over.
    """
    grids = []
    sheets = read_workbook(path)
    for sheet, lines in sheets.items():
        heading = _magellan_heading(lines)
        if heading is None:
            continue
        names = lines[heading].split("\t")
        place = names.index(_MAGELLAN_WELLS)
        for column, name in enumerate(names):
            grid = Grid(name if len(sheets) == 1 else f"{sheet}: {name}", heading + 1)
            for number, line in enumerate(lines[heading + 1 :], start=heading + 2):
                cells = line.split("\t")
                well = well_name(cells[place]) if len(cells) > place else None
                if well is not None and name and column != place:
                    text = cells[column] if column < len(cells) else ""
                    add_reading(f"{path} sheet {sheet}", grid, well, text, number)
            if any(not math.isnan(reading.value) for reading in grid.wells.values()):
                grids.append(grid)
    if not grids:
        raise InputError(
            f"{path}: no sheet with a column {_MAGELLAN_WELLS!r} and readings beside it (format magellan)."
        )
    return grids


def _magellan_heading(lines: list[str]) -> int | None:
    found = (i for i, line in enumerate(lines) if _MAGELLAN_WELLS in line.split("\t"))
    return next(found, None)


def _long_csv(path) -> list[Grid]:
    """One line a well: columns `well` and `value`, and `grid` where there are several grids."""
    lines = read_lines(path)
    rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter_of(lines))
    grids: dict[str, Grid] = {}
    columns: dict[str, int] = {}
    while True:
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise InputError(
                f"{path} line {rows.line_num}: {error}; expected lines of `well` and `value` (format long_csv)."
            ) from None
        if cells is None:
            break
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if not columns:
            columns = {cell.lower(): i for i, cell in enumerate(cells)}
            if not {"well", "value"} <= set(columns):
                raise InputError(
                    f"{path} line {rows.line_num}: {len(cells)} columns; expected `well` and "
                    "`value` (format long_csv)."
                )
            width = len(cells)
            continue
        if len(cells) != width:
            raise InputError(
                f"{path} line {rows.line_num}: {len(cells)} cells; the heading has {width}."
            )
        name = cells[columns["grid"]] if "grid" in columns else "value"
        well = well_name(cells[columns["well"]])
        if well is None:
            raise InputError(
                f"{path} line {rows.line_num}: {told(cells[columns['well']])} in column well; expected "
                "a well such as A1."
            )
        grid = grids.setdefault(name, Grid(name, rows.line_num))
        add_reading(path, grid, well, cells[columns["value"]], rows.line_num)
    return list(grids.values())


_SIGNATURES = (
    (r"##blocks=", "softmax"),
    (r"ensight results from", "kaleido"),
    (r"plate information", "envision"),
    (r"software version", "gen5"),
    (r"user:", "bmg_mars"),
    (r"index\s*,\s*count", "topcount_list"),
    (r".*\bsam,.*cpm iso1", "beckman_ls"),
)


def _of_instrument(reader) -> Callable[[str | Path], list[Grid]]:
    return lambda path: reader(path, read_lines(path))


READERS: dict[str, Callable[[str | Path], list[Grid]]] = {
    "topcount_grid": _topcount_grid,
    "topcount_list": _topcount_list,
    "plain_grid": _plain_grid,
    "long_csv": _long_csv,
    "xlsx_grid": _xlsx_grid,
    "beckman_ls": _of_instrument(instruments.beckman_ls),
    "bmg_mars": _of_instrument(instruments.bmg_mars),
    "envision": _of_instrument(instruments.envision),
    "gen5": _of_instrument(instruments.gen5),
    "hidex": _of_instrument(instruments.hidex),
    "magellan": _magellan,
    "kaleido": _of_instrument(instruments.kaleido),
    "softmax": _of_instrument(instruments.softmax),
}


def sniff_format(path: str | Path) -> str:
    """The format of an export, from its first lines. Raises InputError where none fits."""
    with contextlib.suppress(OSError):
        if Path(path).read_bytes()[:2] == b"PK":
            sheets = read_workbook(path).values()
            known = any(_magellan_heading(lines) is not None for lines in sheets)
            return "magellan" if known else "xlsx_grid"
    lines = read_lines(path)
    first = next((line.strip().lower() for line in lines if line.strip()), "")
    for start, format in _SIGNATURES:
        if re.match(start, first):
            return format
    if any(line.strip() == "Sample start" for line in lines):
        return "hidex"
    if {"well", "value"} <= {cell.strip().lower() for cell in re.split("[\t;,]", first)}:
        return "long_csv"
    grids = list(headings(lines, delimiter_of(lines)))
    if (
        grids
        and delimiter_of(lines) == "\t"
        and grids[0][0] == 0
        and grids[0][1] in _ROWS_OF_COLUMNS
    ):
        return "topcount_grid"
    if grids:
        return "plain_grid"
    raise InputError(
        f"{path} line 1: {told(first)}; none of the known formats begins so. Name the format in the "
        f"sheet of plates: one of {', '.join(READERS)}."
    )


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file in UTF-8, or UTF-16 with a byte order mark. Raises InputError."""
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
    return re.split("\r*\n|\r", text)
