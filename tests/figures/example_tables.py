"""Made-up tables with the columns that the stages hand to the figures and the report.

Their numbers mean nothing: they give every plot something of a plausible size and shape to draw.
`write_example(folder, kind)` writes a results folder: `full` (patient and control, five days, both
modalities), `one_day` (six acquisitions of three donors, nothing else), `plates_only` and
`no_control`. `texts` puts awkward text wherever text can come from a file.
"""

import base64
import copy
import functools
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from immunotrace.claims import judge_claims
from immunotrace.history import run_record, what_is_new
from immunotrace.longitudinal.changes import changes
from immunotrace.longitudinal.measurements import measurements
from immunotrace.statistics import wilson_interval
from immunotrace.tables import write_tsv

LOGICLE = {"logicle_t": 262144.0, "logicle_w": 0.5, "logicle_m": 4.5, "logicle_a": 0.0}
DAYS = (-14, -1, 21, 70, 150)
LIVE = "singlets/lymphocytes/live"
SUBSETS = ["naive", "central memory", "effector memory", "TEMRA"]
B_SUBSETS = ["naive", "unswitched memory", "switched memory", "double negative"]
DOSES = [0.1, 0.4, 1, 2.5, 6, 16, 40, 100, 250]
TRICKY = (
    "<script>alert(1)</script> <b>x</b> & \"q\" 'a' #let x = 1 $y$ @ref \\n *b* _i_ [l](u) `c` "
    "=1+1 مرحبا שלום 🧬 日本"
)


def dip(day: int) -> float:
    return np.exp(-(((day - 25) / 28) ** 2)) if day > 0 else 0.0


def _rows(subjects, days, rng):
    for day_index, day in enumerate(days):
        for subject, role in subjects:
            effect = dip(day) if role == "patient" else 0.0
            noise = 1 + rng.normal(0, 0.04)
            yield dict(subject=subject, role=role, day=day), f"run{day_index + 1}", effect, noise


def _tree_t(effect, rng):
    yield "singlets", "", 0.93
    yield "singlets/lymphocytes", "singlets", 0.62
    yield LIVE, "singlets/lymphocytes", 0.95
    yield f"{LIVE}/T cells", LIVE, 0.7
    for cell, fraction, naive in (("CD4", 0.6, 0.45), ("CD8", 0.32, 0.35)):
        path = f"{LIVE}/T cells/{cell}"
        yield path, f"{LIVE}/T cells", fraction
        ra = naive * (1 - 0.2 * effect) + rng.normal(0, 0.01)
        yield f"{path}/CD45RA+", path, ra
        yield f"{path}/CD45RA-", path, 1 - ra
        parts = (ra * 0.85, (1 - ra) * 0.5, (1 - ra) * 0.5, ra * 0.15)
        for name, part in zip(SUBSETS, parts, strict=True):
            yield f"{path}/{name}", path, part


def _tree_b(effect, rng):
    yield "singlets", "", 0.94
    yield "singlets/lymphocytes", "singlets", 0.6
    yield LIVE, "singlets/lymphocytes", 0.95
    yield f"{LIVE}/B cells", LIVE, 0.12
    switched = 0.17 * (1 - 0.5 * effect) * (1 + rng.normal(0, 0.04))
    parts = (1 - switched - 0.19, 0.13, switched, 0.06)
    for name, part in zip(B_SUBSETS, parts, strict=True):
        yield f"{LIVE}/B cells/{name}", f"{LIVE}/B cells", part


def _populations(rows, trees, rng, events=30000):
    out = []
    for info, batch, effect, _ in rows:
        for panel, tree in trees.items():
            counts = {"": events}
            for population, parent, fraction in tree(effect, rng):
                total = counts[parent]
                count = round(total * min(max(fraction, 0), 1))
                counts[population] = count
                low, high = wilson_interval(count, total)
                out.append(
                    dict(
                        acquisition=f"{info['subject']}_{batch}_{panel}",
                        **info,
                        panel=panel,
                        population=population,
                        parent=parent,
                        count=count,
                        parent_count=total,
                        percent_of_parent=100 * count / total if total else np.nan,
                        percent_of_parent_low=100 * float(low),
                        percent_of_parent_high=100 * float(high),
                        gate_origin="placed",
                    )
                )
    return pd.DataFrame(out)


