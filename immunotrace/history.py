"""What a run found, as a compact record, and what is new since the record before it.

A record is a pure function of the case and its results: no time, no path, so the same case gives
the same record on every machine. Records lie in results/history/ as 0001.json, 0002.json, ...
(schemas/run_record.schema.yaml), oldest first, one for each run whose record differs from the one
before; only a run that has made its report leaves one.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from immunotrace.errors import InputError
from immunotrace.software import by_package
from immunotrace.tables import read_tsv

if TYPE_CHECKING:
    import pandas as pd

FORM = "immunotrace run record 1"
_DIGITS = 6  # of a number in a record: what another machine's rounding may change is no news
_PICTURE_WIDTH = 760  # pixels of a kept figure, enough for half the width of a page
_PICTURE_STATES = 2  # the present record and the one that it is compared with

# What every record has.
_PARTS = {
    *("inputs", "timeline", "settings", "software"),
    *("commit", "numbers", "verdicts", "figures"),
}

# Measurements of a table, each with the unit and the columns of its interval where it has one.
_MEASURED = {
    "populations": {"percent_of_parent": "%"},
    "markers": {"percent_positive": "%", "median_all": ""},
    "curves": {"absolute_ic50": None, "relative_ic50": None, "imax_top_dose": "%"},
    "claims": {"effect": "%"},
}
_IDENTIFIER = {
    "populations": "acquisition",
    "markers": "acquisition",
    "curves": "curve",
    "claims": "claim",
}
# What is judged, one word a thing: table -> (its identifier, the column of the word).
_JUDGED = {
    "claims": ("claim", "verdict"),
    "cytometry_qc": ("acquisition", "verdict"),
    "plate_qc": ("plate", "verdict"),
    "curves": ("curve", "call"),
}


def run_record(
    case: dict,
    software: dict,
    claims: list[dict],
    tables: dict[str, str | Path],
    figures: Sequence[str | Path],
) -> dict:
    """The record of a run.

    `case` is what `immunotrace.provenance.describe_case` returns, `software` what
    `immunotrace.report.tables.load_software` does, `claims` are those of the case, `tables` the published
    tables' files by name, `figures` the figures as PNG.
    """
    frames = {name: read_tsv(path) for name, path in tables.items()}
    by_claim = {
        claim["claim"]: {k: v for k, v in claim.items() if k != "claim"} for claim in claims
    }
    return {
        "form": FORM,
        "title": case["title"],
        "simulated": case["simulated"],
        "inputs": case["inputs"],
        "timeline": case["timeline"],
        "settings": flat(case["settings"])
        | flat(case["panels"], "panels.")
        | flat(by_claim, "claims."),
        "software": by_package(software["environments"]) | {"snakemake": software["snakemake"]},
        "commit": software["commit"],
        "numbers": [
            number for name in _MEASURED if name in frames for number in _numbers(name, frames[name])
        ],
        "verdicts": [
            verdict for name in _JUDGED if name in frames for verdict in _verdicts(name, frames[name])
        ],
        "figures": {
            Path(path).stem: hashlib.sha256(Path(path).read_bytes()).hexdigest()
            for path in sorted(figures, key=lambda path: Path(path).stem)
        },
    }  # fmt: skip


def flat(settings: dict, prefix: str = "") -> dict:
    """Nested settings as one level, keys joined by dots."""
    found: dict = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _numbers(table: str, frame: "pd.DataFrame") -> list[dict]:
    numbers = []
    for row in frame.to_dict("records"):
        about = {
            "name": row[_IDENTIFIER[table]],
            **{key: _text(row.get(key)) for key in ("subject", "population", "marker")},
            "day": _whole(row.get("day")),
        }
        for measurement, unit in _MEASURED[table].items():
            value = _short(row[measurement])
            if value is not None:
                bounds = (_short(row.get(f"{measurement}_{end}")) for end in ("low", "high"))
                low, high = bounds
                numbers.append(
                    {"measurement": measurement, **about, "value": value, "low": low, "high": high}
                    | {"unit": row["dose_unit"] if unit is None else unit}
                )
    return numbers


def _verdicts(table: str, frame: "pd.DataFrame") -> list[dict]:
    name, word = _JUDGED[table]
    return [
        {
            "kind": name,
            "name": row[name],
            "title": _text(row.get("title")),
            "verdict": _text(row[word]),
        }
        for row in frame.to_dict("records")
    ]


def _short(value) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def _whole(value) -> int | None:
    return None if value is None or value != value else int(value)


def _text(value) -> str | None:
    return value if isinstance(value, str) else None


# What is new ------------------------------------------------------------------------------------


def what_is_new(record: dict, history: Sequence[dict]) -> dict:
    """What is new in `record` since the records of `history`, oldest first.

    status: "first" (no record to compare with), "unchanged" (the newest record is the same) or
    "changed". compared_with: the number of the newest record that differs, None where there is none;
    all else is the difference from that one, so that a report made twice still tells the last news:
    inputs {added, removed, changed: [{name, kind, old, new}]}; timeline {added, removed};
    settings and software [{key, old, new}]; numbers [{measurement, name, ..., old, old_low, old_high,
    new, low, high, difference, beyond}]; verdicts [{kind, name, title, old, new}]; figures [names].
    """
    different = [place for place, old in enumerate(history, 1) if old != record]
    status = "first"
    if history:
        status = "unchanged" if history[-1] == record else "changed"
    if not different:
        return {"status": status, "compared_with": None, **_differences(record, record)}
    place = different[-1]
    return {"status": status, "compared_with": place, **_differences(history[place - 1], record)}


def _differences(old: dict, new: dict) -> dict:
    software = [
        {"key": key, "old": old[key], "new": new[key]}
        for key in ("commit",)
        if old[key] != new[key]
    ]
    return {
        "inputs": _input_differences(old["inputs"], new["inputs"]),
        "timeline": {
            "added": _only_in(new["timeline"], old["timeline"]),
            "removed": _only_in(old["timeline"], new["timeline"]),
        },
        "settings": _changed_values(old["settings"], new["settings"]),
        "software": [*_changed_values(old["software"], new["software"]), *software],
        "numbers": _number_differences(old["numbers"], new["numbers"]),
        "verdicts": _turned(old["verdicts"], new["verdicts"]),
        "figures": [
            name for name in new["figures"] if new["figures"][name] != old["figures"].get(name)
        ],
    }


def _only_in(rows: list[dict], others: list[dict]) -> list[dict]:
    left, found = list(others), []
    for row in rows:
        if row in left:
            left.remove(row)
        else:
            found.append(row)
    return found


def _input_differences(old: list[dict], new: list[dict]) -> dict:
    before, now = ({(i["kind"], i["name"]): i for i in inputs} for inputs in (old, new))
    return {
        "added": [entry for key, entry in now.items() if key not in before],
        "removed": [entry for key, entry in before.items() if key not in now],
        "changed": [
            {"kind": key[0], "name": key[1]}
            | {
                side: {k: v for k, v in entry.items() if before[key].get(k) != now[key].get(k)}
                for side, entry in (("old", before[key]), ("new", now[key]))
            }
            for key in now
            if key in before and before[key] != now[key]
        ],
    }


def _changed_values(old: dict, new: dict) -> list[dict]:
    return [
        {"key": key, "old": old.get(key), "new": new.get(key)}
        for key in sorted(old | new)
        if old.get(key) != new.get(key)
    ]


def _key(number: dict) -> tuple:
    return tuple(number[k] for k in ("measurement", "name", "population", "marker", "unit"))


def _number_differences(old: list[dict], new: list[dict]) -> list[dict]:
    """The numbers that came, went or changed, or whose interval did.

    low and high are the interval of the number as it is now, of the old one where it went; old_low and
    old_high that of the old one. `beyond`: outside the old interval (None: it had none).
    """
    before, now = {_key(n): n for n in old}, {_key(n): n for n in new}
    found = []
    for key in dict.fromkeys([*now, *before]):
        first, last = before.get(key), now.get(key)
        if first and last and all(_same(first[k], last[k]) for k in ("value", "low", "high")):
            continue
        shown = {k: v for k, v in (last or first).items() if k != "value"}
        values = {"old": first and first["value"], "new": last and last["value"]}
        both = first is not None and last is not None
        found.append(
            shown
            | values
            | {f"old_{end}": first and first[end] for end in ("low", "high")}
            | {
                "difference": _short(last["value"] - first["value"]) if both else None,
                "beyond": _outside(last["value"], first) if both else None,
            }
        )
    return found


def _same(a: float | None, b: float | None) -> bool:
    """Whether two numbers of records are the same but for the last of their digits."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=2 * 10.0 ** (1 - _DIGITS))


