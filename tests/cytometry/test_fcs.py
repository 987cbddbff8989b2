"""The FCS reader against files and readers that are not ours, the standard's examples, and noise."""

import builtins
import csv
import random
import re
import tracemalloc

import flowio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immunotrace.cytometry import fcs_text
from immunotrace.cytometry.fcs import (
    Spillover,
    compensate,
    find_channel,
    parse_spillover,
    read_fcs,
    read_spillover_csv,
)
from immunotrace.errors import InputError

MIB = 1 << 20


# --- a small writer -----------------------------------------------------------------------------


def build(data=b"", keywords=None, *, version="FCS3.1", delimiter="/", supplemental=None, tail=b""):
    """An FCS file: HEADER, TEXT with the keywords as given (delimiters doubled), DATA, `tail`.

    The keywords of the segments are added where they are not given; None leaves a keyword out.
    """
    filler = {"$BEGINDATA": "0" * 12, "$ENDDATA": "0" * 12}
    if supplemental is not None:
        filler |= {"$BEGINSTEXT": "0" * 12, "$ENDSTEXT": "0" * 12}
    filler |= keywords or {}

    def text(pairs):
        return delimiter + "".join(
            f"{key}{delimiter}{value.replace(delimiter, delimiter * 2)}{delimiter}"
            for key, value in pairs.items()
            if value is not None
        )

    begin = 58 + len(text(filler).encode())
    end = begin + len(data) - 1
    extra = b"" if supplemental is None else text(supplemental).encode()
    offsets = {"$BEGINDATA": begin, "$ENDDATA": end}
    if supplemental is not None:
        offsets |= {"$BEGINSTEXT": end + 1, "$ENDSTEXT": end + len(extra)}
    filled = {key: f"{number:012d}" for key, number in offsets.items()} | (keywords or {})
    header = f"{version:10}{58:8}{begin - 1:8}{begin:8}{end:8}{0:8}{0:8}"
    return header.encode() + text(filler | filled).encode() + data + extra + tail


def described(widths, ranges, rows, *, kind="I", order="1,2,3,4", **more):
    """The required keywords for parameters of these widths and ranges, and `more` of them, where
    P1E stands for $P1E."""
    keywords = {"$BYTEORD": order, "$DATATYPE": kind, "$MODE": "L", "$NEXTDATA": "0"}
    keywords |= {"$PAR": str(len(widths)), "$TOT": str(rows)}
    for number, (width, span) in enumerate(zip(widths, ranges, strict=True), start=1):
        keywords |= {f"$P{number}B": str(width), f"$P{number}R": str(span)}
        keywords |= {f"$P{number}E": "0,0", f"$P{number}N": f"C{number}"}
    return keywords | {f"${key}": value for key, value in more.items()}


def packed(values, widths, big_endian):
    """Integers as one stream of bits, made with Python's integers of any size."""
    stream, length = 0, 0
    for row in values:
        for value, width in zip(row, widths, strict=True):
            stream = stream << width | value if big_endian else stream | value << length
            length += width
    size = (length + 7) // 8
    if big_endian:
        stream <<= size * 8 - length
    return stream.to_bytes(size, "big" if big_endian else "little")


@pytest.fixture
def file(tmp_path):
    """A function that writes bytes to a file and returns its path."""

    def write(content):
        path = tmp_path / "made.fcs"
        path.write_bytes(content)
        return path

    return write


# --- the index of malformed files ---------------------------------------------------------------

# What each file must do: a pattern of the message that refuses it, or of the note that tells what
# is odd ("" where nothing is). "SPILL" files read, and refuse their spillover.
REFUSED = {
    "01_truncated_data.fcs": r"\$TOT 500 .* the file has 19603",
    "03_truncated_text.fcs": r"TEXT is said to be at bytes 58 to 4002.* 1558 bytes",
    "05_tot_too_low.fcs": r"\$TOT 250",
    "07_par_too_low.fcs": r"\$TOT 500 with 384 bits",
    "11_datatype_X.fcs": r"\$DATATYPE 'X'",
    "13_byteord_mixed.fcs": r"\$BYTEORD is '3,4,1,2'",
    "15_negative_offsets.fcs": r"HEADER bytes 26 to 33 are '-100'",
    "18_empty_file.fcs": r"has 0 bytes",
    "21b_tot_1e12_enddata.fcs": r"\$TOT 1000000000000",
    "30_version_9.fcs": r"version 'FCS9\.9'",
    "31_nextdata_loop.fcs": r"\$NEXTDATA is 1",
    "33_pne_bad.fcs": r"\$P5E is 'a,b'",
    "34_png_zero.fcs": r"\$P5G 0",
    "37_int_pnr_0.fcs": r"\$P1R is 0",
}
READ = {
    "00_good_rebuilt.fcs": "",
    "09_zero_events.fcs": "no events",
    "09c_one_event.fcs": "",
    "17_missing_final_delim.fcs": "does not end with its delimiter",
    "20_nan_inf.fcs": "NaN or infinite values, of 500 events: .* 3, .* 500",
    "22_duplicate_names.fcs": "2 channels have the name",
    "23_non_utf8.fcs": "Latin-1",
    "24_spill_singular.fcs": "",
    "24c_spill_zero.fcs": "",
    "26_spill_short.fcs": "",
    "26c_spill_nan.fcs": "",
    "27_hdr_text_start_mismatch.fcs": "4003 to 30002 in TEXT; 4004 to 30002 in HEADER.*TEXT used",
    "27c_enddata_plus1_at_eof.fcs": "last byte of DATA is one too high",
    "29_empty_value.fcs": r"empty value: \$OP",
    "29c_empty_pns_eats_next_name.fcs": r"empty value: \$P5S",
    "29e_delimiter_caret.fcs": "",
    "29g_delimiter_dot.fcs": "",
    "35_formula_injection.fcs": "",
    "39_no_tot.fcs": r"\$TOT is absent: 500 events",
}
SPILLOVER_REFUSED = {
    "22_duplicate_names.fcs": r"SPILL: names the channel .* 2 times",
    "24_spill_singular.fcs": "condition number",
    "24c_spill_zero.fcs": "condition number",
    "26_spill_short.fcs": r"SPILL: begins with '8' and has 13 more fields",
    "26c_spill_nan.fcs": r"SPILL: the spillover from .* is 'nan'",
}
EVENTS_DIFFER = {"09_zero_events.fcs": 0, "09c_one_event.fcs": 1, "20_nan_inf.fcs": 500}