LEVELS = {"CCR7": (62, 45), "CCR4": (24, 9), "CXCR4": (48, 33), "IgM": (70, 70)}


def _markers(rows, measured, rng):
    out = []
    for info, batch, effect, noise in rows:
        for panel, (populations, markers) in measured.items():
            for population in populations:
                for marker in markers:
                    level = LEVELS[marker][int("CD8" in population)]
                    if population.endswith("CD45RA-"):
                        level *= 0.7
                    depth = 0 if marker == "IgM" else 0.45 * effect
                    percent = min(level * (1 - depth) * noise, 97)
                    count = 4000 if "CD4" in population else 1800
                    positive = round(count * percent / 100)
                    low, high = wilson_interval(positive, count)
                    out.append(
                        dict(
                            acquisition=f"{info['subject']}_{batch}_{panel}",
                            **info,
                            panel=panel,
                            population=population,
                            marker=marker,
                            percent_positive=100 * positive / count,
                            percent_positive_low=100 * float(low),
                            percent_positive_high=100 * float(high),
                            median_all=30 * percent * noise,
                            median_positive=5000 * noise,
                            threshold=1200.0,
                            flag="",
                            count=count,
                            count_positive=positive,
                        )
                    )
    return pd.DataFrame(out).replace({"flag": {"": None}})


