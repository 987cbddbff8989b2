"""From wells to fitted curves, their IC50s, and comparisons with a subject's own baseline."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from immunotrace import baseline
from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.calls import (
    CENSORED,
    DETERMINED,
    RISING,
    Call,
    calls,
    doses_beyond_bends,
    falls,
    lack_of_fit_p,
    no_effect_p,
    preferred_kind,
    unidentified,
)
from immunotrace.doseresponse.contrasts import compare, same_shape
from immunotrace.doseresponse.days import (
    PLATE_COLUMNS,
    between_plates,
    days_table,
    scatter_of,
    usual_curves,
)
from immunotrace.doseresponse.fit import Fit, fit_wells
from immunotrace.doseresponse.hormesis import hormesis
from immunotrace.doseresponse.intervals import (
    effective_dose,
    effective_dose_interval,
    fitted_band,
    quantile,
)
from immunotrace.doseresponse.models import (
    ABSOLUTE,
    BOTTOM,
    LOG_ZERO_DOSE,
    MODELS,
    RELATIVE,
    SLOPE,
    TOP,
    Level,
    Model,
    evaluate,
    log_dose,
)
from immunotrace.errors import InputError

KINDS: dict[str, Level] = {"absolute": ABSOLUTE, "relative": RELATIVE}
_DRAWN_DOSES = 100
_AREA_POINTS = 1001
# An end of an interval farther than this factor from the tested doses is given as open.
_REPORTED_BEYOND = 10.0

CONTRAST_COLUMNS = [
    "curve", "reference", "ic50_kind", "ratio", "ratio_low", "ratio_high", "f", "p_value",
    "aicc_difference", "subject", "role", "day", "drug", "reason", "top_p", "bottom_p",
    "hill_slope_p", "top_aicc_difference", "bottom_aicc_difference", "hill_slope_aicc_difference",
    *PLATE_COLUMNS,
]  # fmt: skip
PAIR_COLUMNS = [
    "curve", "reference", "drug", "ic50_kind", "ratio", "ratio_low", "ratio_high", "f", "p_value",
    "aicc_difference", "reason", *PLATE_COLUMNS,
]  # fmt: skip


def fit_curves(wells: pd.DataFrame, settings: dict) -> dict[str, pd.DataFrame]:
    """Fit one curve a plate; returns the tables curves, contrasts, pairs, days, fitted and residuals.

    `wells`: as `read_plates` makes them. `settings`: `level` of the intervals; `model`, a name in
    `MODELS`, by default the four-parameter logistic; `weights` as for `fit_wells`, by default
    relative, for replicate counts scatter in proportion to their mean; `robust` as for `fit_wells`,
    by default not. `residual_sd` is the noise where the curve is highest, in percent of the control. Responses are percent of the stimulated
    control; a control well is a zero dose. An excluded plate has no curve. `top_p`, `bottom_p` and `hill_slope_p` of the contrasts
    are of F tests of one such parameter in common. Contrasts compare every curve after baseline with the
    curve through the subject's wells of all days before, pairs every two curves of a drug; their
    intervals, `f`, `p_value` and AICc are of the wells, within plates only, and `plates_p` and its
    neighbours are of `between_plates`; `days` is of `days_table`. `fitted` holds each curve at 101 doses (the first is 0) with its pointwise
    confidence band, `residuals` each well in units of the fit's noise there.
    """
    model = MODELS[settings.get("model", "four_parameter")]
    level = settings["level"]
    _check_units(wells)
    plates = [
        {**_description(plate), "data": plate}
        for _, plate in wells.groupby("plate", sort=False)
        if plate["used"].any()
    ]
    if not plates:
        raise InputError(
            "every plate failed quality control and is excluded; see plate_qc.tsv, or keep those that are "
            "not dead with dose_response: on_failed_plate: keep"
        )
    _name_curves(plates)
    weights = settings.get("weights", "relative")
    robust = settings.get("robust", False)
    dose = [_used(plate["data"])["dose"].to_numpy(float) for plate in plates]
    response = [_used(plate["data"])["response"].to_numpy(float) for plate in plates]
    curves, found = fit_wells(model, dose, response, weights, robust)
    units = [plate["dose_unit"] for plate in plates]
    notes = [_outliers(_used(plate["data"])) for plate in plates]
    judged = _judge(curves, found, units, notes, level)
    table = _curves_table(model, plates, curves, found, judged, level, robust)
    table = table.assign(weights=weights, robust=robust)
    return {
        "curves": table,
        "contrasts": _contrasts_table(
            model, plates, curves, found, judged, table, level, weights, robust
        ),
        "pairs": _pairs_table(plates, curves, found, judged, table, level),
        "days": days_table(table, level),
        "fitted": _fitted_table(plates, curves, found, table, level),
        "residuals": _residuals_table(plates, curves, found),
    }


def _check_units(wells: pd.DataFrame) -> None:
    units = wells.groupby("drug")["dose_unit"].unique()
    for drug, some in units.items():
        if len(some) > 1:
            raise InputError(
                f"wells of {drug} have doses in {' and '.join(sorted(some))}; expected one dose_unit a "
                "drug in the sheet of plates."
            )


def _description(plate: pd.DataFrame) -> dict:
    keys = ("plate", "subject", "role", "day", "drug", "dose_unit")
    first = plate.iloc[0]
    if _used(plate)["dose"].nunique() < 2:
        raise InputError(
            f"plate {first['plate']}: {_used(plate)['dose'].nunique()} doses with a usable response; "
            "a curve needs readable samples of several doses, and stimulated control wells that count "
            "more than the blank."
        )
    return {key: first[key] for key in keys} | {"day": int(first["day"])}


def _used(plate: pd.DataFrame) -> pd.DataFrame:
    return plate[
        plate["used"] & plate["response"].notna() & plate["well_role"].isin(["sample", "control"])
    ]


def _name_curves(plates: list[dict]) -> None:
    names = [f"{plate['subject']} day {plate['day']}" for plate in plates]
    for plate, name in zip(plates, names, strict=True):
        plate["curve"] = name if names.count(name) == 1 else f"{name} plate {plate['plate']}"


@dataclass(frozen=True)
class _Judged:
    """What a batch of fits allows to report: by curve, a reason why its parameters are not
    determined and the calls of each kind; by kind, the log IC50, its error and its interval."""

    reasons: list[str]
    calls: list[dict[str, Call]]
    doses: dict[str, tuple[np.ndarray, ...]]

    def take(self, columns: list[int]) -> "_Judged":
        return _Judged(
            [self.reasons[i] for i in columns],
            [self.calls[i] for i in columns],
            {kind: tuple(v[columns] for v in values) for kind, values in self.doses.items()},
        )


def _judge(curves: Curves, found: Fit, units: list[str], notes: list[str], level: float) -> _Judged:
    """`units` and `notes`, which are added to a reason, are those of each curve."""
    reasons = unidentified(curves, found, level)
    doses = {}
    for kind, at in KINDS.items():
        estimate, error = effective_dose(found, at)
        low, high = effective_dose_interval(found, curves, at, level)
        # Where the parameters are not determined but the dose is, the delta method has no error.
        width = (high - low) / (2 * quantile(found.df, level))
        error = np.where([bool(reason) for reason in reasons], width, error)
        doses[kind] = estimate, error, low, high
    judged = []
    for i, (unit, note) in enumerate(zip(units, notes, strict=True)):
        bounds = {kind: (low[i], high[i]) for kind, (_, _, low, high) in doses.items()}
        own = calls(curves, found, i, unit, reasons[i], bounds)
        for kind, call in own.items():
            if note and call.reason and call.reason in (reasons[i], RISING):
                own[kind] = replace(call, reason=call.reason + note)
        judged.append(own)
    return _Judged(reasons, judged, doses)


def _curves_table(
    model: Model,
    plates: list[dict],
    curves: Curves,
    found: Fit,
    judged: _Judged,
    level: float,
    robust: bool,
) -> pd.DataFrame:
    no_effect, lack_of_fit = no_effect_p(curves, found), lack_of_fit_p(curves, found)
    risen = [""] * len(plates)
    if model.name == "four_parameter":
        for i, (p, difference) in enumerate(zip(*hormesis(curves, found), strict=True)):
            # Over all curves of the table together: chance alone would find it in one of twenty.
            if p * len(plates) < 1 - level and difference < 0:
                risen[i] = (
                    "hormesis: the response first rises with the dose (Brain-Cousens model, F test "
                    f"p = {p:.2g}); an IC50 of a falling curve does not describe that"
                )
    rows = []
    for i, plate in enumerate(plates):
        samples = _used(plate["data"]).query("well_role == 'sample'")
        top_dose = samples["dose"].max()
        reach = samples["dose"].min() / _REPORTED_BEYOND, top_dose * _REPORTED_BEYOND
        own = judged.calls[i]
        row = {key: plate[key] for key in ("curve", "subject", "role", "day", "drug", "dose_unit")}
        row["model"] = model.name
        slope, bottom, top = found.theta[[SLOPE, BOTTOM, TOP], i]
        known = not judged.reasons[i]
        row |= {
            "top": top if known else np.nan,
            "bottom": bottom if known else np.nan,
            "hill_slope": -slope if known else np.nan,
        }
        errors = {}
        for kind in ("relative", "absolute"):
            estimate, error, low, high = (values[i] for values in judged.doses[kind])
            shown = own[kind].call == DETERMINED
            bounds = [
                np.exp(bound) if shown and reach[0] <= np.exp(bound) <= reach[1] else np.nan
                for bound in (low, high)
            ]
            row[f"{kind}_ic50"] = np.exp(estimate) if shown else np.nan
            row[f"{kind}_ic50_low"], row[f"{kind}_ic50_high"] = bounds
            errors[f"log10_{kind}_ic50_se"] = error / np.log(10) if shown else np.nan
        at_high_doses = bottom if falls(found, i) else top
        plateau = known and doses_beyond_bends(curves, found, i)[1] >= 2
        imax, imax_error = _inhibition_at_top_dose(_used(plate["data"]), curves, found, i, robust)
        half = quantile(found.df[i], level) * imax_error
        reason = own["absolute"].reason
        if reason.startswith("flat"):
            reason += f"; inhibition at {top_dose:.6g} {plate['dose_unit']} is at most {imax + half:.0f} %"
        row |= {
            "imax_top_dose": imax,
            "imax_plateau": 100 - at_high_doses if plateau else np.nan,
            "call": own["absolute"].call,
            "reason": reason,
            "relative_call": own["relative"].call,
            "relative_reason": own["relative"].reason,
            "plate": plate["plate"],
            "n_wells": int(curves.wells[i]),
            "residual_sd": np.sqrt(found.variance[i]),
            "top_dose": top_dose,
        }
        tested = np.sort(np.log(samples["dose"].unique()))
        grid = np.linspace(tested[0], tested[-1], _AREA_POINTS)[:, None]
        line = evaluate(model, found.theta[:, [i]], grid)[0][:, 0]
        more = {
            # the fitted response averaged over log dose: 100 is no inhibition
            "mean_response": np.trapezoid(line, dx=1 / (_AREA_POINTS - 1)),
            "no_effect_p": no_effect[i],
            "lack_of_fit_p": lack_of_fit[i],
            "bound": own["absolute"].side,
            "bound_dose": own["absolute"].dose,
            "imax_top_dose_low": imax - half,
            "imax_top_dose_high": imax + half,
            "suggestion": "; ".join(
                filter(None, [risen[i], preferred_kind(found, i) if known else ""])
            ),
        }
        rows.append(row | errors | more)
    return pd.DataFrame(rows)


def _inhibition_at_top_dose(
    wells: pd.DataFrame, curves: Curves, found: Fit, i: int, robust: bool
) -> tuple[float, float]:
    """Percent by which the wells at the top dose are below those without drug, and its error.

    Of the mean of the wells at that dose, or their median where the fit is robust, with the residual
    variance of the fit; that of the wells without drug is uncertain too.
    """
    of_well = log_dose(wells["dose"])
    highest = wells.loc[of_well == of_well.max(), "response"]
    share = (highest.median() if robust else highest.mean()) / 100
    column = 0 if curves.log_dose.shape[1] == 1 else i
    log_doses, weight = curves.log_dose[:, column], curves.weight[:, column]
    used = weight > 0
    top = int(np.argmax(np.where(used, log_doses, -np.inf)))
    variance = (math.pi / 2 if robust and highest.size > 2 else 1) / weight[top]
    controls = np.flatnonzero(used & (log_doses == LOG_ZERO_DOSE))
    if controls.size:
        variance += share**2 / weight[controls[0]]
    return 100 * (1 - share), float(np.sqrt(found.variance[i] * variance))


def _outliers(wells: pd.DataFrame) -> str:
    """The flagged wells that are in a fit, for the reason why it failed."""
    flagged = wells[wells["flag"].notna()]
    named = [f"{w} ({flag})" for w, flag in zip(flagged["well"], flagged["flag"], strict=True)]
    return f"; flagged wells in the fit: {', '.join(named)}" if named else ""


def _contrasts_table(
    model: Model,
    plates: list[dict],
    curves: Curves,
    found: Fit,
    judged: _Judged,
    table: pd.DataFrame,
    level: float,
    weights: str,
    robust: bool,
) -> pd.DataFrame:
    """Every curve after baseline against the pooled curve of the subject's baseline days, by drug."""
    pairs, pooled = [], []
    for key in dict.fromkeys((plate["subject"], plate["drug"]) for plate in plates):
        own = [i for i, plate in enumerate(plates) if (plate["subject"], plate["drug"]) == key]
        before = [i for i in own if plates[i]["day"] <= baseline.LAST_DAY]
        later = [i for i in own if plates[i]["day"] > baseline.LAST_DAY]
        if before and later:
            wells = pd.concat([_used(plates[i]["data"]) for i in before])
            days = ", ".join(str(plates[i]["day"]) for i in before)
            label = f"{key[0]} baseline (days {days})"
            count = len({plates[i]["day"] for i in before})
            pairs += [(i, len(pooled), label, count) for i in later]
            pooled.append(wells)
    if not pairs:
        return pd.DataFrame(columns=CONTRAST_COLUMNS)
    references, references_fit = fit_wells(
        model, [w["dose"] for w in pooled], [w["response"] for w in pooled], weights, robust
    )
    units = {j: plates[i]["dose_unit"] for i, j, *_ in pairs}
    reference_judged = _judge(
        references, references_fit, list(units.values()), [""] * len(pooled), level
    )
    columns, of = [i for i, *_ in pairs], [j for _, j, *_ in pairs]
    later, later_fit = curves.take(columns), found.take(columns)
    before, before_fit = references.take(of), references_fit.take(of)
    contrasts = _compared(
        [plates[i] for i in columns],
        [label for _, _, label, _ in pairs],
        ["baseline"] * len(pairs),
        (later, later_fit, judged.take(columns)),
        (before, before_fit, reference_judged.take(of)),
        level,
    )
    for name, (p, difference) in same_shape(later, later_fit, before, before_fit).items():
        shaped = [
            not (judged.reasons[i] or reference_judged.reasons[j])
            for i, j in zip(columns, of, strict=True)
        ]
        known = (contrasts["reason"] == "").to_numpy() & np.array(shaped * len(KINDS))
        contrasts[f"{name}_p"] = np.where(known, np.tile(p, len(KINDS)), np.nan)
        contrasts[f"{name}_aicc_difference"] = np.where(
            known, np.tile(difference, len(KINDS)), np.nan
        )
    days = [count for *_, count in pairs]
    contrasts = _with_plates(contrasts, table, columns, days, [False] * len(pairs), level)
    contrasts = contrasts.assign(order=columns * len(KINDS)).sort_values("order", kind="stable")
    return contrasts[CONTRAST_COLUMNS].reset_index(drop=True)


