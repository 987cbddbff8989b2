"""Claims as data, each answered from the tables.

A claim about a change is answered in every population that it names and holds only where it holds in
all of them. The verdicts:

supported       the change was seen in the claim's window, beyond the reference change and at least as
                large as the claim's minimal change; a transient one also returned, a lasting one stayed
contradicted    a change of the other direction was seen
not_supported   every day's interval excludes a change of the minimal size; or it did not return (stay)
inconclusive    neither shown nor excluded; or no day, or too uncertain a day, to show a return; or no
                rescue so far, of a patient followed for less long than the claim asks; or the
                control moved the same way on every day on which the change was seen, or at all on every
                day that could show the return
not_evaluable   no data

A claim about expression is also answered from the values at the baseline's mix of cells, where there
are any, and both answers count (`_with_mix_held`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from immunotrace.baseline import LAST_DAY
from immunotrace.longitudinal.changes import percent_change
from immunotrace.longitudinal.measurements import ADJUSTED
from immunotrace.longitudinal.variation import NO_CONTROL, t_quantile
from immunotrace.report.wording import is_missing

COLUMNS = [
    "claim",
    "verdict",
    "effect",
    "effect_low",
    "effect_high",
    "nadir_day",
    "return_day",
    "sentence",
    "title",
    "statement",
    "evidence",
    "adjusted_verdict",
    "control_moved",
    "outside_window",
    "not_known",
    "measurement",
    "marker",
    "populations",
]

# 32 is a fifth less than 40, though 32 / 40 - 1 is -0.19999999999999996.
_ROUNDING = 1e-9

MEASUREMENT_WORDS = {
    "percent_positive": "{marker}+ among {population} cells",
    "median_all": "Median {marker} of {population} cells",
    "percent_of_parent": "The share of {population} among {parent}",
    "absolute_ic50": "The absolute IC50",
    "relative_ic50": "The relative IC50",
}


@dataclass(frozen=True)
class Answer:
    """One verdict; the effect is the relative change at the nadir (or peak), in percent of baseline."""

    verdict: str
    sentence: str
    effect: float = np.nan
    effect_low: float = np.nan
    effect_high: float = np.nan
    nadir_day: int | None = None
    return_day: int | None = None
    evidence: str = ""
    adjusted_verdict: str = ""
    control_moved: str = ""
    outside_window: str = ""
    not_known: str = ""
    shown: bool = False  # the change itself, whatever came after it


def judge_claims(
    claims: list[dict], changes: pd.DataFrame, timeline: list[dict], patient: str
) -> pd.DataFrame:
    """One row a claim: verdict, effect in percent of baseline with its interval, days, sentence.

    `changes` is the table of `immunotrace.longitudinal.changes.changes`, `timeline` the rows of the timeline
    sheet. A composite claim is answered from the claims that it names, wherever they stand.
    """
    own = changes[changes["subject"] == patient]
    series = series_of(own)
    sampled = [int(day) for day in own["day"]]
    answers = {}
    for claim in sorted(claims, key=lambda claim: claim["kind"] == "composite"):
        if claim["kind"] == "clinical":
            answer = judge_clinical(claim, timeline, patient, sampled)
        elif claim["kind"] == "composite":
            answer = judge_composite(claim, answers)
        else:
            answer = judge_change(claim, series)
        answers[claim["claim"]] = answer
    rows = [
        {
            **claim,
            **vars(answers[claim["claim"]]),
            "populations": "; ".join(claim.get("populations", [])),
        }
        for claim in claims
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"nadir_day": "Int64", "return_day": "Int64"})


_TEXTS = ("population", "marker", "panel", "drug", "unit", "bound", "baseline_bound",
          "control_moved", "exceeds_control", "not_known")  # fmt: skip
Series = dict[tuple[str, str, str], list[dict]]


def series_of(changes: pd.DataFrame) -> Series:
    """Rows of a subject's changes by measurement, population and marker, in the order of days."""
    series: Series = {}
    for row in changes.sort_values("day", kind="stable").to_dict("records"):
        for name in _TEXTS:
            row[name] = "" if is_missing(row.get(name)) else row[name]
        key = row["measurement"], row["population"], row["marker"]
        series.setdefault(key, []).append(row)
    return series


