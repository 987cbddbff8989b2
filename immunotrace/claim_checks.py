"""What the claims file names must be there: markers, populations, panels, drugs, days, scores.

Imported while Snakemake plans, so it keeps to the standard library.
"""

from immunotrace.baseline import LAST_DAY
from immunotrace.validation import Sheet, YamlFile, suggestion

_KEYS = {
    "change": {"measurement", "marker", "panel", "drug", "populations", "direction", "course", "window",
               "return_window", "minimal_change", "level"},
    "clinical": {"score", "window", "minimal_change", "rescue_within"},
    "composite": {"claims"},
}  # fmt: skip
_ANY = {"claim", "title", "statement", "kind"}
_UNUSED = {
    "percent_positive": ("drug",),
    "median_all": ("drug",),
    "percent_of_parent": ("marker", "drug"),
    "absolute_ic50": ("marker", "populations", "panel"),
    "relative_ic50": ("marker", "populations", "panel"),
}


def claim_problems(
    file: YamlFile,
    named: set[str],
    patient: str | None,
    panels: dict[str, dict],
    made: dict[str, list[str] | None],
    acquisitions: Sheet,
    plates: Sheet,
    timeline: list[dict] | None,
) -> list[str]:
    """What is wrong with claims that pass the schema, a sentence a mistake.

    `named` are the keys of the configuration: which sheets there are. What depends on a part with mistakes
    of its own is not checked: `patient` and `timeline` are None and `panels` empty where they have some.
    `made`: the populations that a panel's gates make, None where only the gates' own file can tell.
    """
    problems = []
    seen = set()
    plain = [claim["claim"] for claim in file.data["claims"] if claim["kind"] != "composite"]
    for index, claim in enumerate(file.data["claims"]):

        def say(text: str, *key: str | int, claim_key=("claims", index)) -> None:
            problems.append(f"{file.where((*claim_key, *key))}: {text}")

        if claim["claim"] in seen:
            say(
                f"{claim['claim']!r} is the name of an earlier claim; expected a name of its own.",
                "claim",
            )
        seen.add(claim["claim"])
        _check_keys(claim, say)
        _check_windows(claim, say)
        if claim["kind"] == "composite":
            for number, name in enumerate(claim["claims"]):
                if name not in plain:
                    say(
                        f"no claim is named {name!r}; expected one of {', '.join(plain) or 'none'} "
                        f"(a composite claim is made of no other).{suggestion(name, plain)}",
                        "claims",
                        number,
                    )
        elif claim["kind"] == "clinical":
            _check_score(claim, named, timeline, patient, say)
        elif claim["measurement"].endswith("_ic50"):
            rows = _check_plates(claim, named, plates, patient, say)
            _check_days(claim, rows if plates.is_whole("day") else [], patient, say)
        else:
            rows = _check_cells(claim, named, panels, made, acquisitions, patient, say)
            whole = acquisitions.is_whole("subject", "panel", "staining", "day")
            _check_days(claim, rows if whole else [], patient, say)
    return problems


def _check_keys(claim: dict, say) -> None:
    for name in claim:
        if name not in _ANY | _KEYS[claim["kind"]]:
            say(f"a {claim['kind']} claim has no `{name}`; remove it.", name)
    for name in _UNUSED.get(claim.get("measurement"), ()) if claim["kind"] == "change" else ():
        if name in claim:
            say(f"{claim['measurement']} has no {name}; remove it.", name)
    if claim.get("course") in ("any", "none") and "return_window" in claim:
        say(
            f"a claim of course {claim['course']} has no `return_window`; remove it.",
            "return_window",
        )
    if claim.get("course") == "none" and "direction" in claim:
        say("a claim of course none is of either `direction`; remove it.", "direction")