def _with_plates(
    compared: pd.DataFrame,
    table: pd.DataFrame,
    columns: list[int],
    days: list[int],
    same_day: list[bool],
    level: float,
) -> pd.DataFrame:
    """`compared` with what plates, not wells, say of each ratio; the rest is given a pair of curves."""
    usual = {
        (drug, subject, kind): scatter_of(usual_curves(table, drug, subject), kind)
        for drug, subject in {(table["drug"][i], table["subject"][i]) for i in columns}
        for kind in KINDS
    }
    rows = []
    for n, (kind, ratio) in enumerate(zip(compared["ic50_kind"], compared["ratio"], strict=True)):
        own = table.iloc[columns[n % len(columns)]]
        scatter, place = usual[own["drug"], own["subject"], kind], n % len(columns)
        if np.isnan(ratio):
            rows.append(dict.fromkeys(PLATE_COLUMNS, np.nan) | {"plates_note": ""})
            continue
        error = own[f"log10_{kind}_ic50_se"]
        rows.append(between_plates(ratio, error, scatter, days[place], same_day[place], level))
    return compared.assign(**pd.DataFrame(rows, columns=PLATE_COLUMNS))


def _pairs_table(
    plates: list[dict],
    curves: Curves,
    found: Fit,
    judged: _Judged,
    table: pd.DataFrame,
    level: float,
) -> pd.DataFrame:
    """Every two curves of a drug that share the subject or the day; the first one is the reference."""
    pairs = [
        (i, j)
        for j in range(len(plates))
        for i in range(j + 1, len(plates))
        if plates[i]["drug"] == plates[j]["drug"]
        and (plates[i]["subject"] == plates[j]["subject"] or plates[i]["day"] == plates[j]["day"])
    ]
    if not pairs:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    columns, of = [i for i, _ in pairs], [j for _, j in pairs]
    compared = _compared(
        [plates[i] for i in columns],
        [plates[j]["curve"] for j in of],
        ["reference"] * len(pairs),
        (curves.take(columns), found.take(columns), judged.take(columns)),
        (curves.take(of), found.take(of), judged.take(of)),
        level,
    )
    same_day = [plates[i]["day"] == plates[j]["day"] for i, j in pairs]
    return _with_plates(compared, table, columns, [0] * len(pairs), same_day, level)[PAIR_COLUMNS]


