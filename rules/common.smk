# The case, checked before any job, and the functions that rules share.

import logging
from importlib.metadata import version
from pathlib import Path

from immunotrace.case import load_case
from immunotrace.checksums import read_files_once
from immunotrace.dependencies import Dependencies
from immunotrace.cytometry.thresholds import threshold_rows
from immunotrace.errors import InputError
from immunotrace.figures import FIGURES, LINEAGES
from immunotrace.place import not_writable
from immunotrace.report import CHAPTER_TABLES, CHAPTERS
from immunotrace.scheduling import look_once_at_a_time
from immunotrace.single_run import mark_run, release_after_kill
from immunotrace.validation import load_yaml

read_files_once()
look_once_at_a_time()

ROOT = Path(workflow.basedir)
DEPENDENCIES = Dependencies(ROOT, ("immunotrace", "simulation"))

try:
    CASE = load_case(
        config, [str(f) for f in workflow.overwrite_configfiles or ["config.yaml"]]
    )
except InputError as error:
    # A user's mistake, not one of the workflow: without the place in this file that Snakemake would add.
    raise SystemExit(f"Error: {error}") from None

if workflow.is_main_process:
    for warning in CASE.warnings:
        logger.warning(f"Warning: {warning}")


if workflow.is_main_process and (other_run := release_after_kill(".snakemake")):
    # Whether it is in the way is for Snakemake's lock to say: a dry run may look on.
    logger.warning(other_run)


# Snakemake itself would end with a traceback. A dry run may look on.
if workflow.is_main_process and not workflow.output_settings.dryrun:
    if problem := not_writable([".", ".snakemake", "results", "logs"]):
        # Its own log file may be what cannot be written; logging would tell so by tracebacks.
        logging.raiseExceptions = False
        raise SystemExit(f"Error: {problem}")


wildcard_constraints:
    batch=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    environment=r"[a-z]+",
    subject=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    panel=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


def code(*files):
    """A digest for `params`: a job runs again when its script, a module that the script imports, or its
    environment has changed. Snakemake itself would look at times, and at the environment's place.
    """
    return DEPENDENCIES.digest(*files)


def code_files():
    """All scripts and notebooks, for what depends on all code."""
    files = [*ROOT.glob("scripts/*.py"), *ROOT.glob("notebooks/*.ipynb")]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def grouped(rows, *columns):
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


# Looked up by every job: with a search in their place, planning would grow with the square of the sheet.
BATCH_ROWS = grouped(CASE.acquisitions, "batch")
STAINED_ROWS = grouped(CASE.acquisitions, "subject", "panel")


def batch_rows(batch):
    return BATCH_ROWS[(batch,)]


def settings(section, *keys):
    """The settings that a job uses, and no others: it runs again when one of them changes."""
    return {
        key: CASE.settings[section][key]
        for key in sorted(keys)
        if key in CASE.settings[section]
    }


def full_rows(batch):
    return [row for row in batch_rows(batch) if row["staining"] == "full"]


def gated(panel):
    """What gating and quantification need of a panel; a new title or purpose reruns neither."""
    used = {
        key: panel[key] for key in ("compensation", "gates", "quantify") if key in panel
    }
    markers = {
        marker: {key: part[key] for key in ("channel", "threshold") if key in part}
        for marker, part in panel["markers"].items()
    }
    return {**used, "markers": markers}


def panels_of(rows):
    names = sorted({row["panel"] for row in rows})
    return {name: gated(CASE.panels[name]) for name in names}


def gate_files(rows):
    return sorted({panel["gates"]["file"] for panel in panels_of(rows).values()})


def moved_gate_files(rows):
    """The files of gates that were moved by hand."""
    return sorted(
        {part["gates"] for row in rows for part in row.get("gate_overrides", [])}
    )


def spillover_files(rows):
    return sorted({row["spillover"] for row in rows if "spillover" in row})


def read_only(rows):
    """The rows without what gating alone uses: nothing before it runs again when a gate is moved."""
    unused = ("spillover", "gate_overrides")
    return [
        {key: value for key, value in row.items() if key not in unused} for row in rows
    ]


def rows_for_thresholds(wc):
    rows = STAINED_ROWS[wc.subject, wc.panel]
    return threshold_rows(rows, wc.subject, wc.panel, CASE.panels[wc.panel])


def placed(folder, batch):
    stained = {(row["subject"], row["panel"]) for row in full_rows(batch)}
    return [
        f"results/cytometry/{folder}/{subject}/{panel}.tsv"
        for subject, panel in sorted(stained)
    ]


def simulated(rows, column):
    """The rows whose files the simulation makes, with what it needs to know of them."""
    return [
        {**row, "path": row[column], "map": row.get("map_file")}
        for row in read_only(rows)
        if row[column].startswith("results/simulated/")
    ]


def memory(wildcards, input, attempt):
    """Memory in MB: a job holds a few copies of its files, more on every attempt."""
    return int(700 + 6 * input.size_mb) * attempt


def memory_one_by_one(wildcards, input, attempt):
    """Memory in MB of a job that takes one file after the other: that of its largest."""
    return int(700 + 6 * max(input.size_files_mb, default=0)) * attempt


def memory_of_pack(wildcards, input, attempt):
    """Memory in MB by what is packed: of each raw file, an input too, only the text is read."""
    packed_mb = sum(Path(file).stat().st_size for file in input.packed) / 1e6
    return int(700 + 6 * packed_mb) * attempt


