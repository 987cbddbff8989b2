"""Readers of plate exports: layouts by example, refusals by name, file and line."""

import math

import pytest

from immunotrace.errors import InputError
from immunotrace.plates.readers import READERS, read_export, sniff_format

ROWS = "ABCDEFGH"


def counts(row: int, column: int) -> int:
    return 1000 * row + column


def topcount_grid(change=lambda lines: lines) -> bytes:
    lines = ["\t".join(["    ", *(str(c) for c in range(1, 13))])]
    lines += [
        "\t".join([f"{r:<4}", *(str(counts(i, c)) for c in range(1, 13))])
        for i, r in enumerate(ROWS)
    ]
    lines += ["", "\t".join(["    ", *(str(c) for c in range(1, 13))])]
    lines += [
        "\t".join([f"{r:<4}", *(f"09:{i:02d}:{c:02d}" for c in range(1, 13))])
        for i, r in enumerate(ROWS)
    ]
    return "\r\n".join(change(lines)).encode()


def write(tmp_path, content) -> str:
    path = tmp_path / "plate.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_topcount_grid_ignores_the_clock_times(tmp_path):
    grid = read_export(write(tmp_path, topcount_grid()), "topcount_grid")
    assert len(grid.wells) == 96
    assert grid.wells["C7"].value == counts(2, 7)
    assert grid.wells["H12"].value == counts(7, 12)


def test_topcount_grid_of_384_wells(tmp_path):
    rows = "ABCDEFGHIJKLMNOP"
    lines = ["\t".join(["    ", *map(str, range(1, 25))])]
    lines += [
        "\t".join([r, *(str(counts(i, c)) for c in range(1, 25))]) for i, r in enumerate(rows)
    ]
    path = write(tmp_path, "\r\n".join(lines))
    assert sniff_format(path) == "topcount_grid"
    assert read_export(path, "topcount_grid").wells["P24"].value == counts(15, 24)
    with pytest.raises(
        InputError, match=r"line 10: expected row I .* 24 columns has the rows A to P"
    ):
        read_export(write(tmp_path, "\r\n".join(lines[:9])), "topcount_grid")


def test_topcount_grid_twice_needs_a_name(tmp_path):
    path = write(tmp_path, topcount_grid() + b"\r\n\r\n" + topcount_grid())
    with pytest.raises(
        InputError, match=r"2 grids of data: 'grid 1' \(line 1\), 'grid 3' \(line 2"
    ):
        read_export(path, "topcount_grid")
    assert read_export(path, "topcount_grid", "grid 3").line > 20
    with pytest.raises(InputError, match="no grid named 'grid 2'"):
        read_export(path, "topcount_grid", "grid 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:4] + lines[5:], r"line 5: row E; expected row D"),
        (lambda lines: lines[:8], r"line 9: expected row H"),
        (
            lambda lines: [lines[0], lines[1].rsplit("\t", 1)[0], *lines[2:]],
            r"line 2: 11 cells in row A",
        ),
        (lambda lines: [lines[0].rsplit("\t", 1)[0], *lines[1:]], r"heading of 11 columns"),
        (lambda lines: ["nothing", "of the kind"], r"line 1: no TopCount grid"),
        (lambda lines: lines[10:], r"no grid of readings"),
    ],
)
def test_topcount_grid_refusals_name_the_line(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_export(write(tmp_path, topcount_grid(change)), "topcount_grid")


def test_topcount_list_counts_along_the_rows(tmp_path):
    lines = ["index ,count ,time", *(f"{i} ,{10 * i} ,09:00:{i % 60:02d}" for i in range(1, 97))]
    grid = read_export(write(tmp_path, "\r\n".join(lines)), "topcount_list")
    assert grid.wells["A1"].value == 10
    assert grid.wells["B1"].value == 130
    assert grid.wells["H12"].value == 960


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("97 ,5 ,09:00:00", "line 3.*index from 1 to 96"),
        ("2 ,5", "line 3.*expected 3 cells"),
        ("1 ,5 ,09:00:00", "line 3: well A1 a second time"),
    ],
)
def test_topcount_list_refusals(tmp_path, line, message):
    path = write(tmp_path, f"index ,count ,time\r\n1 ,7 ,09:00:00\r\n{line}\r\n")
    with pytest.raises(InputError, match=message):
        read_export(path, "topcount_list")


@pytest.mark.parametrize("text", ["", "OVRFLW", "1,234", "nan", "inf", "1e999", "#"])
def test_unreadable_wells_keep_their_text_and_are_never_zero(tmp_path, text):
    path = write(tmp_path, f"\t1\t2\nA\t{text}\t5\n")
    reading = read_export(path, "plain_grid").wells["A1"]
    assert math.isnan(reading.value)
    assert (reading.text, reading.line) == (text, 2)


