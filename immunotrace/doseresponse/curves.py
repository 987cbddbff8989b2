"""From wells to fitted curves, their IC50s, and comparisons with a subject's own baseline."""

import numpy as np
import pandas as pd

from immunotrace import baseline
from immunotrace.doseresponse.batch import Curves
from immunotrace.doseresponse.calls import (
    CENSORED,
    DETERMINED,
    NOT_DETERMINED,
    Call,
    absolute_call,
    doses_beyond_bends,
    lack_of_fit_p,
    no_effect_p,
    relative_call,
    unidentified,
)
from immunotrace.doseresponse.contrasts import compare, same_shape_p
from immunotrace.doseresponse.fit import Fit, fit_wells
from immunotrace.doseresponse.intervals import (
    effective_dose,
    effective_dose_interval,
    fitted_band,
)
from immunotrace.doseresponse.models import (
    ABSOLUTE,
    BOTTOM,
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
    "hill_slope_p",
]  # fmt: skip


def fit_curves(
    wells: pd.DataFrame, settings: dict
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Fit one curve a plate; returns the tables curves, contrasts and fitted.

    `wells`: as `read_plates` makes them. `settings`: `level` of the intervals; `model`, a name in
    `MODELS`, by default the four-parameter logistic; `weights` as for `fit_wells`, by default
    relative, for replicate counts scatter in proportion to their mean. `residual_sd` is the noise
    where the curve is highest, in percent of the control. Responses are percent of the stimulated
    control; a control well is a zero dose. `top_p`, `bottom_p` and `hill_slope_p` of the contrasts
    are of F tests of one such parameter in common. Contrasts compare every curve after baseline with the
    curve through the subject's wells of all days before. `fitted` holds each curve at 101 doses (the
    first is 0) with its pointwise confidence band.
    """
    model = MODELS[settings.get("model", "four_parameter")]
    level = settings["level"]
    _check_units(wells)
    plates = [
        {**_description(plate), "data": plate} for _, plate in wells.groupby("plate", sort=False)
    ]
    _name_curves(plates)
    weights = settings.get("weights", "relative")
    curves, found = fit_wells(
        model,
        [_used(plate["data"])["dose"] for plate in plates],
        [_used(plate["data"])["response"] for plate in plates],
        weights,
    )
    table = _curves_table(model, plates, curves, found, level).assign(weights=weights)
    contrasts = _contrasts_table(model, plates, curves, found, table, level, weights)
    return table, contrasts, _fitted_table(plates, curves, found, table, level)


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


def _curves_table(
    model: Model, plates: list[dict], curves: Curves, found: Fit, level: float
) -> pd.DataFrame:
    reasons = unidentified(curves, found, level)
    no_effect, lack_of_fit = no_effect_p(curves, found), lack_of_fit_p(curves, found)
    doses = {}
    for kind, at in KINDS.items():
        estimate, error = effective_dose(found, at)
        low, high = effective_dose_interval(found, curves, at, level)
        doses[kind] = estimate, error, low, high
    rows = []
    for i, plate in enumerate(plates):
        samples = _used(plate["data"]).query("well_role == 'sample'")
        top_dose = samples["dose"].max()
        reach = samples["dose"].min() / _REPORTED_BEYOND, top_dose * _REPORTED_BEYOND
        if reasons[i]:
            reasons[i] += _outliers(_used(plate["data"]))
            calls = dict.fromkeys(KINDS, Call(NOT_DETERMINED, reasons[i]))
        else:
            calls = {
                "absolute": absolute_call(curves, found, i, plate["dose_unit"]),
                "relative": relative_call(curves, found, i),
            }
        row = {key: plate[key] for key in ("curve", "subject", "role", "day", "drug", "dose_unit")}
        row["model"] = model.name
        slope, bottom, top = found.theta[[SLOPE, BOTTOM, TOP], i]
        known = not reasons[i]
        row |= {
            "top": top if known else np.nan,
            "bottom": bottom if known else np.nan,
            "hill_slope": -slope if known else np.nan,
        }
        errors = {}
        for kind in ("relative", "absolute"):
            estimate, error, low, high = (values[i] for values in doses[kind])
            if calls[kind].call == DETERMINED and not np.isfinite([low, high]).all():
                side = "lower" if not np.isfinite(low) else "upper"
                calls[kind] = Call(NOT_DETERMINED, f"the {kind} IC50 has no {side} bound")
            shown = calls[kind].call == DETERMINED
            bounds = [
                np.exp(bound) if shown and reach[0] <= np.exp(bound) <= reach[1] else np.nan
                for bound in (low, high)
            ]
            row[f"{kind}_ic50"] = np.exp(estimate) if shown else np.nan
            row[f"{kind}_ic50_low"], row[f"{kind}_ic50_high"] = bounds
            errors[f"log10_{kind}_ic50_se"] = error / np.log(10) if shown else np.nan
        plateau = known and doses_beyond_bends(curves, found, i)[1] >= 2
        row |= {
            "imax_top_dose": 100 - samples.loc[samples["dose"] == top_dose, "response"].mean(),
            "imax_plateau": 100 - bottom if plateau else np.nan,
            "call": calls["absolute"].call,
            "reason": calls["absolute"].reason,
            "relative_call": calls["relative"].call,
            "relative_reason": calls["relative"].reason,
            "plate": plate["plate"],
            "n_wells": int(curves.wells[i]),
            "residual_sd": np.sqrt(found.variance[i]),
            "top_dose": top_dose,
        }
        tested = np.sort(np.log(samples["dose"].unique()))
        grid = np.linspace(tested[0], tested[-1], _AREA_POINTS)[:, None]
        line = evaluate(model, found.theta[:, [i]], grid)[0][:, 0]
        tests = {
            # the fitted response averaged over log dose: 100 is no inhibition
            "mean_response": np.trapezoid(line, dx=1 / (_AREA_POINTS - 1)),
            "no_effect_p": no_effect[i],
            "lack_of_fit_p": lack_of_fit[i],
        }
        rows.append(row | errors | tests)
    return pd.DataFrame(rows)


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
    table: pd.DataFrame,
    level: float,
    weights: str,
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
            pairs += [(i, len(pooled), label) for i in later]
            pooled.append(wells)
    if not pairs:
        return pd.DataFrame(columns=CONTRAST_COLUMNS)
    references, references_fit = fit_wells(
        model, [w["dose"] for w in pooled], [w["response"] for w in pooled], weights
    )
    reference_reasons = unidentified(references, references_fit, level)
    units = [plates[i]["dose_unit"] for i, _, _ in pairs]
    columns, of = [i for i, _, _ in pairs], [j for _, j, _ in pairs]
    shapes = same_shape_p(
        curves.take(columns), found.take(columns), references.take(of), references_fit.take(of)
    )
    rows = []
    for kind, at in KINDS.items():
        ratios = compare(
            curves.take(columns), found.take(columns),
            references.take(of), references_fit.take(of), at, level,
        )  # fmt: skip
        call = "call" if kind == "absolute" else "relative_call"
        for n, (i, j, label) in enumerate(pairs):
            if reference_reasons[j]:
                reference_call = Call(NOT_DETERMINED, reference_reasons[j])
            elif kind == "absolute":
                reference_call = absolute_call(references, references_fit, j, units[n])
            else:
                reference_call = relative_call(references, references_fit, j)
            reason = ""
            if table[call][i] != DETERMINED:
                reason = f"the {kind} IC50 of this curve is {_in_words(table[call][i])}"
            elif reference_call.call != DETERMINED:
                reason = f"the {kind} IC50 of the baseline is {_in_words(reference_call.call)}"
            plate = plates[i]
            row = {"curve": plate["curve"], "reference": label, "ic50_kind": kind}
            if not reason:
                bounds = ratios.low[n], ratios.high[n]
                row |= {
                    "ratio": ratios.ratio[n],
                    "ratio_low": bounds[0] if bounds[0] > 0 else np.nan,
                    "ratio_high": bounds[1] if np.isfinite(bounds[1]) else np.nan,
                    "f": ratios.f[n],
                    "p_value": ratios.p_value[n],
                    "aicc_difference": ratios.aicc_difference[n],
                }
            row |= {key: plate[key] for key in ("subject", "role", "day", "drug")}
            if not reason:
                row |= {f"{name}_p": p[n] for name, p in shapes.items()}
            rows.append((i, row | {"reason": reason}))
    rows.sort(key=lambda item: item[0])
    return pd.DataFrame([row for _, row in rows], columns=CONTRAST_COLUMNS)


def _in_words(call: str) -> str:
    return {CENSORED: "beyond the top dose", NOT_DETERMINED: "not determined"}[call]


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