def test_the_index_of_malformed_files_is_covered(reference):
    with open(reference / "malformed_fcs" / "index.csv", newline="") as handle:
        index = {row["file"]: row["sensible_behaviour"] for row in csv.DictReader(handle)}
    assert index.keys() == REFUSED.keys() | READ.keys()
    for name, sensible in index.items():
        must_refuse = sensible.startswith("reject") and not re.search(
            "warn|derive|compensation", sensible
        )
        assert not (must_refuse and name in READ), sensible
        assert not (sensible.startswith("accept") and name in REFUSED), sensible


@pytest.mark.parametrize(("name", "pattern"), REFUSED.items())
def test_malformed_file_is_refused_by_name(reference, name, pattern):
    path = reference / "malformed_fcs" / name
    with pytest.raises(InputError, match=pattern) as raised:
        read_fcs(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "note"), READ.items())
def test_awkward_file_is_read_right(reference, name, note):
    folder = reference / "malformed_fcs"
    fcs = read_fcs(folder / name)
    assert re.search(note, "; ".join(fcs.notes)) if note else fcs.notes == ()
    # The independent value: FlowIO's of the untouched file.
    control = flowio.FlowData(str(folder / "00_good_rebuilt.fcs"))
    values = control.as_array().astype(np.float32)
    if name in EVENTS_DIFFER:
        assert fcs.events.shape == (EVENTS_DIFFER[name], 13)
        same = np.isfinite(fcs.events)
        np.testing.assert_array_equal(fcs.events[same], values[: len(same)][same])
    else:
        np.testing.assert_array_equal(fcs.events, values)
        assert fcs.finite.all()
    if name != "22_duplicate_names.fcs":
        assert fcs.channels == tuple(control.pnn_labels)


@pytest.mark.parametrize(("name", "pattern"), SPILLOVER_REFUSED.items())
def test_bad_spillover_is_refused_at_compensation(reference, name, pattern):
    fcs = read_fcs(reference / "malformed_fcs" / name)
    with pytest.raises(InputError, match=pattern) as raised:
        compensate(fcs.events, fcs.channels, fcs.spillover)
    assert name in str(raised.value)


def test_not_finite_events_are_counted_and_can_be_left_out(reference):
    fcs = read_fcs(reference / "malformed_fcs" / "20_nan_inf.fcs")
    np.testing.assert_array_equal(fcs.finite, np.isfinite(fcs.events).all(axis=1))
    assert not fcs.finite.any()  # channel 7 is NaN throughout
    assert (~np.isfinite(fcs.events)).sum(axis=0).tolist() == [0] * 4 + [3, 0, 500] + [0] * 6


def test_empty_label_does_not_take_the_next_name(reference):
    fcs = read_fcs(reference / "malformed_fcs" / "29c_empty_pns_eats_next_name.fcs")
    assert (fcs.channels[5], fcs.labels[4]) == ("PE-A", "")
    assert find_channel(fcs, "PE-A") == 5


def test_text_of_the_file_is_kept_and_opens_nothing(reference, monkeypatch):
    opened = []
    plain_open = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda file, *rest, **more: opened.append(file) or plain_open(file, *rest)
    )
    path = reference / "malformed_fcs" / "35_formula_injection.fcs"
    fcs = read_fcs(path)
    assert ".." in fcs.keywords["$FIL"]
    assert fcs.labels[4].startswith("=")
    assert fcs.path == str(path)
    assert opened == [path]


# --- instruments' files -------------------------------------------------------------------------


