"""The methods as text, written from the configuration, so that they cannot disagree with it."""

from immunotrace.baseline import ENOUGH_DAYS, LAST_DAY
from immunotrace.cytometry.events import ENOUGH
from immunotrace.report import wording

_GATES = {
    "template": (
        "gates were placed on each acquisition by the panel's template (on "
        f"{wording.count(ENOUGH)} of a population's events where it has more) and written out as Gating-ML 2.0"
    ),
    "gatingml": "gates were taken as they stand in the panel's Gating-ML 2.0 document",
    "flowjo": "gates were taken as they stand in the panel's FlowJo workspace",
}
_COMPENSATION = {
    "fcs": "compensated with the spillover matrix stored in each FCS file",
    "none": "not compensated here (the files hold compensated values, or need none)",
    "workspace": "compensated with the matrix of the workspace",
}
_REMOVED = {
    "margin": "events at the end of a channel's range",
    "time": "stretches of time with deviating signal or flow",
}
_BY_HAND = {
    "spillover": "{count} got a spillover matrix of their own in place of the one stored.",
    "moved gate": "{count} of gates moved by hand replaced the gates that were placed or imported.",
}
_MODELS = {
    "three_parameter": "a three-parameter logistic curve (bottom at 0; top, slope and midpoint free)",
    "four_parameter": "a four-parameter logistic curve (top, bottom, slope and midpoint free)",
    "five_parameter": "a five-parameter logistic curve (top, bottom, slope, midpoint and asymmetry free)",
    "weibull1": "a Weibull curve of type 1 (top, bottom, slope and position free)",
    "weibull2": "a Weibull curve of type 2 (top, bottom, slope and position free)",
}

_FAILED_PLATES = {
    "keep": "is named in the chapter on quality and used all the same",
    "exclude": "is left out: no curve is fitted to it",
    "stop": "stops the analysis",
}


def references(case: dict, days: int) -> list[str]:
    """The sources of the methods that were used; `days` is the number of days with samples."""
    settings = case["settings"]
    found = ["Mölder et al. 2021, F1000Research 10:33: Snakemake."]
    if case["has_cytometry"]:
        panels = list(case["panels"].values())
        placed = any(panel["gates"]["source"] == "template" for panel in panels)
        fmo = any(m.get("threshold") == "fmo" for p in panels for m in p["markers"].values())
        compensated = any(panel.get("compensation", "fcs") != "none" for panel in panels)
        found += [
            "Spidlen et al. 2010, Cytometry A 77:97: FCS 3.1.",
            "Spidlen et al. 2015, Cytometry A 87:683: Gating-ML 2.0.",
            "Moore and Parks 2012, Cytometry A 81:273: the logicle scale.",
            "White et al. 2021, Front Immunol 12:768541: FlowKit, for FlowJo workspaces and gates that our own engine does not cover.",
            *(["Bagwell and Adams 1993, Ann N Y Acad Sci 677:167: compensation."] if compensated else []),
            *(
                ["Emmaneel et al. 2022, Cytometry A 101:325: PeacoQC, whose ideas quality control follows."]
                if settings["cytometry"]["qc"]["remove"]
                else []
            ),
            *(
                ["Lo, Brinkman and Gottardo 2008, Cytometry A 73:321: flowClust, after which a template's quadrants are placed."]
                if placed
                else []
            ),
            *(["Maecker and Trotter 2006, Cytometry A 69:1037: FMO controls."] if fmo else []),
            "Wilson 1927, J Am Stat Assoc 22:209: the interval of a fraction.",
            "Conover 1999, Practical Nonparametric Statistics: the interval of a median.",
            "Darrah et al. 2007, Nat Med 13:843: integrated MFI.",
        ]  # fmt: skip
    if case["has_plates"]:
        dose = settings["dose_response"]
        found += [
            "Sebaugh 2011, Pharm Stat 10:128: relative and absolute IC50, and when to report which.",
            "Sebaugh and McCray 2003, Pharm Stat 2:167: the bends of a curve.",
            "Bates and Watts 1988, Nonlinear Regression Analysis and Its Applications: profile likelihood.",
            "Hurvich and Tsai 1989, Biometrika 76:297: AICc.",
            "Zhang et al. 1999, J Biomol Screen 4:67: Z'.",
            *(
                ["Carroll and Ruppert 1988, Transformation and Weighting in Regression: relative weights."]
                if dose["weights"] == "relative"
                else []
            ),
            *(
                [
                    "Beaton and Tukey 1974, Technometrics 16:147: the bisquare.",
                    "Street, Carroll and Ruppert 1988, Am Stat 42:152: its standard errors.",
                ]
                if dose["robust"]
                else []
            ),
        ]  # fmt: skip
    found += (
        []
        if days < 2
        else [
            "Fraser and Harris 1989, Crit Rev Clin Lab Sci 27:409: reference change value.",
            "Fokkema et al. 2006, Clin Chem 52:1602: the same on the log scale.",
            "Satterthwaite 1946, Biometrics 2:110: degrees of freedom of a sum of variances.",
        ]
    )
    if case["simulated"]:
        found.append(
            "Taddio et al. 2015, World J Gastroenterol 21:4379: the case on whose abstract the simulation is modelled."
        )
    return found


