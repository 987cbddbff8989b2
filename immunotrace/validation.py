"""Checks of YAML files and TSV sheets against schemas, with messages for people.

Every function returns its problems as complete sentences, so that a caller can gather those of all
files and show them in one pass.
"""

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import yaml

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"

# The same language, read by libyaml where there is one: ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """A YAML document and the line on which each of its keys stands."""

    path: str
    data: object
    lines: Mapping[KeyPath, int]

    def where(self, key: Sequence[str | int]) -> str:
        """`file line N` of a key, or of the nearest key above it that stands in the file."""
        for end in range(len(key), -1, -1):
            if tuple(key[:end]) in self.lines:
                return f"{self.path} line {self.lines[tuple(key[:end])]}"
        return self.path


@dataclass(frozen=True)
class Sheet:
    """The rows of a TSV sheet as dictionaries; `lines[i]` is the line of row i in the file.

    `unread` holds the line and column of each cell whose value was not right and is not in its row.
    """

    path: str
    rows: list[dict]
    lines: list[int]
    unread: set[tuple[int, str]] = field(default_factory=set)

    def where(self, row: int, column: str) -> str:
        return f"{self.path} line {self.lines[row]}, column {column}"

    def is_read(self, row: int, *columns: str) -> bool:
        return not any((self.lines[row], column) in self.unread for column in columns)

    def is_whole(self, *columns: str) -> bool:
        """Whether every row is there with what it says in these columns."""
        return bool(self.rows) and not any(column in columns for _, column in self.unread)


def load_schema(name: str) -> dict:
    text = (SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=_LOADER)


def load_yaml(path: str) -> tuple[YamlFile | None, list[str]]:
    """Read a YAML file; what cannot be read comes back as a problem, and so do doubled keys."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, [f"{path}: no such file. Create it, or correct the path that names it."]
    except (OSError, UnicodeDecodeError) as error:
        return None, [f"{path}: cannot be read as UTF-8 text ({error})."]
    try:
        node = yaml.compose(text, Loader=_LOADER)
        data = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        return None, [f"{path}{line}: not valid YAML: {reason}."]
    except ValueError as error:  # what looks like a date or a number and is none: 2020-13-45
        return None, [f"{path}: a value that is no date or number ({error}); put text in quotes."]
    lines: dict[KeyPath, int] = {}
    problems: list[str] = []
    try:
        if node is not None:
            _collect_lines(node, (), lines, path, problems)
    except RecursionError:
        return None, [
            f"{path}: not valid: lists or groups hold themselves, or are nested too deep."
        ]
    return YamlFile(path, data, lines), problems


def schema_problems(data: object, schema: dict, where, named=None) -> list[str]:
    """All ways in which `data` breaks a JSON schema, one sentence each.

    `where(key)` turns a key path into the place that the sentence begins with, `named(key)` into the
    words for the key itself.
    """
    named = named or (lambda key: repr(_dotted(key)))
    endless = [
        f"{where(key)}: {named(key)} is {value}; expected a finite number."
        for key, value in _numbers(data)
        if not math.isfinite(value)
    ]
    if endless:
        return endless
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(data), key=lambda error: [str(k) for k in error.path])
    # What is of another type is not one of the expected values either: one mistake, one sentence.
    mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
    errors = [
        error
        for error in errors
        if error.validator == "type" or tuple(error.absolute_path) not in mistyped
    ]
    # A misspelt key is told as an unknown one, and is not missing as well.
    misspelt = {
        (*error.absolute_path, key)
        for error in errors
        if error.validator == "additionalProperties"
        for key in meant_keys(error.instance, error.schema["properties"])
    }
    errors = [
        error
        for error in errors
        if error.validator != "required"
        or not any(
            error.message.startswith(repr(key[-1])) and key[:-1] == tuple(error.absolute_path)
            for key in misspelt
        )
    ]
    return [
        f"{where(key)}: {sentence}"
        for error in errors
        for key, sentence in _sentences(error, named)
    ]


def meant_keys(data: dict, known: Iterable[str]) -> set[str]:
    """The known keys that unknown ones of `data` are likely to be meant for."""
    known = set(known)
    return {key for key in known - set(data) for extra in set(data) - known
            if f"mean {key!r}?" in suggestion(extra, known)}  # fmt: skip


def _numbers(data: object, key: KeyPath = ()):
    if isinstance(data, float):
        yield key, data
    elif isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for name, value in items:
            yield from _numbers(value, (*key, name))


def with_defaults(data: dict, schema: dict) -> dict:
    """A copy of `data` in which every key that is absent has the schema's default, at all depths."""
    filled = dict(data)
    for key, part in schema.get("properties", {}).items():
        if key not in filled and "default" in part:
            filled[key] = part["default"]
        if isinstance(filled.get(key), dict):
            filled[key] = with_defaults(filled[key], part)
    return filled


