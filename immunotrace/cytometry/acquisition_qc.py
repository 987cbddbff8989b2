"""Quality of one acquisition: margin events, flow over time, doublets, and what is kept.

Ideas from PeacoQC (Emmaneel et al. 2022, Cytometry A 101:325): margin events first, then windows of
equal event count whose signal departs from the rest. Different here: events at the low end are
removed by scatter only, for at the low end of a fluorescence channel lie its negative cells; windows
are judged by their flow rate and by a robust z of a channel's level (of fluorescence the mean on the
asinh scale, for a median jumps from peak to peak where close to half of the events are positive), not
by peaks and an isolation tree; and a deviation must also be large enough to matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from immunotrace.cytometry.fcs import FcsFile, find_channel
from immunotrace.cytometry.panel import read_acquisition, write_kept
from immunotrace.cytometry.placement import singlet_limits
from immunotrace.errors import InputError

QC_DEFAULTS: dict[str, Any] = {
    "remove": ["margin", "time"],  # what is taken out besides events that are not finite
    "window_z": 6.0,  # robust z from which a window of time departs
    "warn_removed_percent": 5.0,
    "fail_removed_percent": 40.0,
    "warn_doublet_percent": 15.0,
    "fail_below_events": 500,
}

_WINDOW_EVENTS = 250
_MAX_WINDOWS = 200
_MIN_WINDOWS = 20
# Deviations below these do not matter, whatever their z: a tenth of the signal, half of the rate.
_MIN_SIGNAL_SHIFT = 0.1
_MIN_RATE_FOLD = 1.5
_COFACTOR = 150.0
_PILE = 10


@dataclass(frozen=True)
class AcquisitionQc:
    """The row of cytometry_qc.tsv that belongs to an acquisition, and its mask of kept events."""

    row: dict[str, Any]
    keep: np.ndarray


def acquisition_qc(fcs: FcsFile, qc: Mapping[str, Any] = QC_DEFAULTS) -> AcquisitionQc:
    """Judge one file. `qc` holds the keys of QC_DEFAULTS.

    A check that the file gives no data for (no Time, no scatter) is not possible and is named in
    `notes`; that is no failure. Verdict `fail`: too few events are left or too many had to go;
    `warn`: more than the warning limit was removed, or there are many doublets.
    """
    events, notes = fcs.events, list(fcs.notes)
    n = len(events)
    finite = fcs.finite
    high, low, margin_text = margin_events(fcs, notes)
    margin = high | low
    bad_time = time_deviation(fcs, finite & ~margin, float(qc["window_z"]), notes)
    doublets = doublet_percent(fcs, finite & ~margin, notes)

    keep = finite.copy()
    removed = []
    if not finite.all():
        removed.append(f"not finite {np.sum(~finite):,}")
    for name, bad in (("margin", margin), ("time", bad_time)):
        if name in qc["remove"]:
            gone = int(np.sum(keep & bad))
            keep &= ~bad
            if gone:
                removed.append(f"{name} {gone:,}")
    kept = int(keep.sum())
    removed_percent = 100.0 * (n - kept) / n if n else 0.0
    verdict, reason = _verdict(qc, n, kept, removed_percent, doublets)
    row = {
        "events": n,
        "events_kept": kept,
        "removed": "; ".join(removed),
        "verdict": verdict,
        "reason": reason,
        "removed_percent": removed_percent,
        "not_finite": int(np.sum(~finite)),
        "margin_events": int(margin.sum()),
        "margin_high": int(high.sum()),
        "margin_low": int(low.sum()),
        "margin_channels": margin_text,
        "time_removed": int(bad_time.sum()) if "time" in qc["remove"] else 0,
        "time_flagged": int(bad_time.sum()),
        "doublet_percent": doublets,
        "notes": "; ".join(notes),
    }
    return AcquisitionQc(row, keep)


def _verdict(
    qc: Mapping[str, Any], n: int, kept: int, removed_percent: float, doublets: float
) -> tuple[str, str]:
    if kept < qc["fail_below_events"]:
        return "fail", f"{kept:,} events are left, fewer than {qc['fail_below_events']:,}"
    if removed_percent > qc["fail_removed_percent"]:
        return "fail", f"{removed_percent:.1f} % of {n:,} events removed"
    reasons = []
    if removed_percent > qc["warn_removed_percent"]:
        reasons.append(f"{removed_percent:.1f} % of events removed")
    if doublets > qc["warn_doublet_percent"]:
        reasons.append(f"{doublets:.1f} % doublets")
    return ("warn", "; ".join(reasons)) if reasons else ("pass", "")


def margin_events(fcs: FcsFile, notes: list[str]) -> tuple[np.ndarray, np.ndarray, str]:
    """Events at the high end of any channel, at the low end of scatter, and counts a channel.

    The high end is the largest value that $PnR allows, on the linear scale. A channel with more
    than 1 % of its events beyond that has a $PnR that does not describe it: not possible there. At
    the low end of fluorescence, piles of equal lowest values are counted in the text only.
    """
    events = fcs.events
    high, low = np.zeros(len(events), bool), np.zeros(len(events), bool)
    text = []
    for i, name in enumerate(fcs.channels):
        if _is_time(name) or not len(events):
            continue
        values = events[:, i]
        bottom, top = _ends(fcs, i)
        beyond = values > top * (1 + 1e-6) + 1.5
        if top <= bottom or beyond.mean() > 0.01:
            notes.append(f"margin of {name} not possible: $PnR does not describe its values")
            continue
        at_top = values >= top
        high |= at_top
        if at_top.any():
            text.append(f"{name} high {at_top.sum():,}")
        if _is_scatter(name):
            at_bottom = values <= bottom
            low |= at_bottom
        else:
            at_bottom = values == np.nanmin(values)
            if at_bottom.sum() < _PILE:
                continue
        if at_bottom.any():
            text.append(f"{name} low {at_bottom.sum():,}")
    return high, low, "; ".join(text)


def _ends(fcs: FcsFile, index: int) -> tuple[float, float]:
    """Smallest and largest linear value of a channel by its $PnR, $PnE and $PnG."""
    top = float(fcs.ranges[index]) - 1.0
    decades, zero = 0.0, 0.0
    parts = fcs.keywords.get(f"$P{index + 1}E", "0,0").split(",")
    if len(parts) == 2:
        decades, zero = float(parts[0]), float(parts[1])
    if decades > 0:
        zero = zero or 1.0
        return zero, zero * 10 ** (decades * top / float(fcs.ranges[index]))
    gain = float(fcs.keywords.get(f"$P{index + 1}G", "").strip() or 1.0)
    return 0.0, top / gain


def time_deviation(fcs: FcsFile, usable: np.ndarray, z: float, notes: list[str]) -> np.ndarray:
    """Events in windows of time whose flow rate or signal departs from the file's own.

    Usable events in order of time are cut into windows of equal count. A window is bad where the
    logarithm of its rate, or the level of a channel, lies `z` robust standard deviations (1.4826
    MAD) or more from the median window and deviates by a factor of 1.5 (rate) or a tenth (signal).
    The level is that of asinh(value / 150): its median for scatter, where debris must not count,
    and its mean for fluorescence. The neighbours of a bad window are bad too, for a disturbance does
    not begin at a window's edge. All events acquired within it are meant, usable or not.
    """
    bad = np.zeros(len(usable), bool)
    time_channels = [i for i, name in enumerate(fcs.channels) if _is_time(name)]
    if not time_channels:
        notes.append("flow over time not possible: no Time channel")
        return bad
    time = np.asarray(fcs.events[:, time_channels[0]], float)
    usable = usable & np.isfinite(time)
    order = np.flatnonzero(usable)[np.argsort(time[usable], kind="stable")]
    windows = min(_MAX_WINDOWS, len(order) // _WINDOW_EVENTS)
    if windows < _MIN_WINDOWS:
        notes.append(
            f"flow over time not possible: fewer than {_MIN_WINDOWS * _WINDOW_EVENTS:,} events"
        )
        return bad
    sorted_time = time[order]
    if sorted_time[-1] <= sorted_time[0]:
        notes.append("flow over time not possible: Time does not advance")
        return bad
    edges = np.linspace(0, len(order), windows + 1).astype(int)
    starts = sorted_time[edges[:-1]]
    duration = np.diff(np.append(starts, sorted_time[-1]))
    shortest = np.min(duration[duration > 0])
    rate = np.log(np.diff(edges) / np.maximum(duration, shortest))
    deviant = _departs(rate, z, np.log(_MIN_RATE_FOLD), 1 / np.sqrt(np.diff(edges)))
    for i, name in enumerate(fcs.channels):
        if _is_time(name):
            continue
        signal = np.arcsinh(np.asarray(fcs.events[order, i], float) / _COFACTOR)
        if _is_scatter(name):
            level = np.array([np.median(part) for part in np.split(signal, edges[1:-1])])
        else:
            level = np.add.reduceat(signal, edges[:-1]) / np.diff(edges)
        deviant |= _departs(level, z, _MIN_SIGNAL_SHIFT, signal.std() / np.sqrt(np.diff(edges)))
    spread = deviant.copy()
    spread[1:] |= deviant[:-1]
    spread[:-1] |= deviant[1:]
    window = np.clip(np.searchsorted(starts, time, side="right") - 1, 0, windows - 1)
    return spread[window] & np.isfinite(time)


def _departs(values: np.ndarray, z: float, least: float, expected) -> np.ndarray:
    """Which values lie far from their median; `expected` is the least standard error of each."""
    offset = np.abs(values - np.median(values))
    # Of a few dozen windows the MAD alone can by chance be small.
    error = np.maximum(1.4826 * np.median(offset), expected)
    return offset > np.maximum(z * error, least)


def doublet_percent(fcs: FcsFile, usable: np.ndarray, notes: list[str]) -> float:
    """Percent of usable events whose FSC-A / FSC-H ratio exceeds that of single cells; else NaN.

    The limit is that of the singlet gate: four robust standard deviations of the log ratio above
    its mode. Debris and dead cells count as what their ratio says.
    """
    try:
        area = fcs.events[usable, find_channel(fcs, "FSC-A")]
        height = fcs.events[usable, find_channel(fcs, "FSC-H")]
    except InputError:
        notes.append("doublets not possible: no FSC-A and FSC-H")
        return float("nan")
    if not len(area):
        return float("nan")
    _, high = singlet_limits(area, height)
    return float(100.0 * np.mean(area > high * np.maximum(height, 0.0)))


def _is_time(name: str) -> bool:
    return name.strip().lower() == "time"


def _is_scatter(name: str) -> bool:
    return name.strip().lower()[:3] in ("fsc", "ssc")


def ingest_batch(
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    table_path: str | Path,
    kept_path: str | Path,
) -> None:
    """Read and judge the files of a batch: rows of cytometry_qc.tsv, and the events kept.

    `rows` are rows of the acquisitions sheet, `fcs` the path of each file; `settings` is the
    configuration's `cytometry`, its `qc` may override QC_DEFAULTS. `kept_path` (NPZ) gets the
    mask of kept events of each acquisition that did not fail. Raises InputError for a file that cannot be
    read, and for failed ones where `on_failed_qc` is `stop`.
    """
    import pandas as pd

    from immunotrace.tables import write_tsv

    qc = {**QC_DEFAULTS, **settings.get("qc", {})}
    table, kept, failed = [], {}, []
    for row in rows:
        result = acquisition_qc(read_acquisition(row), qc)
        sheet = {k: row[k] for k in ("subject", "role", "day", "panel", "staining", "batch")}
        table.append({"acquisition": row["acquisition"], **result.row, **sheet})
        if result.row["verdict"] == "fail":
            failed.append(f"{row['acquisition']} ({row['fcs']}): {result.row['reason']}")
        else:
            kept[row["acquisition"]] = result.keep
    if failed and settings.get("on_failed_qc") == "stop":
        raise InputError(
            f"{len(failed)} acquisition(s) failed quality control: {'; '.join(failed)}. Take them "
            "out of the acquisitions sheet, change cytometry: qc in the configuration, or set "
            "cytometry: on_failed_qc: exclude"
        )
    write_tsv(pd.DataFrame(table), table_path)
    write_kept(kept, kept_path)