def cytometry(case: dict) -> list[str]:
    """Paragraphs on the flow cytometry."""
    settings = case["settings"]["cytometry"]
    qc = settings["qc"]
    removed = [_REMOVED[name] for name in qc["remove"]]
    texts = [
        "Files were read as FCS 2.0 to 3.1; a file that contradicts itself is "
        + ("left out. " if settings["on_unreadable"] == "exclude" else "refused. ")
        + (
            f"{wording.sentence(wording.listed(removed))} were removed; how many stands in the chapter "
            "on quality. "
            if removed
            else "No events were removed but those that are not finite. "
        )
        + f"A stretch of time departs from a robust z of {qc['window_z']:g}. A file gets a warning with more than "
        f"{qc['warn_removed_percent']:g} % of its events removed or {qc['warn_doublet_percent']:g} % doublets, and "
        f"fails with more than {qc['fail_removed_percent']:g} % removed or fewer than "
        f"{wording.things(qc['fail_below_events'], 'event')}. A file that fails quality control "
        + ("stops the analysis." if settings["on_failed_qc"] == "stop" else "is left out.")
    ]
    own = {kind: sum(entry["kind"] == kind for entry in case["inputs"]) for kind in _BY_HAND}
    texts += [
        _BY_HAND[kind].format(count=wording.sentence(wording.things(number, "file")))
        for kind, number in own.items()
        if number
    ]
    for name, panel in case["panels"].items():
        gates = _GATES[panel["gates"]["source"]]
        compensation = _COMPENSATION[panel.get("compensation", "fcs")]
        texts.append(f"Panel {name} ({panel['title']}): events were {compensation}; {gates}.")
    by_rule: dict[str, list[str]] = {}
    for panel_name, panel in case["panels"].items():
        for marker, entry in panel["markers"].items():
            rule = entry.get("threshold", "none")
            by_rule.setdefault(rule if isinstance(rule, str) else "number", []).append(
                f"{marker} ({panel_name})"
            )
    quantile = wording.percent(settings["fmo_quantile"])
    thresholds = {
        "fmo": f"lies at the {quantile} quantile of the subject's FMO controls, one value for all days; FMO "
        f"controls with fewer than {wording.count(round(5 / (1 - settings['fmo_quantile'])))} events are flagged",
        "valley": "lies in the valley between the negative and the positive peak of the subject's pooled "
        "baseline, one value for all days",
        "number": "is the number given in the panels file, on the linear compensated scale",
    }
    for rule, text in thresholds.items():
        if rule in by_rule:
            texts.append(f"The threshold of {wording.listed(by_rule[rule])} {text}.")
    texts.append(
        "Fractions have Wilson 95 % intervals. Medians are of linear intensities, of all cells "
        "and of the positive ones, with 95 % intervals between two order statistics; of an even number of cells the median is "
        + ("the lower of" if settings["median"] == "lower" else "the mean of")
        + " the middle two. The tables also give the "
        "geometric mean of the values above 0, the robust SD (half of what lies between the 15.87 % and "
        "84.13 % quantiles), the integrated MFI (percent positive times their median) and the median less "
        "that of the FMO control. Populations with fewer than "
        f"{wording.things(settings['minimum_events'], 'event')} are flagged."
    )
    return texts


def gate_origins(populations) -> str:
    """How many gates were placed, imported or moved by hand; `populations` is the table of that name."""
    words = {
        "placed": "placed on the data",
        "imported": "imported",
        "moved": "moved by hand",
    }
    counts = populations["gate_origin"].value_counts()
    parts = [f"{wording.count(counts[k])} {text}" for k, text in words.items() if k in counts]
    files = wording.things(populations["acquisition"].nunique(), "acquisition")
    return f"{wording.sentence(wording.things(len(populations), 'gate'))} of {files}: {wording.listed(parts)}."


