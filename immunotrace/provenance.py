"""What a report was made from: the case, its files with checksums, and the steps from them to each table.

Paths stay behind: a folder or a file may be called after a person. An input goes by its name in the sheets.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from immunotrace.cytometry.fcs_text import read_data_set
from immunotrace.errors import InputError
from immunotrace.privacy import instrument
from immunotrace.tables import read_tsv

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


@dataclass(frozen=True)
class Step:
    """A rule, or several of one script: what it reads and makes.

    `reads` and `makes` are files below results/ and kinds of inputs (those of `describe_case`).
    `*` stands for a batch, a subject, a panel or an acquisition. Where `rule` ends in `*`, several rules
    of the case's own names are one step.
    """

    rule: str
    environment: str
    script: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


_GATES = ("gates", "moved gate", "spillover")
_DRAWN = ("populations", "markers", "changes")
_BATCH = tuple(f"cytometry/*/{name}.tsv" for name in ("densities", "panels", "hierarchy"))


def _tables(*names: str) -> tuple[str, ...]:
    return tuple(f"tables/{name}.tsv" for name in names)


STEPS = (
    Step(
        "simulate_*", "simulation", "simulate_acquisitions.py",
        ("plate map",), ("acquisition", "plate"),
    ),
    Step("simulate_timeline", "simulation", "simulate_timeline.py", (), ("timeline",)),
    Step(
        "ingest_batch", "cytometry", "ingest_batch.py",
        ("acquisition",),
        tuple(f"cytometry/*/{name}" for name in ("qc.tsv", "kept.npz", "channels.tsv", "time.tsv")),
    ),
    Step(
        "place_thresholds", "cytometry", "place_thresholds.py",
        ("acquisition", *_GATES),
        ("cytometry/thresholds/*/*.tsv", "cytometry/fmo_medians/*/*.tsv"),
    ),
    Step(
        "quantify_batch", "cytometry", "quantify_batch.py",
        ("acquisition", *_GATES, "cytometry/*/qc.tsv", "cytometry/*/kept.npz",
         "cytometry/thresholds/*/*.tsv", "cytometry/fmo_medians/*/*.tsv"),
        ("cytometry/*/populations.tsv", "cytometry/*/markers.tsv", *_BATCH, "cytometry/*/gates*"),
    ),
    Step(
        "cytometry_tables", "cytometry", "cytometry_tables.py",
        tuple(f"cytometry/*/{name}.tsv" for name in ("populations", "markers", "qc", "channels")),
        _tables("populations", "markers", "cytometry_qc", "cytometry_qc_channels"),
    ),
    Step(
        "read_plates", "doseresponse", "read_plates.py",
        ("plate", "plate map"), _tables("wells", "plate_qc"),
    ),
    Step(
        "fit_curves", "doseresponse", "fit_curves.py",
        _tables("wells"),
        _tables("curves", "contrasts")
        + tuple(f"doseresponse/{name}.tsv" for name in ("pairs", "days", "fitted", "residuals")),
    ),
    Step(
        "compute_changes", "doseresponse", "compute_changes.py",
        _tables("populations", "markers", "curves", "contrasts"),
        _tables("composition", "changes", "detectable_changes"),
    ),
    Step(
        "judge_claims", "doseresponse", "judge_claims.py",
        (*_tables("changes"), "timeline"), _tables("claims"),
    ),
    Step(
        "draw_timeline", "figures", "draw_figures.py",
        ("timeline",), ("figures/clinical_course.*",),
    ),
    Step(
        "draw_t_cells", "figures", "draw_figures.py",
        (*_tables(*_DRAWN), *_BATCH, "timeline"), ("figures/t_cells_*",),
    ),
    Step(
        "draw_b_cells", "figures", "draw_figures.py",
        (*_tables(*_DRAWN), *_BATCH, "timeline"), ("figures/b_cells_*",),
    ),
    Step(
        "draw_steroid_sensitivity", "figures", "draw_figures.py",
        (*_tables("wells", "curves", "contrasts", "changes"), "doseresponse/fitted.tsv",
         "doseresponse/residuals.tsv", "timeline"),
        ("figures/steroid_*",),
    ),
    Step(
        "draw_quality", "figures", "draw_figures.py",
        (*_tables("cytometry_qc", "wells", "plate_qc"), "cytometry/*/time.tsv"),
        ("figures/quality_*",),
    ),
    Step(
        "draw_pages", "figures", "draw_pages.py",
        ("cytometry/*/populations.tsv", "cytometry/*/hierarchy.tsv"), ("cytometry/*/pages.zip",),
    ),
    Step(
        "draw_supplement", "figures", "draw_supplement.py",
        (*_tables("populations"), "cytometry/*/pages.zip"), ("report/supplement.pdf",),
    ),
    Step(
        "describe_case", "report", "describe_case.py",
        ("acquisition", "plate", "plate map", *_GATES, "timeline"), ("report/case.json",),
    ),
    Step("describe_code", "report", "describe_code.py", (), ("report/code.json",)),
    Step("describe_software", "each", "describe_software.py", (), ("report/software/*.json",)),
    Step(
        "compare_runs", "report", "compare_runs.py",
        ("report/case.json", "report/code.json", "report/software/*.json", "tables/*.tsv", "figures/*.png"),
        ("report/record.json", "report/what_is_new.json"),
    ),
    Step(
        "run_chapters", "report", "run_chapters.py",
        ("report/*.json", "report/software/*.json", "tables/*.tsv", "figures/*.png", "figures/*.tsv", "timeline"),
        ("report/chapters/*.ipynb",),
    ),
    Step(
        "compile_report", "report", "compile_report.py",
        ("report/chapters/*.ipynb", "report/case.json", "report/record.json", "report/what_is_new.json",
         "tables/*.tsv", "figures/*"),
        ("report/report.html", "report/report.pdf"),
    ),
)  # fmt: skip
"""The rules from raw files to the report, in their order."""


def maker(file: str) -> Step | None:
    """The step that makes a file below results/."""
    return next((s for s in STEPS if any(fnmatchcase(file, part) for part in s.makes)), None)


def describe_case(
    settings: dict,
    panels: dict[str, dict],
    acquisitions: list[dict],
    plates: list[dict],
    has_claims: bool,
    environments: list[str],
) -> dict:
    """The case as one JSON object, for the report's chapters.

    `inputs` has kind (acquisition, moved gate, spillover, plate, plate map, gates, timeline), name, size
    in bytes and SHA-256 of each file, and what its row in the sheet says; `instruments` what the FCS
    files' $CYT may tell, None for those that tell nothing; `timeline` the timeline's rows;
    `environments` those of the rules that the case has. No file's name is in it: a workspace, a plate map or a
    sheet may be called after a person.
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
            name: {**panel, "gates": _without(panel["gates"], "file")}
            for name, panel in panels.items()
        },
        "has_cytometry": bool(acquisitions),
        "has_plates": bool(plates),
        "has_timeline": "timeline" in settings,
        "has_claims": has_claims,
        "settings": _without(settings, *_FILE_SETTINGS),
        "timeline": _timeline(settings["timeline"]) if "timeline" in settings else [],
        "inputs": _inputs(settings, panels, acquisitions, plates),
        "instruments": _instruments(acquisitions),
        "environments": environments,
    }


