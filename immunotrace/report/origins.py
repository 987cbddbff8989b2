"""Where numbers come from: tables from rules, rows from raw files, claims from both."""

import pandas as pd

from immunotrace.baseline import LAST_DAY
from immunotrace.provenance import maker

_KEYS = {
    "populations": "acquisition, population",
    "markers": "acquisition, population, marker",
    "cytometry_qc": "acquisition",
    "cytometry_qc_channels": "acquisition, channel",
    "wells": "plate, well",
    "plate_qc": "plate",
    "curves": "curve, plate",
    "contrasts": "curve, reference",
    "composition": "acquisition, population, marker",
    "changes": "measurement, subject, population, marker, day",
    "detectable_changes": "measurement, population, marker, design",
    "claims": "claim",
}
_CYTOMETRY = ("populations", "markers", "cytometry_qc", "cytometry_qc_channels", "composition")
_PLATES = ("wells", "plate_qc", "curves", "contrasts")
_SHORT = 12  # digits of a checksum, as in git


def table_rows(case: dict) -> pd.DataFrame:
    """Of each published table what a row is found by, and what made it: table, key, reads, rule, script, environment."""
    absent = {
        *(() if case["has_cytometry"] else _CYTOMETRY),
        *(() if case["has_plates"] else _PLATES),
        *(() if case["has_claims"] else ("claims",)),
    }
    kinds = {entry["kind"] for entry in case["inputs"]}
    rows = []
    for name, key in _KEYS.items():
        step = maker(f"tables/{name}.tsv")
        if name in absent or step is None:
            continue
        reads = [
            part.removeprefix("tables/")
            for part in step.reads
            if part in kinds or ("/" in part and part[7:-4] not in absent)
        ]
        rows.append(
            {
                "table": f"{name}.tsv",
                "key": key,
                "reads": ", ".join(reads),
                "rule": step.rule,
                "script": step.script,
                "environment": step.environment,
            }
        )
    return pd.DataFrame(rows)


def acquisition_rows(
    case: dict, checks: pd.DataFrame, populations: pd.DataFrame, markers: pd.DataFrame
) -> pd.DataFrame:
    """Of each FCS file its checksum, quality, the files of its gates and thresholds, and how many rows rest on it."""
    verdicts = dict(zip(checks["acquisition"], checks["verdict"], strict=True))
    counts = [table["acquisition"].value_counts() for table in (populations, markers) if len(table)]
    rows = []
    for entry in case["inputs"]:
        if entry["kind"] != "acquisition":
            continue
        numbers = sum(int(count.get(entry["name"], 0)) for count in counts)
        rows.append(
            {key: entry[key] for key in ("name", "day", "staining")}
            | {
                "sha256": entry["sha256"][:_SHORT],
                "verdict": verdicts.get(entry["name"]),
                "gates": _gates(case, entry) if numbers else None,
                "thresholds": f"thresholds/{entry['subject']}/{entry['panel']}.tsv",
                "rows": numbers,
            }
        )
    return pd.DataFrame(rows)


def _gates(case: dict, entry: dict) -> str:
    """Where the gates of an acquisition are; those of a workspace have no form outside it."""
    if case["panels"][entry["panel"]]["gates"]["source"] == "flowjo":
        return f"FlowJo workspace of panel {entry['panel']}"
    return f"{entry['batch']}/gates/{entry['name']}.xml"


def plate_rows(case: dict, checks: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Of each plate its checksum, quality and the call of its curve."""
    verdicts = dict(zip(checks["plate"], checks["verdict"], strict=True))
    calls = dict(zip(curves["plate"], curves["call"], strict=True)) if len(curves) else {}
    return pd.DataFrame(
        [
            {key: entry[key] for key in ("name", "day", "drug")}
            | {
                "sha256": entry["sha256"][:_SHORT],
                "verdict": verdicts.get(entry["name"]),
                "call": calls.get(entry["name"]),
            }
            for entry in case["inputs"]
            if entry["kind"] == "plate"
        ]
    )


def claim_rows(
    case: dict, claims: pd.DataFrame, populations: pd.DataFrame, curves: pd.DataFrame
) -> pd.DataFrame:
    """Of each claim about a change the raw files of its effect: the patient's, of baseline and of the extreme day."""
    rows = []
    for claim in claims.to_dict("records"):
        day = claim.get("nadir_day")
        measured = claim.get("measurement")
        if day is None or day != day or not isinstance(measured, str):
            continue
        plates = measured.endswith("_ic50")
        table = curves if plates else populations
        own = table[table["subject"] == case["patient"]]
        if not plates:
            own = own[own["population"].isin(str(claim["populations"]).split("; "))]
        name = "plate" if plates else "acquisition"
        rows.append(
            {
                "claim": claim["claim"],
                "title": claim["title"],
                "day": day,
                "files": ", ".join(dict.fromkeys(own.loc[own["day"] == day, name])),
                "baseline": ", ".join(dict.fromkeys(own.loc[own["day"] <= LAST_DAY, name])),
            }
        )
    return pd.DataFrame(rows)


def software_rows(software: dict) -> pd.DataFrame:
    """A row a package, a column an environment: the version, or nothing where it is not named there."""
    environments = software["environments"]
    names = sorted({name for held in environments.values() for name in held})
    return pd.DataFrame(
        [
            {"package": name} | {env: held.get(name) for env, held in environments.items()}
            for name in names
        ]
    )