def all_real_files(reference):
    cytometry = reference / "cytometry"
    return sorted(
        path
        for path in cytometry.rglob("*")
        if path.suffix in (".fcs", ".B08") and path.name not in NOT_READ
    )


NOT_READ = {
    "CytekNL2000_header_only.fcs": r"needs 2160000 bytes.*the file has 3931",
    "Stratedigm_variable_int.fcs": r"\$TIMESTEP is \(text of 9 characters\)",
    "Coulter_multidataset.lmd": "has 2 data set.*none was chosen.*1: FCS2.0.*2: FCS3.0",
}


@pytest.mark.parametrize(("name", "pattern"), NOT_READ.items())
def test_instrument_file_refused_for_a_reason(reference, name, pattern):
    with pytest.raises(InputError, match=pattern):
        read_fcs(reference / "cytometry" / "instruments" / name)


def test_all_real_files_equal_flowio_bitwise(reference):
    files = all_real_files(reference)
    assert len(files) >= 74
    for path in files:
        fcs = read_fcs(path)
        flow = flowio.FlowData(str(path), ignore_offset_error=True)
        expected = flow.as_array().astype(fcs.events.dtype)
        assert np.array_equal(fcs.events, expected), path
        assert flow.data_type == "F" or fcs.events.dtype == np.float64, path
        if path.name != "FACSCalibur_0877408774.B08":  # FlowIO loses a name, see below
            assert fcs.channels == tuple(flow.pnn_labels), path
            assert fcs.labels == tuple(flow.pns_labels), path
            assert fcs.ranges.tolist() == flow.pnr_values, path


def test_empty_labels_of_a_real_file(reference):
    fcs = read_fcs(reference / "cytometry" / "instruments" / "FACSCalibur_0877408774.B08")
    # Read by eye from TEXT, where `$P3S\\$P4S\\$P6N\FL1-A` has two empty values.
    assert fcs.channels == ("FSC-H", "SSC-H", "FL1-H", "FL2-H", "FL3-H", "FL1-A", "FL4-H", "Time")
    assert fcs.labels[2:7] == ("",) * 5


def test_data_sets_of_a_real_file(reference):
    path = reference / "cytometry" / "instruments" / "Coulter_multidataset.lmd"
    expected = flowio.read_multiple_data_sets(str(path), ignore_offset_error=True)
    assert len(expected) == 2
    for number, flow in enumerate(expected, start=1):
        fcs = read_fcs(path, dataset=number)
        assert np.array_equal(fcs.events, flow.as_array())
        assert fcs.channels == tuple(flow.pnn_labels)
    for number in (0, 3):
        with pytest.raises(InputError, match=f"data set {number} was asked for"):
            read_fcs(path, dataset=number)


def test_mixed_integer_widths_of_a_real_file(reference, file):
    source = reference / "cytometry" / "instruments" / "Stratedigm_variable_int.fcs"
    path = file(source.read_bytes().replace(b"\\xxxxxxxxx\\$TOT", b"\\000000001\\$TOT").replace(
        b"$TIMESTEP\\xxxxxxxxx", b"$TIMESTEP\\000000001"))  # fmt: skip
    fcs = read_fcs(path)
    assert np.array_equal(fcs.events, flowio.FlowData(str(path)).as_array())


def test_gigasom_compensation(reference):
    folder = reference / "cytometry" / "instruments"
    fcs = read_fcs(folder / "GigaSOM_5events_comp.fcs")
    expected = np.genfromtxt(
        folder / "GigaSOM_5events_comp_expected.csv", delimiter=",", skip_header=1
    )
    compensated = compensate(fcs.events, fcs.channels, fcs.spillover)
    np.testing.assert_allclose(compensated[:, 6:18], expected, rtol=1e-9)
    others = [*range(6), 18]
    np.testing.assert_array_equal(compensated[:, others], fcs.events[:, others])


# --- the standard's examples and rules ----------------------------------------------------------


def test_amplification_gain_and_mask_by_hand(file):
    # FCS 3.1, $PnE: 4 decades from 0.01 over 1024 channels, 512 is half of them: 0.01 * 10**2 = 1.
    # The bits above $PnR of the 16 are noise; 300 at a gain of 10 was 30.
    data = np.array([[512 | 0xFC00, 300, 7], [0, 1023, 1024]], "<u2").tobytes()
    keywords = described([16] * 3, [1024] * 3, 2, P1E="4.0,0.01", P2G="10.0", P3R="1000")
    fcs = read_fcs(file(build(data, keywords)))
    np.testing.assert_allclose(fcs.events, [[1, 30, 7], [0.01, 102.3, 0]], rtol=1e-15)
    assert fcs.ranges.tolist() == [1024, 1024, 1000]  # 1000 is masked like 1024