def _compared(plates, references, words, own, other, level) -> pd.DataFrame:
    """IC50 ratios of pairs of curves, absolute then relative, each in the order of the pairs.

    `plates`: of the curves; `references`: the names of what they are compared with, and `words` for
    it; `own`, `other`: the curves, their fits and what is judged of them.
    """
    rows = []
    for kind, at in KINDS.items():
        ratios = compare(own[0], own[1], other[0], other[1], at, level)
        for n, plate in enumerate(plates):
            call, reference_call = own[2].calls[n][kind], other[2].calls[n][kind]
            reason = ""
            if call.call != DETERMINED:
                reason = f"the {kind} IC50 of this curve is {_in_words(call)}"
            elif reference_call.call != DETERMINED:
                reason = f"the {kind} IC50 of the {words[n]} is {_in_words(reference_call)}"
            row = {"curve": plate["curve"], "reference": references[n], "ic50_kind": kind}
            low, high = ratios.low[n], ratios.high[n]
            numbers = {
                "ratio": ratios.ratio[n],
                "ratio_low": low if low > 0 else np.nan,
                "ratio_high": high if np.isfinite(high) else np.nan,
                "f": ratios.f[n],
                "p_value": ratios.p_value[n],
                "aicc_difference": ratios.aicc_difference[n],
            }
            row |= dict.fromkeys(numbers, np.nan) if reason else numbers
            row |= {key: plate[key] for key in ("subject", "role", "day", "drug")}
            rows.append(row | {"reason": reason})
    return pd.DataFrame(rows)


