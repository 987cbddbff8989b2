"""What a report was made from: the case, its files with checksums, the software and the code.

Paths stay behind: a folder or a file may be called after a person. An input goes by its name in the sheets.
"""

import hashlib
import json
import subprocess
from importlib import metadata
from pathlib import Path, PurePath

from immunotrace.tables import read_tsv

SOFTWARE = ("snakemake", "pandas", "numpy", "scipy", "flowkit", "matplotlib", "papermill", "typst")

# Columns of the sheets that say what a file is; the others say where it is.
_ACQUISITION = ("subject", "role", "day", "panel", "staining", "batch")
_PLATE = ("subject", "role", "day", "drug", "dose_unit", "readout")
_FILE_SETTINGS = (
    "acquisitions",
    "panels",
    "plates",
    "timeline",
    "claims",
    "simulation",
    "gate_overrides",
)


def describe_case(
    settings: dict,
    panels: dict[str, dict],
    acquisitions: list[dict],
    plates: list[dict],
    has_claims: bool,
) -> dict:
    """The case as one JSON object, for the report's chapters.

    `inputs` has kind (acquisition, moved gate, spillover, plate, plate map, gates, timeline), name, size
    in bytes and SHA-256 of each file, and what its row in the sheet says; `timeline` the timeline's rows;
    settings and panels name files without their folders.
    """
    subjects = {row["subject"]: row["role"] for row in [*acquisitions, *plates]}
    return {
        "title": settings["case"]["title"],
        "simulated": "scenario" in settings,
        "scenario": settings.get("scenario"),
        "patient": settings["case"]["patient"],
        "control": settings["case"].get("control"),
        "subjects": [{"subject": s, "role": r} for s, r in sorted(subjects.items())],
        "panels": {
            name: {**panel, "gates": _without_folder(panel["gates"], "file")}
            for name, panel in panels.items()
        },
        "has_cytometry": bool(acquisitions),
        "has_plates": bool(plates),
        "has_timeline": "timeline" in settings,
        "has_claims": has_claims,
        "settings": _without_folder(settings, *_FILE_SETTINGS),
        "timeline": _timeline(settings["timeline"]) if "timeline" in settings else [],
        "inputs": _inputs(settings, panels, acquisitions, plates),
    }


def describe_software(code: Path) -> dict:
    """`software`, the versions of packages of this environment, and `commit`.

    Other stages' environments may hold others: see envs/ and the lock file. `commit` is the commit of
    the folder `code`, with `+` behind it where files there differ from it, or None outside a checkout.
    """
    return {
        "software": {name: found for name in SOFTWARE if (found := _version(name))},
        "commit": _commit(code),
    }


def _inputs(
    settings: dict, panels: dict, acquisitions: list[dict], plates: list[dict]
) -> list[dict]:
    maps = {row["map_file"]: PurePath(row["map_file"]).name for row in plates}
    return [
        *(_input("acquisition", r["acquisition"], r["fcs"], r, _ACQUISITION) for r in acquisitions),
        *(
            _input("moved gate", f"{row['acquisition']}: {part['population']}", part["gates"])
            for row in acquisitions
            for part in row.get("gate_overrides", [])
        ),
        *(
            _input("spillover", row["acquisition"], row["spillover"])
            for row in acquisitions
            if "spillover" in row
        ),
        *(_input("plate", row["plate"], row["file"], row, _PLATE) for row in plates),
        *(_input("plate map", name, path) for path, name in sorted(maps.items())),
        *(_input("gates", name, panel["gates"]["file"]) for name, panel in sorted(panels.items())),
        *([_input("timeline", "timeline", settings["timeline"])] if "timeline" in settings else []),
    ]  # fmt: skip


def _input(kind: str, name: str, path: str, row: dict | None = None, columns: tuple = ()) -> dict:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    told = {column: row[column] for column in columns} if row else {}
    size = Path(path).stat().st_size
    return {"kind": kind, "name": name, **told, "bytes": size, "sha256": checksum}


def _timeline(path: str) -> list[dict]:
    return json.loads(read_tsv(path).to_json(orient="records", double_precision=15))


def _without_folder(settings: dict, *keys: str) -> dict:
    """The settings with the name alone of each file that `keys` name."""
    return settings | {key: PurePath(settings[key]).name for key in keys if key in settings}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