def test_time_step_of_the_standard(file):
    # FCS 3.0, $TIMESTEP: ticks of 1/60 s; a gain of the time is no gain.
    data = np.array([[0], [60], [65535]], ">u2").tobytes()
    keywords = described([16], [65536], 3, order="4,3,2,1", TIMESTEP="0.0167", P1N="TIME", P1G="9")
    fcs = read_fcs(file(build(data, keywords)))
    np.testing.assert_allclose(fcs.events[:, 0], [0, 1.002, 1094.4345], rtol=1e-12)
    assert fcs.keywords["$TIMESTEP"] == "0.0167"


def test_ten_bits_packed_by_hand(file):
    # 1, 2, 1023, 512 as 10 bits each, most significant first: 0000000001 0000000010 1111111111
    # 1000000000.
    data = bytes([0b00000000, 0b01000000, 0b00101111, 0b11111110, 0b00000000])
    fcs = read_fcs(file(build(data, described([10, 10], [1024] * 2, 2, order="4,3,2,1"))))
    assert fcs.events[:].tolist() == [[1, 2], [1023, 512]]
    assert fcs.events.dtype == np.float32


@pytest.mark.parametrize("order", ["1,2,3,4", "4,3,2,1"])
def test_24_bit_integers_by_hand(file, order):
    data = bytes([1, 2, 3]) if order == "1,2,3,4" else bytes([3, 2, 1])
    fcs = read_fcs(file(build(data, described([24], [1 << 24], 1, order=order))))
    assert fcs.events[:].tolist() == [[0x030201]]


def test_doubled_delimiters_of_the_standard(file):
    keywords = described([8], [256], 1, SYS="RSX-11/M", COM="a//b/", OP="/usr", P1N="530/30")
    content = build(b"\7", keywords | {"GUID": "", "$SRC": " "})
    assert b"$SYS/RSX-11//M/" in content  # as printed in FCS 3.0, 3.2.7
    fcs = read_fcs(file(content))
    for key, value in {"$SYS": "RSX-11/M", "$COM": "a//b/", "$OP": "/usr", "GUID": ""}.items():
        assert fcs.keywords[key] == value
    assert fcs.channels == ("530/30",)
    assert fcs.notes == ("keywords with an empty value: GUID",)


def test_keywords_are_case_insensitive_and_supplemental_text_counts(file):
    keywords = {k.lower(): v for k, v in described([32], [1024], 1, kind="F").items()}
    spill = {"$SPILLOVER": "1,C1,1", "$COM": "x/y"}
    data = np.array([1.5], "<f4").tobytes()
    fcs = read_fcs(file(build(data, keywords, supplemental=spill)))
    assert fcs.spillover.channels == ("C1",)
    assert fcs.keywords["$COM"] == "x/y"
    assert fcs.events[:].tolist() == [[1.5]]


def test_numbers_beyond_the_header_are_taken_from_text(file):
    # A file over 99,999,999 bytes has 0 in HEADER.
    content = bytearray(build(b"\7\10", described([8], [256], 2)))
    content[26:42] = f"{0:8}{0:8}".encode()
    assert read_fcs(file(bytes(content))).events[:].tolist() == [[7], [8]]


def test_offsets_that_both_fit_are_refused(file):
    content = bytearray(build(b"\7\10\7\10", described([16], [65536], 1, TOT="1"), tail=b"    "))
    begin = int(content[26:34])
    text = content.index(f"{begin + 3:012d}".encode())
    content[text : text + 12] = f"{begin + 1:012d}".encode()
    content[26:42] = f"{begin + 1:8}{begin + 2:8}".encode()
    with pytest.raises(InputError, match="expected one place that fits"):
        read_fcs(file(bytes(content)))


def test_one_of_several_data_sets(file):
    first = build(b"\1", described([8], [256], 1, NEXTDATA=None))
    length = len(build(b"\1", described([8], [256], 1, NEXTDATA="000000")))
    first = build(b"\1", described([8], [256], 1, NEXTDATA=f"{length:06}"))
    path = file(first + build(b"\2\3", described([8], [256], 2)))
    assert read_fcs(path, 1).events[:].tolist() == [[1]]
    assert read_fcs(path, 2).events[:].tolist() == [[2], [3]]
    with pytest.raises(InputError, match="none was chosen"):
        read_fcs(path)
    for number in (3, 0, -1):
        with pytest.raises(InputError, match=f"data set {number} was asked for"):
            read_fcs(path, number)
    alone = file(build(b"\1", described([8], [256], 1)))
    with pytest.raises(InputError, match=r"has 1 data set\(s\) and data set 0 was asked for"):
        read_fcs(alone, 0)


