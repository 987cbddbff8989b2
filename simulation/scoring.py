"""How far the pipeline's tables are from what was simulated: the one place where the truth is read."""

import csv
import html
import json
import math
from collections.abc import Iterable
from pathlib import Path

COLUMNS = [
    "kind",
    "subject",
    "day",
    "name",
    "marker",
    "truth",
    "found",
    "difference",
    "relative_difference_percent",
    "expected",
    "low",
    "high",
    "covered",
]
KINDS = {
    "percent_of_parent": "fractions (percentage points)",
    "percent_positive": "positive cells (percentage points)",
    "median_all": "medians (percent of the truth)",
    "absolute_ic50": "absolute IC50 (percent of the truth)",
    "relative_ic50": "relative IC50 (percent of the truth)",
    "change of percent_of_parent": "change of fractions (logit)",
    "change of percent_positive": "change of positive cells (logit)",
    "change of absolute_ic50": "change of absolute IC50 (log)",
    "change of relative_ic50": "change of relative IC50 (log)",
}
_RELATIVE = ("median_all", "absolute_ic50", "relative_ic50")
_WORST = 5
# The bundled claims, by what they measure: what was simulated says nothing of others.
_CLAIMS = {
    "C1": ("percent_positive", "CCR4"),
    "C2": ("percent_positive", "CCR7"),
    "C3": ("percent_positive", "CXCR4"),
    "C4": ("percent_of_parent", ""),
    "C5": ("absolute_ic50", ""),
    "C6": ("", ""),
}


def score(
    truths: Iterable[str | Path], timeline_truth: str | Path, tables: str | Path
) -> list[dict]:
    """A row a value or verdict (see COLUMNS) of the scenario that was run.

    `truth` is what the labels of the tube's cells, or the plate's own curve, say; `expected` what was in
    the blood, of which the tube is a sample: intervals are about that (`covered`). Of a change both are
    the change that the scenario plans, without the day-to-day variation that an interval allows for.
    `tables` is the folder of the published tables; a table that is not there is left out.
    """
    acquisitions, plates = {}, {}
    for path in truths:
        part = json.loads(Path(path).read_text(encoding="utf-8"))
        acquisitions |= part["acquisitions"]
        plates |= part["plates"]
    read = {name: _read(Path(tables) / f"{name}.tsv") for name in _TABLES}
    rows = [
        *_fractions(read["populations"], acquisitions),
        *_markers(read["markers"], acquisitions),
        *_ic50s(read["curves"], plates),
        *_changes(read["changes"], acquisitions, plates),
        *_verdicts(read["claims"], json.loads(Path(timeline_truth).read_text(encoding="utf-8"))),
    ]
    return [{name: row.get(name) for name in COLUMNS} for row in rows]


_TABLES = ("populations", "markers", "curves", "changes", "claims")