def _check_windows(claim: dict, say) -> None:
    for name in ("window", "return_window"):
        if name not in claim:
            continue
        first, last = claim[name]
        begins, ends = claim["window"]
        if first > last:
            say(
                f"{name} begins on day {first} and ends on day {last}; expected the earlier day first.",
                name,
            )
        elif last <= LAST_DAY:
            say(
                f"{name} ends on day {last}, but days up to {LAST_DAY} are baseline; expected days after "
                "the first infusion.",
                name,
            )
        elif first <= LAST_DAY:
            say(
                f"{name} begins on day {first}, but days up to {LAST_DAY} are baseline; expected days "
                f"after the first infusion, from day {LAST_DAY + 1}.",
                name,
            )
        elif name == "return_window" and last <= begins:
            say(
                f"return_window ends on day {last} and window begins on day {begins}; expected days after "
                "the change.",
                name,
            )
        elif name == "return_window" and first <= ends and begins <= ends:
            say(
                f"return_window begins on day {first} and window ends on day {ends}; expected days after "
                "the window.",
                name,
            )


def _check_score(claim: dict, keys: set[str], timeline, patient, say) -> None:
    if "timeline" not in keys:
        say("a clinical claim needs a `timeline` in the configuration.")
    if timeline is None or patient is None:
        return
    scores = sorted(
        {
            row["name"]
            for row in timeline
            if row.get("kind") == "score" and row.get("subject") == patient and "name" in row
        }
    )
    if claim["score"] not in scores:
        say(
            f"the timeline has no score {claim['score']!r} of {patient}; expected one of "
            f"{', '.join(scores) or 'none'}.{suggestion(claim['score'], scores)}",
            "score",
        )


def _check_plates(claim: dict, keys: set[str], plates: Sheet, patient, say) -> list[dict]:
    """The patient's plates that answer a claim; with what is wrong told."""
    if "plates" not in keys:
        say(f"{claim['measurement']} needs `plates` in the configuration.", "measurement")
        return []
    own = [row for row in plates.rows if row.get("subject") == patient and "drug" in row]
    drugs = sorted({row["drug"] for row in own})
    if patient is None or not plates.is_whole("subject", "drug"):
        return []
    if "drug" in claim and claim["drug"] not in drugs:
        say(
            f"no plate of {patient} has the drug {claim['drug']!r}; expected one of "
            f"{', '.join(drugs) or 'none'}.{suggestion(claim['drug'], drugs)}",
            "drug",
        )
    elif "drug" not in claim and len(drugs) > 1:
        say(
            f"{patient} has plates of several drugs; name one of {', '.join(drugs)} as `drug`.",
            "measurement",
        )
    return [row for row in own if row["drug"] == claim.get("drug", row["drug"])]


def _check_cells(claim, keys, panels, made, acquisitions: Sheet, patient, say) -> list[dict]:
    """The patient's full stains that answer a claim; with what is wrong told."""
    marked = claim["measurement"] != "percent_of_parent"
    if "acquisitions" not in keys:
        say(f"{claim['measurement']} needs `acquisitions` in the configuration.", "measurement")
    if "populations" not in claim:
        say(f"{claim['measurement']} needs `populations`.")
    if marked and "marker" not in claim:
        say(f"{claim['measurement']} needs `marker`.")
    own = [
        row
        for row in acquisitions.rows
        if row.get("subject") == patient and row.get("staining") == "full" and "panel" in row
    ]
    if not panels or "populations" not in claim or (marked and "marker" not in claim):
        return own
    named = claim.get("panel")
    if named is not None and named not in panels:
        say(
            f"there is no panel {named!r}; expected one of {', '.join(panels)}."
            f"{suggestion(named, panels)}",
            "panel",
        )
        return own
    if marked and not _check_marker(claim, panels, say):
        return own
    chosen = [named] if named is not None else list(panels)
    stained = {row["panel"] for row in own}
    answering = set()
    for number, population in enumerate(claim["populations"]):
        place = "populations", number
        if marked:
            within = _populations_of(claim["marker"], panels)
            found = [name for name in chosen if population in within[name]]
            sure = found
        else:
            found = [name for name in chosen if made[name] is None or population in made[name]]
            sure = [name for name in found if made[name] is not None]
        if not found:
            say(_not_measured(claim, population, chosen, panels, made), *place)
        elif (
            own
            and not stained & set(found)
            and stained <= set(panels)
            and acquisitions.is_whole("subject", "panel", "staining")
        ):
            say(
                f"{population!r} is measured by panel {' and '.join(found)}, of which {patient} has no "
                "full stain in the acquisitions sheet.",
                *place,
            )
        elif len(several := [name for name in sure if name in stained]) > 1:
            say(
                f"{population!r} is measured by the panels {' and '.join(several)}; name one of them "
                "as `panel`.",
                *place,
            )
        answering |= set(found)
    return [row for row in own if row["panel"] in answering]


