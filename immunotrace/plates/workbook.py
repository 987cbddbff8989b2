"""Cells of an Excel workbook (.xlsx, ECMA-376), read with the standard library.

Only what an export of readings needs: values and cached results of formulas, as text. Nothing in a
workbook is run.
"""

import re
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

from immunotrace.errors import InputError

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINKS = "{http://schemas.openxmlformats.org/package/2006/relationships}"
_LINK_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_LARGEST_PART = 50_000_000  # bytes, unpacked: an export of plates has far less
_LARGEST_ROW, _LARGEST_COLUMN = 20_000, 500
# What zipfile, zlib and the XML parser raise, and this module for indices that lead nowhere.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, ElementTree.ParseError, EOFError, LookupError,
    NotImplementedError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


def read_workbook(path: str | Path) -> dict[str, list[str]]:
    """The sheets by name; a sheet is a list of rows, the cells of a row joined by tabs.

    Row 5 of the sheet is item 4. Raises InputError where the file is not a workbook.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = _shared_texts(archive, path)
            return {
                name: _rows(_part(archive, part, path), texts, f"{path} sheet {name}")
                for name, part in _sheets(archive, path).items()
            }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except _BROKEN as error:
        raise InputError(
            f"{path}: not an Excel workbook, a damaged one or one with a password ({error}). Save the "
            "export as .xlsx without a password, or as text."
        ) from None


def _part(archive, name, path) -> ElementTree.Element:
    size = archive.getinfo(name).file_size
    if size > _LARGEST_PART:
        raise InputError(
            f"{path}: {name} in it unpacks to {size:,} bytes; that is no plate export."
        )
    content = archive.read(name)
    if b"<!DOCTYPE" in content:  # no workbook has one, and entities could grow without end
        raise InputError(f"{path}: {name} in it declares a document type; not an Excel workbook.")
    return ElementTree.fromstring(content)


def _sheets(archive, path) -> dict[str, str]:
    links = _part(archive, "xl/_rels/workbook.xml.rels", path)
    targets = {
        link.get("Id"): link.get("Target", "") for link in links.iter(f"{_LINKS}Relationship")
    }
    sheets = {}
    for sheet in _part(archive, "xl/workbook.xml", path).iter(f"{_MAIN}sheet"):
        target = targets[sheet.get(_LINK_ID)]
        if "worksheets" in target:  # not a chart
            part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            sheets[sheet.get("name", "")] = part
    return sheets


def _shared_texts(archive, path) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    root = _part(archive, "xl/sharedStrings.xml", path)
    return [_text(item) for item in root.iter(f"{_MAIN}si")]


def _text(element) -> str:
    """Text of an item in all its runs, without phonetic guides."""
    direct = [part.text or "" for part in element.findall(f"{_MAIN}t")]
    runs = [part.text or "" for part in element.findall(f"{_MAIN}r/{_MAIN}t")]
    return "".join(direct + runs)


def _rows(root, texts, where) -> list[str]:
    rows: dict[int, dict[int, str]] = {}
    number = 0
    for row in root.iter(f"{_MAIN}row"):
        number = _index(row.get("r", str(number + 1)))
        if number == 0:
            raise ValueError("a row 0")
        column = 0
        for cell in row.iter(f"{_MAIN}c"):
            name = re.fullmatch(r"([A-Z]+)\d+", cell.get("r", ""))
            column = _column(name[1]) if name else column + 1
            if number > _LARGEST_ROW or column > _LARGEST_COLUMN:
                raise InputError(f"{where}: a cell in row {number}; that is no plate export.")
            kind = cell.get("t", "n")
            if kind == "inlineStr":
                inline = cell.find(f"{_MAIN}is")
                value = _text(inline) if inline is not None else ""
            else:
                value = cell.findtext(f"{_MAIN}v") or ""
                value = texts[_index(value)] if kind == "s" and value else value
            rows.setdefault(number, {})[column] = " ".join(value.split())
    lines = []
    for number in range(1, max(rows, default=0) + 1):
        cells = rows.get(number, {})
        lines.append("\t".join(cells.get(i, "") for i in range(1, max(cells, default=0) + 1)))
    return lines


def _index(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"an index {text[:20]!r}")
    return int(text)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