def judge_change(claim: dict, series: Series) -> Answer:
    """Answer a claim about a measurement from the patient's changes (see `series_of`)."""
    marker = claim.get("marker", "")
    answers = []
    for population in claim.get("populations", [""]):
        parent, _, own = population.rpartition("/")
        name = MEASUREMENT_WORDS[claim["measurement"]].format(
            marker=marker, population=own, parent=parent.rpartition("/")[2] or "all events"
        )
        rows = _named(claim, series.get((claim["measurement"], population, marker), []))
        adjusted = series.get((claim["measurement"] + ADJUSTED, population, marker), [])
        answer = _judge_series(claim, rows, name)
        if adjusted and answer.verdict != "not_evaluable":
            held = _named(claim, adjusted)
            answer = _with_mix_held(claim, answer, rows, _judge_series(claim, held, name), held)
        if answer.control_moved and "the control" not in answer.sentence:
            told = f" The control moved as well ({answer.control_moved}), in the same runs."
            answer = replace(answer, sentence=answer.sentence + told)
        outside = _outside(claim, rows)
        if outside and "populations" in claim:
            outside = f"{name}, {outside}"
        followed = _followed(claim, answer, rows)
        answer = replace(
            answer,
            outside_window=outside,
            not_known="; ".join(filter(None, [answer.not_known, followed])),
        )
        answers.append(answer)
    return _weakest(claim, answers)


def _outside(claim: dict, rows: list[dict]) -> str:
    """Changes against a claim (of no change: any) that were seen after baseline, but not in its window."""
    first, last = claim["window"]
    against = [_other(claim["direction"])] if "direction" in claim else ["decrease", "increase"]
    told = []
    for row in rows:
        inside = row["day"] <= LAST_DAY or first <= row["day"] <= last
        if inside or row["verdict"] not in against or not _is_large(row, claim["minimal_change"]):
            continue
        unit = f" {row['unit']}" if row["unit"] else ""
        way = " in the other direction" if "direction" in claim else ""
        shared = ", and the control with it" if _with_control(row) else ""
        told.append(
            f"day {row['day']}: {_BOUNDS[row['bound']]}{_plain(row['value'])}{unit}, beyond its band{way}"
            f"{shared}"
        )
    return "; ".join(told)


def _followed(claim: dict, answer: Answer, rows: list[dict]) -> str:
    """How far a claim that something stays, or does not change, was followed of what it asks."""
    if claim["course"] not in ("lasting", "none") or answer.verdict == "not_evaluable":
        return ""
    end = claim.get("return_window", claim["window"])[1]
    last = max(row["day"] for row in rows if not is_missing(row["change"]))
    return f"followed to day {last} of {end}" if last < end else ""


def judge_composite(claim: dict, answers: dict[str, Answer]) -> Answer:
    """Answer a claim that holds where all the claims that it names hold."""
    parts = [answers[name] for name in claim["claims"]]
    verdict = min((part.verdict for part in parts), key=_WEAKEST_FIRST.index)
    told = [
        f"{name} is {part.verdict.replace('_', ' ')}"
        for name, part in zip(claim["claims"], parts, strict=True)
    ]
    return Answer(
        verdict, ", ".join(told) + ".", evidence="claims.tsv: " + ", ".join(claim["claims"])
    )


# What is known to fail does so whatever else is not known.
_WEAKEST_FIRST = ["contradicted", "not_supported", "not_evaluable", "inconclusive", "supported"]


def _named(claim: dict, rows: list[dict]) -> list[dict]:
    """The rows of the panel and drug that a claim names, judged at the claim's own level."""
    rows = [
        row
        for row in rows
        if all(row[name] == claim[name] for name in ("panel", "drug") if name in claim)
    ]
    return [_at_level(row, claim["level"], len(rows)) for row in rows] if "level" in claim else rows