def _outside(value: float, number: dict) -> bool | None:
    if number["low"] is None and number["high"] is None:
        return None
    low = -math.inf if number["low"] is None else number["low"]
    high = math.inf if number["high"] is None else number["high"]
    return not low <= value <= high


def _turned(old: list[dict], new: list[dict]) -> list[dict]:
    before = {(v["kind"], v["name"]): v["verdict"] for v in old}
    return [
        {"kind": v["kind"], "name": v["name"], "title": v["title"]}
        | {"old": before[v["kind"], v["name"]], "new": v["verdict"]}
        for v in new
        if before.get((v["kind"], v["name"]), v["verdict"]) != v["verdict"]
    ]


# The folder of records --------------------------------------------------------------------------


def read_history(folder: str | Path) -> list[dict]:
    """The records kept in a folder, oldest first; none where there is no such folder.

    Raises InputError for a file that holds no record.
    """
    return [_read_record(path) for path in _record_files(Path(folder))]


def keep_record(
    record: dict, figures: Sequence[str | Path], folder: str | Path, shown: Sequence[dict] = ()
) -> None:
    """Add a record to a folder, with small pictures of its figures, unless it is the newest there.

    `figures` are the figures as PNG; `shown` those of which `news` has made the picture. Pictures are kept
    of the newest two records only.
    """
    made = {pair["name"]: base64.b64decode(pair["new"]) for pair in shown}
    folder = Path(folder)
    pictures = folder / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    for path in map(Path, figures):
        small = pictures / _picture_name(record["figures"][path.stem])
        if not small.exists():
            _write_whole(small, made.get(path.stem) or small_picture(path))
    files = _record_files(folder)
    if not files or _read_record(files[-1]) != record:
        number = int(files[-1].stem) + 1 if files else 1
        _write_whole(folder / f"{number:04}.json", dumped(record).encode("utf-8"))
    newest = [_read_record(path) for path in _record_files(folder)[-_PICTURE_STATES:]]
    wanted = {_picture_name(digest) for old in newest for digest in old["figures"].values()}
    for path in pictures.iterdir():
        if path.name not in wanted:
            path.unlink()


