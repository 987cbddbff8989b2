"""One threshold a marker across a subject's time line.

CCR4, CCR7, CXCR4, CD27 and IgD are dim or smeared: where they begin is shown by the
fluorescence-minus-one (FMO) control, which has all stains but that one, and so the spread that the
other stains bring into its channel (Maecker and Trotter 2006, Cytometry A 69:1037). A subject's FMO
files of a panel are pooled, and all its days are read against the one value: with a threshold a day
a change of the marker and a change of the threshold could not be told apart.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from immunotrace.baseline import LAST_DAY
from immunotrace.errors import InputError


def threshold_rows(
    rows: Iterable[Mapping[str, Any]], subject: str, panel_name: str, panel: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The rows of the acquisitions sheet that a subject's thresholds of a panel depend on.

    FMO files of markers with `threshold: fmo`, and for `threshold: valley` the full stains of the
    baseline (day 0 and before; without any, of the first day): later days never move a threshold.
    """
    kinds = {marker: entry.get("threshold") for marker, entry in panel["markers"].items()}
    own = [row for row in rows if row["subject"] == subject and row["panel"] == panel_name]
    full = [row for row in own if row["staining"] == "full"]
    baseline = []
    if "valley" in kinds.values() and full:
        last = max(LAST_DAY, min(int(row["day"]) for row in full))
        baseline = [row for row in full if int(row["day"]) <= last]
    fmo = [row for row in own if kinds.get(_fmo_marker(row)) == "fmo"]
    return [row for row in own if row in fmo or row in baseline]


def _fmo_marker(row: Mapping[str, Any]) -> str | None:
    kind, _, marker = row["staining"].partition(":")
    return marker if kind == "FMO" else None


def place_thresholds(
    rows: Sequence[Mapping[str, Any]],
    subject: str,
    panel_name: str,
    panel: Mapping[str, Any],
    settings: Mapping[str, Any],
    table_path: str | Path,
    fmo_medians_path: str | Path,
) -> None:
    """Write the thresholds of a subject's panel: subject, panel, marker, threshold, method, ...

    The second table holds the median of the pooled FMO events of each such marker, in each population
    to be quantified that has `minimum_events` of them: subject, panel, population, marker, ...

    `rows` are those of `threshold_rows`; `panel["gates"]["file"]` is a path from the working
    directory; `settings` is the configuration's `cytometry`. Thresholds are on the linear
    compensated scale: `fmo` is the quantile `fmo_quantile` of the pooled FMO events, `valley` lies
    between the peaks of the pooled baseline, both within the threshold populations. These are named
    in the gate template; with other gates they are all populations in which markers are quantified.
    An FMO control with fewer than 5 / (1 - fmo_quantile) events has a note, which flags what is measured
    with its threshold. Gates moved by hand count in FMO files too, but the threshold that results is
    the one of the subject's markers, whatever gates are moved in full stains.
    Raises InputError where a marker's files are missing, all failed quality control or hold fewer
    than `minimum_events` such events, and where one cannot be read unless `on_unreadable` is `exclude`.
    """
    import pandas as pd

    from immunotrace.tables import write_tsv

    pool = _Pool(rows, panel, settings, f"subject {subject}, panel {panel_name}")
    table = []
    for marker, entry in panel["markers"].items():
        kind = entry.get("threshold", "none")
        out = {"subject": subject, "panel": panel_name, "marker": marker}
        if kind == "none":
            continue
        if kind == "fmo":
            out |= _fmo_threshold(pool, marker, settings)
        elif kind == "valley":
            out |= _valley_threshold(pool, marker, settings)
        else:
            out |= {"threshold": float(kind), "method": "number"}
        table.append(out)
    columns = ["subject", "panel", "marker", "threshold", "method", "events", "quantile", "note"]
    frame = pd.DataFrame(table, columns=columns)
    write_tsv(frame.astype({"events": "Int64"}), table_path)
    placed = {line["marker"]: line["threshold"] for line in table}
    medians = [
        {"subject": subject, "panel": panel_name, **line}
        for line in pool.fmo_medians(placed, settings)
    ]
    columns = ["subject", "panel", "population", "marker", "fmo_median", "events"]
    write_tsv(pd.DataFrame(medians, columns=columns), fmo_medians_path)


