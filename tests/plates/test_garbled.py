"""Exports spoilt on their way: every format, every way, a message that names the file and the line."""

import logging
import re

import pytest

from immunotrace.errors import InputError
from immunotrace.plates.readers import READERS
from immunotrace.plates.wells import read_plates

ROWS, COLUMNS = "ABCDEFGH", range(1, 13)
MAP = [
    {"well": f"{row}{column}", "well_role": "sample", "dose": float(column)}
    if column < 12
    else {"well": f"{row}{column}", "well_role": "control"}
    for row in ROWS
    for column in COLUMNS
]


def count(row, column):
    return 1000 + 100 * ROWS.index(row) + column


def grid(delimiter):
    heading = delimiter.join(["", *map(str, COLUMNS)])
    return [heading] + [delimiter.join([r, *(str(count(r, c)) for c in COLUMNS)]) for r in ROWS]


def in_order():
    return enumerate(((r, c) for r in ROWS for c in COLUMNS), start=1)


# The lines of a plate, and of a second plate in the same file; how a well's line begins.
EXPORTS = {
    "topcount_grid": (grid("\t"), ["", *grid("\t")]),
    "topcount_list": (
        ["index ,count ,time", *(f"{i} ,{count(*w)} ,09:00:{i % 60:02d}" for i, w in in_order())],
        ["index ,count ,time", *(f"{i} ,{count(*w)} ,09:00:{i % 60:02d}" for i, w in in_order())],
    ),
    "plain_grid": (["cpm", *grid(",")], ["", "dpm", *grid(",")]),
    "long_csv": (
        ["well,value", *(f"{r}{c},{count(r, c)}" for _, (r, c) in in_order())],
        [f"{r}{c},{count(r, c)}" for _, (r, c) in in_order()],
    ),
    "beckman_ls": (
        ["Sam,Rack,CPM Iso1,%Err1", *(f"{i},1,{count(*w)},1" for i, w in in_order())],
        [f"{i},2,{count(*w)},1" for i, w in in_order()],
    ),
    "bmg_mars": (["User: X", "Raw Data (450)", *grid(",")], ["Raw Data (620)", *grid(",")]),
    "envision": (
        ["Plate information", "Plate,Repeat", "1,1", "Results for LUM", *grid(",")],
        ["Plate information", "Plate,Repeat", "2,1", "Results for LUM", *grid(",")],
    ),
    "gen5": (
        ["Software Version\t3.10", "Results", *(line + "\tLUM" * (k > 0) for k, line in enumerate(grid("\t")))],
        ["Results", *(line + "\tOD" * (k > 0) for k, line in enumerate(grid("\t")))],
    ),
    "hidex": (
        [f"Sample start\nWName;{r}{c:02d}\nCPM;{count(r, c)}" for _, (r, c) in in_order()],
        [f"Sample start\nWName;{r}{c:02d}\nCPM;{count(r, c)}" for _, (r, c) in in_order()],
    ),
    "kaleido": (
        ["EnSight Results from X", "Result for Plate 1", *grid(",")],
        ["Result for Plate 2", *grid(",")],
    ),
    "softmax": (
        [
            "##BLOCKS= 1", "Plate:\tP1\t1.3\tTimeFormat\tEndpoint",
            "\t".join(["", "T", *(f"{r}{c}" for _, (r, c) in in_order())]),
            "\t".join(["", "25", *(str(count(r, c)) for _, (r, c) in in_order())]),
        ],
        [
            "Plate:\tP2\t1.3\tTimeFormat\tEndpoint",
            "\t".join(["", "T", *(f"{r}{c}" for _, (r, c) in in_order())]),
            "\t".join(["", "25", *(str(count(r, c)) for _, (r, c) in in_order())]),
        ],
    ),
}  # fmt: skip


def read(tmp_path, format, content):
    path = tmp_path / "export.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    row = dict(
        plate="p", subject="S", role="patient", day=0, drug="d", dose_unit="nM", readout="cpm",
        format=format, file=str(path), map=MAP,
    )  # fmt: skip
    return read_plates([row], {"exclude_outlier_wells": False})[0].set_index("well")


def text_of(format):
    return "\n".join(EXPORTS[format][0]) + "\n"


def test_every_text_format_is_here():
    assert set(EXPORTS) == set(READERS) - {"xlsx_grid", "magellan"}


@pytest.mark.parametrize("format", EXPORTS)
def test_a_whole_export_is_read(tmp_path, format):
    wells = read(tmp_path, format, text_of(format))
    assert wells["value"].to_dict() == {f"{r}{c}": count(r, c) for r in ROWS for c in COLUMNS}


@pytest.mark.parametrize("format", EXPORTS)
def test_wrong_encoding(tmp_path, format):
    """A micro sign as Windows writes it, on the line of well C5 and as an own line before it."""
    before, after = text_of(format).split(str(count("C", 5)))
    line = before.count("\n") + 1
    spoilt = before.encode() + b"\xb5" + after.encode()
    with pytest.raises(InputError, match=rf"export.txt line {line}: not UTF-8 text"):
        read(tmp_path, format, spoilt)


@pytest.mark.parametrize("format", EXPORTS)
def test_a_missing_row(tmp_path, format):
    """Without the wells of row D: refused by line, or the wells of the map named that are not there."""
    text = text_of(format)
    if format == "softmax":
        lines = text.split("\n")
        cut = [line.split("\t") for line in lines]
        for k in (2, 3):
            cut[k] = cut[k][: 2 + 36] + cut[k][2 + 48 :]
        text = "\n".join("\t".join(cells) for cells in cut)
    else:
        parts = EXPORTS[format][0]
        numbers = {str(count("D", c)) for c in COLUMNS}
        kept = [part for part in parts if not numbers & set(re.findall(r"\d+", part))]
        assert len(kept) < len(parts)
        text = "\n".join(kept) + "\n"
    with pytest.raises(InputError, match=r"export.txt.*line \d+") as caught:
        read(tmp_path, format, text)
    assert re.search(r"row E; expected row D|D1, D2, .*D12|row D", str(caught.value))


@pytest.mark.parametrize("format", EXPORTS)
def test_text_in_a_well(tmp_path, format, caplog):
    before, after = text_of(format).split(str(count("C", 5)))
    line = before.count("\n") + 1
    with caplog.at_level(logging.WARNING):
        wells = read(tmp_path, format, f"{before}OVRFLW{after}")
    assert wells.loc["C5", "flag"] == "unreadable: OVRFLW"
    assert not wells.loc["C5", "used"]
    assert wells["value"].isna().sum() == 1
    assert re.search(rf"export.txt line {line}: well C5 holds 'OVRFLW'", caplog.text)


@pytest.mark.parametrize("format", EXPORTS)
def test_two_grids(tmp_path, format):
    first, second = EXPORTS[format]
    with pytest.raises(InputError, match=r"export.txt.*line \d+") as caught:
        read(tmp_path, format, "\n".join([*first, *second]) + "\n")
    assert re.search(r"2 grids of data|a second time|expected .* cells", str(caught.value))