def dose_response(case: dict) -> list[str]:
    """Paragraphs on the proliferation assay."""
    settings = case["settings"]["dose_response"]
    model = settings["model"]
    weighted = "weighted least squares (noise in proportion to the count)"
    squares = weighted if settings["weights"] == "relative" else "least squares"
    if settings["robust"]:
        squares += ", wells far from the curve bounded by Tukey's bisquare,"
    outliers = "left out of" if settings["exclude_outlier_wells"] else "flagged and kept in"
    masses = wording.listed(
        f"{drug} {mass:g} g/mol" for drug, mass in sorted(settings.get("molar_mass", {}).items())
    )
    converted = (
        f"Doses were converted to {settings['dose_unit']}"
        + (f" (molar mass: {masses})" if masses else "")
        + ". "
        if "dose_unit" in settings
        else ""
    )
    unread = "is left out" if settings["on_unreadable"] == "exclude" else "stops the analysis"
    return [
        f"An export that cannot be read {unread}. A plate that fails quality control {_FAILED_PLATES[settings['on_failed_plate']]}. {converted}"
        "Counts were turned into percent of the stimulated control without drug, after subtraction of the "
        f"blank. To the wells of each plate {_MODELS[model]} was fitted by {squares} on log "
        f"dose; outlier wells were {outliers} the fits.",
        "The absolute IC50 is the dose at which the fitted curve is half of its value without drug, the relative IC50 the fitted midpoint between "
        "the curve's own plateaus; the two differ where the drug does not inhibit fully. An IC50 beyond the "
        "doses tested is given as a bound, one that the doses do not determine is not given. Intervals "
        f"({wording.percent(settings['level'])}) are from the profile likelihood"
        + (", of large-sample kind after the robust fit" if settings["robust"] else "")
        + ". An IC50 is given by the rules of Sebaugh 2011: with two doses beyond each bend (relative) or on "
        "either side of 50 % (absolute). Imax is the inhibition at the "
        "highest dose tested, or that of the fitted lower plateau, as named.",
        "Curves after the first infusion are compared with the curve through the subject's baseline plates "
        "by the ratio of their IC50, an extra-sum-of-squares F test and the difference of AICc: all of the wells, "
        "within plates only. With plates as replicates, a t test judges the ratio by the scatter between days of "
        "baseline and of the control (degrees of freedom after Satterthwaite 1946). Replicate "
        "wells are of one blood draw: they tell the assay's precision, not the variation between people.",
    ]