def summary(rows: list[dict]) -> list[dict]:
    """A row a kind of value: number, median and largest absolute difference, share of intervals.

    `missed`: values that were simulated and not found; a bound is an interval.
    """
    out = []
    for kind, words in KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        if not own:
            continue
        name = "relative_difference_percent" if kind in _RELATIVE else "difference"
        sizes = sorted(abs(row[name]) for row in own if row[name] is not None)
        covered = [row["covered"] for row in own if row["covered"] is not None]
        missed = [row for row in own if row["truth"] is not None and row["found"] is None]
        out.append(
            {
                "what": words,
                "values": len(sizes),
                "missed": len(missed),
                "median": sizes[len(sizes) // 2] if sizes else None,
                "largest": sizes[-1] if sizes else None,
                "intervals": len(covered),
                "covered_percent": 100 * sum(covered) / len(covered) if covered else None,
            }
        )
    return out


def write_score(rows: list[dict], notice: str, scenario: str, page: Path, table: Path) -> None:
    """Write the table of all rows (TSV) and a page of their summary (HTML)."""
    page.parent.mkdir(parents=True, exist_ok=True)
    with open(table, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    verdicts = [row for row in rows if row["kind"] == "verdict"]
    known = [row for row in verdicts if row["covered"] is not None]
    right = sum(row["covered"] for row in known)
    worst = []
    for kind in KINDS:
        name = "relative_difference_percent" if kind in _RELATIVE else "difference"
        some = [row for row in rows if row["kind"] == kind and row[name] is not None]
        worst += sorted(some, key=lambda row: -abs(row[name]))[:_WORST]
    parts = [
        f"<p><strong>{html.escape(notice)}</strong>. Scenario: {html.escape(scenario)}. "
        f"Every number of {html.escape(table.name)} in short.</p>",
        f"<h2>Verdicts: {right} of {len(known)} as simulated</h2>",
        _html_table(verdicts, ["name", "truth", "found"]),
        "<h2>Values against the truth</h2>",
        _html_table(
            summary(rows),
            ["what", "values", "missed", "median", "largest", "intervals", "covered_percent"],
        ),
        f"<h2>The {_WORST} farthest of each kind</h2>",
        _html_table(worst, ["kind", "subject", "day", "name", "marker", "truth", "found"]),
    ]
    style = (
        "body{font:16px/1.5 sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;"
        "border-bottom:1px solid #ccc}"
    )
    page.write_text(
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>Score against the truth"
        f"</title><style>{style}</style>\n<h1>Score against the simulated truth</h1>\n"
        + "\n".join(parts)
        + "\n</html>\n",
        encoding="utf-8",
    )


def _read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _fractions(rows: list[dict], truths: dict) -> list[dict]:
    out = []
    for row in rows:
        tube = truths[row["acquisition"]]
        known = tube["populations"].get(row["population"])
        if known is None:
            continue
        blood = tube["parameters"]["percent_of_parent"].get(row["population"])
        out.append(
            _scored("percent_of_parent", row, row["population"], "", known["percent_of_parent"], blood,
                    "percent_of_parent")
        )  # fmt: skip
    return out


def _markers(rows: list[dict], truths: dict) -> list[dict]:
    out = []
    for row in rows:
        tube = truths[row["acquisition"]]
        known = tube["markers"].get(row["population"], {}).get(row["marker"])
        if known is None:
            continue
        blood = tube["parameters"]["percent_positive"].get(row["population"], {})
        about = row, row["population"], row["marker"]
        out.append(
            _scored("percent_positive", *about, known["percent_positive"], blood.get(row["marker"]),
                    "percent_positive")
        )  # fmt: skip
        out.append(
            _scored("median_all", *about, known["median_all_with_noise"], None, "median_all")
        )
    return [row for row in out if row["found"] is not None]


def _ic50s(rows: list[dict], plates: dict) -> list[dict]:
    """IC50s and their bounds; a curve that never falls to half has its absolute one above all doses."""
    out = []
    for row in rows:
        known = plates[row["plate"]]
        side = {"<": "absolute_ic50_high", ">": "absolute_ic50_low"}.get(row["bound"])
        row = row | ({side: row["bound_dose"]} if side else {})
        for kind in ("absolute_ic50", "relative_ic50"):
            expected = math.inf if known[kind] is None else known[kind]
            out.append(_scored(kind, row, row["drug"], "", known[kind], expected, kind))
    return out


def _changes(rows: list[dict], acquisitions: dict, plates: dict) -> list[dict]:
    planned: dict[tuple, float] = {}
    for tube in acquisitions.values():
        plan = tube["parameters_without_variation"]
        for population, value in plan["percent_of_parent"].items():
            planned["percent_of_parent", population, "", tube["subject"], tube["day"]] = value
        for population, markers in plan["percent_positive"].items():
            for marker, value in markers.items():
                planned["percent_positive", population, marker, tube["subject"], tube["day"]] = (
                    value
                )
    for plate in plates.values():
        for kind, value in plate["without_variation"].items():
            # a plate that was planned to stay above half has no change to be right about
            if plate["reaches_half_inhibition"]:
                planned[kind, "", "", plate["subject"], plate["day"]] = value
    baseline = {key[:4]: value for key, value in planned.items() if key[4] <= 0}
    out = []
    for row in rows:
        key = row["measurement"], row["population"], row["marker"], row["subject"]
        value, before = planned.get((*key, int(row["day"]))), baseline.get(key)
        if not value or not before or value == 100:
            continue
        logit = row["scale"] == "logit"
        truth = _scale(value, logit) - _scale(before, logit)
        name = row["population"] or row["drug"]
        kind = f"change of {row['measurement']}"
        out.append(_scored(kind, row, name, row["marker"], truth, truth, "change"))
    return out


def _verdicts(rows: list[dict], truth: dict) -> list[dict]:
    """What each claim of the bundled case must get; `covered` is whether it did, None for others."""
    measured = {-1: ["supported"], 0: ["not_supported", "inconclusive"], 1: ["contradicted"]}
    clinical = {"failure": ["supported"], "response": ["contradicted"]}
    out = []
    for row in rows:
        if _CLAIMS.get(row["claim"]) != (row["measurement"], row["marker"]):
            right = []
        elif row["claim"] == "C6":
            right = clinical[truth["clinical_course"]]
        else:
            right = measured[truth["sign_of_effects"]]
        out.append(
            {
                "kind": "verdict",
                "name": row["claim"],
                "truth": " or ".join(right),
                "found": row["verdict"],
                "covered": row["verdict"] in right if right else None,
            }
        )
    return out


def _scored(kind, row, name, marker, truth, expected, column) -> dict:
    found, low, high = (_number(row.get(column + end)) for end in ("", "_low", "_high"))
    known = truth is not None and found is not None
    bounded = expected is not None and (low is not None or high is not None)
    return {
        "kind": kind,
        "subject": row["subject"],
        "day": int(row["day"]),
        "name": name,
        "marker": marker,
        "truth": truth,
        "found": found,
        "difference": found - truth if known else None,
        "relative_difference_percent": 100 * (found / truth - 1) if known and truth else None,
        "expected": expected,
        "low": low,
        "high": high,
        "covered": (low is None or low <= expected) and (high is None or expected <= high)
        if bounded
        else None,
    }


def _scale(value: float, logit: bool) -> float:
    return math.log(value / (100 - value)) if logit else math.log(value)


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _html_table(rows: list[dict], columns: list[str]) -> str:
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape(_cell(round(v, 3) if isinstance(v, float) else v))}</td>"
            for v in (row[name] for name in columns)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
