"""HEADER and TEXT of FCS 2.0, 3.0 and 3.1: where the segments are, and the keywords.

Section numbers are those of FCS 3.0 (Seamer et al., Cytometry 1997; 28:118).
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from immunotrace.errors import InputError
from immunotrace.privacy import told

VERSIONS = ("FCS2.0", "FCS3.0", "FCS3.1")
HEADER_BYTES = 58
# Bounds on what is read before DATA, so that a made-up TEXT cannot exhaust time or memory.
MAX_TEXT_BYTES = 8 << 20
MAX_DELIMITERS = 200_000
MAX_DATA_SETS = 1000


@dataclass(frozen=True)
class DataSet:
    """One data set of a file: its first byte, the bytes from there to the end of the file, the
    (first, last) bytes of TEXT and DATA by HEADER, the keywords of TEXT, and notes on oddities."""

    where: str
    base: int
    size: int
    version: str
    text_span: tuple[int, int]
    data_span: tuple[int, int]
    delimiter: str
    keywords: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def fail(self, problem: str, remedy: str = "Export or copy the file again.") -> InputError:
        return InputError(f"{self.where}: {problem}. {remedy}")

    def text(self, key: str) -> str:
        """The keyword's value without blanks around it; "" where absent or empty."""
        return self.keywords.get(key, "").strip()

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.text(key)
        if not value and default is not None:
            return default
        if not re.fullmatch(r"\+?[0-9]{1,18}", value):
            raise self.fail(f"{key} is {told(value)}; expected a whole number of 0 or more")
        return int(value)

    def numbers(self, key: str, count: int, default: str) -> list[float]:
        value = self.text(key) or default
        numbers = [to_number(part) for part in value.split(",")]
        if len(numbers) != count or not all(map(math.isfinite, numbers)):
            expected = "a number" if count == 1 else f"{count} numbers such as {default}"
            raise self.fail(f"{key} is {told(value)}; expected {expected}")
        return numbers


def read_data_set(handle: BinaryIO, path: str, file_size: int, number: int | None) -> DataSet:
    """The data set of this number, counted from 1; None stands for the only one of the file."""
    found = [_read_header_and_text(handle, path, 0, file_size)]
    while len(found) != number and (base := _next_base(found[-1])):
        if len(found) == MAX_DATA_SETS:
            raise found[0].fail(f"$NEXTDATA leads to more than {MAX_DATA_SETS} data sets")
        found.append(_read_header_and_text(handle, path, base, file_size))
    if len(found) != (1 if number is None else number):
        listed = "; ".join(
            f"{position}: FCS{data.version}, {told(data.text('$TOT'))} events, "
            f"{told(data.text('$PAR'))} parameters"
            for position, data in enumerate(found, start=1)
        )
        asked = "none was chosen" if number is None else f"data set {number} was asked for"
        raise InputError(
            f"{path}: has {len(found)} data set(s) and {asked}. Give the number of the one that is "
            f"meant in the column dataset of the acquisitions sheet: {listed}."
        )
    chosen = found[-1]
    _add_supplemental_text(handle, chosen)
    return chosen


def _next_base(data: DataSet) -> int:
    """The byte of the file where the next data set begins, 0 where this one is the last."""
    offset = data.integer("$NEXTDATA", 0)
    if offset in (0, data.size):
        return 0
    # Behind this TEXT, so that a chain of data sets neither loops nor reads a TEXT twice.
    if not data.text_span[1] < offset <= data.size - HEADER_BYTES:
        raise data.fail(
            f"$NEXTDATA is {offset}; expected 0, or a byte behind TEXT (which ends at "
            f"{data.text_span[1]}) where a further HEADER fits into the {data.size} bytes",
            "Choose data set 1 if it is the only one.",
        )
    return data.base + offset


def _read_header_and_text(handle: BinaryIO, path: str, base: int, file_size: int) -> DataSet:
    where = path if base == 0 else f"{path}, data set at byte {base}"
    handle.seek(base)
    header = handle.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(b"FCS"):
        raise InputError(
            f"{where}: does not begin as it should and has {file_size - base} bytes; an FCS file "
            f"begins with 'FCS' and a HEADER of {HEADER_BYTES} bytes. Copy the file again."
        )
    version = header[:6].decode("latin-1")
    if version not in VERSIONS:
        raise InputError(
            f"{where}: HEADER says version {version!r}; expected one of {', '.join(VERSIONS)}. "
            "Export the file as FCS 3.1."
        )
    offsets = []
    for position in (10, 18, 26, 34):
        text = header[position : position + 8].strip(b" \0")
        if not re.fullmatch(rb"[0-9]{0,8}", text):
            raise InputError(
                f"{where}: HEADER bytes {position} to {position + 7} are {told(text.decode('latin-1'))}; expected a byte "
                "offset of 0 or more. Export or copy the file again."
            )
        offsets.append(int(text or 0))
    begin, end, data_begin, data_end = offsets
    raw = _read_segment(handle, base, file_size - base, begin, end, f"{where}: TEXT")
    if not 1 <= raw[0] <= 126 or raw[:1].isalnum() or raw[:1] == b"$":
        raise InputError(
            f"{where}: TEXT begins at byte {begin} with {raw[:1]!r}; expected its delimiter, an "
            "ASCII character but no letter, digit or '$'. Export or copy the file again."
        )
    keywords, notes = parse_text(raw, f"{where}: TEXT")
    return DataSet(
        where=where,
        base=base,
        size=file_size - base,
        version=version[3:],
        text_span=(begin, end),
        data_span=(data_begin, data_end),
        delimiter=chr(raw[0]),
        keywords=keywords,
        notes=notes,
    )


