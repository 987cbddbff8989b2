"""What a report was made from: the case, its raw files with checksums, the software and the code."""

import hashlib
import subprocess
from importlib import metadata
from pathlib import Path

SOFTWARE = ("snakemake", "pandas", "numpy", "scipy", "flowkit", "matplotlib", "papermill", "typst")


def describe_case(
    settings: dict,
    panels: dict[str, dict],
    acquisitions: list[dict],
    plates: list[dict],
    has_claims: bool,
) -> dict:
    """The case as one JSON object, for the report's chapters.

    `inputs` has name, file, size in bytes and SHA-256 of each raw file, and of the gates that were
    moved and the matrices that were given.
    """
    subjects = {row["subject"]: row["role"] for row in [*acquisitions, *plates]}
    return {
        "title": settings["case"]["title"],
        "simulated": "scenario" in settings,
        "scenario": settings.get("scenario"),
        "patient": settings["case"]["patient"],
        "control": settings["case"].get("control"),
        "subjects": [{"subject": s, "role": r} for s, r in sorted(subjects.items())],
        "panels": panels,
        "has_cytometry": bool(acquisitions),
        "has_plates": bool(plates),
        "has_timeline": "timeline" in settings,
        "has_claims": has_claims,
        "settings": settings,
        "inputs": [
            *(_input(row["acquisition"], row["fcs"]) for row in acquisitions),
            *(
                _input(f"{row['acquisition']}: {part['population']}", part["gates"])
                for row in acquisitions
                for part in row.get("gate_overrides", [])
            ),
            *(
                _input(f"{row['acquisition']}: spillover", row["spillover"])
                for row in acquisitions
                if "spillover" in row
            ),
            *(_input(row["plate"], row["file"]) for row in plates),
            *([_input("timeline", settings["timeline"])] if "timeline" in settings else []),
        ],
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


def _input(name: str, path: str) -> dict:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": name, "file": path, "bytes": Path(path).stat().st_size, "sha256": checksum}


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