def _densities(markers, rng, bins=64, with_threshold=True):
    edges = np.linspace(0, 1, bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    out = []
    for row in markers.itertuples():
        fraction = row.percent_positive / 100
        shape = (1 - fraction) * np.exp(-(((centres - 0.28) / 0.07) ** 2) / 2) / 0.07
        shape = shape + fraction * np.exp(-(((centres - 0.55) / 0.09) ** 2) / 2) / 0.09
        counts = rng.poisson(row.count * shape / shape.sum())
        out.append(
            pd.DataFrame(
                dict(
                    acquisition=row.acquisition,
                    panel=row.panel,
                    population=row.population,
                    marker=row.marker,
                    bin_low=edges[:-1],
                    bin_high=edges[1:],
                    count=counts,
                    threshold_display=0.42 if with_threshold else np.nan,
                    **(LOGICLE if with_threshold else {}),
                )
            )
        )
    return pd.concat(out, ignore_index=True)


def _panels(populations, wanted, rng, events=400, with_threshold=True):
    out = []
    for (acquisition, panel), _ in populations.groupby(["acquisition", "panel"], sort=False):
        for population, x_marker, y_marker in wanted.get(panel, ()):
            which = rng.choice(4, events, p=[0.55, 0.2, 0.15, 0.1])
            x = np.where(np.isin(which, [1, 2]), 0.55, 0.25) + rng.normal(0, 0.06, events)
            y = np.where(np.isin(which, [0, 1]), 0.6, 0.25) + rng.normal(0, 0.07, events)
            out.append(
                pd.DataFrame(
                    dict(
                        acquisition=acquisition,
                        panel=panel,
                        population=population,
                        x_marker=x_marker,
                        y_marker=y_marker,
                        x=x,
                        y=y,
                        x_threshold=0.41 if with_threshold else np.nan,
                        y_threshold=0.43 if with_threshold else np.nan,
                    )
                )
            )
    return pd.concat(out, ignore_index=True)


def _hierarchy(populations):
    """A step a parent population: a cloud of 300 events and an open rectangle a child."""
    out = []
    for acquisition, own in populations.groupby("acquisition", sort=False):
        for step, (parent, children) in enumerate(own.groupby("parent", sort=False)):
            key = {"acquisition": acquisition, "step": step}
            out.append({**key, "item": "parent", "name": parent, "value": 300})
            for letter in "xy":
                ends = {"name": f"{letter} channel", "x": -0.1, "y": 1.1, "value": 10}
                out.append({**key, "item": f"{letter}_axis", **ends})
                out.append({**key, "item": f"{letter}_tick", "x": 0.3, "value": 1000.0})
            for place, child in enumerate(children.itertuples()):
                x, y = (
                    [(None, 0.5), (0.5, None)][place // 2 % 2],
                    [(None, 0.5), (0.5, None)][place % 2],
                )
                corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
                gate = {"item": "gate", "name": child.population, "value": child.percent_of_parent}
                out += [{**key, **gate, "x": a, "y": b} for a, b in corners]
            for cell, number in ((2, 200), (7, 99), (9, 1)):
                out.append({**key, "item": "cell", "x": cell, "y": cell, "value": number})
    columns = ["acquisition", "step", "item", "name", "x", "y", "value"]
    return pd.DataFrame(out, columns=columns).astype({"x": float, "y": float})


def _cytometry_qc(populations, subjects, days):
    out = []
    names = {"T": ["full", "FMO:CCR7", "FMO:CCR4", "FMO:CXCR4"], "B": ["full", "FMO:CD27"]}
    panels = list(dict.fromkeys(populations.panel))
    for index, day in enumerate(days):
        for subject, role in subjects:
            for panel in panels:
                for staining in names.get(panel, ["full"]):
                    if staining != "full" and index > 2:
                        continue
                    clog = 2310 if (index, panel, role) == (4, "T", "patient") else 0
                    events = 30000 if staining == "full" else 10000
                    removed = f"margin {120 + index}" + (f"; clog {clog:,}" if clog else "")
                    out.append(
                        dict(
                            acquisition=f"{subject}_run{index + 1}_{panel}"
                            + ("" if staining == "full" else "_" + staining.replace(":", "_")),
                            events=events,
                            events_kept=events - 120 - index - clog,
                            removed=removed,
                            verdict="warn" if clog else "pass",
                            reason="8.1 % of events removed" if clog else None,
                            margin_events=120 + index,
                            time_removed=clog,
                            doublet_percent=3.2,
                            dead_percent=6.1 if staining == "full" else np.nan,
                            notes=None,
                            subject=subject,
                            role=role,
                            day=day,
                            panel=panel,
                            staining=staining,
                            batch=f"run{index + 1}",
                        )
                    )
    return pd.DataFrame(out)


def _time(checks, rng):
    """Windows of each file; the clogged one has a gap and a channel that drifts."""
    out = []
    for check in checks.itertuples():
        clogged = (np.arange(40) // 4 == 5) & (check.time_removed > 0)
        rate = 400 * np.exp(0.05 * rng.standard_normal(40)) * np.where(clogged, 0.3, 1)
        ends = np.cumsum(250 / rate)
        out.append(
            pd.DataFrame(
                {
                    "acquisition": check.acquisition,
                    "panel": check.panel,
                    "role": check.role,
                    "window": np.arange(1, 41),
                    "start": ends - 250 / rate,
                    "end": ends,
                    "events": 250,
                    "events_per_second": rate,
                    "channel": "PE-A",
                    "level": 0.03 * rng.standard_normal(40) - 0.4 * clogged,
                    "cause": np.where(clogged, "rate; PE-A", None),
                    "removed": clogged,
                }
            )
        )
    return pd.concat(out, ignore_index=True)


def _channels(checks):
    """Two channels a file; of the first file's PE-A 2.5 % of the events are at the top."""
    names = [(name, channel) for name in checks["acquisition"] for channel in ("FSC-A", "PE-A")]
    frame = pd.DataFrame(names, columns=["acquisition", "channel"])
    frame = frame.assign(percent_at_low=0.0, percent_at_high=0.1, drift=0.04, windows_flagged=0)
    frame.loc[1, "percent_at_high"] = 2.5
    return frame


def _response(dose, ic50, hill=1.1, bottom=12.0):
    return bottom + (100 - bottom) / (1 + (dose / ic50) ** hill)


def _plates(subjects, days, rng):
    wells, curves, fitted, contrasts, quality = [], [], [], [], []
    for index, day in enumerate(days):
        for subject, role in subjects:
            plate, curve = f"{subject}_run{index + 1}", f"{subject} day {day}"
            base = 14 if role == "patient" else 5
            ic50 = base * (1 - 0.6 * (dip(day) if role == "patient" else 0))
            ic50 *= np.exp(rng.normal(0, 0.1))
            censored = role == "patient" and day == -14
            bottom = 58 if censored else 12
            layout = [("sample", dose) for dose in DOSES for _ in range(3)]
            layout += (
                [("control", 0.0)] * 6 + [("unstimulated", np.nan)] * 6 + [("blank", np.nan)] * 3
            )
            for number, (kind, dose) in enumerate(layout):
                response = {"control": 100.0, "unstimulated": 0.0, "blank": -4.0}.get(kind)
                if response is None:
                    response = _response(dose, ic50, bottom=bottom)
                value = max(900 + 380 * response * (1 + rng.normal(0, 0.07)), 40)
                outlier = (index, number, role) == (3, 8, "patient")
                value = value * 2.1 if outlier else value
                wells.append(
                    dict(
                        plate=plate,
                        well="ABCDEFGH"[number // 12] + str(number % 12 + 1),
                        subject=subject,
                        role=role,
                        day=day,
                        drug="methylprednisolone",
                        dose=dose,
                        dose_unit="ng/ml",
                        well_role=kind,
                        value=round(value),
                        readout="cpm",
                        flag="outlier" if outlier else None,
                        response=(value - 900) / 380 if kind in ("sample", "control") else np.nan,
                    )
                )
            dose = np.concatenate([[0], np.geomspace(DOSES[0], DOSES[-1], 60)])
            value = _response(np.maximum(dose, 1e-9), ic50, bottom=bottom)
            fitted.append(
                pd.DataFrame(
                    dict(curve=curve, dose=dose, fitted=value, low=value - 4, high=value + 4)
                )
            )
            absolute = np.nan if censored else ic50 * 1.3
            curves.append(
                dict(
                    curve=curve,
                    subject=subject,
                    role=role,
                    day=day,
                    drug="methylprednisolone",
                    dose_unit="ng/ml",
                    model="four_parameter",
                    top=100.0,
                    bottom=bottom,
                    hill_slope=1.1,
                    relative_ic50=ic50,
                    relative_ic50_low=ic50 / 1.3,
                    relative_ic50_high=ic50 * 1.3,
                    absolute_ic50=absolute,
                    absolute_ic50_low=absolute / 1.35,
                    absolute_ic50_high=absolute * 1.4,
                    imax_top_dose=100 - bottom - 1,
                    imax_plateau=100 - bottom,
                    call="censored" if censored else "determined",
                    reason="> 250 ng/ml: the fitted curve stays above 50 % of control at the top dose"
                    if censored
                    else None,
                    relative_call="determined",
                    relative_reason=None,
                    plate=plate,
                    n_wells=33,
                    residual_sd=5.1,
                    top_dose=250.0,
                    log10_relative_ic50_se=0.05,
                    log10_absolute_ic50_se=0.06,
                    bound=">" if censored else None,
                    bound_dose=250.0 if censored else np.nan,
                    suggestion=None,
                )
            )
            if day > 0:
                for kind in ("absolute", "relative"):
                    ratio = ic50 / base
                    contrasts.append(
                        dict(
                            curve=curve,
                            reference=f"{subject} baseline",
                            ic50_kind=kind,
                            ratio=ratio,
                            ratio_low=ratio / 1.35,
                            ratio_high=ratio * 1.35,
                            f=4.2,
                            p_value=0.0123 if ratio < 0.7 else 0.4,
                            plates_p=0.0456 if ratio < 0.7 else float("nan"),
                            aicc_difference=3.1,
                            subject=subject,
                            role=role,
                            day=day,
                            drug="methylprednisolone",
                            reason=None,
                        )
                    )
            quality.append(
                dict(
                    plate=plate,
                    subject=subject,
                    role=role,
                    day=day,
                    replicate_cv_percent=7.1,
                    replicate_cv_max_percent=12.0,
                    control_cv_percent=6.0,
                    z_prime=0.61,
                    stimulation_index=24.0,
                    edge_effect_percent=-6.2,
                    row_drift_percent=1.3,
                    column_drift_percent=-0.4,
                    blank_mean=42.0,
                    blank_percent_of_control=0.1,
                    outlier_wells="A9" if day == 7 and role == "patient" else None,
                    unreadable_wells=None,
                    used=True,
                    verdict="warn" if day == 42 else "pass",
                    reason="edge effect -16 %" if day == 42 else None,
                )
            )
    return dict(
        wells=pd.DataFrame(wells),
        curves=pd.DataFrame(curves),
        fitted=pd.concat(fitted, ignore_index=True),
        residuals=_residuals(pd.DataFrame(wells), rng),
        contrasts=pd.DataFrame(contrasts) if contrasts else pd.DataFrame(columns=CONTRASTS),
        plate_qc=pd.DataFrame(quality),
    )


def _residuals(wells, rng):
    some = wells[wells["well_role"].isin(["sample", "control"])]
    curve = some["subject"] + " day " + some["day"].astype(str)
    standardised = rng.normal(0, 1, len(some))
    return some[["plate", "subject", "role", "day", "drug", "well", "dose", "dose_unit"]].assign(
        curve=curve, fitted=some["response"] - 5 * standardised, residual=5 * standardised,
        standardised=standardised, flag=some["flag"],
    )  # fmt: skip


CONTRASTS = [
    "curve",
    "reference",
    "ic50_kind",
    "ratio",
    "ratio_low",
    "ratio_high",
    "f",
    "p_value",
    "plates_p",
]
CONTRASTS += ["aicc_difference", "subject", "role", "day", "drug", "reason"]


CLAIMS = [
    {
        "claim": claim,
        "title": f"{marker} on T cells",
        "statement": f"{marker} fell, temporarily",
        "kind": "change",
        "measurement": "percent_positive",
        "marker": marker,
        "populations": [f"{LIVE}/T cells/CD4", f"{LIVE}/T cells/CD8"],
        "direction": direction,
        "course": "transient",
        "window": [1, 60],
        "return_window": [61, 365],
        "minimal_change": 0.2,
    }
    for claim, marker, direction in (
        ("C1", "CCR4", "decrease"),
        ("C2", "CCR7", "increase"),
        ("C3", "CXCR4", "decrease"),
    )
] + [
    {
        "claim": "C5",
        "title": "Steroid sensitivity of PBMC",
        "statement": "lower doses inhibited proliferation",
        "kind": "change",
        "measurement": "absolute_ic50",
        "direction": "decrease",
        "course": "any",
        "window": [1, 120],
        "minimal_change": 0.2,
    },
    {
        "claim": "C6",
        "title": "Clinical course",
        "statement": "no significant clinical benefit; rescue treatment was needed",
        "kind": "clinical",
        "score": "disease activity score",
        "window": [1, 150],
        "minimal_change": 0.3,
        "rescue_within": 365,
    },
]


def _timeline(patient):
    rows = [("infusion", d, None, "MSC infusion", 1.5, "million cells/kg") for d in (0, 7, 14, 21)]
    rows += [
        ("drug", -60, 20, "prednisone", 30, "mg/day"),
        ("drug", 20, 60, "prednisone", 20, "mg/day"),
        ("drug", 60, 200, "prednisone", 35, "mg/day"),
        ("drug", -60, 30, "azathioprine", 100, "mg/day"),
    ]
    days = (-28, -1, 14, 28, 42, 70, 105, 150, 180, 210)
    scores = (310, 322, 300, 280, 290, 305, 318, 330, 220, 180)
    rows += [
        ("score", d, None, "disease activity score", s, "points")
        for d, s in zip(days, scores, strict=True)
    ]
    rows += [
        ("procedure", 2, None, "endoscopy", None, None),
        ("rescue", 160, None, "infliximab", 5, "mg/kg"),
        ("rescue", 230, None, "autologous HSCT", None, None),
    ]
    frame = pd.DataFrame(rows, columns=["kind", "day", "end_day", "name", "value", "unit"])
    frame.insert(0, "subject", patient)
    frame["end_day"] = frame.end_day.astype("Int64")
    return frame[["subject", "day", "end_day", "kind", "name", "value", "unit"]]


T_MEASURED = [
    f"{LIVE}/T cells/{c}{s}" for c in ("CD4", "CD8") for s in ("", "/CD45RA+", "/CD45RA-")
]
MEASURED = {
    "T": (T_MEASURED, ["CCR7", "CCR4", "CXCR4"]),
    "B": ([f"{LIVE}/B cells/{s}" for s in B_SUBSETS], ["IgM"]),
}
PAIRS = {
    "T": [(f"{LIVE}/T cells/{c}", "CD45RA", "CCR7") for c in ("CD4", "CD8")],
    "B": [(f"{LIVE}/B cells", "CD27", "IgD")],
}
PANELS = {
    "T": {
        "title": "T cell chemokine receptors",
        "lineage": "T",
        "compensation": "fcs",
        "gates": {"source": "template", "file": "gates_T.yaml"},
        "markers": {
            "CD4": {"channel": "BV786-A", "fluorochrome": "BV786", "purpose": "lineage"},
            "CCR7": {
                "channel": "PE-A",
                "fluorochrome": "PE",
                "purpose": "chemokine receptor",
                "threshold": "fmo",
            },
        },
    },
    "B": {
        "title": "B cell subsets",
        "lineage": "B",
        "compensation": "fcs",
        "gates": {"source": "template", "file": "gates_B.yaml"},
        "markers": {"CD27": {"channel": "BV421-A", "threshold": "fmo"}},
    },
}


def _one_day(rng, texts):
    """Donors' tissues on one day, gates of a workspace, no thresholds: several acquisitions each."""
    names = ["412C_Blood", "412C_BM", "423_Liver", "423_Lung", "428_Lung", "390C_Liver"]
    if texts:
        names[0] = TRICKY
    tree = {
        "B cells": ("", 0.2),
        "non-B": ("", 0.75),
        "non-B/T cells": ("non-B", 0.6),
        "non-B/T cells/CD4": ("non-B/T cells", 0.45),
        "non-B/T cells/CD4/CD4 | Naive": ("non-B/T cells/CD4", 0.3),
        "non-B/T cells/CD4/CD4 | CM": ("non-B/T cells/CD4", 0.2),
        "non-B/T cells/CD4/CD4 | EM": ("non-B/T cells/CD4", 0.45),
        "non-B/T cells/CD8": ("non-B/T cells", 0.4),
        "non-B/T cells/CD8/CD8 | Naive": ("non-B/T cells/CD8", 0.0),
        "non-B/T cells/CD8/CD8 | EM": ("non-B/T cells/CD8", 0.7),
    }
    populations, markers = [], []
    for name in names:
        info = dict(acquisition=name, subject=name[:4], role="patient", day=0, panel="T")
        counts = {"": 600 if "Liver" in name else 12000}
        for population, (parent, fraction) in tree.items():
            total = counts[parent]
            counts[population] = count = int(total * fraction * rng.uniform(0.6, 1.1))
            low, high = wilson_interval(count, total)
            populations.append(
                dict(
                    **info,
                    population=population,
                    parent=parent,
                    count=count,
                    parent_count=total,
                    percent_of_parent=100 * count / total,
                    percent_of_parent_low=100 * float(low),
                    percent_of_parent_high=100 * float(high),
                    gate_origin="imported",
                )
            )
        for cell in ("CD4", "CD8"):
            for marker in ("CCR7", "CCR4"):
                markers.append(
                    dict(
                        **info,
                        population=f"non-B/T cells/{cell}",
                        marker=marker,
                        percent_positive=np.nan,
                        percent_positive_low=np.nan,
                        percent_positive_high=np.nan,
                        median_all=rng.uniform(200, 900),
                        median_positive=np.nan,
                        threshold=np.nan,
                        flag="no threshold",
                        count=counts[f"non-B/T cells/{cell}"],
                        count_positive=np.nan,
                    )
                )
    populations, markers = pd.DataFrame(populations), pd.DataFrame(markers)
    shapes = markers.assign(percent_positive=40.0)
    quality = pd.DataFrame(
        [
            dict(
                acquisition=name,
                events=12000,
                events_kept=12000,
                removed=None,
                verdict="pass",
                reason=None,
                margin_events=0,
                time_removed=0,
                doublet_percent=np.nan,
                dead_percent=np.nan,
                notes="no Time channel",
                subject=name[:4],
                role="patient",
                day=0,
                panel="T",
                staining="full",
                batch="all",
            )
            for name in names
        ]
    )
    return dict(
        populations=populations,
        markers=markers,
        densities=_densities(shapes, rng, with_threshold=False),
        panels=_panels(
            populations, {"T": [("non-B/T cells/CD4", "CD45RA", "CCR7")]}, rng, 200, False
        ),
        hierarchy=_hierarchy(populations),
        cytometry_qc=quality,
    )


def example(kind: str = "full", texts: bool = False) -> tuple[dict[str, pd.DataFrame], dict]:
    """The tables by name, and the case."""
    tables, case = _example(kind, texts)
    return {name: frame.copy() for name, frame in tables.items()}, copy.deepcopy(case)


@functools.cache
def _example(kind: str, texts: bool) -> tuple[dict[str, pd.DataFrame], dict]:
    rng = np.random.default_rng(7)
    subjects = [("MSC01", "patient")] + ([("HC01", "control")] if kind != "no_control" else [])
    days = DAYS
    tables: dict[str, pd.DataFrame] = {}
    if kind == "one_day":
        subjects, days = [("412C", "patient"), ("423_", "patient")], (0,)
        tables = _one_day(rng, texts)
    else:
        if kind != "plates_only":
            trees = {"T": _tree_t, "B": _tree_b}
            tables["populations"] = _populations(_rows(subjects, days, rng), trees, rng)
            tables["markers"] = _markers(_rows(subjects, days, rng), MEASURED, rng)
            tables["densities"] = _densities(tables["markers"], rng)
            tables["panels"] = _panels(tables["populations"], PAIRS, rng)
            tables["hierarchy"] = _hierarchy(tables["populations"])
            tables["cytometry_qc"] = _cytometry_qc(tables["populations"], subjects, days)
            # Its own generator, so that what is drawn after it stays as it was.
            tables["time"] = _time(tables["cytometry_qc"], np.random.default_rng(5))
        tables |= _plates(subjects, days, rng)
        values = measurements(tables.get("populations"), tables.get("markers"), tables["curves"])
        control = "HC01" if kind != "no_control" else None
        tables["changes"] = changes(values, control, 0.95)
        if kind != "plates_only":
            tables["timeline"] = _timeline("MSC01")
            tables["claims"] = judge_claims(
                CLAIMS, tables["changes"], tables["timeline"].to_dict("records"), "MSC01"
            )
    if "cytometry_qc" in tables:
        tables["cytometry_qc_channels"] = _channels(tables["cytometry_qc"])
    if texts:
        if "timeline" in tables:
            tables["timeline"].loc[0, "name"] = TRICKY
        if "claims" in tables:
            tables["claims"].loc[0, ["sentence", "title"]] = TRICKY
        if "cytometry_qc" in tables:
            tables["cytometry_qc"].loc[0, "removed"] = TRICKY
    settings = {
        "case": {"title": "Example", "patient": subjects[0][0]},
        "seed": 2015,
        **({"timeline": "timeline.tsv"} if "timeline" in tables else {}),
        "cytometry": {
            "minimum_events": 100,
            "median": "midpoint",
            "fmo_quantile": 0.998,
            "on_failed_qc": "exclude",
            "on_unreadable": "stop",
            "qc": {
                "remove": ["margin", "time"],
                "window_z": 6,
                "warn_removed_percent": 5,
                "fail_removed_percent": 40,
                "warn_doublet_percent": 15,
                "fail_below_events": 500,
            },
        },
        "dose_response": {
            "model": "four_parameter",
            "weights": "relative",
            "level": 0.95,
            "exclude_outlier_wells": False,
            "robust": False,
            "on_failed_plate": "keep",
            "on_unreadable": "stop",
        },
        "longitudinal": {"level": 0.95},
    }
    case = {
        "title": TRICKY if texts else "Crohn's disease treated with IFN-γ pre-treated MSC",
        "simulated": kind == "full",
        "scenario": "abstract" if kind == "full" else None,
        "subjects": [{"subject": s, "role": r} for s, r in subjects],
        "claims": CLAIMS if "claims" in tables else [],
        "patient": subjects[0][0],
        "control": "HC01" if len(subjects) > 1 and kind != "one_day" else None,
        "panels": {} if kind == "plates_only" else PANELS if kind != "one_day" else ONE_PANEL,
        "has_plates": kind != "one_day",
        "has_cytometry": kind != "plates_only",
        "has_timeline": "timeline" in tables,
        "has_claims": "claims" in tables,
        "settings": settings,
        "timeline": json.loads(tables["timeline"].to_json(orient="records"))
        if "timeline" in tables
        else [],
        "inputs": [
            {
                "kind": "acquisition",
                "bytes": 1680000 + i,
                "sha256": f"{i:064x}",
                "name": f"MSC01_run{i}_T",
                "subject": "MSC01",
                "day": day,
                "panel": "T",
                "staining": "full",
                "batch": f"run{i}",
            }
            for i, day in zip(range(1, 10), [*DAYS] * 9, strict=False)
        ]
        + [
            {
                "kind": "plate",
                "bytes": 1400,
                "sha256": f"{500 - day:064x}",
                "name": f"MSC01 day {day}",
                "subject": "MSC01",
                "day": day,
                "drug": "methylprednisolone",
            }
            for day in (DAYS if "curves" in tables else ())
        ],
        "instruments": [TRICKY if texts else "LSRFortessa X20"],
        "environments": sorted(SOFTWARE["environments"]),
    }
    return tables, case


SOFTWARE = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "snakemake": "9.27.1",
    "environments": {
        "cytometry": {"python": "3.11.2", "pandas": "3.1.1", "flowkit": "1.3.0"},
        "report": {"python": "3.13.1", "pandas": "3.1.1", "typst": "0.15.2"},
    },
}


ONE_PANEL = {
    "T": {
        "title": "T cell atlas",
        "lineage": "T",
        "compensation": "none",
        "gates": {"source": "flowjo", "file": "workspace.wsp"},
        "markers": {"CCR7": {"channel": "FJComp-640 780_60-A", "threshold": "none"}},
    }
}
PLACES = {
    "fitted": "results/doseresponse/fitted.tsv",
    "residuals": "results/doseresponse/residuals.tsv",
    "densities": "results/cytometry/run1/densities.tsv",
    "panels": "results/cytometry/run1/panels.tsv",
    "hierarchy": "results/cytometry/run1/hierarchy.tsv",
    "timeline": "timeline.tsv",
}


def write_example(folder: Path, kind: str = "full", texts: bool = False) -> dict:
    """Write tables and case into `folder` as the stages do; returns the case."""
    tables, case = example(kind, texts)
    for name, frame in tables.items():
        write_tsv(frame, Path(folder) / PLACES.get(name, f"results/tables/{name}.tsv"))
    path = Path(folder) / "results/report/case.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(case, ensure_ascii=False, indent=1), encoding="utf-8")
    for environment, packages in SOFTWARE["environments"].items():
        held = path.parent / "software" / f"{environment}.json"
        held.parent.mkdir(exist_ok=True)
        held.write_text(json.dumps(packages), encoding="utf-8")
    code = {key: SOFTWARE[key] for key in ("commit", "snakemake")}
    path.with_name("code.json").write_text(json.dumps(code), encoding="utf-8")
    published = (Path(folder) / "results/tables").glob("*.tsv")
    record = run_record(case, SOFTWARE, CLAIMS, {table.stem: table for table in published}, [])
    path.with_name("record.json").write_text(json.dumps(record), encoding="utf-8")
    news = what_is_new(record, [])
    if kind == "full":  # a later run, with everything that can be new
        before = copy.deepcopy(record)
        before |= {"inputs": record["inputs"][2:], "numbers": record["numbers"][40:]}
        before["numbers"][0]["value"] *= 2
        before["verdicts"][0]["verdict"] = "contradicted"
        before["settings"]["cytometry.fmo_quantile"] = 0.9
        picture = io.BytesIO()
        Image.new("RGB", (900, 300), "grey").save(picture, "PNG")
        picture = base64.b64encode(picture.getvalue()).decode("ascii")
        news = what_is_new(record, [before])
        news["figures"] = [{"name": "clinical_course", "old": picture, "new": picture}]
    path.with_name("what_is_new.json").write_text(json.dumps(news), encoding="utf-8")
    return case


def draw(
    tables: dict[str, pd.DataFrame],
    group: str,
    folder: Path,
    simulated: bool,
    patient: str = "MSC01",
) -> None:
    """Draw a group of figures as the rules do."""
    from immunotrace.figures.groups import draw_group

    days = {
        day for name in ("populations", "curves") if name in tables for day in tables[name]["day"]
    }
    panels = {"t_cells": ["T"], "b_cells": ["B"]}.get(group, [])
    draw_group(
        group, tables, folder, days=sorted(days), panels=panels, simulated=simulated, level=0.95,
        patient=patient,
    )  # fmt: skip
