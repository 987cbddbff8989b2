"""One archive of what may be shown to others: report, figures, tables, gates, configuration; no raw file, no log.

Before it is written the pack is checked twice: only files of known kinds are in it, and no word and
no date of the raw files that is not allowed to leave them. The PDFs are of one draw with the HTML and
SVG, whose texts are searched in their place.
"""

import html
import json
import os
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree import ElementTree

from immunotrace.cytometry.fcs_text import read_data_set
from immunotrace.errors import InputError
from immunotrace.plates.workbook import read_workbook
from immunotrace.privacy import dates

KINDS = (".html", ".pdf", ".svg", ".png", ".tsv", ".json", ".ipynb", ".xml", ".smk", "Snakefile")
_SEARCHED = (".html", ".svg", ".tsv", ".json", ".ipynb", ".xml")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that a ZIP file can tell

# Keywords whose values are no person's: structure, channels, spillover and the instrument.
_ALLOWED_KEYWORD = re.compile(
    r"\$(BEGIN|END)(DATA|STEXT|ANALYSIS)|\$(BYTEORD|DATATYPE|MODE|NEXTDATA|PAR|TOT|TIMESTEP|CYT|COMP)"
    r"|\$?SPILL(OVER)?|\$P[0-9]+[A-Z]+|P[0-9]+(MS|BS|DISPLAY)|\$DFC[0-9]+TO[0-9]+"
)
_LONG_CODE = re.compile(r"[A-Za-z0-9+/]{300,}={0,2}")  # pictures and data inside a page


def pack_results(
    results: str | Path, raw: Sequence[str | Path], program: str | Path, archive: str | Path
) -> None:
    """Write the pack of a results folder as a ZIP file; the same files give the same bytes.

    `raw` are the FCS files, plate exports and FlowJo workspaces, `program` the folder with this program's texts, whose
    words tell nothing of a person. Raises InputError for a file of another kind, and for a word of a raw file
    in the pack (it names the file of the pack and where the word is from, not the word).
    """
    results = Path(results)
    files = packed_files(results)
    strange = [path for path in files if (path.suffix or path.name) not in KINDS]
    if strange:
        raise InputError(
            "not packed: "
            + ", ".join(str(path) for path in strange)
            + f" - only {', '.join(KINDS)} may be in a pack. Delete what does not belong there."
        )
    case = json.loads((results / "report/case.json").read_text(encoding="utf-8"))
    known = words_of([json.dumps(case, ensure_ascii=False), *_program_texts(Path(program))])
    # What the supplement is made of.
    archives = results.glob("cytometry/*/pages.zip")
    pages = [page for archive in archives for page in zipfile.Path(archive).iterdir()]
    found = leaks([*files, *pages], {str(path): private_words(path) - known for path in raw})
    if found:
        raise InputError(
            "not packed: words of raw files are in it. "
            + "; ".join(f"{path} holds {count} of {source}" for path, source, count in found)
            + ". Take them out of the sheets, panels, gates or claims, where they may have been copied to."
        )
    Path(archive).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        for path in files:
            entry = zipfile.ZipInfo(str(path.relative_to(results)), _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            pack.writestr(entry, path.read_bytes())


def packed_files(results: Path) -> list[Path]:
    """The files that the crate of a results folder describes, and the crate, in the order of their names.

    What an earlier run left in the folder, of a day or a subject that was taken out since, is none of them.
    """
    crate = results / "ro-crate-metadata.json"
    entities = json.loads(crate.read_text(encoding="utf-8"))["@graph"]
    files = [e["@id"] for e in entities if "File" in e["@type"] and not e["@id"].startswith("#")]
    return sorted([crate, *(results / unquote(name) for name in files)])


def leaks(
    files: Iterable[Path | zipfile.Path], private: dict[str, set[str]]
) -> list[tuple[str, str, int]]:
    """(file, raw file, how many of its private words the file holds) wherever there are any."""
    found = []
    for path in files:
        if path.suffix in _SEARCHED:
            text = html.unescape(_LONG_CODE.sub(" ", path.read_text(encoding="utf-8")))
            there = words_of([text])
            for source, words in private.items():
                if words & there:
                    found.append((str(path), source, len(words & there)))
    return found


def private_words(path: str | Path) -> set[str]:
    """The words of a raw file, and of its path, that are not for others.

    Of an FCS file the values of all keywords but those of its structure, channels and instrument; of a
    FlowJo workspace those that it has copied, and the names of its samples; of a plate export every text.
    """
    path = Path(path)
    texts = [os.path.relpath(path)]
    with open(path, "rb") as file:
        start = file.read(4)
        if start[:3] == b"FCS":
            size = os.fstat(file.fileno()).st_size
            keywords = read_data_set(file, str(path), size, None).keywords
            texts += [v for k, v in keywords.items() if not _ALLOWED_KEYWORD.fullmatch(k)]
        elif path.suffix == ".wsp":
            texts += _workspace_texts(file)
        elif start[:2] == b"PK":
            texts += [line for lines in read_workbook(path).values() for line in lines]
        else:
            texts.append((start + file.read()).decode("utf-8", errors="replace"))
    return words_of(texts)


def _workspace_texts(file: BinaryIO) -> list[str]:
    """What a workspace tells of its samples; gates and populations are published."""
    file.seek(0)
    texts = []
    for _, element in ElementTree.iterparse(file):
        tag = element.tag.rpartition("}")[2]
        if tag == "Keyword" and not _ALLOWED_KEYWORD.fullmatch(element.get("name", "")):
            texts.append(element.get("value", ""))
        elif tag in ("DataSet", "SampleNode"):
            uri = element.get("uri", "").removeprefix("file:")
            texts += [unquote(uri), element.get("name", "")]
    return texts


def words_of(texts: Iterable[str]) -> set[str]:
    """Words of four letters or more, numbers of six digits or more, and dates, in lower case."""
    words: set[str] = set()
    for text in texts:
        words |= dates(text)
        words |= set(re.findall(r"[^\W\d_]{4,}|(?<![0-9.])[0-9]{6,}(?![0-9.])", text.lower()))
    return words


def _program_texts(folder: Path) -> list[str]:
    parts = ("immunotrace", "notebooks", "scripts", "schemas", "simulation")
    return [
        path.read_text(encoding="utf-8")
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.suffix in (".py", ".ipynb", ".yaml", ".css", ".js", ".typ")
    ]