def change(case: dict, days: int) -> list[str]:
    """Paragraphs on change over time and the claims; `days` is the number of days with samples."""
    if days < 2:
        return ["All samples are of one day, so no change was judged."]
    level = wording.percent(case["settings"]["longitudinal"]["level"])
    settings, control = case["settings"]["longitudinal"], case["control"]
    cytometry, plates = case["has_cytometry"], case["has_plates"]
    repeated = len(baseline_days(case)) > 1
    if control:
        source = (
            ("the patient's own baseline days and " if repeated else "")
            + f"all days of the control {control}"
            + (
                ", pooled as if both varied alike (from "
                f"{ENOUGH_DAYS} baseline days on, the patient's alone)"
                if repeated
                else ""
            )
            + ". A day on which the control itself moved, beyond what all baseline days or its own other days "
            "explain, is left out of that and named: a change that the patient shows on such days alone, the "
            "same way, supports no claim, and such days show no return"
        )
    elif repeated:
        source = (
            "the patient's own baseline days alone, for there is no control subject: what the run of a day "
            "adds is not known"
        )
    else:
        source = "neither repeated baseline days nor a control, of which there are none"
    scales = [
        *(["fractions on the logit scale", "medians on the log scale"] if cytometry else []),
        *(["IC50s on the log scale"] if plates else []),
    ]
    errors = [
        *(["the counting error of fractions", "the sampling error of medians where it is known"] if cytometry else []),
        *(["the fitting error of IC50s"] if plates else []),
    ]  # fmt: skip
    texts = [
        f"Each day after day {LAST_DAY} is compared with the mean of the days up to it, {wording.listed(scales)}. "
        + (
            "An IC50 is compared by the ratio of its curve to the curve "
            "through all baseline wells, with the profile interval of that ratio. "
            if plates
            else ""
        )
        + "The yardstick is a reference change value: the change that variation explains. It joins "
        f"{wording.listed(errors)} with the variation from day to day, from {source}. "
        + ("" if control or repeated or settings.get("variation") else "So no change is judged. ")
        + f"Intervals of a day are at {level} (Student's t); the reference change holds at {level} for all days of a "
        "series together (Bonferroni). One series is judged at a time; across series no correction is made."
    ]
    literature = settings.get("variation", {})
    if literature:
        texts.append(
            "Where neither repeated baseline days nor a control show the variation, it is taken from the literature: "
            + wording.listed(
                f"{name.replace('_', ' ')}, CV {100 * entry['cv']:g} % ({entry['source']})"
                for name, entry in sorted(literature.items())
            )
            + "."
        )
    if cytometry:
        texts.append(
            "Composition is not expression: where a population was measured in its parts "
            f"{wording.listed(settings.get('mix', []))}, markers are also standardised to the mix of these parts at "
            "baseline (direct standardisation). The parts must be told apart without the markers in question: naive "
            "cells by CD45RA and CCR7 would hold CCR7 constant by definition."
        )
    if case["has_claims"]:
        texts.append(
            "Claims are data: measurement, populations, direction, window of days and smallest change that "
            "counts. A claim is supported where the change was seen in all its populations, beyond the "
            "reference change and at least of that size; contradicted where the other direction was; "
            "not supported where every day's interval excludes it; else inconclusive. A transient change must also "
            "be shown to have returned: by one-sided intervals nearer to baseline than to the extreme, and so on every "
            "later day, less the control's change too."
            + (
                " A claim about expression must hold with the baseline's mix of cells as well, where that can be "
                "known: where only the mix changed it is not supported, and other disagreement is inconclusive."
                if cytometry
                else ""
            )
            + " A claim made of others has the weakest of their verdicts."
            + (
                " A clinical claim, of no benefit and need of rescue, is supported where the mean score of its window, "
                "up to the first rescue, fell by less than the smallest change that counts and a rescue came; "
                "contradicted where it fell by that much and none came; else not supported. No test is made: a "
                "rating has no interval."
                if case["has_timeline"]
                else ""
            )
        )
    return texts


def baseline_days(case: dict) -> list[int]:
    """The patient's days with samples up to the first infusion."""
    days = {e["day"] for e in case["inputs"] if e.get("subject") == case["patient"]}
    return sorted(day for day in days if day <= LAST_DAY)


def claim_rows(settings: dict) -> list[dict[str, str]]:
    """By what each claim is judged; `settings` are those of the run's record, one level of keys.

    Columns claim, about, expected, window, return_window, minimal_change, level.
    """
    claims: dict[str, dict] = {}
    for key, value in settings.items():
        if key.startswith("claims."):
            name, _, part = key.removeprefix("claims.").rpartition(".")
            claims.setdefault(name, {})[part] = value
    return [
        {
            "claim": name,
            "about": _judged_by(claim),
            "expected": ", ".join(claim[k] for k in ("direction", "course") if k in claim),
            **{
                key: f"{claim[key][0]} to {claim[key][1]}".replace("-", "−") if key in claim else ""
                for key in ("window", "return_window")
            },
            "minimal_change": wording.percent(claim["minimal_change"]) if "minimal_change" in claim else "",
            "level": (
                wording.percent(claim.get("level", settings["longitudinal.level"]))
                if claim["kind"] == "change"
                else ""
            ),
        }
        for name, claim in claims.items()
    ]  # fmt: skip


def _judged_by(claim: dict) -> str:
    if claim["kind"] == "composite":
        return "all of " + wording.listed(claim["claims"])
    if claim["kind"] == "clinical":
        return f"{claim['score']}; rescue by day {claim['rescue_within']}"
    parts = [claim["measurement"].replace("_", " ").replace("ic50", "IC50")]
    parts += [claim[key] for key in ("marker", "drug", "panel") if key in claim]
    if "populations" in claim:
        names = wording.short_names(claim["populations"])
        parts.append("in " + wording.listed(names.values()))
    return " ".join(parts)


def settings_rows(settings: dict, prefix: str = "") -> list[tuple[str, str]]:
    """The configuration as rows of key and value, nested keys joined by dots."""
    rows = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += settings_rows(value, f"{name}.")
        else:
            values = value if isinstance(value, list) else [value]
            rows.append((name, ", ".join(wording.blank(item) for item in values)))
    return rows