def _fmo_threshold(pool: "_Pool", marker: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    values = pool.values(marker, f"FMO:{marker}", settings["minimum_events"])
    quantile = float(settings["fmo_quantile"])
    return {
        "threshold": float(np.quantile(values, quantile, overwrite_input=True)),
        "method": "fmo",
        "events": len(values),
        "quantile": quantile,
        "note": _few_for(quantile, len(values)),
    }


def _valley_threshold(pool: "_Pool", marker: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    from immunotrace.cytometry.events import ENOUGH
    from immunotrace.cytometry.template import find_cut

    values = pool.values(marker, "full", settings["minimum_events"])
    cut = find_cut(values[:: -(-len(values) // ENOUGH)], pool.scale)
    return {
        "threshold": cut.linear,
        "method": "valley",
        "events": len(values),
        "note": "" if cut.found == "valley" else f"one peak only: {cut.found}",
    }


def _few_for(quantile: float, events: int) -> str:
    """A note where fewer than five events are expected beyond the quantile.

    With five, the fraction truly beyond it has a relative standard error of about 45 %: of a fifth of
    a percent, a tenth of a percentage point.
    """
    least = math.ceil(round(5 / (1 - quantile), 6))
    if events >= least:
        return ""
    return f"FMO control of {events} events: its {quantile:g} quantile needs {least}"


class _Pool:
    """A subject's events within the threshold populations; each file is read once."""

    def __init__(self, rows, panel, settings, where: str) -> None:
        from immunotrace.cytometry.template_file import DEFAULT_LOGICLE, read_template

        self.rows, self.panel = rows, panel
        self.where = f"acquisitions sheet: {where}"
        self.qc = settings.get("qc", {})
        self.exclude_unreadable = settings.get("on_unreadable") == "exclude"
        self.template = None
        self.scale = DEFAULT_LOGICLE
        if panel["gates"]["source"] == "template":
            self.template = read_template(panel["gates"]["file"])
            self.scale = self.template["logicle"]
            self.populations = self.template.get("threshold_populations", [])
        else:
            self.populations = panel.get("quantify", {}).get("populations", [])
        self._files: dict[str, tuple] = {}
        self._kept: dict[str, Any] = {}

    def values(self, marker: str, staining: str, minimum: int):
        """A marker's linear values in the threshold populations, over all files of a staining."""
        import numpy as np

        from immunotrace.cytometry.fcs import find_channel

        rows = [row for row in self.rows if row["staining"] == staining]
        if not rows:
            have = sorted({row["staining"] for row in self.rows}) or ["none"]
            raise InputError(
                f"{self.where}: marker {marker} takes its threshold from files with staining "
                f"{staining}, and there is no such row (there are: {', '.join(have)}). Add the "
                "row, or give the marker another `threshold` in the panels file: valley, none or "
                "a number on the linear compensated scale"
            )
        files = [found for row in rows if (found := self._file(row))]
        if not files:
            raise InputError(
                f"{self.where}: all files with staining {staining} failed quality control or cannot be "
                f"read: {', '.join(row['acquisition'] for row in rows)}. Acquire one again, or give the "
                f"marker {marker} another `threshold` in the panels file: valley, none or a number"
            )
        parts = []
        for fcs, events, inside in files:
            column = find_channel(fcs, self.panel["markers"][marker]["channel"])
            parts.append(events.columns([column], inside)[0])
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if len(values) < minimum:
            populations = " and ".join(self.populations) or "the threshold populations (none given)"
            raise InputError(
                f"{self.where}: the files with staining {staining} hold {len(values)} events in "
                f"{populations}; a threshold needs {minimum} or more (cytometry: minimum_events). "
                f"Acquire more, or give the marker {marker} another `threshold` in the panels file"
            )
        return values

    def fmo_medians(self, thresholds: Mapping[str, float], settings: Mapping[str, Any]):
        """population, marker, fmo_median and events of the pooled FMO files, gated as full stains."""
        import numpy as np

        from immunotrace.cytometry.fcs import find_channel
        from immunotrace.cytometry.quantify import median_of

        wanted = self.panel.get("quantify", {"populations": [], "markers": []})
        for marker in wanted["markers"]:
            parts = {population: [] for population in wanted["populations"]}
            for row in self.rows:
                if _fmo_marker(row) != marker or self._file(row) is None:
                    continue
                fcs, keep = self._file(row)[0], self._kept[row["acquisition"]]
                events, _, masks = self._gates.gate(row, fcs, keep, thresholds)
                column = find_channel(fcs, self.panel["markers"][marker]["channel"])
                for population, values in parts.items():
                    if population in masks:
                        values.append(events.columns([column], masks[population])[0])
            for population, values in parts.items():
                pooled = values[0] if len(values) == 1 else np.concatenate([np.empty(0), *values])
                if len(pooled) >= settings["minimum_events"]:
                    yield {
                        "population": population,
                        "marker": marker,
                        "fmo_median": median_of(pooled, settings.get("median", "midpoint")),
                        "events": len(pooled),
                    }

    @cached_property
    def _gates(self):
        from immunotrace.cytometry.quantify import GateSource

        return GateSource(self.panel)

    def _file(self, row: Mapping[str, Any]) -> tuple | None:
        """A file, its kept events, and which of these the threshold populations hold; None where it
        fails quality control.

        Nor is there one of a file that cannot be read and may be left out.

        Quality control is asked again rather than read from what the file's batch kept: thresholds
        hang on their own files alone, so no other file of these batches makes all days run again.
        """
        if row["acquisition"] not in self._files:
            import numpy as np

            from immunotrace.cytometry.acquisition_qc import QC_DEFAULTS, acquisition_qc
            from immunotrace.cytometry.fcs import read_fcs
            from immunotrace.cytometry.panel import (
                LEAVE_OUT,
                compensated_events,
                marker_channels,
                with_spillover,
            )

            try:
                fcs = read_fcs(row["fcs"], row.get("dataset"))
            except InputError as error:
                if not self.exclude_unreadable:
                    raise InputError(f"{error}\n{LEAVE_OUT}") from None
                self._files[row["acquisition"]] = None
                return None
            fcs = with_spillover(fcs, row)
            quality = acquisition_qc(fcs, {**QC_DEFAULTS, **self.qc})
            if quality.row["verdict"] == "fail":
                self._files[row["acquisition"]] = None
                return None
            keep = self._kept[row["acquisition"]] = quality.keep
            if self.template is not None and not row.get("gate_overrides"):
                from immunotrace.cytometry.template import place

                events = compensated_events(fcs, keep, self.panel)
                channels = marker_channels(self.panel)
                placement = place(self.template, fcs, events, channels, {}, self.populations)
                masks = placement.masks
            else:
                events, _, masks = self._gates.gate(row, fcs, keep, {}, wanted=self.populations)
            inside = np.zeros(len(events), bool)
            for population in self.populations:
                if population not in masks:
                    raise InputError(
                        f"panels file: quantify: population {population!r} is not among the gates "
                        f"of {row['acquisition']} in {self.panel['gates']['file']}"
                    )
                inside |= masks[population]
            self._files[row["acquisition"]] = fcs, events, inside
        return self._files[row["acquisition"]]