def _at_level(row: dict, level: float, days: int) -> dict:
    """A row with its interval, reference changes and verdicts at another level.

    `control_moved` stays as it is: it tells of the run, not of the claim.
    """

    def times(p: float, p_before: float, freedom: str = "degrees_of_freedom") -> float:
        return _t(row, p, freedom) / _t(row, p_before, freedom)

    one = times(0.5 + level / 2, 0.5 + row["level"] / 2)
    every = times(1 - (1 - level) / (2 * days), 1 - (1 - row["level"]) / (2 * days))
    beside = times(1 - (1 - level) / days, 1 - (1 - row["level"]) / days, "days_degrees_of_freedom")
    row = {
        **row,
        "change_low": row["change"] + (row["change_low"] - row["change"]) * one,
        "change_high": row["change"] + (row["change_high"] - row["change"]) * one,
        "reference_change_low": row["reference_change_low"] * every,
        "reference_change_high": row["reference_change_high"] * every,
        "level": level,
    }
    if row["verdict"] in ("decrease", "increase", "no_change"):
        fell = row["change"] < row["reference_change_low"] and not _at_least(row)
        rose = row["change"] > row["reference_change_high"] and not _at_most(row)
        row["verdict"] = "decrease" if fell else "increase" if rose else "no_change"
    if not is_missing(row.get("control_reference")):
        row["control_reference"] *= beside
        more = abs(_less_control(row)) > row["control_reference"]
        same_way = _less_control(row) * row["change"] > 0
        row["exceeds_control"] = "yes" if more and same_way else "no"
    return row


def _t(row: dict, p: float, column: str = "degrees_of_freedom") -> float:
    freedom = row.get(column, np.nan)
    return float(t_quantile(np.inf if is_missing(freedom) else freedom, p))


def _weakest(claim: dict, answers: list[Answer]) -> Answer:
    """The answer of several populations: the one in which the claim holds least decides."""
    if len(answers) == 1:
        return answers[0]
    verdict = min((answer.verdict for answer in answers), key=_WEAKEST_FIRST.index)
    # Of several answers alike the one farthest from the claim: for no change, the largest effect.
    sign = _sign(claim["direction"]) if "direction" in claim else 0
    deciding = min(
        (answer for answer in answers if answer.verdict == verdict),
        key=lambda answer: np.nan_to_num(
            sign * answer.effect if sign else -abs(answer.effect), nan=-np.inf
        ),
    )
    returns = [answer.return_day for answer in answers]
    return replace(
        deciding,
        sentence=" ".join(answer.sentence for answer in answers),
        return_day=None if None in returns else max(returns),
        evidence="; ".join(answer.evidence for answer in answers if answer.evidence),
        not_known="; ".join(dict.fromkeys(a.not_known for a in answers if a.not_known)),
        control_moved=", ".join(dict.fromkeys(a.control_moved for a in answers if a.control_moved)),
        outside_window="; ".join(a.outside_window for a in answers if a.outside_window),
        adjusted_verdict=min(
            (answer.adjusted_verdict for answer in answers),
            key=lambda verdict: ["", *_WEAKEST_FIRST].index(verdict),
        ),
    )


