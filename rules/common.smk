# The case, checked before any job, and the functions that rules share.

from pathlib import Path

from snakemake.exceptions import WorkflowError

from immunotrace.case import load_case
from immunotrace.dependencies import code_digest
from immunotrace.cytometry.thresholds import threshold_rows
from immunotrace.errors import InputError

ROOT = Path(workflow.basedir)

try:
    CASE = load_case(
        config, [str(f) for f in workflow.overwrite_configfiles or ["config.yaml"]]
    )
except InputError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    batch=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    subject=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


def code(script):
    """Makes a rule run again when its script, or a module that the script imports, has changed."""
    return code_digest(ROOT / script, ROOT, ("immunotrace", "simulation"))


def where(rows, **values):
    return [row for row in rows if all(row[k] == v for k, v in values.items())]


def full_rows(batch):
    return where(CASE.acquisitions, batch=batch, staining="full")


def fmo_rows(batch):
    return [
        row
        for row in where(CASE.acquisitions, batch=batch)
        if row["staining"].startswith("FMO:")
    ]


def panels_of(rows):
    return {name: CASE.panels[name] for name in sorted({row["panel"] for row in rows})}


def gate_files(rows):
    return sorted({panel["gates"]["file"] for panel in panels_of(rows).values()})


def rows_for_thresholds(wc):
    panel = CASE.panels[wc.panel]
    return threshold_rows(CASE.acquisitions, wc.subject, wc.panel, panel)


def kept_events(rows):
    batches = sorted({row["batch"] for row in rows})
    return [f"results/cytometry/{batch}/kept.npz" for batch in batches]


def thresholds_of(batch):
    stained = {(row["subject"], row["panel"]) for row in full_rows(batch)}
    return [
        f"results/cytometry/thresholds/{subject}_{panel}.tsv"
        for subject, panel in sorted(stained)
    ]


def simulated_plates(batch):
    folder = f"results/simulated/{batch}/"
    return [
        {**row, "path": row["file"], "map": row["map_file"]}
        for row in CASE.plates
        if row["file"].startswith(folder)
    ]


def memory(wildcards, input, attempt):
    """Memory in MB: a job holds a few copies of its largest files, more on every attempt."""
    return int(700 + 6 * input.size_mb) * attempt
