"""The cytometry stage as the rules run it, and events made for tests."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from immunotrace.cytometry.acquisition_qc import ingest_batch
from immunotrace.cytometry.fcs import FcsFile
from immunotrace.cytometry.quantify import cytometry_tables, quantify_batch
from immunotrace.cytometry.thresholds import place_thresholds, threshold_rows
from immunotrace.validation import load_schema, with_defaults

SETTINGS = {
    **with_defaults({}, load_schema("config")["properties"]["cytometry"]),
    "on_failed_qc": "stop",
}
PARTS = ("populations", "markers", "densities", "panels", "hierarchy")


def read_sheets(folder: Path) -> tuple[list[dict], dict]:
    """The rows and panels of a case's folder, with paths from the working directory."""
    with open(folder / "acquisitions.tsv", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    panels = yaml.safe_load((folder / "panels.yaml").read_text(encoding="utf-8"))["panels"]
    for panel in panels.values():
        panel["gates"]["file"] = os.path.normpath(folder / panel["gates"]["file"])
    rows = [
        {**row, "day": int(row["day"]), "fcs": os.path.normpath(folder / row["fcs"])}
        for row in rows
    ]
    return rows, panels


def run_chain(rows: list[dict], panels: dict, settings: dict, out: Path) -> dict[str, pd.DataFrame]:
    """All cytometry jobs of a case; the joined tables, thresholds and FMO medians among them."""
    batches = sorted({row["batch"] for row in rows})
    kept = {batch: out / batch / "kept.npz" for batch in batches}
    for batch in batches:
        own = [row for row in rows if row["batch"] == batch]
        extra = (out / batch / "channels.tsv", out / batch / "time.tsv")
        ingest_batch(own, settings, out / batch / "qc.tsv", kept[batch], *extra)
    thresholds, fmo_medians = [], []
    for subject, panel in sorted({(row["subject"], row["panel"]) for row in rows}):
        path = out / "thresholds" / f"{subject}_{panel}.tsv"
        own = threshold_rows(rows, subject, panel, panels[panel])
        medians = out / "fmo_medians" / path.name
        place_thresholds(own, subject, panel, panels[panel], settings, path, medians)
        thresholds.append(path)
        fmo_medians.append(medians)
    for batch in batches:
        own = [row for row in rows if row["batch"] == batch]
        outputs = {name: out / batch / f"{name}.tsv" for name in PARTS}
        outputs["gates"] = out / batch / "gates"
        quantify_batch(own, panels, settings, kept[batch], thresholds, outputs, 1, fmo_medians)
    names = (*PARTS, "qc")
    parts = {name: [out / batch / f"{name}.tsv" for batch in batches] for name in names}
    cytometry_tables(parts, {name: out / f"{name}.tsv" for name in names})
    tables = {name: pd.read_csv(out / f"{name}.tsv", sep="\t") for name in names}
    for name, paths in (("thresholds", thresholds), ("fmo_medians", fmo_medians)):
        tables[name] = pd.concat([pd.read_csv(path, sep="\t") for path in paths])
    return tables


def make_fcs(columns: dict[str, np.ndarray], keywords: dict[str, str] | None = None) -> FcsFile:
    """Events in memory: $PnN -> linear values, all with a range of 262144."""
    events = np.column_stack(list(columns.values())).astype(float)
    return FcsFile(
        path="made for a test",
        version="3.1",
        keywords=keywords or {},
        channels=tuple(columns),
        labels=tuple("" for _ in columns),
        ranges=np.full(len(columns), 262144.0),
        events=events,
        notes=(),
    )


def log_normal(rng: np.random.Generator, median: float, spread: float, size: int) -> np.ndarray:
    """Log-normal values with the noise of a detector, a standard deviation of 60."""
    return median * np.exp(spread * rng.standard_normal(size)) + 60 * rng.standard_normal(size)