def _inputs(
    settings: dict, panels: dict, acquisitions: list[dict], plates: list[dict]
) -> list[dict]:
    maps: dict[str, str] = {}  # a map goes by the first plate that has it
    for row in plates:
        maps.setdefault(row["map_file"], row["plate"])
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
        *(_input("plate map", name, path) for path, name in maps.items()),
        *(_input("gates", name, panel["gates"]["file"]) for name, panel in sorted(panels.items())),
        *([_input("timeline", "timeline", settings["timeline"])] if "timeline" in settings else []),
    ]  # fmt: skip


def _input(kind: str, name: str, path: str, row: dict | None = None, columns: tuple = ()) -> dict:
    with open(path, "rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    told = {column: row[column] for column in columns} if row else {}
    size = Path(path).stat().st_size
    return {"kind": kind, "name": name, **told, "bytes": size, "sha256": checksum}


def _instruments(acquisitions: list[dict]) -> list[str | None]:
    found = set()
    for row in acquisitions:
        with open(row["fcs"], "rb") as file:
            size = Path(row["fcs"]).stat().st_size
            # What cannot be read is told by quality control, and left out or a reason to stop there.
            with suppress(InputError):
                data = read_data_set(file, row["fcs"], size, row.get("dataset"))
                found.add(instrument(data.text("$CYT")))
    return sorted(found, key=str)


def _timeline(path: str) -> list[dict]:
    return json.loads(read_tsv(path).to_json(orient="records", double_precision=15))


def _without(settings: dict, *keys: str) -> dict:
    return {key: value for key, value in settings.items() if key not in keys}