GOOD = described([32, 32], [1024, 1024], 2, kind="F")
REFUSALS = {
    "mode C": ({"$MODE": "C"}, r"\$MODE is 'C'"),
    "ASCII data": ({"$DATATYPE": "A"}, r"\$DATATYPE 'A'"),
    "no byte order": ({"$BYTEORD": None}, r"\$BYTEORD is ''"),
    "a float of 16 bits": ({"$P2B": "16"}, r"\$P2B is 16; expected 32"),
    "a missing width": ({"$P2B": None}, r"\$P2B is ''"),
    "a huge $PAR": ({"$PAR": "999999999999"}, r"\$P3B is ''"),
    "no parameters": ({"$PAR": "0"}, r"\$PAR 0"),
    "a logarithm of floats": ({"$P1E": "4,1"}, r"\$P1E is 4,1 with \$DATATYPE F"),
    "a negative gain": ({"$P1G": "-1"}, r"\$P1G -1"),
    "no range": ({"$P1R": None}, r"\$P1R is ''"),
    "a range that is no number": ({"$P1R": "1_000"}, r"\$P1R is '1_000'"),
    "a negative count": ({"$TOT": "-2"}, r"\$TOT is '-2'"),
    "a count in other digits": ({"$TOT": "\u0662"}, r"\$TOT is"),
    "a long count": ({"$TOT": "9" * 5000}, r"\$TOT is \(text of 5000 characters\)"),
    "one more event": ({"$TOT": "3"}, r"\$TOT 3 .* needs 24 bytes"),
    "two values": ({"$p1n": "x"}, r"\$P1N is there twice"),
    "time that stands still": ({"$P1N": "Time", "$TIMESTEP": "0"}, r"\$TIMESTEP is 0"),
    "$NEXTDATA behind the end": ({"$NEXTDATA": "999999"}, r"\$NEXTDATA is 999999"),
    "supplemental TEXT behind the end": (
        {"$BEGINSTEXT": "9999999", "$ENDSTEXT": "99999999"},
        "supplemental TEXT is said to be",
    ),
    "$PnR of integers beyond float64": (
        {"$DATATYPE": "I", "$P1R": str(1 << 60)},
        r"\$P1R is 1.15292e\+18",
    ),
    "a gain of a logarithm": (
        {"$DATATYPE": "I", "$P1E": "4,1", "$P1G": "2"},
        r"\$P1E is 4,1 .* \$P1G 2",
    ),
}


@pytest.mark.parametrize(("changes", "pattern"), REFUSALS.values(), ids=REFUSALS)
def test_contradictions_are_refused(file, changes, pattern):
    path = file(build(bytes(16), GOOD))
    assert read_fcs(path).events.shape == (2, 2)
    path = file(build(bytes(16), GOOD | changes))
    with pytest.raises(InputError, match=pattern) as raised:
        read_fcs(path)
    assert len(str(raised.value)) < 2000


def test_text_that_is_none_is_refused(file):
    good = build(bytes(16), GOOD)
    for content, pattern in {
        good[:58] + b"A" + good[59:]: "byte 58 with b'A'; expected its delimiter",
        good.replace(b"0,0/", b"0,0x"): r"\$P1E is \(text of 8 characters\)",
        good[:40]: "has 40 bytes",
        b"PK" + good[2:]: "does not begin as it should",
        good.replace(b"FCS3.1", b"FCS3.2"): "version 'FCS3.2'",
        good[:10] + b"       1" + good[18:]: "TEXT is said to be at bytes 1 to",
    }.items():
        with pytest.raises(InputError, match=pattern):
            read_fcs(file(content))


def test_a_directory_or_no_file_is_an_input_error(tmp_path):
    for path in (tmp_path, tmp_path / "absent.fcs"):
        with pytest.raises(InputError, match="cannot be read"):
            read_fcs(path)


# --- properties ---------------------------------------------------------------------------------

names = st.text("ABCdef-/|^.\\ 0123456789µ", min_size=1, max_size=8).map("n{}".format)


@st.composite
def integer_files(draw):
    widths = draw(st.lists(st.integers(1, 53), min_size=1, max_size=5))
    if draw(st.booleans()):
        widths = [8 * (1 + width % 4) for width in widths]
    rows = draw(st.integers(0, 20))
    row = st.tuples(*(st.integers(0, (1 << width) - 1) for width in widths))
    return widths, draw(st.lists(row, min_size=rows, max_size=rows))


@settings(max_examples=150, deadline=None)
@given(integer_files(), st.booleans(), st.sampled_from("/|^.\\\f!,*"), st.data())
def test_integers_round_trip(tmp_path_factory, made, big_endian, delimiter, data):
    widths, values = made
    used = [data.draw(st.integers(1, width)) for width in widths]
    label = data.draw(names)
    content = build(
        packed(values, widths, big_endian),
        described(
            widths,
            [1 << bits for bits in used],
            len(values),
            order="4,3,2,1" if big_endian else "1,2,3,4",
            P1S=label,
        ),
        delimiter=delimiter,
    )
    path = tmp_path_factory.getbasetemp() / "integers.fcs"
    path.write_bytes(content)
    fcs = read_fcs(path)
    masked = [[v & (1 << b) - 1 for v, b in zip(row, used, strict=True)] for row in values]
    assert fcs.events[:].tolist() == masked
    assert fcs.labels[0] == label
    assert fcs.notes == (() if values else ("no events",))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            st.lists(st.floats(width=32), min_size=columns, max_size=columns), min_size=1
        )
    ),
    st.sampled_from(["<f4", ">f4", "<f8", ">f8"]),
    st.sampled_from(["FCS2.0", "FCS3.0", "FCS3.1"]),
)
def test_floats_round_trip_bitwise(tmp_path_factory, values, dtype, version):
    stored = np.array(values, dtype)
    content = build(
        stored.tobytes(),
        described(
            [stored.itemsize * 8] * stored.shape[1],
            [1024] * stored.shape[1],
            len(stored),
            kind="F" if stored.itemsize == 4 else "D",
            order="1,2,3,4" if dtype[0] == "<" else "4,3,2,1",
        ),
        version=version,
    )
    path = tmp_path_factory.getbasetemp() / "floats.fcs"
    path.write_bytes(content)
    fcs = read_fcs(path)
    assert fcs.events[:].astype(dtype).tobytes() == stored.tobytes()
    np.testing.assert_array_equal(fcs.finite, np.isfinite(stored).all(axis=1))
    assert any("NaN" in note for note in fcs.notes) == (not np.isfinite(stored).all())


