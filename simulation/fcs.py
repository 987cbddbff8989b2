"""A writer of FCS 3.1 files (list mode, 32-bit floats, little endian).

Spidlen et al. 2010, Data File Standard for Flow Cytometry, version FCS 3.1, Cytometry A 77A:97.
"""

from pathlib import Path

import numpy as np

DELIMITER = "/"
HEADER_BYTES = 58


def write_fcs(
    path: str | Path,
    events: np.ndarray,
    channels: list[tuple[str, str]],
    keywords: dict[str, str],
    value_range: int,
) -> None:
    """Write events (rows) x channels (columns) with the keywords that the standard requires.

    `channels` are pairs of $PnN and $PnS (left out where empty); `keywords` are the optional ones.
    Raises ValueError where a keyword's value is empty or holds the delimiter.
    """
    if events.ndim != 2 or events.shape[1] != len(channels):
        raise ValueError(f"{events.shape} events do not fit {len(channels)} channels")
    data = np.ascontiguousarray(events, dtype="<f4").tobytes()
    required = {
        "$BEGINANALYSIS": "0",
        "$ENDANALYSIS": "0",
        "$BEGINSTEXT": "0",
        "$ENDSTEXT": "0",
        "$BYTEORD": "1,2,3,4",
        "$DATATYPE": "F",
        "$MODE": "L",
        "$NEXTDATA": "0",
        "$PAR": str(len(channels)),
        "$TOT": str(len(events)),
    }
    for number, (name, stain) in enumerate(channels, start=1):
        required[f"$P{number}N"] = name
        required[f"$P{number}B"] = "32"
        required[f"$P{number}E"] = "0,0"
        required[f"$P{number}R"] = str(value_range)
        if stain:
            required[f"$P{number}S"] = stain
    body = _text(required | keywords)
    # The offsets are padded with zeros: so the TEXT segment's length does not depend on them.
    text_bytes = len(_text({"$BEGINDATA": "0" * 10, "$ENDDATA": "0" * 10})) + len(body) - 1
    begin_data = HEADER_BYTES + text_bytes
    end_data = begin_data + len(data) - 1
    offsets = _text({"$BEGINDATA": f"{begin_data:010d}", "$ENDDATA": f"{end_data:010d}"})
    text = (offsets + body[1:]).encode("utf-8")
    fits = end_data <= 99_999_999
    segments = (HEADER_BYTES, begin_data - 1, *((begin_data, end_data) if fits else (0, 0)), 0, 0)
    header = "FCS3.1    " + "".join(f"{offset:>8d}" for offset in segments)
    Path(path).write_bytes(header.encode("ascii") + text + data)


def spillover_keyword(names: list[str], matrix: np.ndarray) -> str:
    """The value of $SPILLOVER: count, channel names, the matrix row by row."""
    numbers = [f"{value:g}" for value in matrix.ravel()]
    return ",".join([str(len(names)), *names, *numbers])


def _text(keywords: dict[str, str]) -> str:
    for keyword, value in keywords.items():
        if not value or DELIMITER in value or not value.isascii():
            raise ValueError(f"{keyword}: {value!r} cannot be written in an FCS file")
    pairs = "".join(
        f"{DELIMITER}{keyword}{DELIMITER}{value}" for keyword, value in keywords.items()
    )
    return pairs + DELIMITER