def _with_mix_held(
    claim: dict, answer: Answer, rows: list[dict], adjusted: Answer, held: list[dict]
) -> Answer:
    """An answer about expression from `rows`, given that from the values `held` at the baseline's mix.

    A claim about expression must hold at a constant mix. A change that the constant mix excludes on the
    days on which it was seen is one of composition; other disagreements are left open.
    """
    answer = replace(answer, adjusted_verdict=adjusted.verdict)
    # The return was shown by what was measured; the constant mix need not show it a second time.
    uncertain_return = adjusted.verdict == "inconclusive" and adjusted.shown
    same = adjusted.verdict == answer.verdict
    if (same and adjusted.shown == answer.shown) or (
        answer.verdict == "supported" and uncertain_return
    ):
        return answer
    composition = _mix_explains(claim, answer, rows, adjusted, held)
    if adjusted.verdict == "not_evaluable":
        words = " At the baseline's mix of naive and memory cells there is no value on these days."
    else:
        words = (
            f" With the baseline's mix of naive and memory cells it is "
            f"{adjusted.verdict.replace('_', ' ')} ({_signed(adjusted.effect)} %)"
            + (": the mix of cells changed, not their expression." if composition else ".")
        )
    against = composition and claim["course"] != "none"
    return replace(
        answer,
        verdict=answer.verdict if same else "not_supported" if against else "inconclusive",
        sentence=answer.sentence + words,
    )


def _mix_explains(
    claim: dict, answer: Answer, rows: list[dict], adjusted: Answer, held: list[dict]
) -> bool:
    """Whether the change that an answer rests on is excluded at the baseline's mix, day by day."""
    if claim["course"] == "none":
        plain = answer.verdict == "contradicted" and adjusted.verdict == "supported"
    else:
        plain = answer.verdict in ("supported", "contradicted")
        plain = plain and adjusted.verdict == "not_supported" and not adjusted.shown
    if not plain:
        return False
    direction = "decrease" if answer.effect < 0 else "increase"
    first, last = claim["window"]
    seen = [
        row["day"]
        for row in rows
        if first <= row["day"] <= last
        and row["verdict"] == direction
        and _is_large(row, claim["minimal_change"])
    ]
    by_day = {row["day"]: row for row in held}
    excluded = [
        day in by_day and _excluded(by_day[day], direction, claim["minimal_change"]) for day in seen
    ]
    return all(excluded)


def _judge_series(claim: dict, rows: list[dict], name: str) -> Answer:
    first, last = claim["window"]
    rows = [row for row in rows if not is_missing(row["change"]) and not _is_unknown(row)]
    window = [row for row in rows if first <= row["day"] <= last]
    if not window:
        return Answer(
            "not_evaluable",
            f"{name}: no value on days {first} to {last} that can be compared with a baseline.",
        )
    start, end = claim.get("return_window", (1, 0))
    later = [row for row in rows if start <= row["day"] <= end]
    days = [row for row in rows if first <= row["day"] <= last or start <= row["day"] <= end]
    several = {(row["panel"], row["drug"]) for row in days}
    if len(several) > 1:
        names = ", ".join(sorted("".join(row) for row in several))
        return Answer(
            "not_evaluable",
            f"{name} was measured with {names}; name the `panel` or the `drug` in the claim.",
        )
    smallest, nothing = claim["minimal_change"], claim["course"] == "none"
    wanted = ("decrease", "increase") if nothing else (claim["direction"],)
    large = [row for row in window if _is_large(row, smallest)]
    seen = [row for row in large if row["verdict"] in wanted]
    against = [row for row in large if row["verdict"] == _other(*wanted)] if not nothing else []
    # Days on which the change is shown come first: a day of few cells may look more extreme. So do
    # those on which the control stayed where it was.
    clean = [row for row in seen if not _with_control(row)]
    clean_against = [row for row in against if not _with_control(row)]

    def size_of(row: dict) -> float:
        return abs(row["change"]) if nothing else _sign(*wanted) * row["change"]

    extreme = max(clean or seen or window, key=size_of)
    moved = [row for row in days if row["control_moved"]]
    found = {
        **_found(extreme),
        "evidence": f"changes.tsv: {name}, days {', '.join(str(row['day']) for row in window)}",
        "not_known": "; ".join(filter(None, [window[0]["not_known"], _without_control(days)])),
        "control_moved": ", ".join(f"{row['control_moved']} on day {row['day']}" for row in moved),
    }
    size = _size(name, extreme)
    if all(row["verdict"] == "no_yardstick" for row in window):
        return Answer(
            "inconclusive",
            f"{size}, but nothing shows how much it varies from day to day.",
            **found,
        )
    if against and not seen:
        strongest = min(clean_against or against, key=size_of)
        found |= _found(strongest)
        size = _size(name, strongest)
        if not clean_against:
            return Answer("inconclusive", f"{size}, {_batch(against)}.", **found)
        return Answer("contradicted", f"{size}.", **found)
    if not seen:
        reference = (
            f"reference change {_signed(_percent(extreme, 'reference_change_low'))} to "
            f"{_signed(_percent(extreme, 'reference_change_high'))} %"
        )
        if all(_excluded(row, way, smallest) for row in window for way in wanted):
            return Answer(
                "supported" if nothing else "not_supported",
                f"{size}: on no day the {100 * smallest:g} % that count ({reference}).",
                **found,
            )
        return Answer(
            "inconclusive",
            f"{size}: not clearly more than variation explains ({reference}), but a change of "
            f"{100 * smallest:g} % is not excluded either.",
            **found,
        )
    if against:
        return Answer(
            "inconclusive",
            f"{size}, and changed the other way on day {against[0]['day']}.",
            **found,
        )
    if not clean:
        return Answer("inconclusive", f"{size}, {_batch(seen)}.", **found)
    if nothing:
        return Answer("contradicted", f"{size}, more than variation explains.", **found)
    if claim["course"] == "any":
        return Answer("supported", f"{size}, more than variation explains.", **found)
    after = [row for row in later if row["day"] > extreme["day"]]
    return replace(_judge_return(claim, after, extreme, size, found), shown=True)


