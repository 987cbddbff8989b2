"""What may leave the raw files: nothing that can tell who a person is.

Texts of raw files (keywords, headers, cells, names of samples) reach tables, logs and reports only
through `told`, names of files and folders only through `FileNames`. Codes that the user chose are
published as they are; `looks_identifying` finds those that should not be.
"""

import os
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import PurePath

# Words that readers and instruments write where a number or a well is expected, in lower case.
_WORDS = set(
    re.findall(
        r"\w+",
        "label abs absorbance lum luminescence fluorescence blocks well value count counts cpm cps dpm rlu od "
        "index time grid plate raw data sample start end blank timeformat plateformat endpoint kinetic "
        "overflow ovrflw over out range sat saturated masked excluded empty error nan inf max min none",
    )
)
_TECHNICAL = re.compile(r"[a-z]|[a-z]{0,2}[0-9]+|[0-9]+e[0-9]+")
_LONGEST = 40


def told(text: str) -> str:
    """A raw file's text for a message: quoted where it is technical, else its length alone.

    Technical are numbers, wells and the words that instruments write in their place. Names, dates with
    words and hospital numbers are not; neither are six digits or more in a row.
    """
    words = re.findall(r"[^\W_]+", text.lower())
    known = all(w.rstrip("0123456789") in _WORDS or _TECHNICAL.fullmatch(w) for w in words)
    if known and len(text) <= _LONGEST and not re.search(r"[0-9]{6}", text) and not dates(text):
        return repr(text)
    return f"(text of {len(text)} character{'' if len(text) == 1 else 's'})"


class FileNames:
    """Names raw files after their rows in the sheets wherever a message has their path.

    `names` maps a path to what it is called instead. Paths are found as they are given, absolute, and
    by their last part alone.
    """

    def __init__(self, names: Mapping[str, str]):
        self._names: dict[str, str] = {}
        for path, name in names.items():
            for form in (os.path.abspath(path), path, PurePath(path).name):
                self._names.setdefault(form, name)
        longest = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest))) if longest else None

    def replaced(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._names[match[0]], text)


def names_of(
    rows: Iterable[Mapping], panels: Mapping[str, Mapping] | None = None
) -> dict[str, str]:
    """Paths of sheet rows' files and of panels' gates, with the names that stand for them."""
    names = {}
    for row in rows:
        if "fcs" in row:
            names[row["fcs"]] = f"acquisition {row['acquisition']}"
        if "spillover" in row:
            names[row["spillover"]] = f"spillover of {row['acquisition']}"
        for part in row.get("gate_overrides", []):
            names[part["gates"]] = f"moved gate of {row['acquisition']}"
        if "file" in row:
            others = f"{names[row['file']]}, " if row["file"] in names else ""
            names[row["file"]] = f"{others}plate {row['plate']}"
    for name, panel in (panels or {}).items():
        names[panel["gates"]["file"]] = f"gates of panel {name}"
    return names


# Words of makers and models of cytometers, in lower case.
_INSTRUMENTS = set(
    re.findall(
        r"\w+",
        "bd biosciences beckman coulter cytek miltenyi biotec sony sysmex partec luminex merck millipore agilent acea "
        "thermo fisher life technologies stratedigm dvssciences fluidigm standard biotools cytof helios lsr lsrii "
        "lsrfortessa fortessa facs facscan facscalibur facscanto facscantoii facsaria facsariaii facsariaiii "
        "facsverse facscelesta facslyric facssymphony facsmelody facsdiscover canto cantoii aria calibur celesta "
        "lyric symphony melody discover accuri plus attune nxt acoustic focusing cytometer flow cytoflex lx gallios "
        "navios dxflex cyan adp moflo astrios influx macsquant vyb aurora northern lights guava easycyte cyflow "
        "cube space novocyte quanteon penteon advanteon s1000exi s1400exi id7000 sa3800 sp6800 ii iii special order",
    )
)


def instrument(text: str) -> str | None:
    """The words of makers and models in $CYT, such as `LSRFortessa X20`; None where there are none.

    Serial numbers, names of places and of owners stay behind.
    """
    words = dict.fromkeys(re.findall(r"[A-Za-z][A-Za-z0-9]*", text[:200]))
    if not any(word.lower() in _INSTRUMENTS for word in words):
        return None
    model = re.compile(r"[A-Z]{1,2}[0-9]{1,2}")  # C6, X20
    return " ".join(w for w in words if w.lower() in _INSTRUMENTS or model.fullmatch(w))


# Words that name no person, in codes such as Donor_Liver.
_COMMON = set(
    re.findall(
        r"\w+",
        "patient control ctrl donor healthy subject case sample study trial run batch day visit full stain "
        "isotype unstained plate blood pbmc bone marrow liver lung spleen lymph node tonsil ileum colon "
        "biopsy tissue left right pre post baseline cells cell",
    )
)


def looks_identifying(code: str, of_subject: bool = True) -> str | None:
    """What a published code looks like: "a date", "a hospital number", "a name"; None if like a code.

    `of_subject`: whether the code stands for a person; others may hold words.
    """
    if dates(code):
        return "a date"
    if re.search(
        r"(?i)[0-9]{6,}|[0-9]{3}[-._ ][0-9]{2,3}[-._ ][0-9]{4}|(?<![a-z])(mrn|nhs|pid|ssn)(?![a-z])",
        code,
    ):
        return "a hospital number"
    words = re.findall(r"[A-Z]?[^\W\d_][a-zß-ÿ]+|[^\W\d_]{4,}", code) if of_subject else []
    names = [word for word in words if len(word) > 2 and word.lower() not in _COMMON]
    return "a name" if names else None


_MONTHS = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    "oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_ORDER = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)(?:[0-9]{8}|[0-9]{6})(?!\.?[0-9])")  # no decimals
_PARTED = re.compile(r"(?<![0-9])([0-9]{1,4})([-._/])([0-9]{1,2})\2([0-9]{4}|[0-9]{1,2})(?![0-9])")
_NAMED = re.compile(
    rf"(?<![0-9])([0-9]{{1,2}})[-._/ ]?({_MONTHS})[-._/ ]?([0-9]{{4}}|[0-9]{{2}})(?![0-9])"
)


def dates(text: str) -> set[str]:
    """The days of years from 1900 to 2099 in a text, in any usual writing, as they are written there.

    In lower case; years of two digits only between separators, beside a month's name or in six digits.
    """
    text = text.lower()
    found = set()
    for part in _DIGITS.findall(text):
        if len(part) == 8:
            orders = ((part[:4], part[4:6], part[6:]), (part[4:], part[2:4], part[:2]),
                      (part[4:], part[:2], part[2:4]))  # fmt: skip
        else:
            orders = ((part[4:], part[2:4], part[:2]), (part[:2], part[2:4], part[4:]))
        if any(_is_day(*order) for order in orders):
            found.add(part)
    for match in _PARTED.finditer(text):
        a, _, b, c = match.groups()
        year_last = len(c) in (2, 4) and len(a) < 3 and (_is_day(c, b, a) or _is_day(c, a, b))
        if year_last or (len(a) == 4 and _is_day(a, b, c)):
            found.add(match[0])
    for match in _NAMED.finditer(text):
        day, month, year = match.groups()
        if _is_day(year, str(_ORDER.index(month[:3]) + 1), day):
            found.add(match[0])
    return found


def _is_day(year: str, month: str, day: str) -> bool:
    full = int(year) if len(year) == 4 else 2000 + int(year)
    if not 1900 <= full <= 2099:
        return False
    try:
        date(full, int(month), int(day))
    except ValueError:
        return False
    return True
