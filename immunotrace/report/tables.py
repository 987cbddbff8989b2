"""The tables and the case as the chapters read them."""

import json
from pathlib import Path

import pandas as pd

from immunotrace.tables import read_tsv


def load_case(path: str | Path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def load_software(results: str | Path, case: dict) -> dict:
    """The `commit` of the code, the version of `snakemake`, and of each of the case's `environments` the versions
    of its packages."""

    def read(name: str) -> dict:
        path = Path(results) / "report" / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    return read("code") | {
        "environments": {name: read(f"software/{name}") for name in case["environments"]}
    }


def load_table(results: str | Path, name: str) -> pd.DataFrame:
    """The published table `name`; without rows and columns where the case has none."""
    path = Path(results) / "tables" / f"{name}.tsv"
    return read_tsv(path) if path.is_file() else pd.DataFrame()


def load_timeline(case: dict) -> pd.DataFrame:
    """The timeline sheet; without rows and columns where the case has none."""
    return pd.DataFrame(case["timeline"])


def load_what_is_new(results: str | Path) -> dict:
    """What `immunotrace.history.news` found new in this run."""
    path = Path(results) / "report" / "what_is_new.json"
    return json.loads(path.read_text(encoding="utf-8"))


def load_record(results: str | Path) -> dict:
    """The record of this run (`immunotrace.history.run_record`)."""
    return json.loads((Path(results) / "report" / "record.json").read_text(encoding="utf-8"))


def patients_first(frame: pd.DataFrame) -> list[str]:
    """The subjects of a table, patients before controls."""
    if frame.empty:
        return []
    order = frame[["subject", "role"]].drop_duplicates()
    order = order.sort_values("role", key=lambda role: role != "patient", kind="stable")
    return list(order["subject"])