def _judge_return(claim: dict, later: list[dict], extreme: dict, size: str, found: dict) -> Answer:
    if not later:
        first, last = claim["return_window"]
        return Answer(
            "inconclusive",
            f"{size}; whether it returned is not known, for no later value is there on days "
            f"{first} to {last}.",
            **found,
        )
    # A run that moved the control may have moved the patient: it shows neither a return nor a stay.
    steady = [row for row in later if not row["control_moved"]]
    if not steady:
        return Answer(
            "inconclusive",
            f"{size}; whether it returned is not known, for on all later days the control had moved "
            f"({_of_control(later)}): an effect of the run on both is not excluded.",
            **found,
        )
    sign = _sign(claim["direction"])
    half = sign * extreme["change"] / 2

    # Away means: beyond the reference change still, by what counts and by more than the control. Back
    # means: shown, at the level of the interval, to be nearer to baseline than to the nadir (or beyond
    # baseline), and so it is still when the control's change of that day is taken off.
    far = [
        row["verdict"] == claim["direction"] and _is_large(row, claim["minimal_change"])
        for row in steady
    ]
    away = [is_far and not _with_control(row) for is_far, row in zip(far, steady, strict=True)]
    back = [
        not is_far and sign * _worst(row, sign) < half and sign * _less_control(row) < half
        for is_far, row in zip(far, steady, strict=True)
    ]
    ends = steady[-1]
    if claim["course"] == "lasting":
        if all(away):
            return Answer("supported", f"{size} and so it was on day {ends['day']} still.", **found)
        if any(back):
            day = steady[back.index(True)]["day"]
            return Answer("not_supported", f"{size} and was back on day {day}.", **found)
        return Answer(
            "inconclusive", f"{size}; on later days it is too uncertain to tell.", **found
        )
    for_good = [all(back[i:]) for i in range(len(back))]
    if any(for_good):
        day = int(steady[for_good.index(True)]["day"])
        return Answer("supported", f"{size} and was back by day {day}.", return_day=day, **found)
    if away[-1]:
        return Answer(
            "not_supported", f"{size} and had not returned by day {ends['day']}.", **found
        )
    return Answer(
        "inconclusive",
        f"{size}; the last value, on day {ends['day']}, is too uncertain to show a return.",
        **found,
    )


