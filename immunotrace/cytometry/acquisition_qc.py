"""Quality of one acquisition: margin events, flow over time, doublets, and what is kept.

Ideas from PeacoQC (Emmaneel et al. 2022, Cytometry A 101:325): margin events first, then windows of
equal event count whose signal departs from the rest. Different here:

- Events at the low end are removed by scatter only, for at the low end of a fluorescence channel lie
  its negative cells; there they are counted.
- PeacoQC follows the density peaks of each channel, by an isolation tree and by the MAD. Here a
  channel's level is followed (of fluorescence the mean on the asinh scale, for a median jumps from peak
  to peak where close to half of the events are positive), by a robust z alone, and a deviation must
  also be large enough to matter. A change of one small peak that leaves the mean is not seen.
- The flow rate is judged too, which PeacoQC leaves to the eye.
- The neighbours of a bad window go with it; PeacoQC in turn removes short runs of good ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from immunotrace.cytometry.events import Events, evenly
from immunotrace.cytometry.fcs import FcsFile, find_channel
from immunotrace.cytometry.panel import LEAVE_OUT, read_acquisition, write_kept
from immunotrace.cytometry.placement import singlet_limits
from immunotrace.errors import InputError, not_read

QC_DEFAULTS: dict[str, Any] = {
    "remove": ["margin", "time"],  # what is taken out besides events that are not finite
    "window_z": 6.0,  # robust z from which a window of time departs
    "warn_removed_percent": 5.0,
    "fail_removed_percent": 40.0,
    "warn_doublet_percent": 15.0,
    "fail_below_events": 500,
}

_COUNTS = (
    *("events", "events_kept", "not_finite", "margin_events", "margin_high", "margin_low"),
    *("time_removed", "time_flagged", "windows", "windows_removed"),
)
QC_COLUMNS = (
    *("acquisition", "events", "events_kept", "removed", "verdict", "reason", "removed_percent"),
    *("not_finite", "margin_events", "margin_high", "margin_low", "margin_channels"),
    *("time_removed", "time_flagged", "windows", "windows_removed", "events_per_second"),
    *("worst_channel", "doublet_percent", "notes"),
    *("subject", "role", "day", "panel", "staining", "batch"),
)
CHANNEL_COLUMNS = (
    "acquisition",
    "panel",
    "channel",
    "marker",
    "range_low",
    "range_high",
    "at_low",
    "percent_at_low",
    "at_high",
    "percent_at_high",
    "drift",
    "windows_flagged",
)
TIME_COLUMNS = (
    "acquisition",
    "panel",
    "role",
    "window",
    "start",
    "end",
    "events",
    "events_per_second",
    "channel",
    "level",
    "cause",
    "removed",
)
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
    """The row of cytometry_qc.tsv that belongs to an acquisition, and its mask of kept events.

    channels: rows of cytometry_qc_channels.tsv; windows: rows of the batch's time.tsv.
    """

    row: dict[str, Any]
    keep: np.ndarray
    channels: list[dict[str, Any]]
    windows: list[dict[str, Any]]


def acquisition_qc(fcs: FcsFile, qc: Mapping[str, Any] = QC_DEFAULTS) -> AcquisitionQc:
    """Judge one file. `qc` holds the keys of QC_DEFAULTS.

    A check that the file gives no data for (no Time, no scatter) is not possible and is named in
    `notes`; that is no failure. Verdict `fail`: too few events are left or too many had to go;
    `warn`: more than the warning limit was removed, or there are many doublets.
    """
    events, notes = fcs.events, list(fcs.notes)
    n = len(events)
    finite = fcs.finite
    high, low, channels = margin_events(fcs, notes)
    margin = high | low
    bad_time, flow = time_deviation(fcs, finite & ~margin, float(qc["window_z"]), notes)
    for channel in channels:
        channel |= flow.drift(channel["channel"]) if flow else {}
    windows = flow.rows("time" in qc["remove"]) if flow else []
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
        "margin_channels": _margin_text(channels),
        "time_removed": int(bad_time.sum()) if "time" in qc["remove"] else 0,
        "time_flagged": int(bad_time.sum()),
        "windows": len(windows),
        "windows_removed": sum(window["removed"] for window in windows),
        "events_per_second": float(np.median(flow.rate)) if flow else float("nan"),
        "worst_channel": flow.worst if flow else "",
        "doublet_percent": doublets,
        "notes": "; ".join(notes),
    }
    return AcquisitionQc(row, keep, channels, windows)


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


def margin_events(
    fcs: FcsFile, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Events at the high end of any channel, at the low end of scatter, and a row a channel.

    The high end is the largest value that $PnR allows, on the linear scale. A channel with more
    than 1 % of its events beyond that has a $PnR that does not describe it: not possible there. At
    the low end of fluorescence, piles of ten or more equal lowest values are counted and kept.
    """
    high, low = np.zeros(len(fcs.events), bool), np.zeros(len(fcs.events), bool)
    rows = [
        _margin_of_channel(fcs, i, high, low, notes)
        for i, name in enumerate(fcs.channels)
        if len(fcs.events) and not _is_time(name)
    ]
    return high, low, rows