def minutes(wildcards, input, attempt):
    """Time limit in minutes: a start, several times a slow job's second a MB, more on every attempt."""
    return int(10 + 0.1 * input.size_mb) * attempt


def available_chapters():
    lineages = {CASE.panels[row["panel"]]["lineage"] for row in CASE.acquisitions}
    there = {
        "timeline": CASE.timeline is not None,
        "t_cells": "T" in lineages,
        "b_cells": "B" in lineages,
        "steroid_sensitivity": bool(CASE.plates),
    }
    return [chapter for chapter in CHAPTERS if there.get(chapter, True)]


AVAILABLE_CHAPTERS = available_chapters()
CHAPTER_NOTEBOOKS = [f"notebooks/{chapter}.ipynb" for chapter in AVAILABLE_CHAPTERS]
CHAPTER_FILES = [f"results/report/chapters/{c}.ipynb" for c in AVAILABLE_CHAPTERS]

REPORT_TEMPLATES = [
    f"immunotrace/report/templates/report.{ending}" for ending in ("css", "js", "typ")
]

CYTOMETRY_TABLES = ["populations", "markers", "cytometry_qc", "cytometry_qc_channels"]
PLATE_TABLES = ["wells", "plate_qc", "curves", "contrasts"]
ALL_TABLES = [
    *CYTOMETRY_TABLES,
    *PLATE_TABLES,
    "composition",
    "changes",
    "detectable_changes",
    "claims",
]
RECORDED_TABLES = [*CYTOMETRY_TABLES, "plate_qc", "curves", "claims"]


def published(*names):
    """The files of those published tables that the case has, by name."""
    there = [
        *(CYTOMETRY_TABLES if CASE.acquisitions else []),
        *(PLATE_TABLES if CASE.plates else []),
        *(["composition"] if CASE.acquisitions else []),
        "changes",
        "detectable_changes",
        *(["claims"] if CASE.claims else []),
    ]
    return {name: f"results/tables/{name}.tsv" for name in names if name in there}


def figure_tables(group):
    """What the figures of a chapter are drawn from, by name."""
    if group == "timeline":
        return {"timeline": CASE.timeline}
    if group == "quality":
        batches = CASE.batches
        time = expand("results/cytometry/{batch}/time.tsv", batch=batches)
        return published("cytometry_qc", "wells", "plate_qc") | {"time": time}
    timeline = {"timeline": CASE.timeline} if CASE.timeline else {}
    if group == "steroid_sensitivity":
        lines = {n: f"results/doseresponse/{n}.tsv" for n in ("fitted", "residuals")}
        return published("wells", "curves", "contrasts", "changes") | lines | timeline
    parts = {
        name: expand(
            "results/cytometry/{batch}/{name}.tsv", batch=CASE.batches, name=name
        )
        for name in ("densities", "panels", "hierarchy")
    }
    return published("populations", "markers", "changes") | parts | timeline


def figure_options(group):
    """What drawing the figures of a chapter uses besides tables; a day has one colour in all of them."""
    if group == "quality":
        return {"simulated": CASE.simulated}
    patient = CASE.settings["case"]["patient"]
    options = {"simulated": CASE.simulated, "days": CASE.days, "patient": patient}
    if group == "steroid_sensitivity":
        options["level"] = CASE.settings["dose_response"]["level"]
    if group in LINEAGES.values():
        options["panels"] = [
            n for n, p in CASE.panels.items() if LINEAGES[p["lineage"]] == group
        ]
    return options


# Those of the rules that the case has.
ENVIRONMENTS = [
    *(["simulation"] if CASE.simulated else []),
    *(["cytometry"] if CASE.acquisitions else []),
    *("doseresponse", "figures", "report"),
]
SOFTWARE = [
    "results/report/code.json",
    *expand("results/report/software/{environment}.json", environment=ENVIRONMENTS),
]

# The workflow itself, of which the crate has a copy.
WORKFLOW_FILES = [
    "Snakefile",
    *sorted(f"rules/{p.name}" for p in ROOT.glob("rules/*.smk")),
]


def named_packages(environment):
    """The packages that an environment's file names, by their names on PyPI."""
    file = load_yaml(str(ROOT / f"envs/{environment}.yaml"))[0]
    names = [
        name.split()[0].removesuffix("-base")
        for part in file.data["dependencies"]
        for name in (part["pip"] if isinstance(part, dict) else [part])
    ]
    return sorted(set(names) - {"python", "pip"})


SUPPLEMENT = ["results/report/supplement.pdf"] if CASE.acquisitions else []


def chapter_tables(chapters):
    """What chapters read besides the case and their figures."""
    names = {name for chapter in chapters for name in CHAPTER_TABLES[chapter]}
    others = {
        "timeline": CASE.timeline,
        "what_is_new": "results/report/what_is_new.json",
        "record": "results/report/record.json",
    }
    return [
        *published(*sorted(names)).values(),
        *(path for name, path in others.items() if name in names and path),
        *(SOFTWARE if "software" in names else []),
    ]


def published_results():
    """The published tables and the figures of all chapters."""
    figures = figure_files(AVAILABLE_CHAPTERS, "svg", "pdf", "png", "tsv")
    return [*published(*ALL_TABLES).values(), *figures]


def figure_files(chapters, *formats):
    names = [name for chapter in chapters for name in FIGURES.get(chapter, [])]
    return expand("results/figures/{name}.{format}", name=names, format=formats)
