"""Claims as data, each answered from the tables.

A claim about a change is answered in every population that it names and holds only where it holds in
all of them. The verdicts:

supported       the change was seen in the claim's window, beyond the reference change and at least as
                large as the claim's minimal change; a transient one also returned
contradicted    a change of the other direction was seen
not_supported   every day's interval excludes a change of the minimal size; or it did not return
inconclusive    neither shown nor excluded; or no day, or too uncertain a day, to show a return
not_evaluable   no data
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from immunotrace.baseline import LAST_DAY

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
]

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


def judge_claims(
    claims: list[dict], changes: pd.DataFrame, timeline: list[dict], patient: str
) -> pd.DataFrame:
    """One row a claim: verdict, effect in percent of baseline with its interval, days, sentence.

    `changes` is the table of `immunotrace.longitudinal.changes`, `timeline` the rows of the timeline
    sheet.
    """
    rows = []
    for claim in claims:
        if claim["kind"] == "clinical":
            answer = judge_clinical(claim, timeline, patient)
        else:
            answer = judge_change(claim, changes[changes["subject"] == patient])
        rows.append({**claim, **vars(answer)})
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"nadir_day": "Int64", "return_day": "Int64"})


def judge_change(claim: dict, changes: pd.DataFrame) -> Answer:
    """Answer a claim about a measurement from the patient's changes."""
    marker = claim.get("marker", "")
    series = changes[
        (changes["measurement"] == claim["measurement"]) & (changes["marker"].fillna("") == marker)
    ]
    for name in ("panel", "drug"):
        if name in claim:
            series = series[series[name] == claim[name]]
    answers = []
    for population in claim.get("populations", [""]):
        rows = series[series["population"].fillna("") == population].sort_values("day")
        parent, _, own = population.rpartition("/")
        name = MEASUREMENT_WORDS[claim["measurement"]].format(
            marker=marker, population=own, parent=parent.rpartition("/")[2] or "all events"
        )
        answers.append(_judge_series(claim, rows, name))
    verdicts = [answer.verdict for answer in answers]
    if len(answers) == 1:
        return answers[0]
    order = ["contradicted", "not_evaluable", "not_supported", "inconclusive", "supported"]
    verdict = min(verdicts, key=order.index)
    # The population in which the claim holds least decides; it also gives the effect.
    sign = -1 if claim["direction"] == "decrease" else 1
    deciding = min(
        (answer for answer in answers if answer.verdict == verdict),
        key=lambda answer: np.nan_to_num(sign * answer.effect, nan=-np.inf),
    )
    returns = [answer.return_day for answer in answers]
    return Answer(
        verdict,
        " ".join(answer.sentence for answer in answers),
        deciding.effect,
        deciding.effect_low,
        deciding.effect_high,
        deciding.nadir_day,
        None if None in returns else max(returns),
        "; ".join(answer.evidence for answer in answers if answer.evidence),
    )


def _judge_series(claim: dict, rows: pd.DataFrame, name: str) -> Answer:
    first, last = claim["window"]
    window = rows[rows["day"].between(first, last) & rows["change"].notna()]
    if window.empty:
        return Answer(
            "not_evaluable",
            f"{name}: no value with a baseline on days {first} to {last}.",
        )
    several = window[["panel", "drug"]].fillna("").drop_duplicates()
    if len(several) > 1:
        names = ", ".join(sorted("".join(row) for row in several.itertuples(index=False)))
        return Answer(
            "not_evaluable",
            f"{name} was measured with {names}; name the `panel` or the `drug` in the claim.",
        )
    sign = -1 if claim["direction"] == "decrease" else 1
    wanted, opposite = claim["direction"], _other(claim["direction"])
    enough = _large(window, claim["minimal_change"])
    seen = window[(window["verdict"] == wanted) & enough]
    against = window[(window["verdict"] == opposite) & enough]
    # Days on which the change is shown come first: a day of few cells may look more extreme.
    candidates = seen if len(seen) else window
    extreme = candidates.loc[(sign * candidates["change"]).idxmax()]
    found = _found(extreme) | {
        "evidence": f"changes.tsv: {name}, days {', '.join(map(str, window['day']))}"
    }
    size = _size(name, extreme)
    if (window["verdict"] == "no_yardstick").all():
        return Answer(
            "inconclusive",
            f"{size}, but nothing shows how much it varies from day to day.",
            **found,
        )
    if len(against) and not len(seen):
        strongest = against.loc[(sign * against["change"]).idxmin()]
        found |= _found(strongest)
        return Answer("contradicted", f"{_size(name, strongest)}.", **found)
    if not len(seen):
        reference = (
            f"reference change {_signed(_relative(extreme, 'reference_change_low'))} to "
            f"{_signed(_relative(extreme, 'reference_change_high'))} %"
        )
        if _excluded(window, claim).all():
            return Answer(
                "not_supported",
                f"{size}: on no day the {100 * claim['minimal_change']:g} % that count ({reference}).",
                **found,
            )
        return Answer(
            "inconclusive",
            f"{size}: not clearly more than variation explains ({reference}), but a change of "
            f"{100 * claim['minimal_change']:g} % is not excluded either.",
            **found,
        )
    if len(against):
        return Answer(
            "inconclusive",
            f"{size}, and changed the other way on day {int(against['day'].iloc[0])}.",
            **found,
        )
    if claim["course"] == "any":
        return Answer("supported", f"{size}, more than variation explains.", **found)
    return _judge_return(claim, rows, extreme, size, found)