def dumped(record: dict) -> str:
    """A record as JSON, an entry of a list a line, so that two records can be told apart by `diff`."""
    parts = []
    for key, value in record.items():
        if isinstance(value, list) and value:
            lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f" {json.dumps(key)}: [\n{lines}\n ]")
        elif isinstance(value, dict):
            lines = json.dumps(value, ensure_ascii=False, indent=1).replace("\n", "\n ")
            parts.append(f" {json.dumps(key)}: {lines}")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def news(record: dict, figures: Sequence[str | Path], folder: str | Path) -> dict:
    """What is new in `record` since the records in `folder`, with pictures of the figures that differ.

    As `what_is_new`, but that figures are {name, old, new}: small PNG in base64, old None where there is
    no earlier picture. `figures` are the figures as PNG.
    """
    history = read_history(folder)
    found = what_is_new(record, history)
    paths = {Path(path).stem: Path(path) for path in figures}
    before = history[found["compared_with"] - 1]["figures"] if found["compared_with"] else {}
    pairs = []
    for name in found["figures"]:
        kept = Path(folder) / "figures" / _picture_name(before.get(name, ""))
        pairs.append(
            {
                "name": name,
                "old": _base64(kept.read_bytes()) if kept.is_file() else None,
                "new": _base64(small_picture(paths[name])),
            }
        )
    return found | {"figures": pairs}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def small_picture(path: str | Path) -> bytes:
    """A figure as a PNG of 760 pixels width and 64 colours, some 40 kB."""
    from PIL import Image

    with Image.open(path) as image:
        image = image.convert("RGB")
    if image.width > _PICTURE_WIDTH:
        height = round(image.height * _PICTURE_WIDTH / image.width)
        image = image.resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    # Faster than PIL's other methods, and the colours of days stay apart.
    image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def _picture_name(digest: str) -> str:
    return f"{digest[:16]}.png"


def _record_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.stem.isdigit())


def _read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: no record of a run ({error}). Delete it and run again."
        ) from None
    if not isinstance(record, dict) or record.get("form") != FORM:
        raise InputError(
            f"{path}: no record of this version; expected form {FORM!r}. Move it away and run again."
        )
    if missing := _PARTS - record.keys():
        raise InputError(
            f"{path}: a damaged record of a run, without {', '.join(sorted(missing))}. Delete it and run again."
        )
    return record


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