def _in_words(call: Call) -> str:
    if call.call == CENSORED:
        return "beyond the top dose" if call.side == ">" else "below the lowest dose"
    return "not determined"


def _residuals_table(plates: list[dict], curves: Curves, found: Fit) -> pd.DataFrame:
    """Each well in a fit: residual (percent of control), and in units of the noise at its dose."""
    parts = []
    for i, plate in enumerate(plates):
        wells = _used(plate["data"])
        log_doses = log_dose(wells["dose"])
        fitted = evaluate(found.model, found.theta[:, [i]], log_doses[:, None])[0][:, 0]
        column = 0 if curves.log_dose.shape[1] == 1 else i
        used = np.flatnonzero(curves.weight[:, column] > 0)
        order = used[np.argsort(curves.log_dose[used, column])]
        place = order[np.searchsorted(curves.log_dose[order, column], log_doses)]
        replicates = pd.Series(log_doses).groupby(log_doses).transform("size").to_numpy()
        noise = np.sqrt(found.variance[i] * replicates / curves.weight[place, column])
        part = wells[
            ["plate", "subject", "role", "day", "drug", "well", "dose", "dose_unit"]
        ].assign(curve=plate["curve"], fitted=fitted, residual=wells["response"] - fitted)
        parts.append(part.assign(standardised=part["residual"] / noise, flag=wells["flag"]))
    return pd.concat(parts, ignore_index=True)


def _fitted_table(
    plates: list[dict], curves: Curves, found: Fit, table: pd.DataFrame, level: float
) -> pd.DataFrame:
    """Each curve at dose 0 and at doses from its lowest to its highest, evenly on log dose.

    A curve whose parameters are not determined has no band.
    """
    doses = []
    for plate in plates:
        tested = _used(plate["data"])["dose"]
        ends = tested[tested > 0].min(), tested.max()
        doses.append(np.concatenate([[0.0], np.geomspace(*ends, _DRAWN_DOSES)]))
    dose = np.array(doses).T
    value, low, high = fitted_band(found, log_dose(dose), level)
    parts = []
    for i, plate in enumerate(plates):
        known = np.isfinite(table["top"][i])
        parts.append(
            pd.DataFrame(
                {
                    "curve": plate["curve"],
                    "dose": dose[:, i],
                    "fitted": value[:, i],
                    "low": low[:, i] if known else np.nan,
                    "high": high[:, i] if known else np.nan,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