def judge_clinical(
    claim: dict, timeline: list[dict], patient: str, sampled: Iterable[int] = ()
) -> Answer:
    """Answer "no benefit, rescue needed" from the score and the rescue events of the timeline.

    That no rescue was needed is known only of a patient who was followed as long as the claim asks: to the
    last day of the timeline or of `sampled`, the days of samples.
    """
    own = [row for row in timeline if row["subject"] == patient]
    scores = [row for row in own if row["kind"] == "score" and row["name"] == claim["score"]]
    first, last = claim["window"]
    before = [row["value"] for row in scores if row["day"] <= LAST_DAY]
    rescues = sorted(
        (row["day"], row["name"])
        for row in own
        if row["kind"] == "rescue" and 0 <= row["day"] <= claim["rescue_within"]
    )
    # What a rescue treatment brings is no benefit of the infusions.
    until = min([last, *(day for day, _ in rescues)])
    after = [row for row in scores if first <= row["day"] <= until]
    if not before or not after:
        missing = "at baseline" if not before else f"on days {first} to {last}"
        if before and until < last:
            missing += f" before the rescue on day {until}"
        return Answer("not_evaluable", f"No {claim['score']} {missing}.")
    days = [row["day"] for row in after]
    baseline, mean = float(np.mean(before)), float(np.mean([row["value"] for row in after]))
    if baseline <= 0:
        return Answer("not_evaluable", f"The {claim['score']} was {baseline:g} at baseline.")
    effect = 100 * (mean / baseline - 1)
    response = effect <= -100 * claim["minimal_change"] + _ROUNDING
    course = (
        f"The {claim['score']} averaged {_plain(mean)} on days {min(days)} to {max(days)} against "
        f"{_plain(baseline)} before ({_signed(effect)} %)"
    )
    followed = max([*sampled, *(_last_day(row) for row in own)])
    asked = claim["rescue_within"]
    if rescues:
        rescued = "rescue: " + ", ".join(f"{name} (day {day})" for day, name in rescues)
    elif followed < asked:
        rescued = f"no rescue so far, followed to day {followed} of {asked}"
    else:
        rescued = f"no rescue within {asked} days"
    if not rescues and followed < asked:
        verdict = "inconclusive"
    elif not response and rescues:
        verdict = "supported"
    elif response and not rescues:
        verdict = "contradicted"
    else:
        verdict = "not_supported"
    return Answer(
        verdict,
        f"{course}; {rescued}.",
        effect=effect,
        evidence=f"timeline: {claim['score']} on {len(scores)} days, {len(rescues)} rescue events",
    )


def _last_day(event: dict) -> int:
    return int(event["day"] if is_missing(event.get("end_day")) else event["end_day"])


def _found(row: dict) -> dict:
    """The effect of one day, as fields of an Answer."""
    return {
        "effect": _percent(row, "change"),
        "effect_low": _percent(row, "change_low"),
        "effect_high": _percent(row, "change_high"),
        "nadir_day": int(row["day"]),
    }


def _percent(row: dict, column: str) -> float:
    return float(percent_change(row["scale"], row["baseline"], row[column]))


def _to_scale(row: dict, ratio: float) -> float:
    """A ratio to baseline as a change on the analysis scale."""
    if row["scale"] == "log":
        return np.log(ratio)
    fraction = row["baseline"] / 100
    if not 0 < fraction * ratio < 1:
        return np.inf
    return np.log(fraction * ratio / (1 - fraction * ratio)) - np.log(fraction / (1 - fraction))


def _at_least(row: dict) -> bool:
    """Whether the true change may lie anywhere above the one that is told."""
    return ">" in row["bound"] or "<" in row["baseline_bound"]


def _at_most(row: dict) -> bool:
    return "<" in row["bound"] or ">" in row["baseline_bound"]


def _is_unknown(row: dict) -> bool:
    return _at_least(row) and _at_most(row)


def _is_large(row: dict, minimal_change: float) -> bool:
    return abs(row["value"] / row["baseline"] - 1) >= minimal_change - _ROUNDING