def _read_segment(
    handle: BinaryIO, base: int, size: int, begin: int, end: int, where: str
) -> bytes:
    if not HEADER_BYTES <= begin < end < size or end - begin >= MAX_TEXT_BYTES:
        raise InputError(
            f"{where} is said to be at bytes {begin} to {end}; expected it behind the "
            f"{HEADER_BYTES} bytes of HEADER, at most {MAX_TEXT_BYTES} bytes long and within the "
            f"{size} bytes there are. The file is cut off or damaged: copy or export it again."
        )
    handle.seek(base + begin)
    return handle.read(end - begin + 1)


def parse_text(raw: bytes, where: str) -> tuple[dict[str, str], list[str]]:
    """Keywords (in upper case, with their values) and notes from a TEXT segment, whose first byte
    is the delimiter.

    Within a value a doubled delimiter stands for one. Directly behind a keyword it is an empty
    value: the standard forbids these and vendors write them, but it also forbids values that begin
    with the delimiter (3.2.7), so no legal TEXT is misread. Raises InputError.
    """
    notes = []
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        notes.append("TEXT is not UTF-8: read as Latin-1")
    delimiter = text[0]
    if text.count(delimiter) > MAX_DELIMITERS:
        raise InputError(f"{where} has more than {MAX_DELIMITERS} delimiters {delimiter!r}.")
    mark, other = re.escape(delimiter), f"[^{re.escape(delimiter)}]"
    pair = re.compile(f"({other}++){mark}((?:{other}++|{mark}{mark})*+)({mark}|\\Z)")
    keywords: dict[str, str] = {}
    empty = []
    position = 1
    while match := pair.match(text, position):
        keyword = match[1].strip().upper()
        value = match[2].replace(delimiter * 2, delimiter)
        _add_keyword(keywords, notes, keyword, value, where)
        position = match.end()
        if not value:
            empty.append(keyword)
        if not match[3]:
            notes.append("TEXT does not end with its delimiter")
    if rest := text[position:].strip(" \t\r\n\0"):
        raise InputError(
            f"{where}: the last {len(rest)} characters are no keyword and value between delimiters {delimiter!r}. "
            "Export or copy the file again."
        )
    if empty:
        notes.append(f"keywords with an empty value: {keyword_names(empty)}")
    return keywords, notes


def _add_keyword(
    keywords: dict[str, str], notes: list[str], keyword: str, value: str, where: str
) -> None:
    """Add a keyword; one of the standard's with two values is an error, a vendor's a note."""
    first = keywords.setdefault(keyword, value)
    if first.strip() == value.strip():
        return
    if keyword.startswith("$"):
        raise InputError(
            f"{where}: {keyword_names([keyword])} is there twice, as {told(first)} and {told(value)}; "
            "expected one value. Export the file again."
        )
    notes.append(f"{keyword_names([keyword])} is there twice with other values: the first is kept")


def _add_supplemental_text(handle: BinaryIO, data: DataSet) -> None:
    begin, end = data.integer("$BEGINSTEXT", 0), data.integer("$ENDSTEXT", 0)
    if 0 in (begin, end) or (begin, end) == data.text_span:
        return
    where = f"{data.where}: supplemental TEXT"
    raw = _read_segment(handle, data.base, data.size, begin, end, where)
    if chr(raw[0]) != data.delimiter:  # required by 3.2.5; one instrument keeps a zip file here
        data.notes.append("supplemental TEXT not read: does not begin with the delimiter")
        return
    keywords, notes = parse_text(raw, where)
    data.notes.extend(notes)
    for keyword, value in keywords.items():
        _add_keyword(data.keywords, data.notes, keyword, value, where)


def to_number(text: str) -> float:
    """A decimal number, NaN where the text is none (Python's own 1_0 and ١ are none)."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


def shown(text: str) -> str:
    """A file's text for a message: quoted, escaped and short."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


# The standard's keywords, and what cytometers write; a damaged TEXT may have anything in their place.
_KEYWORD = re.compile(
    r"\$[A-Z][A-Z0-9]{1,19}|P[0-9]{1,3}(MS|BS|DISPLAY)|CST .{4,30}|(LASER|WINDOW|THRESHOLD|FSC|AUTOBS|"
    r"SPILL|CYTOMETER|APPLY|FJ_|TIMESTAMPS|TUBE|SAMPLE|EXPERIMENT|EXPORT|PLATE|WELL|GUID|CREATOR).{0,24}"
)


def keyword_names(keywords: list[str]) -> str:
    """Keywords for a message: those that cytometers write by name, the others by their number."""
    known = [keyword for keyword in keywords if _KEYWORD.fullmatch(keyword)]
    others = len(keywords) - len(known)
    more = [f"{others} of no known name"] if others else []
    return listed([*known, *more])


def listed(names: Iterable[str]) -> str:
    """Names from a file for a message, without line breaks and terminal codes."""
    text = ", ".join(names)
    return "".join(letter if letter.isprintable() else "?" for letter in text[:2000])