# --- channels and spillover ---------------------------------------------------------------------


def test_find_channel(file):
    keywords = described([8] * 4, [256] * 4, 1, P1S="CD3", P2S="CD4", P3S="C1", P4S="CD4")
    fcs = read_fcs(file(build(bytes(4), keywords)))
    assert [find_channel(fcs, name) for name in ("CD3", "C2", "C3", "C4")] == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"'C1' names 2 channels: \$P1N 'C1'.* and \$P3N 'C3'"):
        find_channel(fcs, "C1")
    with pytest.raises(InputError, match=r"'CD4' names 2 channels: \$P2N.* and \$P4N"):
        find_channel(fcs, "CD4")
    with pytest.raises(InputError, match=r"'CD33'.* nearest is 'CD3'. There are C1 \(CD3\), C2"):
        find_channel(fcs, "CD33")
    with pytest.raises(InputError, match="no channel"):
        find_channel(fcs, "")


def test_spillover_keywords(file):
    data = np.ones((1, 3), "<f4").tobytes()
    base = described([32] * 3, [1024] * 3, 1, kind="F")

    def read(**more):
        return read_fcs(file(build(data, base | {key.replace("_", "$"): value
                                                 for key, value in more.items()})))  # fmt: skip

    assert read().spillover is None
    assert read(_SPILLOVER="0").spillover is None
    spill = read(SPILL="2,C3,C1,1,0.1,0.2,1").spillover
    assert spill.channels == ("C3", "C1")
    assert spill.matrix.tolist() == [[1, 0.1], [0.2, 1]]
    assert read(_SPILLOVER="2,3,1,1,0.1,0.2,1").spillover.channels == ("C3", "C1")
    both = read(_SPILLOVER="1,C1,1", SPILL="1,C2,1")
    assert both.spillover.channels == ("C1",)
    assert both.notes == ("$SPILLOVER and SPILL differ: $SPILLOVER is used",)
    # FCS 3.0's own example of $COMP: what the instrument subtracted, so nothing to apply.
    comp = read(_COMP="3,0.0,-0.1,0.0,-40.0,0.0,-0.6,0.0,-36.4,0.0")
    assert comp.spillover is None
    assert "not applied again" in comp.notes[0]
    comp = read(_COMP="3,1,0.1,0,0,1,0,0,0.3,1")
    assert comp.spillover.matrix.tolist() == [[1, 0.1, 0], [0, 1, 0], [0, 0.3, 1]]
    assert comp.spillover.channels == ("C1", "C2", "C3")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("", "begins with ''"),
        ("0", "begins with '0'"),
        ("9" * 5000, "begins with '9999"),
        ("2,A,B,1,0,0", "has 5 more fields"),
        ("2,A,A,1,0,0,1", "twice"),
        ("2,A,X,1,0,0,1", "names the channel 'X', which the events have 0 times"),
        ("2,A,B,1,x,0,1", "from A into B is 'x'"),
        ("2,A,B,1,inf,0,1", "from A into B is 'inf'"),
        ("2,A,B,100,5,5,100", "in percent"),
        ("2,A,B,0,1,1,0", "row of A the largest spillover is into B, 1, and .* own detector is 0"),
        ("2,A,B,0.5,0.1,0.6,0.5", "row of B the largest spillover is into A"),
    ],
)
def test_bad_spillover_text(text, pattern):
    with pytest.raises(InputError, match=pattern) as raised:
        parse_spillover(text, ("A", "B"), "f.fcs: SPILL")
    assert str(raised.value).startswith("f.fcs: SPILL: ")