def _margin_of_channel(
    fcs: FcsFile, index: int, high: np.ndarray, low: np.ndarray, notes: list[str]
) -> dict[str, Any]:
    """The row of a channel, whose events at the ends are added to `high` and `low`."""
    name, values = fcs.channels[index], fcs.events[:, index]
    bottom, top = _ends(fcs, index)
    row = {"channel": name, "marker": fcs.labels[index], "range_low": bottom, "range_high": top}
    if top <= bottom or (values > top * (1 + 1e-6) + 1.5).mean() > 0.01:
        notes.append(f"margin of {name} not possible: $PnR does not describe its values")
        return row
    at_top = values >= top
    high |= at_top
    if _is_scatter(name):
        at_bottom = values <= bottom
        low |= at_bottom
    else:
        at_bottom = values == np.nanmin(values)
        if at_bottom.sum() < _PILE:
            at_bottom[:] = False
    for end, at_end in (("low", at_bottom), ("high", at_top)):
        row[f"at_{end}"] = int(at_end.sum())
        row[f"percent_at_{end}"] = 100.0 * float(at_end.mean())
    return row


def _margin_text(rows: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{row['channel']} {end} {row[f'at_{end}']:,}"
        for row in rows
        for end in ("high", "low")
        if row.get(f"at_{end}")
    )


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


@dataclass(frozen=True)
class Flow:
    """An acquisition cut into w windows of time.

    edges: (w + 1,) seconds; events: (w,) usable ones; rate: (w,) of these a second; levels: of each
    channel (w,), see `time_deviation`; causes: what departs (`rate` or a channel) -> bool (w,); bad:
    bool (w,), with the neighbours.
    """

    edges: np.ndarray
    events: np.ndarray
    rate: np.ndarray
    levels: dict[str, np.ndarray]
    causes: dict[str, np.ndarray]
    bad: np.ndarray

    def drift(self, channel: str) -> dict[str, Any]:
        """How far a channel's level goes from its median window, on the asinh scale; windows flagged.

        A drift of 0.1 is about a tenth of the intensity.
        """
        if channel not in self.levels:
            return {}
        offset = np.abs(self.levels[channel] - np.median(self.levels[channel]))
        return {
            "drift": float(offset.max()),
            "windows_flagged": int(self.causes[channel].sum()),
        }

    @property
    def worst(self) -> str:
        """The channel that drifts furthest."""
        return max(self.levels, key=lambda name: self.drift(name)["drift"], default="")

    def rows(self, remove: bool) -> list[dict[str, Any]]:
        """A row a window; `level` is that of the channel that drifts furthest, from its median."""
        level = self.levels.get(self.worst, np.full(len(self.rate), np.nan))
        return [
            {
                "window": i + 1,
                "start": float(self.edges[i]),
                "end": float(self.edges[i + 1]),
                "events": int(self.events[i]),
                "events_per_second": float(self.rate[i]),
                "channel": self.worst,
                "level": float(level[i] - np.median(level)),
                "cause": "; ".join(name for name, departs in self.causes.items() if departs[i]),
                "removed": bool(self.bad[i]) and remove,
            }
            for i in range(len(self.rate))
        ]


