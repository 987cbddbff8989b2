"""Exports spoilt at random: every one is read, or refused by an InputError that names the file."""

import io
import random
import re
import zipfile

import pytest

from immunotrace.errors import InputError
from immunotrace.plates.grids import Grid
from immunotrace.plates.readers import READERS, read_export, sniff_format
from tests.plates.test_garbled import text_of

MUTANTS = 25  # of each file
LARGEST = 300_000  # bytes: larger files take longer and hold nothing else
CELLS = ["", "²", "١", "1e999", "-", "nan", "9" * 5000, "A1", "Repe.", '"', "Plate:", "\x85", "\r"]
FORMATS = {
    "beckman_ls": "beckman_ls", "bmg_mars": "bmg_mars", "bmg_smart": "xlsx_grid", "envision": "envision",
    "gen5": "gen5", "hidex": "hidex", "kaleido": "kaleido", "skanit": "xlsx_grid", "softmax": "softmax",
    "tecan_magellan": "magellan",
}  # fmt: skip


def spoil_bytes(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return rng.choice(
        [
            content[:at],
            content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
            content[:at] + content[at + rng.randrange(1, 50) :],
        ]
    )


def spoil_text(content: bytes, rng: random.Random) -> bytes:
    """One line less, twice, cut, or moved; or one cell that is something else."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    lines = content.decode(encoding, errors="replace").split("\n")
    at, way = rng.randrange(len(lines)), rng.randrange(5)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif way == 2:
        lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    else:
        cells = re.split("([\t;,])", lines[at])
        cells[2 * rng.randrange((len(cells) + 1) // 2)] = rng.choice(CELLS)
        lines[at] = "".join(cells)
    return "\n".join(lines).encode(encoding)


def spoil_workbook(content: bytes, rng: random.Random) -> bytes:
    """One attribute or text of one of its parts is something else, or the part is spoilt or not there."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([name for name in parts if re.match(r"xl/(work|shared|_rels)", name)])
    places = list(re.finditer(rb'(?<=")[^"<>]*(?=")|(?<=>)[^<>]+(?=<)', parts[name]))
    way = rng.randrange(6)
    if way == 0:
        del parts[name]
    elif way == 1 or not places:
        parts[name] = spoil_bytes(parts[name], rng)
    else:
        place = rng.choice(places)
        text = rng.choice(["", "-1", "0", "x", "²", "99999", "9" * 5000, "s", "ZZZZ1"]).encode()
        parts[name] = parts[name][: place.start()] + text + parts[name][place.end() :]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, some in parts.items():
            archive.writestr(part, some)
    return out.getvalue()


def check(content: bytes, format: str, path, seed: str) -> None:
    rng = random.Random(seed)
    workbook = content[:2] == b"PK"
    for number in range(MUTANTS):
        spoil = rng.choice([spoil_bytes, spoil_workbook if workbook else spoil_text])
        path.write_bytes(spoil(content, rng))
        for reader in (lambda: read_export(path, format), lambda: sniff_format(path)):
            try:
                found = reader()
            except InputError as error:
                found = error
            except Exception as error:
                raise AssertionError(f"mutant {number} of {seed}") from error
            named = isinstance(found, InputError) and path.name in str(found)
            assert named or isinstance(found, Grid) or found in READERS


@pytest.mark.parametrize("format", sorted(set(READERS) - {"xlsx_grid", "magellan"}))
def test_mutants_of_small_exports(tmp_path, format):
    check(text_of(format).encode(), format, tmp_path / "mutant", format)


@pytest.mark.parametrize("folder", FORMATS)
def test_mutants_of_real_exports(reference, tmp_path, folder):
    files = [
        file
        for file in sorted((reference / "plate_exports" / folder).iterdir())
        if file.suffix.lower() in (".csv", ".txt", ".xlsx") and file.stat().st_size < LARGEST
    ]
    assert files
    for file in files:
        check(file.read_bytes(), FORMATS[folder], tmp_path / "mutant", file.name)


def sealed(content: bytes) -> bytes:
    """A workbook that says that its parts are encrypted."""
    out = bytearray(content)
    for start, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        for match in re.finditer(re.escape(start), content):
            out[match.start() + flags] |= 1
    return bytes(out)


def test_a_workbook_with_a_password_is_refused(reference, tmp_path):
    file = reference / "plate_exports" / "skanit" / "luciferase_assay_example.xlsx"
    path = tmp_path / "sealed.xlsx"
    path.write_bytes(sealed(file.read_bytes()))
    with pytest.raises(InputError, match=r"sealed.xlsx: not an Excel workbook.*password"):
        read_export(path, "xlsx_grid")


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        (
            "hidex",
            "Sample start\nRepe.;1\nWName;A01\nCPM;1\nSample start\nRepe.;2\nWName;A01\nCPM;2\n"
            "Sample start\nWName;A02\nCPM;3\n",
            "line 9: no line 'Repe.'",
        ),
        ("softmax", "##BLOCKS= 1\nPlate:\n", "line 2: plate '' is ''; expected an endpoint"),
    ],
)
def test_blocks_cut_short(tmp_path, format, text, message):
    path = tmp_path / "cut.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_export(path, format)