@pytest.mark.parametrize(
    "text",
    [
        "A,B\n1,0.5\n0.25,1\n",
        "\ufeff,A,B\r\nA,1,0.5\r\nB,0.25,1\r\n",
        '\t"A :: CD3"\tB :: CD4\nA :: CD3\t1\t0.5\nB :: CD4\t0.25\t1\n\n',
        "name;A;B\nA;1;0.5\nB;0.25;1",
    ],
)
def test_spillover_csv(tmp_path, text):
    path = tmp_path / "spill.csv"
    path.write_text(text, encoding="utf-8", newline="")
    spill = read_spillover_csv(path)
    assert spill.channels == ("A", "B")
    assert spill.matrix.tolist() == [[1, 0.5], [0.25, 1]]


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "0 rows"),
        (b"A,B\n", "0 rows"),
        (b"A,B\n1,2\n", "1 rows under|rows are named"),
        (b"A,B,C\n1,0,0\n0,1,0\n", "rows are named|square"),
        (b"x,A,B\nB,1,0\nA,0,1\n", "rows are named B, A and the columns A, B"),
        (b"A,B\n1,0,0\n0,1\n", "square"),
        (b"A,A\n1,0\n0,1\n", "twice"),
        (b"A,B\n1,=1\n0,1\n", "'=1'"),
        (b"\xff\xfe\0A", "cannot be read"),
    ],
)
def test_bad_spillover_csv(tmp_path, content, pattern):
    path = tmp_path / "spill.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=pattern) as raised:
        read_spillover_csv(path)
    assert str(raised.value).startswith(str(path))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_compensation_undoes_spillover(size, seed):
    rng = np.random.default_rng(seed)
    # Off-diagonal rows sum to less than 0.5: diagonally dominant, condition number below 10.
    matrix = np.eye(size) + rng.random((size, size)) * 0.5 / size * (1 - np.eye(size))
    true = rng.normal(0, 1e4, (50, size))
    channels = [f"C{number}" for number in range(size)]
    events = np.column_stack([rng.random(50), (true @ matrix)[:, ::-1]])
    got = compensate(events, ["Time", *channels[::-1]], Spillover(tuple(channels), matrix))
    np.testing.assert_allclose(got[:, 1:], true[:, ::-1], rtol=1e-9, atol=1e-8)
    np.testing.assert_array_equal(got[:, 0], events[:, 0])


def test_compensation_refuses_what_would_explode():
    events = np.ones((3, 2), np.float32)
    near = Spillover(("A", "B"), np.array([[1, 1 - 1e-6], [1, 1]]))
    with pytest.raises(InputError, match="condition number 4e"):
        compensate(events, ("A", "B"), near)
    with pytest.raises(InputError, match="shape"):
        compensate(events, ("A", "B"), Spillover(("A", "B"), np.eye(3)))
    with pytest.raises(InputError, match="0 times"):
        compensate(events, ("A", "C"), Spillover(("A", "B"), np.eye(2)))
    events[1, 0] = np.nan
    got = compensate(events, ("A", "B"), Spillover(("A", "B"), np.array([[1, 0.1], [0, 1]])))
    assert np.isfinite(got).tolist() == [[True] * 2, [False] * 2, [True] * 2]


# --- memory and noise ---------------------------------------------------------------------------


def peak_of(action):
    tracemalloc.start()
    try:
        action()
    except InputError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("order", ["1,2,3,4", "4,3,2,1"])
def test_memory_stays_within_the_file_and_64_mib(tmp_path, order):
    # 80 MiB of float32, so that one copy too many is seen; a hole in the file, no bytes on disk.
    rows, columns = 2 * MIB, 10
    more = {"P10N": "Time", "TIMESTEP": "0.01", "P1G": "2"}
    keywords = described([32] * columns, [1024] * columns, rows, kind="F", order=order, **more)
    text = build(b"", keywords | {"$BEGINDATA": "4096", "$ENDDATA": str(4095 + 4 * rows * columns)})
    path = tmp_path / "large.fcs"
    with open(path, "wb") as handle:
        handle.write(text[:26] + f"{0:8}{0:8}".encode() + text[42:])
        handle.truncate(4096 + 4 * rows * columns)
    assert peak_of(lambda: read_fcs(path).finite.all()) < path.stat().st_size + 64 * MIB


def test_memory_of_integers(tmp_path):
    rows, columns = MIB, 8  # 16 MiB of 16-bit integers, in float64 64 MiB
    keywords = described([16] * columns, [1024] * columns, rows, P1E="4,1")
    text = build(b"", keywords | {"$BEGINDATA": "4096", "$ENDDATA": str(4095 + 2 * rows * columns)})
    path = tmp_path / "large.fcs"
    with open(path, "wb") as handle:
        handle.write(text[:26] + f"{0:8}{0:8}".encode() + text[42:])
        handle.truncate(4096 + 2 * rows * columns)
    assert peak_of(lambda: read_fcs(path)) < path.stat().st_size + 64 * MIB


@pytest.mark.parametrize(
    "changes",
    [
        {"$TOT": "1000000000000", "$ENDDATA": "16000000000000"},
        {"$TOT": "1000000000000", "$PAR": "100000000000"},
        {"$TOT": None, "$ENDDATA": "16000000000000"},
        {"$BEGINSTEXT": "58", "$ENDSTEXT": "900000000000"},
        {"$NEXTDATA": "900000000000"},
        {"$SPILLOVER": "9999,C1,C2,1"},
    ],
)
def test_a_number_in_the_file_allocates_nothing(file, changes):
    path = file(build(bytes(16), GOOD | changes))
    assert peak_of(lambda: read_fcs(path).spillover) < MIB