def read_sheet(path: str, schema: dict) -> tuple[Sheet, list[str]]:
    """Read a TSV sheet and check it against the schema of one row.

    Columns of type integer or number are converted; an empty cell is an absent value, and so is one
    that breaks the schema. Blank lines and lines that start with `#` are passed over.
    """
    sheet = Sheet(path, [], [])
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return sheet, [f"{path}: no such file. Create it, or correct the path that names it."]
    except OSError as error:
        return sheet, [f"{path}: cannot be read ({error.strerror}); expected a TSV file."]
    except UnicodeDecodeError as error:
        return sheet, [
            f"{path}: not UTF-8 text (byte {error.start}). Save the sheet as tab-separated UTF-8."
        ]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
    problems: list[str] = []
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if len(header) == 1 and len(schema["required"]) > 1:
                    return sheet, [
                        f"{path} line {reader.line_num}: one column, {header[0][:60]!r}; expected "
                        "columns with a tab between them (save the sheet as tab-separated text)."
                    ]
                problems += _header_problems(path, reader.line_num, header, schema)
                if problems:
                    return sheet, problems
                continue
            if len(cells) != len(header):
                problems.append(
                    f"{path} line {reader.line_num}: {len(cells)} cells, the heading has "
                    f"{len(header)} columns. Put one tab between cells."
                )
                sheet.unread.update((reader.line_num, name) for name in header)
                continue
            row, row_problems, unread = _convert_row(
                f"{path} line {reader.line_num}", header, cells, schema
            )
            problems += row_problems
            sheet.unread.update((reader.line_num, name) for name in unread)
            sheet.rows.append(row)
            sheet.lines.append(reader.line_num)
    except csv.Error as error:
        problems.append(f"{path} line {reader.line_num}: not a valid TSV line ({error}).")
        sheet.unread.update((reader.line_num, name) for name in schema["properties"])
    if not header:
        problems.append(
            f"{path}: empty. Expected a heading with the columns "
            f"{', '.join(schema['required'])}, and a row for each entry."
        )
    elif not sheet.rows and not problems:
        problems.append(f"{path}: a heading, but no row below it.")
    return sheet, problems


def duplicates(sheet: Sheet, column: str) -> list[str]:
    """A problem for every value of a column that stands in more than one row."""
    first: dict[object, int] = {}
    problems = []
    for index, row in enumerate(sheet.rows):
        value = row.get(column)
        if value is not None and value in first:
            problems.append(
                f"{sheet.where(index, column)}: {value!r} stands already on line "
                f"{sheet.lines[first[value]]}; expected a value of its own in each row."
            )
        first.setdefault(value, index)
    return problems


def merged(problems: Iterable[str]) -> list[str]:
    """The same problem in several rows of a sheet as one that names their lines."""
    lines: dict[tuple[str, str], list[str]] = {}
    for problem in dict.fromkeys(problems):
        place = _ROW.fullmatch(problem)
        key = (place["path"], place["rest"]) if place else (problem, "")
        lines.setdefault(key, []).extend([place["line"]] if place else [])
    return [
        path + (f" line{'s'[: len(rows) > 1]} {', '.join(rows)}, column {rest}" if rows else "")
        for (path, rest), rows in lines.items()
    ]


_ROW = re.compile(r"(?P<path>[^\n]*?) line (?P<line>\d+), column (?P<rest>.*)", re.DOTALL)


