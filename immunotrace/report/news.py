"""The news of a run (`immunotrace.history.news`) as rows and words for the report's first chapter."""

import math

import pandas as pd

from immunotrace.report import wording

_MEASUREMENTS = {
    "percent_of_parent": "{population} (% of parent)",
    "percent_positive": "{marker}+ of {population} (%)",
    "median_all": "Median {marker} of {population}",
    "absolute_ic50": "Absolute IC50 ({unit})",
    "relative_ic50": "Relative IC50 ({unit})",
    "imax_top_dose": "Inhibition at the top dose (%)",
    "effect": "Effect of claim {name} (%)",
}
_NEVER_SHOWN = ("bytes", "sha256", "kind", "name")


def is_empty(news: dict) -> bool:
    """Whether nothing at all differs."""
    parts = [*news["inputs"].values(), *news["timeline"].values()]
    parts += [news[key] for key in ("settings", "software", "numbers", "verdicts", "figures")]
    return not any(parts)


def summary(news: dict) -> str:
    """A sentence that counts what is new."""
    inputs, numbers = news["inputs"], news["numbers"]
    changed = [n for n in numbers if n["old"] is not None and n["new"] is not None]
    entries = news["timeline"]["added"] + news["timeline"]["removed"]
    counts = [
        (len(inputs["added"]), "input file added", "input files added"),
        (len(inputs["removed"]), "input file removed", "input files removed"),
        (len(inputs["changed"]), "input file changed", "input files changed"),
        (len(entries), "entry of the timeline changed", "entries of the timeline changed"),
        (len(news["settings"]), "setting changed", "settings changed"),
        (len(news["software"]), "version of software changed", "versions of software changed"),
        (len(changed), "number changed", "numbers changed"),
        (sum(n["old"] is None for n in numbers), "number is new", "numbers are new"),
        (sum(n["new"] is None for n in numbers), "number is gone", "numbers are gone"),
        (len(news["verdicts"]), "verdict turned", "verdicts turned"),
        (len(news["figures"]), "figure differs", "figures differ"),
    ]
    told = [wording.things(number, one, many) for number, one, many in counts if number]
    return (
        wording.sentence(wording.listed(told) or "nothing but the order of entries differs") + "."
    )


def turned(verdict: dict) -> str:
    """A verdict that turned, in words."""
    about = f"{verdict['name']} {verdict['title']}" if verdict["title"] else verdict["name"]
    old, new = (verdict[side].replace("_", " ") for side in ("old", "new"))
    return f"{wording.sentence(verdict['kind'])} {about}: was {old}, is {new}."


def input_rows(news: dict) -> pd.DataFrame:
    """Columns change, kind, name, about (the row in the sheet, or what of it changed), bytes, sha256."""
    rows = []
    removed = {(e["kind"], e["sha256"]): e["name"] for e in news["inputs"]["removed"]}
    for change in ("added", "removed"):
        for entry in news["inputs"][change]:
            about = [f"{k} {v}" for k, v in entry.items() if k not in _NEVER_SHOWN]
            same = removed.get((entry["kind"], entry["sha256"]))
            if change == "added" and same is not None:
                about.append(f"the content of {same}, which is removed")
            rows.append({"change": change, "about": "; ".join(about)} | entry)
    for entry in news["inputs"]["changed"]:
        old, new = entry["old"], entry["new"]
        about = [f"{k} was {old[k]}, is {new[k]}" for k in new if k not in _NEVER_SHOWN]
        if "sha256" in new:
            about.append("other content")
        rows.append({"change": "changed", "about": "; ".join(about)} | entry | new)
    columns = ["change", "kind", "name", "about", "bytes", "sha256"]
    return pd.DataFrame(rows, columns=columns)


def timeline_rows(news: dict) -> pd.DataFrame:
    """The timeline's entries that came or went, with a column change."""
    rows = [{"change": change} | e for change, entries in news["timeline"].items() for e in entries]
    columns = ["change", "subject", "day", "end_day", "kind", "name", "value", "unit"]
    return pd.DataFrame(rows, columns=columns)


def setting_rows(news: dict) -> pd.DataFrame:
    """Columns key, old and new, as text, of settings and software."""
    rows = [
        {"key": change["key"]} | {side: _value(change[side]) for side in ("old", "new")}
        for change in [*news["settings"], *news["software"]]
    ]
    return pd.DataFrame(rows, columns=["key", "old", "new"])


def number_rows(news: dict) -> dict[str, pd.DataFrame]:
    """The numbers that changed, are new and are gone (keys changed, new, gone).

    Columns what, name (of the acquisition, curve or claim), day, old, new, difference, beyond (yes, no, or
    empty where the old number had no interval), low and high (of the number as it is now, of the old one
    where it is gone), before and now (the old and the new number with their intervals, as text).
    """
    names = wording.short_names(n["population"] for n in news["numbers"] if n["population"])
    found: dict[str, list[dict]] = {"changed": [], "new": [], "gone": []}
    for number in news["numbers"]:
        told = number | {"population": names.get(number["population"], "all events")}
        beyond = {True: "yes", False: "no", None: ""}[number["beyond"]]
        kind = "new" if number["old"] is None else "gone" if number["new"] is None else "changed"
        found[kind].append(
            number
            | {
                "what": _MEASUREMENTS[number["measurement"]].format(**told),
                "beyond": beyond,
                "before": _told(number["old"], number["old_low"], number["old_high"]),
                "now": _told(number["new"], number["low"], number["high"]),
            }
        )
    columns = [
        *("what", "name", "day", "old", "new", "difference", "beyond", "low", "high"),
        *("before", "now"),
    ]
    return {
        kind: pd.DataFrame(rows, columns=columns).astype(
            dict.fromkeys(["day", "old", "new", "difference", "low", "high"], float)
        )
        for kind, rows in found.items()
    }


def _told(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    return wording.with_interval(*(math.nan if v is None else v for v in (value, low, high)))


def _value(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "(none)"
    return "(none)" if value is None else str(value)