def test_a_made_up_text_is_bounded(tmp_path, monkeypatch):
    # TEXT of 6 MiB with nothing but short keywords, which would be some hundred MB of them.
    text = b"/" + b"".join(b"%06x/y/" % number for number in range(6 * MIB // 9))
    path = tmp_path / "text.fcs"
    path.write_bytes(f"FCS3.1    {58:8}{57 + len(text):8}{0:8}{0:8}{0:8}{0:8}".encode() + text)
    assert peak_of(lambda: read_fcs(path)) < path.stat().st_size + 64 * MIB
    with pytest.raises(InputError, match="more than 200000 delimiters"):
        read_fcs(path)
    monkeypatch.setattr(fcs_text, "MAX_TEXT_BYTES", 1000)
    with pytest.raises(InputError, match="at most 1000 bytes long"):
        read_fcs(path)


NASTY = ["", " ", "0", "-1", "1", "3", "10", "999999999999999999", "9" * 400, "1e308", "1e-320"]
NASTY += [
    "nan",
    "-inf",
    "0x10",
    "1_0",
    "a,b",
    ",",
    "4,0",
    "1,2",
    "L",
    "I",
    "D",
    "F",
    "\u0663",
    "\0",
]


def mutated(content, rng, base, text):
    """The content with a few random changes in HEADER, TEXT or DATA of the data set at base, whose
    TEXT is at the (first, last) bytes `text`."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        where = rng.choice(["header", "text", "value", "data", "cut"])
        begin, end = {"header": (base, base + 58), "data": (base + 58, len(content))}.get(
            where, (text[0], min(text[1], len(content)))
        )
        if begin >= end:
            continue
        place = rng.randrange(begin, end)
        if where == "value":  # a nasty value for some keyword, or for the name of one
            mark = content[text[0] : text[0] + 1]
            first = content.find(mark, place)
            last = content.find(mark, first + 1)
            if 0 <= first < last < end:
                content[first + 1 : last] = rng.choice(NASTY).encode()
        elif where == "cut":
            del content[place : place + rng.choice([1, 8, 100, 10_000])]
        elif rng.random() < 0.5:
            content[place] = rng.choice(b" 0123456789-/\\|\x00\xff$P")
        else:
            content[place : place + 4] = rng.randbytes(4)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "dataset", "base"),
    [
        ("GigaSOM_5events_comp.fcs", None, 0),
        ("CyFlowCube_v3.0_int.fcs", None, 0),
        ("Coulter_multidataset.lmd", 2, 0),
        ("Coulter_multidataset.lmd", 2, 363602),
    ],
)
def test_noise_ends_in_a_value_or_an_input_error(reference, tmp_path, name, dataset, base):
    content = (reference / "cytometry" / "instruments" / name).read_bytes()
    text = [base + int(content[base + at : base + at + 8]) for at in (10, 18)]
    rng = random.Random(20150414)
    path = tmp_path / "noise.fcs"
    ends = {"value": 0, "error": 0}
    for _ in range(500):
        broken = mutated(content, rng, base, text)
        path.write_bytes(broken)
        end, peak = outcome(path, dataset)
        ends[end] += 1
        assert peak < len(broken) + 64 * MIB
    assert min(ends.values()) >= 20  # both ends are reached, or the noise tests nothing


def outcome(path, dataset):
    """Use the whole of the reader: "value" or "error" (its own, of this file), and the peak."""
    tracemalloc.start()
    try:
        fcs = read_fcs(path, dataset)
        assert fcs.events.shape == (len(fcs.finite), len(fcs.channels))
        assert len(fcs.labels) == len(fcs.ranges) == len(fcs.channels)
        end = "value"
        if (spillover := fcs.spillover) is not None:
            compensate(fcs.events, fcs.channels, spillover)
    except InputError as error:
        end = "error" if str(error).startswith(str(path)) else "an error without the file's name"
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return end, peak


def test_texts_that_say_who_somebody_is_are_in_no_note(file):
    # Twice, empty, behind a wrong delimiter: what a note or an error is about is not quoted.
    person = {"PATIENT": "Mirabella", "Patient": "=1+1 Qvistgaard", "QVISTGAARD MIRABELLA": ""}
    fcs = read_fcs(file(build(bytes(16), {**GOOD, **person})))
    told = " ".join(fcs.notes)
    assert "is there twice with other values" in told
    assert "keywords with an empty value: 1 of no known name" in told
    with pytest.raises(InputError) as raised:
        read_fcs(file(build(bytes(16), {**GOOD, "$TOT": "Qvistgaard"})))
    told += str(raised.value)
    assert "$TOT is (text of 10 characters)" in told
    assert not re.search("mirabella|qvistgaard", told, re.IGNORECASE)