def suggestion(value: object, known: Iterable[object]) -> str:
    """` Did you mean 'x'?` where a known value is near, else an empty string."""
    near = difflib.get_close_matches(str(value), [str(k) for k in known], n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def _collect_lines(node, key: KeyPath, lines: dict, path: str, problems: list[str]) -> None:
    lines[key] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, name.value)
            if inner in lines:
                problems.append(
                    f"{path} line {name.start_mark.line + 1}: the key {name.value!r} stands "
                    f"already on line {lines[inner]}. Keep one of the two."
                )
            _collect_lines(value, inner, lines, path, problems)
            lines[inner] = name.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*key, index), lines, path, problems)


_TYPE_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a group of keys",
    "null": "nothing",
}


def _sentences(error: jsonschema.ValidationError, named):
    key = tuple(error.absolute_path)
    name = named(key)
    value = error.instance
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for extra in sorted(set(value) - set(known), key=str):
            yield (
                (*key, extra),
                f"unknown key {named((*key, extra))}.{suggestion(extra, known)} "
                f"Known here: {', '.join(known)}.",
            )
    elif error.validator == "required":
        missing = [k for k in error.validator_value if k not in value]
        for absent in missing:
            if error.message.startswith(repr(absent)):
                meaning = error.schema.get("properties", {}).get(absent, {}).get("description", "")
                yield (
                    key,
                    f"{named((*key, absent))} is missing"
                    + (f": {meaning[0].lower() + meaning[1:]}" if meaning else "."),
                )
    elif error.validator in ("enum", "const"):
        allowed = error.validator_value if error.validator == "enum" else [error.validator_value]
        yield (
            key,
            f"{name} is {value!r}; expected one of "
            f"{', '.join(map(str, allowed))}.{suggestion(value, allowed)}",
        )
    elif error.validator == "type":
        types = error.validator_value
        types = [types] if isinstance(types, str) else types
        expected = " or ".join(_TYPE_WORDS[t] for t in types)
        yield key, f"{name} is {value!r}; expected {expected}."
    else:
        meaning = error.schema.get("description", "")
        expected = meaning or error.message
        yield key, f"{name} is {value!r}; expected: {expected}"


def _dotted(key: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in key) or "the document"


def _header_problems(path: str, line: int, header: list[str], schema: dict) -> list[str]:
    known = schema["properties"]
    problems = [
        f"{path} line {line}: unknown column {name!r}.{suggestion(name, known)} "
        f"Known columns: {', '.join(known)}."
        for name in header
        if name not in known
    ]
    problems += [
        f"{path} line {line}: the column {name!r} is missing: "
        f"{known[name].get('description', 'see the README')}"
        for name in schema["required"]
        if name not in header and not any(f"mean {name!r}?" in problem for problem in problems)
    ]
    problems += [
        f"{path} line {line}: the column {name!r} stands there twice."
        for name in sorted({name for name in header if header.count(name) > 1})
    ]
    return problems


def _convert_row(
    place: str, header: list[str], cells: list[str], schema: dict
) -> tuple[dict, list[str], list[str]]:
    """A row, what is wrong with it, and the columns that are."""
    row: dict = {}
    problems: list[str] = []
    unread: list[str] = []
    for name, cell in zip(header, cells, strict=True):
        cell, part = cell.strip(), schema["properties"][name]
        if cell == "":
            if name in schema["required"]:
                unread.append(name)
                problems.append(
                    f"{place}, column {name}: empty; expected {part.get('description', 'a value')}"
                )
            continue
        value: object = cell
        if part.get("type") in ("integer", "number"):
            try:
                # Python's own numbers may hold "_"; a sheet's may not.
                value = int(cell) if part["type"] == "integer" else float(cell)
                readable = "_" not in cell and math.isfinite(value)
            except ValueError:
                readable = False
            if not readable:
                unread.append(name)
                problems.append(
                    f"{place}, column {name}: {cell!r}; expected {_TYPE_WORDS[part['type']]}."
                )
                continue
        found = [
            sentence.replace("'the document' is", "is")
            for sentence in schema_problems(
                value, part, lambda _key, name=name: f"{place}, column {name}"
            )
        ]
        if found:
            unread.append(name)
            problems += found
        else:
            row[name] = value
    return row, problems, unread
