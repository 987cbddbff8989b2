"""What reporting standards ask for, filled from the case; what is not there is called not given.

MIFlowCyt (Lee et al. 2008, Cytometry A 73:926) for cytometry, the items on the course of CARE (Gagnier
et al. 2013, J Med Case Rep 7:223) for the case report.
"""

import pandas as pd

from immunotrace.report import wording

_GIVEN, _GAP = "given", "not given"


def _row(part: str, item: str, text: str | None, where: str = "") -> dict:
    """An item with what is given, or a gap and where to give it."""
    if text:
        return {"part": part, "item": item, "status": _GIVEN, "text": text}
    return {"part": part, "item": item, "status": _GAP, "text": f"add {where}" if where else ""}


def _study(case: dict, key: str) -> tuple[str | None, str]:
    value = case["settings"].get("study", {}).get(key)
    return (", ".join(value) if isinstance(value, list) else value), f"study.{key} to config.yaml"


def miflowcyt(case: dict, populations: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """The MIFlowCyt items: part, item, status (given, in part, not given), text."""
    inputs = [entry for entry in case["inputs"] if entry["kind"] == "acquisition"]
    days = wording.days(entry["day"] for entry in inputs)
    stains = sorted(
        {entry["staining"] for entry in inputs}, key=lambda name: (name != "full", name)
    )
    verdicts = checks["verdict"].value_counts()
    qc = wording.listed(f"{n} {verdict}" for verdict, n in verdicts.items())
    subjects = wording.listed(f"{s['subject']} ({s['role']})" for s in case["subjects"])
    sources = {
        "fcs": "matrix of each FCS file",
        "none": "none here (the files hold compensated values)",
        "workspace": "matrix of the workspace",
    }
    own_matrices = sum(entry["kind"] == "spillover" for entry in case["inputs"])
    compensation = "; ".join(
        f"panel {name}: {sources[panel.get('compensation', 'fcs')]}"
        for name, panel in case["panels"].items()
    ) + (
        f"; {wording.things(own_matrices, 'file')} with a matrix of their own"
        if own_matrices
        else ""
    )
    instruments = [name for name in case["instruments"] if name]
    model, where = _study(case, "instrument")
    if not model and instruments:
        model = wording.listed(instruments) + " ($CYT of the FCS files)"
    gated = populations["acquisition"].nunique() if len(populations) else 0
    gates = wording.things(len(populations), "gate") + f" of {wording.things(gated, 'acquisition')}"
    return pd.DataFrame(
        [
            _row("Overview", "Purpose", *_study(case, "purpose")),
            _row("Overview", "Keywords", *_study(case, "keywords")),
            _row("Overview", "Variables", f"subject ({subjects}), {days}, panel, staining"),
            _row("Overview", "Organisation", *_study(case, "organisation")),
            _row("Overview", "Contact", *_study(case, "contact")),
            _row("Overview", "Dates", *_study(case, "dates")),
            _row(
                "Overview",
                "Conclusions",
                "the verdicts on the claims, chapter Summary" if case["has_claims"] else None,
                "claims to config.yaml",
            ),
            _row("Overview", "Quality control", f"{qc}; chapter Quality"),
            _row("Specimen", "Material and source", *_study(case, "specimen")),
            _row("Specimen", "Treatment", *_study(case, "preparation")),
            _row("Specimen", "Controls of staining", wording.listed(stains[1:] if stains[:1] == ["full"] else stains),
                 "FMO controls to the acquisitions sheet"),
            *(_reagents(case, item, key) for item, key in _REAGENTS.items()),
            _row("Instrument", "Maker", *_study(case, "instrument_maker")),
            _row("Instrument", "Model", model, where),
            _row("Instrument", "Configuration and settings", *_study(case, "configuration")),
            _row("Analysis", "List-mode files", *_list_mode(case, len(inputs))),
            _row("Analysis", "Compensation", compensation),
            _row("Analysis", "Transformation", "none of the data: gates say their own scales (Gating-ML); numbers are of linear values"),
            _row("Analysis", "Gates and percent inside", f"{gates}, with counts: populations.tsv"),
            _row("Analysis", "Boundaries of gates", _boundaries(case)),
        ]
    )  # fmt: skip


# What MIFlowCyt asks of a reagent, and the key of panels.yaml that says it. Its "analyte detector" is the
# antibody, which the clone tells; the instrument's detectors are part of the configuration.
_REAGENTS = {
    "Analyte": None,
    "Analyte detector, clone": "clone",
    "Reporter": "fluorochrome",
    "Maker": "maker",
    "Catalogue number": "catalogue",
}


def _boundaries(case: dict) -> str:
    kept = {
        "flowjo" if panel["gates"]["source"] == "flowjo" else "gatingml": name
        for name, panel in case["panels"].items()
    }
    places = {
        "gatingml": "results/cytometry/*/gates (Gating-ML 2.0)",
        "flowjo": "the FlowJo workspace of the panel, whose SHA-256 is below",
    }
    given = [text for kind, text in places.items() if kind in kept]
    return f"{wording.listed(given)}; pictures in the supplement"


def _list_mode(case: dict, number: int) -> tuple[str | None, str]:
    place, where = _study(case, "data_location")
    files = f"{wording.things(number, 'file')}, SHA-256 below"
    return (f"{place}; {files}" if place else None), f"{where}: where the {files}, are kept"


def _reagents(case: dict, item: str, key: str | None) -> dict:
    markers = [
        (f"{marker} ({panel})", entry)
        for panel, part in case["panels"].items()
        for marker, entry in part["markers"].items()
    ]
    there = [(name, entry.get(key) if key else name) for name, entry in markers]
    gaps = [name for name, value in there if not value]
    given = [name if key is None else f"{name}: {value}" for name, value in there if value]
    if not given or not gaps:
        return _row("Reagents", item, "; ".join(given), f"{key} to the markers of panels.yaml")
    text = "; ".join([*given, f"add {key} to panels.yaml for {', '.join(gaps)}"])
    return {"part": "Reagents", "item": item, "status": "in part", "text": text}


def care(case: dict) -> pd.DataFrame:
    """The items of CARE on timeline, diagnostics, intervention and follow-up: part, item, status, text."""
    rows = [row for row in case["timeline"] if row["subject"] == case["patient"]]
    sheet = "to the timeline sheet"
    scores = [row for row in rows if row["kind"] == "score"]
    later = [row for row in scores if row["day"] > 0]
    given = [row for row in rows if row["kind"] in ("infusion", "drug")]
    changed = sorted(
        {row["name"] for row in given if sum(o["name"] == row["name"] for o in given) > 1}
    )
    others = [row for row in rows if row["kind"] in ("procedure", "rescue")]
    days = [row["day"] for row in rows]
    doses = [row for row in given if row.get("value") is not None]
    without = [
        f"{row['name']} of {wording.day(row['day'])}" for row in given if row.get("value") is None
    ]
    dose = _row("Intervention", "Dose", "; ".join(map(_told, doses)), f"value and unit {sheet}")
    if doses and without:
        dose |= {
            "status": "in part",
            "text": f"{dose['text']}; add value and unit {sheet} for {', '.join(without)}",
        }
    return pd.DataFrame(
        [
            _row(
                "Timeline",
                "Dates and times, as days",
                f"{wording.things(len(rows), 'entry', 'entries')}, {wording.day(min(days))} to {wording.day(max(days))}; "
                "chapter Clinical course"
                if rows
                else None,
                "a timeline to config.yaml",
            ),
            _row("Diagnostics", "Diagnosis and tests", *_study(case, "diagnostics")),
            _row("Diagnostics", "Scores", _series(scores), f"rows of kind score {sheet}"),
            _row(
                "Intervention",
                "Type",
                wording.listed(dict.fromkeys(f"{row['name']} ({row['kind']})" for row in [*given, *others])),
                f"rows of kind infusion, drug, procedure {sheet}",
            ),
            dose,
            _row(
                "Intervention",
                "Changes",
                "; ".join(_told(row) for row in given if row["name"] in changed) if changed else None,
                f"a row for each dose {sheet}, if doses changed",
            ),
            _row("Follow-up", "Outcomes", _series(later), f"scores after day 0 {sheet}"),
            _row(
                "Follow-up",
                "Rescue treatment",
                "; ".join(_told(row) for row in rows if row["kind"] == "rescue"),
                f"rows of kind rescue {sheet}, if there was any",
            ),
            _row("Follow-up", "Adverse events", *_study(case, "adverse_events")),
        ]
    )  # fmt: skip


def _series(rows: list[dict]) -> str:
    names = dict.fromkeys(row["name"] for row in rows)
    return "; ".join(
        f"{name}, {wording.things(sum(row['name'] == name for row in rows), 'rating')}"
        for name in names
    )


def _told(row: dict) -> str:
    """An entry in words: `MSC, 2 million cells per kg, day 0`."""
    value = row.get("value")
    amount = (
        f", {wording.number(value)} {row.get('unit') or ''}".rstrip() if value is not None else ""
    )
    end = row.get("end_day")
    until = "" if end is None else f" to {wording.day(end)}"
    return f"{row['name']}{amount}, {wording.day(row['day'])}{until}"


def summary(rows: pd.DataFrame) -> str:
    """How many items are given: `17 of 24 given, 1 in part, 6 not given`."""
    counts = rows["status"].value_counts()
    parts = [f"{counts[status]} {status}" for status in ("in part", _GAP) if status in counts]
    return ", ".join([f"{counts.get(_GIVEN, 0)} of {len(rows)} items given", *parts])