def _worst(row: dict, sign: int) -> float:
    """The end of a day's one-sided interval in a direction: a return is a statement of one side."""
    edge = row["change_low"] if sign < 0 else row["change_high"]
    one_sided = _t(row, row["level"]) / _t(row, 0.5 + row["level"] / 2)
    return row["change"] + (edge - row["change"]) * one_sided


def _less_control(row: dict) -> float:
    """A change less the control's of the same day, where there is one."""
    return row["change"] - (0.0 if is_missing(row["control_change"]) else row["control_change"])


def _excluded(row: dict, direction: str, minimal_change: float) -> bool:
    """Whether a day's interval excludes a change of that direction and size.

    A run that moved the control the other way may hide one.
    """
    if row["control_moved"] == _other(direction):
        return False
    sign = _sign(direction)
    edge = row["change_low"] if sign < 0 else row["change_high"]
    return sign * edge < sign * _to_scale(row, 1 + sign * minimal_change)


def _sign(direction: str) -> int:
    return -1 if direction == "decrease" else 1


def _other(direction: str) -> str:
    return "increase" if direction == "decrease" else "decrease"


def _with_control(row: dict) -> bool:
    """Whether the control moved the same way, or the change is no larger than what the control showed."""
    return row["control_moved"] == row["verdict"] or row["exceeds_control"] == "no"


def _without_control(rows: list[dict]) -> str:
    """On which of these days nothing shows what the control did, where there is a control."""
    without = [str(row["day"]) for row in rows if is_missing(row["control_change"])]
    if not without or NO_CONTROL in rows[0]["not_known"]:
        return ""
    days = "day" if len(without) == 1 else "days"
    return f"what the run added on {days} {', '.join(without)} (no change of the control is known)"


def _batch(rows: list[dict]) -> str:
    """Why what is seen on these days alone may be nothing of the patient."""
    moved = any(row["control_moved"] for row in rows)
    what = "but the control changed with it" if moved else "but not clearly more than the control"
    return f"{what} ({_of_control(rows)}): an effect of the run on both is not excluded"


def _of_control(rows: list[dict]) -> str:
    return ", ".join(f"{_signed(r['control_change_percent'])} % on day {r['day']}" for r in rows)


def _size(name: str, row: dict) -> str:
    """What happened by one day, in words."""
    effect, low, high = (_percent(row, c) for c in ("change", "change_low", "change_high"))
    at_least, at_most = _at_least(row), _at_most(row)
    unit = f" {row['unit']}" if row["unit"] else ""
    verb = "fell" if effect < 0 else "rose"
    if (at_least and effect < 0) or (at_most and effect > 0) or round(effect) == 0:
        verb = "went"
    interval = f"; {100 * row['level']:g} % interval {_end(low)} to {_end(high)} %"
    if np.isnan(low) and np.isnan(high):
        interval = ""
    elif at_most:
        interval = f" or lower; {100 * row['level']:g} % interval up to {_end(high)} %"
    elif at_least:
        interval = f" or higher; {100 * row['level']:g} % interval from {_end(low)} %"
    baseline = _BOUNDS[row["baseline_bound"]] + _plain(row["baseline"])
    value = _BOUNDS[row["bound"]] + _plain(row["value"])
    return (
        f"{name} {verb} from {baseline}{unit} to {value}{unit} by day "
        f"{int(row['day'])} ({_signed(effect)} %{interval})"
    )


_BOUNDS = {"": "", "<": "below ", ">": "above "}


def _plain(number: float) -> str:
    """Three significant digits, never as a power of ten."""
    if abs(number) >= 99.95:
        return f"{number:,.0f}"
    return np.format_float_positional(number, 3, unique=False, fractional=False, trim="-")


def _end(number: float) -> str:
    return "not known" if np.isnan(number) else _signed(number)


def _signed(number: float) -> str:
    text = f"{number:+.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")