def _check_marker(claim: dict, panels: dict[str, dict], say) -> bool:
    """Whether some panel measures the marker of a claim, as the claim needs it."""
    marker = claim["marker"]
    quantified = {
        m for panel in panels.values() for m in panel.get("quantify", {}).get("markers", [])
    }
    if marker not in quantified:
        say(
            f"{marker!r} is quantified in no panel; "
            + (
                f"expected one of {', '.join(sorted(quantified))}."
                if quantified
                else "none has one."
            )
            + suggestion(marker, quantified),
            "marker",
        )
        return False
    thresholds = [
        panel["markers"].get(marker, {}).get("threshold", "none")
        for name, panel in panels.items()
        if name == claim.get("panel", name)
        and marker in panel.get("quantify", {}).get("markers", [])
    ]
    if claim["measurement"] == "percent_positive" and set(thresholds) == {"none"}:
        say(
            f"{marker!r} has no threshold, so no cell is called positive; set its `threshold` in the "
            "panels file.",
            "marker",
        )
        return False
    return True


def _populations_of(marker: str, panels: dict[str, dict]) -> dict[str, list[str]]:
    """By panel, the populations in which a marker is measured."""
    return {
        name: panel.get("quantify", {}).get("populations", [])
        if marker in panel.get("quantify", {}).get("markers", [])
        else []
        for name, panel in panels.items()
    }


def _not_measured(claim: dict, population: str, chosen: list[str], panels, made) -> str:
    of_panel = f" of panel {chosen[0]!r}" if "panel" in claim else ""
    if claim["measurement"] == "percent_of_parent":
        known = [path for name in chosen for path in made[name]]
        return (
            f"no gate{of_panel} makes the population {population!r}.{suggestion(population, known)}"
        )
    everywhere = [
        p for panel in panels.values() for p in panel.get("quantify", {}).get("populations", [])
    ]
    if population not in everywhere:
        return (
            f"markers are quantified in no population {population!r}; see `quantify` of the panels file."
            f"{suggestion(population, everywhere)}"
        )
    within = _populations_of(claim["marker"], panels)
    there = [path for name in chosen for path in within[name]]
    return (
        f"{claim['marker']!r} is not measured in {population!r}{of_panel}; expected one of "
        f"{', '.join(there) or 'no population'}."
    )


def _check_days(claim: dict, rows: list[dict], patient, say) -> None:
    """Windows that hold no sampled day after baseline, though later days were sampled.

    A window that lies ahead of the last sample is no mistake: its samples are yet to come.
    """
    days = sorted({row["day"] for row in rows if isinstance(row.get("day"), int)})
    days = [day for day in days if day > LAST_DAY]
    for name in ("window", "return_window"):
        if name not in claim or not days:
            continue
        first, last = claim[name]
        if max(first, LAST_DAY + 1) <= last < days[-1] and not any(
            first <= day <= last for day in days
        ):
            say(
                f"{patient} has no sample on days {first} to {last}; expected a {name} with one of the "
                f"days {', '.join(map(str, days))}.",
                name,
            )