def time_deviation(
    fcs: FcsFile, usable: np.ndarray, z: float, notes: list[str]
) -> tuple[np.ndarray, Flow | None]:
    """Events in windows of time whose flow rate or signal departs from the file's own.

    The usable events, in the file's order, are cut into windows of equal count. A window is bad where
    the logarithm of its rate, or the level of a channel, lies `z` robust standard deviations (1.4826
    MAD) or more from the median window and deviates by a factor of 1.5 (rate) or a tenth (signal).
    The level is that of asinh(value / 150): its median for scatter, where debris must not count,
    and its mean for fluorescence. The neighbours of a bad window are bad too, for a disturbance does
    not begin at a window's edge. All events acquired within it are meant, usable or not. No Flow
    where the file gives no data for it, nor where Time goes back by more than a window in a file with
    the fewest. Seconds are those of $TIMESTEP, without it Time's own unit.
    """
    bad = np.zeros(len(usable), bool)
    time_channels = [i for i, name in enumerate(fcs.channels) if _is_time(name)]
    if not time_channels:
        notes.append("flow over time not possible: no Time channel")
        return bad, None
    count = int(np.count_nonzero(usable))
    windows = min(_MAX_WINDOWS, count // _WINDOW_EVENTS)
    if windows < _MIN_WINDOWS:
        notes.append(
            f"flow over time not possible: fewer than {_MIN_WINDOWS * _WINDOW_EVENTS:,} events"
        )
        return bad, None
    edges = np.linspace(0, count, windows + 1).astype(int)
    bounds = [0, *np.flatnonzero(usable)[edges[1:-1]].tolist(), len(usable)]
    ends, back, means, medians, squares = [], 0.0, [], [], []
    for begin, end in pairwise(bounds):
        part = fcs.events[begin:end][usable[begin:end]].astype(float)
        time = part[:, time_channels[0]]
        latest = np.maximum.accumulate(np.append(ends[-1:], time))[-len(time) :]
        back = max(back, float((latest - time).max()))
        ends = [*ends[:-1], latest[0], latest[-1]]
        signal = np.arcsinh(part / _COFACTOR)
        means.append(signal.mean(axis=0))
        medians.append(np.median(signal, axis=0))
        squares.append(np.square(signal - means[-1]).sum(axis=0))
    if ends[-1] <= ends[0]:
        notes.append("flow over time not possible: Time does not advance")
        return bad, None
    if back > (ends[-1] - ends[0]) / _MIN_WINDOWS:
        notes.append(f"flow over time not possible: Time goes back by {back:g} s")
        return bad, None
    events = np.diff(edges)
    duration = np.diff(ends)
    rate = events / np.maximum(duration, np.min(duration[duration > 0]))
    root = np.sqrt(events)
    causes = {"rate": _departs(np.log(rate), z, np.log(_MIN_RATE_FOLD), 1 / root)}
    middles = np.average(means, axis=0, weights=events)
    between = (np.square(means - middles) * events[:, None]).sum(axis=0)
    spread = np.sqrt((between + np.sum(squares, axis=0)) / count)
    levels: dict[str, np.ndarray] = {}
    for i, name in enumerate(fcs.channels):
        if not _is_time(name):
            levels[name] = np.array(medians if _is_scatter(name) else means)[:, i]
            causes[name] = _departs(levels[name], z, _MIN_SIGNAL_SHIFT, spread[i] / root)
    deviant = np.any(list(causes.values()), axis=0)
    widened = deviant.copy()
    widened[1:] |= deviant[:-1]
    widened[:-1] |= deviant[1:]
    bad[:] = np.repeat(widened, np.diff(bounds))
    return bad, Flow(np.array(ends), events, rate, levels, causes, widened)


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
        columns = [find_channel(fcs, name) for name in ("FSC-A", "FSC-H")]
    except InputError:
        notes.append("doublets not possible: no FSC-A and FSC-H")
        return float("nan")
    if not usable.any():
        return float("nan")
    _, high = singlet_limits(*Events(fcs.events).columns(columns, evenly(usable)))
    doublets = sum(
        np.count_nonzero(area > high * np.maximum(height, 0.0))
        for area, height in Events(fcs.events, usable).column_blocks(columns)
    )
    return 100.0 * doublets / int(np.count_nonzero(usable))


def add_dead_cells(
    qc_path: str | Path, populations_path: str | Path, live: Mapping[str, str]
) -> None:
    """Add `dead_percent` to cytometry_qc.tsv: the part of its parent that the living cells leave.

    `live` names the population of living cells of each panel. Empty where a panel names none, and
    for files that are not gated: controls, and those that failed.
    """
    from immunotrace.tables import read_tsv, write_tsv

    populations = read_tsv(populations_path)
    is_live = populations["population"] == populations["panel"].map(live)
    percent = populations[is_live].set_index("acquisition")["percent_of_parent"]
    checks = read_tsv(qc_path)
    checks["dead_percent"] = 100 - checks["acquisition"].map(percent).astype(float)
    write_tsv(checks, qc_path)


def _is_time(name: str) -> bool:
    return name.strip().lower() == "time"


def _is_scatter(name: str) -> bool:
    return name.strip().lower()[:3] in ("fsc", "ssc")


def ingest_batch(
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    table_path: str | Path,
    kept_path: str | Path,
    channels_path: str | Path,
    time_path: str | Path,
) -> None:
    """Read and judge the files of a batch: rows of cytometry_qc.tsv, and the events kept.

    `channels_path` gets a row a channel: events at either end of its range, and its drift;
    `time_path` a row a window of time: flow rate, level of the channel that drifts furthest, whether
    it was removed and what departed in it.

    `rows` are rows of the acquisitions sheet, `fcs` the path of each file; `settings` is the
    configuration's `cytometry`, its `qc` may override QC_DEFAULTS. `kept_path` (NPZ) gets the
    mask of kept events of each acquisition that did not fail. With `on_unreadable: exclude` a file that
    cannot be read has a row of 0 events that says why, and fails. Raises InputError for all such files
    otherwise, and for other failed ones where `on_failed_qc` is `stop`.
    """
    import pandas as pd

    from immunotrace.tables import write_tsv

    qc = {**QC_DEFAULTS, **settings.get("qc", {})}
    table, kept, failed, unread = [], {}, [], []
    channels: list[dict] = []
    windows: list[dict] = []
    for row in rows:
        sheet = {k: row[k] for k in ("subject", "role", "day", "panel", "staining", "batch")}
        try:
            fcs = read_acquisition(row)
        except InputError as error:
            unread.append(error)
            line = {"events": 0, "events_kept": 0, "verdict": "fail"}
            reason = not_read(error, row["fcs"])
            table.append({"acquisition": row["acquisition"], **line, "reason": reason, **sheet})
            continue
        result = acquisition_qc(fcs, qc)
        table.append({"acquisition": row["acquisition"], **result.row, **sheet})
        first = {key: row[key] for key in ("acquisition", "panel")}
        channels += [{**first, **line} for line in result.channels]
        windows += [{**first, "role": row["role"], **line} for line in result.windows]
        if result.row["verdict"] == "fail":
            failed.append(f"{row['acquisition']} ({row['fcs']}): {result.row['reason']}")
        else:
            kept[row["acquisition"]] = result.keep
    if unread and settings.get("on_unreadable") != "exclude":
        raise InputError("\n".join([*map(str, unread), LEAVE_OUT]))
    if failed and settings.get("on_failed_qc") == "stop":
        raise InputError(
            f"{len(failed)} acquisition(s) failed quality control: {'; '.join(failed)}. Take them "
            "out of the acquisitions sheet, change cytometry: qc in the configuration, or set "
            "cytometry: on_failed_qc: exclude"
        )
    checks = pd.DataFrame(table, columns=list(QC_COLUMNS))
    write_tsv(checks.astype(dict.fromkeys(_COUNTS, "Int64")), table_path)
    frame = pd.DataFrame(channels, columns=list(CHANNEL_COLUMNS))
    counts = ["at_low", "at_high", "windows_flagged"]
    write_tsv(frame.astype(dict.fromkeys(counts, "Int64")), channels_path)
    write_tsv(pd.DataFrame(windows, columns=list(TIME_COLUMNS)), time_path)
    write_kept(kept, kept_path)