def _judge_return(
    claim: dict, rows: pd.DataFrame, extreme: pd.Series, size: str, found: dict
) -> Answer:
    first, last = claim["return_window"]
    later = rows[rows["day"].between(first, last) & (rows["day"] > extreme["day"])]
    if later.empty:
        return Answer(
            "inconclusive",
            f"{size}; whether it returned is not known, for no sample was taken on days "
            f"{first} to {last}.",
            **found,
        )
    sign = -1 if claim["direction"] == "decrease" else 1
    half = sign * extreme["change"] / 2
    edge = later["change_low"] if sign < 0 else later["change_high"]
    # Back means: shown, by the day's interval, to be nearer to baseline than to the nadir (or beyond
    # baseline), and so on every later day. Away means: shown to be still nearer to the nadir.
    back = (later["verdict"] != claim["direction"]) & (sign * edge < half)
    lasting = back[::-1].cummin()[::-1]
    if lasting.any():
        day = int(later.loc[lasting, "day"].iloc[0])
        return Answer("supported", f"{size} and was back by day {day}.", return_day=day, **found)
    last = later.iloc[-1]
    if last["verdict"] == claim["direction"] or sign * last["change"] > half:
        return Answer(
            "not_supported", f"{size} and had not returned by day {int(last['day'])}.", **found
        )
    return Answer(
        "inconclusive",
        f"{size}; the last value, on day {int(last['day'])}, is too uncertain to show a return.",
        **found,
    )


def judge_clinical(claim: dict, timeline: list[dict], patient: str) -> Answer:
    """Answer "no benefit, rescue needed" from the score and the rescue events of the timeline."""
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
    last = min([last, *(day for day, _ in rescues)])
    after = [row for row in scores if first <= row["day"] <= last]
    if not before or not after:
        missing = "at baseline" if not before else f"on days {first} to {last}"
        return Answer("not_evaluable", f"No {claim['score']} {missing}.")
    days = [row["day"] for row in after]
    baseline, mean = float(np.mean(before)), float(np.mean([row["value"] for row in after]))
    if baseline <= 0:
        return Answer("not_evaluable", f"The {claim['score']} was {baseline:g} at baseline.")
    effect = 100 * (mean / baseline - 1)
    response = effect <= -100 * claim["minimal_change"]
    course = (
        f"The {claim['score']} averaged {mean:.3g} on days {min(days)} to {max(days)} against "
        f"{baseline:.3g} before ({_signed(effect)} %)"
    )
    rescued = (
        "rescue: " + ", ".join(f"{name} (day {day})" for day, name in rescues)
        if rescues
        else f"no rescue within {claim['rescue_within']} days"
    )
    if not response and rescues:
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


def _found(row: pd.Series) -> dict:
    """The effect of one day, as fields of an Answer."""
    return {
        "effect": _relative(row, "change"),
        "effect_low": _relative(row, "change_low"),
        "effect_high": _relative(row, "change_high"),
        "nadir_day": int(row["day"]),
    }


def _relative(row: pd.Series, column: str) -> float:
    """A change on the analysis scale as percent of baseline."""
    if row["scale"] == "log":
        return 100 * (np.exp(row[column]) - 1)
    odds = row["baseline"] / (100 - row["baseline"]) * np.exp(row[column])
    return 100 * (100 * odds / (1 + odds) / row["baseline"] - 1)


def _to_scale(row: pd.Series, ratio: float) -> float:
    """A ratio to baseline as a change on the analysis scale."""
    if row["scale"] == "log":
        return np.log(ratio)
    fraction = row["baseline"] / 100
    if not 0 < fraction * ratio < 1:
        return np.inf
    return np.log(fraction * ratio / (1 - fraction * ratio)) - np.log(fraction / (1 - fraction))


def _large(rows: pd.DataFrame, minimal_change: float) -> pd.Series:
    return (rows["value"] / rows["baseline"] - 1).abs() >= minimal_change


def _excluded(rows: pd.DataFrame, claim: dict) -> pd.Series:
    """Whether each day's interval excludes a change of the claim's direction and minimal size."""
    sign = -1 if claim["direction"] == "decrease" else 1
    edge = rows["change_low"] if sign < 0 else rows["change_high"]
    needed = rows.apply(lambda row: _to_scale(row, 1 + sign * claim["minimal_change"]), axis=1)
    return sign * edge < sign * needed


def _other(direction: str) -> str:
    return "increase" if direction == "decrease" else "decrease"


def _size(name: str, row: pd.Series) -> str:
    """What happened by one day, in words."""
    effect, low, high = (_relative(row, c) for c in ("change", "change_low", "change_high"))
    unit = "" if pd.isna(row["unit"]) else f" {row['unit']}"
    verb = "fell" if effect < 0 else "rose"
    interval = (
        ""
        if np.isnan(low)
        else f"; {100 * row['level']:g} % interval {_signed(low)} to {_signed(high)} %"
    )
    if np.isnan(high) != np.isnan(low):
        interval = "; at least, for a curve stays above 50 % at the highest dose"
    return (
        f"{name} {verb} from {_plain(row['baseline'])}{unit} to {_plain(row['value'])}{unit} by day "
        f"{int(row['day'])} ({_signed(effect)} %{interval})"
    )


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _signed(number: float) -> str:
    return f"{number:+.0f}".replace("-", "−")