def test_plain_grids_are_named_by_the_line_above(tmp_path):
    path = write(tmp_path, "cpm\n,1,2\nA,1,2\nB,3,4\n\ndpm\n,1,2\nA,5,6\nB,7,8\n")
    assert read_export(path, "plain_grid", "dpm").wells["B2"].value == 8
    with pytest.raises(InputError, match=r"'cpm' \(line 2\), 'dpm' \(line 7\)"):
        read_export(path, "plain_grid")


def test_grids_of_one_name_are_chosen_by_their_number(tmp_path):
    path = write(tmp_path, "cpm\n,1,2\nA,1,2\nB,3,4\n\ncpm\n,1,2\nA,5,6\nB,7,8\n")
    with pytest.raises(InputError, match=r"'cpm \(1\)' \(line 2\), 'cpm \(2\)' \(line 7\)"):
        read_export(path, "plain_grid", "cpm")
    assert read_export(path, "plain_grid", "cpm (2)").wells["B2"].value == 8


@pytest.mark.parametrize("title", ["Plate 1, 3H-thymidine", "day 3; two", ""])
@pytest.mark.parametrize("delimiter", ["\t", ";", ","])
def test_the_separator_is_that_of_the_grid_not_of_its_title(tmp_path, title, delimiter):
    lines = [["", "1", "2"], ["A", "11", "12"], ["B", "21", "22"]]
    text = "\n".join([title, *(delimiter.join(cells) for cells in lines)])
    path = write(tmp_path, text)
    assert sniff_format(path) == "plain_grid"
    assert read_export(path, "plain_grid").wells["B2"].value == 22


def test_digits_are_ascii(tmp_path):
    """A superscript two and an Arabic one are digits to Python, and no well, index or count here."""
    for text, message in (
        ("index ,count ,time\n\u00b2,5,0\n", "line 2: .* an index from 1 to 96"),
        ("index ,count ,time\n\u0661,5,0\n", "line 2: .* an index from 1 to 96"),
        ("well,value\nA\u0661,5\n", "line 2: .* in column well"),
    ):
        path = write(tmp_path, text)
        with pytest.raises(InputError, match=message):
            read_export(path, sniff_format(path))
    reading = read_export(write(tmp_path, "well,value\nA1,\u0661\nA2,5\n"), "long_csv").wells["A1"]
    assert math.isnan(reading.value)


def test_lines_of_an_old_mac_are_lines(tmp_path):
    path = write(tmp_path, "well,value\rA1,3\rA2,x\r")
    grid = read_export(path, sniff_format(path))
    assert grid.wells["A1"].value == 3
    assert grid.wells["A2"].line == 3


def test_long_csv(tmp_path):
    path = write(tmp_path, "well;value;note\nA01;12.5;x\nb2;1e3;\n")
    grid = read_export(path, "long_csv")
    assert {well: reading.value for well, reading in grid.wells.items()} == {"A1": 12.5, "B2": 1000}
    with pytest.raises(InputError, match=r"line 2: 'Q1' in column well"):
        read_export(write(tmp_path, "well,value\nQ1,3\n"), "long_csv")
    with pytest.raises(InputError, match="expected `well` and `value`"):
        read_export(write(tmp_path, "place,value\nA1,3\n"), "long_csv")


def test_encodings(tmp_path):
    text = topcount_grid().decode()
    for encoding in ("utf-8-sig", "utf-16"):
        grid = read_export(write(tmp_path, text.encode(encoding)), "topcount_grid")
        assert grid.wells["A1"].value == 1
    with pytest.raises(InputError, match="line 1: a NUL"):
        read_export(write(tmp_path, text.encode("utf-16-le")), "topcount_grid")
    with pytest.raises(InputError, match="line 2: not UTF-8 text"):
        read_export(write(tmp_path, b"\t1\nA\xff\t3\n"), "plain_grid")


def test_unknown_format_and_absent_file(tmp_path):
    with pytest.raises(InputError, match="no reader for the format 'excel'"):
        read_export(write(tmp_path, ""), "excel")
    with pytest.raises(InputError, match="No such file"):
        read_export(tmp_path / "absent.txt", "topcount_grid")


@pytest.mark.parametrize("format", READERS)
def test_a_file_of_nothing_is_refused(tmp_path, format):
    with pytest.raises(InputError):
        read_export(write(tmp_path, ""), format)
