"""A strict reader of FCS 2.0, 3.0 and 3.1 list-mode files.

Either the values are right, or the file is refused with an InputError that names the file, the
keyword or byte, and what was expected; what is odd but does not touch the values is told in
`FcsFile.notes`. A file's text is data: it is never used as a path.
Sources: FCS 2.0 (Cytometry 1990; 11:323), FCS 3.0 (Cytometry 1997; 28:118), FCS 3.1 (Cytometry A
2010; 77A:97).
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from immunotrace.cytometry.fcs_text import (
    HEADER_BYTES,
    DataSet,
    listed,
    read_data_set,
    shown,
    to_number,
)
from immunotrace.cytometry.spillover import (
    Spillover,
    compensate,
    parse_spillover,
    read_spillover_csv,
)
from immunotrace.errors import InputError
from immunotrace.privacy import told

__all__ = [
    "FcsFile",
    "Spillover",
    "compensate",
    "find_channel",
    "parse_spillover",
    "read_fcs",
    "read_spillover_csv",
]

BLOCK_VALUES = 1 << 18  # of events worked on at once: temporaries of a few MB
SPILLOVER_KEYWORDS = ("$SPILLOVER", "$SPILL", "SPILLOVER", "SPILL")


@dataclass(frozen=True, eq=False)
class FcsFile:
    """One data set of an FCS file.

    path: as given. version: "2.0", "3.0" or "3.1". keywords: of TEXT and supplemental TEXT, in
    upper case, with the values as written. channels: $PnN. labels: $PnS, "" where absent.
    ranges: $PnR, float64 (n_channels,). notes: what is odd, and how it was read.
    events: (n_events, n_channels), read-only, on the linear scale: integers masked by $PnR, $PnE
    decoded, divided by $PnG, the channel named Time in seconds by $TIMESTEP (its gain does not
    count), as FlowKit does. float32 for $DATATYPE F (rounded once where scaled) and for unscaled
    integers of up to 24 bits, else float64. Integers stay as the file has them and are made linear
    where they are asked for: see StoredIntegers.
    """

    path: str
    version: str
    keywords: dict[str, str]
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    ranges: np.ndarray
    events: "np.ndarray | StoredIntegers"
    notes: tuple[str, ...]
    given_spillover: Spillover | None = None

    @cached_property
    def spillover(self) -> Spillover | None:
        """The spillover matrix that was given for the file, else the file's, else None.

        Raises InputError where it is malformed; the events can be used all the same.
        """
        if self.given_spillover is not None:
            return self.given_spillover
        for keyword in (*SPILLOVER_KEYWORDS, "$COMP"):
            text = self.keywords.get(keyword, "").strip()
            if text in ("", "0") or (keyword == "$COMP" and _is_applied(text)):
                continue
            if keyword == "$COMP":  # has no names: it is about the parameters 1 to n
                size, _, numbers = text.partition(",")
                names = (f"{number}" for number in range(1, len(self.channels) + 1))
                text = ",".join([size, *names, numbers])
            return parse_spillover(text, self.channels, f"{self.path}: {keyword}")
        return None

    @cached_property
    def finite(self) -> np.ndarray:
        """bool (n_events,): whether an event is a finite number in every channel. Statistics leave
        out the others: `fcs.events[fcs.finite]`."""
        parts = [np.isfinite(block).all(axis=1) for block in _blocks(self.events)]
        return np.concatenate([np.empty(0, bool), *parts])


def read_fcs(path: str | Path, dataset: int | None = None) -> FcsFile:
    """Read one data set of an FCS file into memory, in its size and some blocks of a few MB.

    dataset: its number from 1, needed only where the file has several. Raises InputError.
    """
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            return _read_events(handle, str(path), read_data_set(handle, str(path), size, dataset))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def find_channel(fcs: FcsFile, name: str) -> int:
    """The index of the channel whose $PnN or $PnS is `name`.

    Raises InputError where there is none (with the nearest name) or more than one.
    """
    pairs = list(zip(fcs.channels, fcs.labels, strict=True))
    found = [index for index, pair in enumerate(pairs) if name and name in pair]
    if len(found) == 1:
        return found[0]
    if found:
        both = " and ".join(
            f"$P{index + 1}N {shown(pairs[index][0])} with $P{index + 1}S {shown(pairs[index][1])}"
            for index in found
        )
        raise InputError(
            f"{fcs.path}: {shown(name)} names {len(found)} channels: {both}. Use a name that only "
            "one channel has."
        )
    near = difflib.get_close_matches(name, [*fcs.channels, *fcs.labels], n=1, cutoff=0.0)
    hint = f" The nearest is {shown(near[0])}." if near else ""
    channels = (f"{channel} ({label})" if label else channel for channel, label in pairs)
    raise InputError(
        f"{fcs.path}: no channel has the $PnN or $PnS {shown(name)}.{hint} There are "
        f"{listed(channels)}."
    )


@dataclass(frozen=True)
class _Parameter:
    """How a channel is stored. Linear value: zero * 10 ** (decades * x / range) where decades are
    given, else x * step / gain."""

    bits: int
    range: float
    decades: float = 0.0
    zero: float = 1.0
    step: float = 1.0
    gain: float = 1.0

    @property
    def is_scaled(self) -> bool:
        return self.decades != 0 or self.step != 1 or self.gain != 1

    def linear(self, stored: np.ndarray) -> np.ndarray:
        values = stored.astype(np.float64)
        if self.decades:
            return 10 ** (self.decades * values / self.range) * self.zero
        return values * self.step / self.gain


def _read_events(handle: BinaryIO, path: str, data: DataSet) -> FcsFile:
    kind, mode, count = data.text("$DATATYPE"), data.text("$MODE"), data.integer("$PAR")
    if mode != "L" or kind not in ("I", "F", "D") or count == 0:
        raise data.fail(
            f"$MODE is {told(mode)}, $DATATYPE {told(kind)} and $PAR {count}; expected list mode "
            "(L), data of type I, F or D, and at least one parameter",
            "Export the file as FCS 3.1 in list mode.",
        )
    numbers = range(1, count + 1)
    # $PAR is only a claim: this ends with an error at the first parameter without $PnB.
    parameters = [_parameter(data, number, kind) for number in numbers]
    begin, rows = _locate_data(data, sum(parameter.bits for parameter in parameters))
    handle.seek(data.base + begin)
    read = _read_integers if kind == "I" else _read_floats
    events = read(handle, rows, parameters, _is_big_endian(data))
    ranges = np.array([parameter.range for parameter in parameters])
    ranges.flags.writeable = False
    channels = tuple(data.keywords.get(f"$P{number}N", f"P{number}") for number in numbers)
    return FcsFile(
        path=path,
        version=data.version,
        keywords=data.keywords,
        channels=channels,
        labels=tuple(data.keywords.get(f"$P{number}S", "") for number in numbers),
        ranges=ranges,
        events=events,
        notes=(*data.notes, *_notes(data, channels, events)),
    )


def _parameter(data: DataSet, number: int, kind: str) -> _Parameter:
    name = f"$P{number}"
    bits = data.integer(f"{name}B")
    if bits not in {"I": range(1, 65), "F": (32,), "D": (64,)}[kind]:
        expected = {"I": "1 to 64", "F": "32", "D": "64"}[kind]
        raise data.fail(f"{name}B is {bits}; expected {expected} with $DATATYPE {kind}")
    (span,) = data.numbers(f"{name}R", 1, "")
    if span < 0 or (kind == "I" and not (1 <= span <= 2**53 and span == int(span))):
        raise data.fail(f"{name}R is {span:g}; expected the number of values of the channel")
    decades, zero = data.numbers(f"{name}E", 2, "0,0")
    (gain,) = data.numbers(f"{name}G", 1, "1")
    if decades < 0 or zero < 0 or gain <= 0:
        raise data.fail(
            f"{name}E is {decades:g},{zero:g} and {name}G {gain:g}; expected nothing below 0 and a "
            "gain above 0"
        )
    if decades and (kind != "I" or gain != 1):
        raise data.fail(
            f"{name}E is {decades:g},{zero:g} with $DATATYPE {kind} and {name}G {gain:g}; the "
            "standard has 0,0 for floating-point data and no gain with a logarithmic amplifier"
        )
    if decades:
        if zero == 0:
            data.notes.append(f"{name}E is {decades:g},0: read as {decades:g},1 (FCS 3.1)")
        return _Parameter(bits, span, decades=decades, zero=zero or 1.0)
    if data.text(f"{name}N").lower() != "time":
        return _Parameter(bits, span, gain=gain)
    (step,) = data.numbers("$TIMESTEP", 1, "1")
    if step <= 0:
        raise data.fail(f"$TIMESTEP is {step:g}; expected seconds above 0")
    return _Parameter(bits, span, step=step)


def _is_big_endian(data: DataSet) -> bool:
    order = data.text("$BYTEORD").replace(" ", "").split(",")
    ascending = [str(number) for number in range(1, len(order) + 1)]
    if len(order) not in (2, 4, 8) or order not in (ascending, ascending[::-1]):
        raise data.fail(
            f"$BYTEORD is {told(data.text('$BYTEORD'))}; expected 1,2,3,4 or 4,3,2,1: mixed orders "
            "are not read"
        )
    return order != ascending


def _locate_data(data: DataSet, row_bits: int) -> tuple[int, int]:
    """The first byte of DATA and the number of events.

    TEXT and HEADER both give the place; the right one is that whose length is that of $TOT events.
    A last byte one too high is frequent and accepted. In FCS 2.0 HEADER goes first.
    """
    spans = {
        "TEXT": (data.integer("$BEGINDATA", 0), data.integer("$ENDDATA", 0)),
        "HEADER": data.data_span,
    }
    if data.version == "2.0":
        spans = dict(reversed(spans.items()))
    spans = {name: span for name, span in spans.items() if any(span)}
    told = "; ".join(f"{begin} to {end} in {name}" for name, (begin, end) in spans.items())
    lengths = {name: end - begin + 1 for name, (begin, end) in spans.items()}
    if data.text("$TOT"):
        rows = data.integer("$TOT")
    else:  # optional in FCS 2.0
        rows, rest = divmod(8 * max([0, *lengths.values()]), row_bits)
        if rest or rows == 0:
            raise data.fail(
                f"$TOT is absent, and DATA ({told or 'nowhere'}) is no whole number of events of "
                f"{row_bits} bits"
            )
        data.notes.append(f"$TOT is absent: {rows} events from the length of DATA")
    size = (rows * row_bits + 7) // 8
    if size == 0 and all(length <= 1 for length in lengths.values()):
        data.notes.append("no events")
        return HEADER_BYTES, 0
    text_begin, text_end = data.text_span
    slack = 1 if row_bits > 8 else 0  # else one byte may be an event
    fitting = [
        name
        for name, (begin, _) in spans.items()
        if size <= lengths[name] <= size + slack
        and HEADER_BYTES <= begin <= data.size - size
        and (begin > text_end or begin + size <= text_begin)
    ]
    exact = [name for name in fitting if lengths[name] == size]
    if len({spans[name][0] for name in exact or fitting}) != 1:
        raise data.fail(
            f"$TOT {rows} with {row_bits} bits an event needs {size} bytes; DATA is said to be at "
            f"bytes {told or '(nowhere)'}, the file has {data.size}, TEXT is at {text_begin} to "
            f"{text_end}: expected one place that fits",
            "The file is cut off or $TOT, $PAR, $PnB or offsets are wrong: copy or export it again.",
        )
    used = (exact or fitting)[0]
    if len(set(spans.values())) > 1:
        data.notes.append(f"HEADER and TEXT offsets of DATA differ ({told}): {used} used")
    if lengths[used] != size:
        data.notes.append(f"the last byte of DATA is one too high in {used}")
    return spans[used][0], rows


def _read_floats(
    handle: BinaryIO, rows: int, parameters: list[_Parameter], big_endian: bool
) -> np.ndarray:
    dtype = np.dtype(f"{'>' if big_endian else '<'}f{parameters[0].bits // 8}")
    events = np.fromfile(handle, dtype, rows * len(parameters)).reshape(rows, len(parameters))
    if not dtype.isnative:
        events = events.byteswap(inplace=True).view(dtype.newbyteorder())
    for block in _blocks(events):
        for column, parameter in enumerate(parameters):
            if parameter.is_scaled:
                with np.errstate(over="ignore", invalid="ignore"):  # the notes tell of such values
                    block[:, column] = parameter.linear(block[:, column])
    events.flags.writeable = False
    return events


def _read_integers(
    handle: BinaryIO, rows: int, parameters: list[_Parameter], big_endian: bool
) -> "StoredIntegers":
    size = (rows * sum(parameter.bits for parameter in parameters) + 7) // 8
    return StoredIntegers(np.fromfile(handle, np.uint8, size), rows, parameters, big_endian)


class StoredIntegers:
    """Integer events as the file has them, (n_events, n_channels); linear values where asked for.

    `events[rows, columns]` is an array of `dtype`, computed at once and not kept; rows are a slice,
    booleans or numbers, columns a number, a slice or a list.
    """

    def __init__(
        self, raw: np.ndarray, rows: int, parameters: Sequence[_Parameter], big_endian: bool
    ) -> None:
        self._raw, self._parameters, self._big_endian = raw, parameters, big_endian
        self._widths = [parameter.bits for parameter in parameters]
        # Bits above the range may hold anything; FCS 3.0 (3.3, $PnR) asks for a mask.
        used = [min(p.bits, int(p.range - 1).bit_length()) for p in parameters]
        self._masks = np.array([(1 << bits) - 1 for bits in used], np.uint64)
        plain = max(used) <= 24 and not any(p.is_scaled for p in parameters)
        self.dtype = np.dtype(np.float32 if plain else np.float64)
        self.shape = (rows, len(parameters))
        self._tables: dict[int, np.ndarray] = {}
        for column, (p, bits) in enumerate(zip(parameters, used, strict=True)):
            if p.decades and bits <= 16:  # looking up is quicker than a power of 10 an event
                with np.errstate(over="ignore", invalid="ignore"):
                    self._tables[column] = p.linear(np.arange(1 << bits))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, key) -> np.ndarray:
        rows, column = key if isinstance(key, tuple) else (key, slice(None))
        if isinstance(column, int | np.integer):
            return self._pick(rows, [int(column)])[:, 0]
        return self._pick(rows, list(np.arange(self.shape[1])[column]))

    def _pick(self, rows, columns: list[int]) -> np.ndarray:
        if isinstance(rows, slice):
            begin, end, step = rows.indices(len(self))
            if step != 1:
                return self._pick(np.arange(begin, end, step), columns)
            out = np.empty((max(0, end - begin), len(columns)), self.dtype)
            for start, stored in self._stored(begin, end):
                low, high = max(begin, start), min(end, start + len(stored))
                out[low - begin : high - begin] = self._linear(
                    stored[low - start : high - start], columns
                )
            return out
        numbers = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        out = np.empty((len(numbers), len(columns)), self.dtype)
        order = np.argsort(numbers, kind="stable")
        done = 0
        for start, stored in self._stored(0, len(self)):
            until = int(np.searchsorted(numbers, start + len(stored), sorter=order))
            at = order[done:until]
            out[at] = self._linear(stored[numbers[at] - start], columns)
            done = until
        return out

    def _stored(self, begin: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks of integers (k, n_channels) that hold the rows, with the number of their first."""
        step, bits = _block_rows(self.shape[1]), sum(self._widths)
        for start in range(begin - begin % step, end, step):
            rows = min(step, len(self) - start)
            raw = self._raw[start * bits // 8 : ((start + rows) * bits + 7) // 8]
            yield start, _unpack(raw, rows, self._widths, self._big_endian)

    def _linear(self, stored: np.ndarray, columns: list[int]) -> np.ndarray:
        out = np.empty((len(stored), len(columns)), self.dtype)
        for at, column in enumerate(columns):
            values = stored[:, column] & self._masks[column].astype(stored.dtype)
            parameter = self._parameters[column]
            if column in self._tables:
                out[:, at] = self._tables[column][values]
            elif parameter.is_scaled:
                with np.errstate(over="ignore", invalid="ignore"):  # the notes tell of such values
                    out[:, at] = parameter.linear(values)
            else:
                out[:, at] = values
        return out


def _unpack(raw: np.ndarray, rows: int, widths: list[int], big_endian: bool) -> np.ndarray:
    """Unsigned integers (rows, len(widths)) of these widths in bits, packed without gaps.

    Big-endian data are a stream of bits with the most significant first, little-endian data one
    with the least significant first; for whole bytes this is the byte order.
    """
    if len(set(widths)) == 1 and widths[0] in (8, 16, 32, 64):
        return raw.view(f"{'>' if big_endian else '<'}u{widths[0] // 8}").reshape(rows, -1)
    unit = 1 if any(width % 8 for width in widths) else 8  # bits taken in one step
    if unit == 1:
        raw = np.unpackbits(raw, bitorder="big" if big_endian else "little")
    units = raw[: rows * sum(widths) // unit].reshape(rows, -1)
    values = np.zeros((rows, len(widths)), np.uint64)
    begin = 0
    for column, width in enumerate(widths):
        span = range(begin, begin := begin + width // unit)
        for position in span if big_endian else reversed(span):
            values[:, column] = values[:, column] << np.uint64(unit) | units[:, position]
    return values


def _block_rows(channels: int) -> int:
    """A multiple of 8, so that packed bits end with a byte."""
    return 8 * max(1, BLOCK_VALUES // (8 * channels))


def _blocks(events: "np.ndarray | StoredIntegers") -> Iterator[np.ndarray]:
    step = _block_rows(events.shape[1])
    return (events[start : start + step] for start in range(0, len(events), step))


def _notes(data: DataSet, channels: tuple[str, ...], events: np.ndarray) -> Iterator[str]:
    count = len(channels)
    unnamed = [f"P{number}" for number in range(1, count + 1) if not data.text(f"$P{number}N")]
    if unnamed:
        yield f"channels without a name ($PnN): {listed(unnamed)}"
    if f"$P{count + 1}N" in data.keywords:
        yield f"$P{count + 1}N is there, although $PAR is {count}"
    for name, times in Counter(channels).items():
        if times > 1:
            yield f"{times} channels have the name {shown(name)}"
    there = [key for key in SPILLOVER_KEYWORDS if data.text(key) not in ("", "0")]
    if len({data.text(key) for key in there}) > 1:
        yield f"{' and '.join(there)} differ: {there[0]} is used"
    if not there and data.text("$COMP") not in ("", "0"):
        if _is_applied(data.text("$COMP")):
            yield "$COMP is a compensation done at acquisition (FCS 3.0): not applied again"
        else:
            yield "$COMP is read as a spillover matrix, a row a fluorochrome"
    bad = zip(channels, _not_finite(events), strict=True)
    if told := [f"{channel} {times}" for channel, times in bad if times]:
        yield f"NaN or infinite values, of {len(events)} events: {listed(told)}"


def _not_finite(events: np.ndarray) -> np.ndarray:
    """How many values of each channel are NaN or infinite, int (n_channels,)."""
    counts = np.zeros(events.shape[1], int)
    for block in _blocks(events):
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(block.sum()):  # a finite sum has finite terms only, and is quick
                counts += (~np.isfinite(block)).sum(axis=0)
    return counts


def _is_applied(comp: str) -> bool:
    """Whether $COMP has the form of FCS 3.0, percentages already subtracted with 0 on the diagonal,
    and not that of a spillover matrix."""
    size, *numbers = comp.split(",")
    diagonal = [to_number(number) for number in numbers[:: round(len(numbers) ** 0.5) + 1]]
    return size.strip() == f"{len(diagonal)}" and not any(diagonal)
