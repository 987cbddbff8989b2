"""Counts, percentages and medians of every population and marker of a batch.

Gates are applied by FlowKit to the events that quality control kept. Medians and percentages of
markers are on the linear compensated scale; the median of an even number of values is the mean of
the middle two (FlowJo takes the lower one).
"""

import csv
import difflib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from immunotrace.errors import InputError

_ROW = ("acquisition", "subject", "role", "day", "panel")
POPULATION_COLUMNS = (
    *_ROW,
    "population",
    "parent",
    "count",
    "parent_count",
    "percent_of_parent",
    "percent_of_parent_low",
    "percent_of_parent_high",
    "gate_origin",
    "flag",
)
MARKER_COLUMNS = (
    *_ROW,
    "population",
    "marker",
    "percent_positive",
    "percent_positive_low",
    "percent_positive_high",
    "median_all",
    "median_positive",
    "threshold",
    "flag",
    "count",
    "count_positive",
)
DENSITY_COLUMNS = (
    "acquisition",
    "panel",
    "population",
    "marker",
    "bin_low",
    "bin_high",
    "count",
    "threshold_display",
    "logicle_t",
    "logicle_w",
    "logicle_m",
    "logicle_a",
)
PANEL_COLUMNS = (
    "acquisition",
    "panel",
    "population",
    "x_marker",
    "y_marker",
    "x",
    "y",
    "x_threshold",
    "y_threshold",
)
# The logicle scale is 0..1 for positive values; noise round zero reaches below.
_BINS = np.linspace(-0.25, 1.05, 105)
_PANEL_EVENTS = 2000


class GateSource:
    """The gates of one panel, whatever their source, read once for all acquisitions of a job."""

    def __init__(self, panel: Mapping[str, Any]) -> None:
        from immunotrace.cytometry import gates
        from immunotrace.cytometry.template_file import DEFAULT_LOGICLE, read_template

        self.panel = panel
        self.kind, self.file = panel["gates"]["source"], panel["gates"]["file"]
        self.scale = DEFAULT_LOGICLE
        if self.kind == "template":
            self.template = read_template(self.file)
            self.scale = self.template["logicle"]
        elif self.kind == "gatingml":
            self.gating = gates.read_gatingml(self.file)
        else:
            self.workspace = gates.FlowJoWorkspace(self.file)

    def gate(
        self,
        row: Mapping[str, Any],
        fcs,
        keep: np.ndarray,
        thresholds: Mapping[str, float],
        folder: Path | None = None,
    ) -> tuple:
        """Compensated events (n, channels), the gating, and the mask of each population.

        `folder` gets the gates of the acquisition as a Gating-ML 2.0 document. Gates placed from a
        template are applied as read back from it. Gates of a FlowJo workspace stay there, for its
        biexponential scale has no counterpart in Gating-ML: the folder gets a line that says so.
        """
        from immunotrace.cytometry import gates
        from immunotrace.cytometry.panel import compensated_events, marker_channels
        from immunotrace.cytometry.template import place

        name = row["acquisition"]
        compensation = self.panel.get("compensation", "fcs")
        spillover = fcs.spillover if compensation == "fcs" else None
        events = compensated_events(fcs, keep, self.panel)
        table = gates.EventTable(name, fcs, fcs.events[keep], spillover, self.kind == "flowjo")
        if self.kind == "template":
            placement = place(self.template, fcs, events, marker_channels(self.panel), thresholds)
            document = gates.placed_document(placement.gates, self.scale, compensation == "fcs")
            gating = replace(gates.read_gatingml(document, name), origin="placed")
        elif self.kind == "gatingml":
            document, gating = Path(self.file).read_bytes(), self.gating
        else:
            gating = self.workspace.gating(fcs, row.get("workspace_sample"))
            document = None
            if compensation == "workspace":
                events = gates.workspace_compensation(gating, table)
        if folder is not None and document is not None:
            (folder / f"{name}.xml").write_bytes(document)
        elif folder is not None:
            (folder / f"{name}.txt").write_text(
                f"The gates of {name} are those of a FlowJo workspace, {Path(self.file).name}. Its "
                "biexponential scale has no counterpart in Gating-ML 2.0; so they stay there.\n",
                encoding="utf-8",
            )
        return events, gating, gates.apply_gates(gating, table)


def quantify_batch(
    rows: Sequence[Mapping[str, Any]],
    panels: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    kept_path: str | Path,
    threshold_paths: Iterable[str | Path],
    outputs: Mapping[str, str | Path],
    seed: int = 0,
) -> None:
    """Gate and quantify the full stains of a batch.

    `rows` are its rows of the acquisitions sheet (`fcs` a path); `panels` is panels.yaml's mapping,
    each `gates.file` a path from the working directory; `settings` is the configuration's
    `cytometry`; `kept_path` holds the masks of quality control (a file without one is left out);
    `threshold_paths` are tables of place_thresholds. `outputs` names the tables populations,
    markers, densities, panels and hierarchy, and the folder gates. Raises InputError.
    """
    from immunotrace.cytometry.fcs import read_fcs
    from immunotrace.cytometry.gates import EventTable
    from immunotrace.cytometry.hierarchy import hierarchy_rows
    from immunotrace.cytometry.panel import read_kept

    thresholds = _read_thresholds(threshold_paths)
    folder = Path(outputs["gates"])
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[dict]] = {
        "populations": [],
        "markers": [],
        "densities": [],
        "panels": [],
        "hierarchy": [],
    }
    sources: dict[str, GateSource] = {}
    kept = read_kept(kept_path)
    minimum = settings["minimum_events"]
    for row in rows:
        if row["staining"] != "full" or row["acquisition"] not in kept:
            continue
        panel_name = row["panel"]
        if panel_name not in sources:
            sources[panel_name] = GateSource(panels[panel_name])
        source, panel = sources[panel_name], panels[panel_name]
        fcs = read_fcs(row["fcs"])
        own = thresholds.get((row["subject"], panel_name), {})
        events, gating, inside = source.gate(
            row, fcs, kept[row["acquisition"]], _values(own), folder
        )
        base = {key: row[key] for key in _ROW}
        tables["populations"] += population_rows(base, inside, len(events), gating.origin, minimum)
        wanted = panel.get("quantify", {"populations": [], "markers": []})
        populations = wanted["populations"]
        _check_quantify(panel_name, wanted, panel, inside, row)
        values = _marker_values(fcs, events, panel, wanted["markers"])
        tables["markers"] += marker_rows(base, inside, values, populations, own, minimum)
        tables["densities"] += density_rows(
            base, inside, values, populations, _values(own), source.scale
        )
        tables["panels"] += panel_rows(base, fcs, events, inside, gating, panel, source.scale, seed)
        raw = fcs.events[kept[row["acquisition"]]]
        table = EventTable(row["acquisition"], fcs, raw, None, source.kind == "flowjo")
        tables["hierarchy"] += hierarchy_rows(
            row["acquisition"], fcs, table, events, inside, gating, source.scale
        )
    _write_tables(tables, outputs)


class Threshold(NamedTuple):
    """A marker's threshold on the linear compensated scale, and what is to be said about it."""

    value: float
    note: str = ""


def _values(thresholds: Mapping[str, Threshold]) -> dict[str, float]:
    return {marker: threshold.value for marker, threshold in thresholds.items()}


def _read_thresholds(paths: Iterable[str | Path]) -> dict[tuple[str, str], dict[str, Threshold]]:
    out: dict[tuple[str, str], dict[str, Threshold]] = {}
    for path in paths:
        # Not by pandas, which would read the subject 007 as the number 7.
        with open(path, encoding="utf-8", newline="") as handle:
            for line in csv.DictReader(handle, delimiter="\t"):
                own = out.setdefault((line["subject"], line["panel"]), {})
                own[line["marker"]] = Threshold(float(line["threshold"]), line["note"])
    return out


def _check_quantify(panel_name, wanted, panel, inside, row) -> None:
    for population in wanted["populations"]:
        if population not in inside:
            close = difflib.get_close_matches(population, inside, n=2, cutoff=0.4)
            raise InputError(
                f"panels file: panel {panel_name}: quantify: population {population!r} is not among "
                f"the gates of {row['acquisition']}; the nearest: {', '.join(close) or 'none'}"
            )
    for marker in wanted["markers"]:
        if marker not in panel["markers"]:
            raise InputError(
                f"panels file: panel {panel_name}: quantify: marker {marker!r} is not among its "
                f"markers: {', '.join(panel['markers'])}"
            )


def _marker_values(fcs, events: np.ndarray, panel, markers: Sequence[str]) -> dict[str, np.ndarray]:
    from immunotrace.cytometry.fcs import find_channel

    return {m: events[:, find_channel(fcs, panel["markers"][m]["channel"])] for m in markers}


def population_rows(
    base: Mapping[str, Any],
    inside: Mapping[str, np.ndarray],
    total: int,
    origin: str,
    minimum_events: int,
) -> list[dict[str, Any]]:
    """One row a population: its count, its parent's, and the percentage with its Wilson interval.

    `inside` maps population paths to masks of the `total` events; a path's parent is the part
    before its last "/", the empty path meaning all events.
    """
    from immunotrace.statistics import wilson_interval

    counts = {"": total, **{path: int(mask.sum()) for path, mask in inside.items()}}
    out = []
    for path in inside:
        parent = path.rpartition("/")[0]
        count, parents = counts[path], counts[parent]
        low, high = wilson_interval(count, parents)
        out.append(
            {
                **base,
                "population": path,
                "parent": parent,
                "count": count,
                "parent_count": parents,
                "percent_of_parent": 100 * count / parents if parents else np.nan,
                "percent_of_parent_low": 100 * float(low),
                "percent_of_parent_high": 100 * float(high),
                "gate_origin": origin,
                "flag": _few(parents, minimum_events),
            }
        )
    return out


def _few(count: int, minimum: int) -> str:
    return f"few events (n < {minimum})" if count < minimum else ""


def marker_rows(
    base: Mapping[str, Any],
    inside: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    populations: Sequence[str],
    thresholds: Mapping[str, Threshold],
    minimum_events: int,
) -> list[dict[str, Any]]:
    """One row a marker in a population; positive means at or above the threshold."""
    from immunotrace.statistics import wilson_interval

    out = []
    for population in populations:
        for marker, everywhere in values.items():
            within = everywhere[inside[population]]
            row = {
                **base,
                "population": population,
                "marker": marker,
                "median_all": _median(within),
                "count": len(within),
            }
            flags = [_few(len(within), minimum_events)]
            if marker in thresholds:
                threshold = thresholds[marker]
                positive = within[within >= threshold.value]
                low, high = wilson_interval(len(positive), len(within))
                row |= {
                    "percent_positive": 100 * len(positive) / len(within)
                    if len(within)
                    else np.nan,
                    "percent_positive_low": 100 * float(low),
                    "percent_positive_high": 100 * float(high),
                    "median_positive": _median(positive),
                    "threshold": threshold.value,
                    "count_positive": len(positive),
                }
                flags.append(threshold.note)
            else:
                flags.append("no threshold")
            out.append({**row, "flag": "; ".join(flag for flag in flags if flag)})
    return out


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def density_rows(
    base: Mapping[str, Any],
    inside: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    populations: Sequence[str],
    thresholds: Mapping[str, float],
    scale: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Histograms of markers on the logicle scale; values beyond its ends count in the end bins."""
    from immunotrace.cytometry.template import logicle

    names = {key: base[key] for key in ("acquisition", "panel")}
    axis = {f"logicle_{key.lower()}": value for key, value in scale.items()}
    out = []
    for marker, everywhere in values.items():
        display = np.clip(logicle(everywhere, scale), _BINS[0], _BINS[-1])
        cut = _display(thresholds.get(marker), scale)
        for population in populations:
            counts, _ = np.histogram(display[inside[population]], bins=_BINS)
            for i, count in enumerate(counts):
                out.append(
                    {
                        **names,
                        "population": population,
                        "marker": marker,
                        "bin_low": round(float(_BINS[i]), 6),
                        "bin_high": round(float(_BINS[i + 1]), 6),
                        "count": int(count),
                        "threshold_display": cut,
                        **axis,
                    }
                )
    return out


def _display(value: float | None, scale: Mapping[str, float]) -> float:
    from immunotrace.cytometry.template import logicle

    return float("nan") if value is None else float(logicle(np.array([value]), scale)[0])


def panel_rows(
    base: Mapping[str, Any],
    fcs,
    events: np.ndarray,
    inside: Mapping[str, np.ndarray],
    gating,
    panel: Mapping[str, Any],
    scale: Mapping[str, float],
    seed: int,
) -> list[dict[str, Any]]:
    """A seeded sample of the events that two markers cut, for drawing; on the logicle scale."""
    from immunotrace.cytometry import gates
    from immunotrace.cytometry.fcs import find_channel
    from immunotrace.cytometry.template import logicle

    marker_at = {
        find_channel(fcs, entry["channel"]): marker for marker, entry in panel["markers"].items()
    }
    out = []
    for pair in gates.rectangle_pairs(gating):
        columns = [gates.column_of(fcs, name) for name in pair["channels"]]
        if not all(column in marker_at for column in columns):
            continue
        x_marker, y_marker = (marker_at[column] for column in columns)
        population = pair["parent"]
        members = np.flatnonzero(inside[population]) if population else np.arange(len(events))
        text = f"{base['acquisition']} {population} {x_marker} {y_marker}"
        rng = np.random.default_rng([seed, zlib.crc32(text.encode())])
        if len(members) > _PANEL_EVENTS:
            members = np.sort(rng.choice(members, _PANEL_EVENTS, replace=False))
        x, y = (np.round(logicle(events[members, column], scale), 5) for column in columns)
        x_cut, y_cut = (round(_display(value, scale), 6) for value in pair["thresholds"])
        out += [
            {
                "acquisition": base["acquisition"],
                "panel": base["panel"],
                "population": population,
                "x_marker": x_marker,
                "y_marker": y_marker,
                "x": float(a),
                "y": float(b),
                "x_threshold": x_cut,
                "y_threshold": y_cut,
            }
            for a, b in zip(x, y, strict=True)
        ]
    return out


def _write_tables(tables: Mapping[str, list[dict]], outputs: Mapping[str, str | Path]) -> None:
    import pandas as pd

    from immunotrace.cytometry.hierarchy import HIERARCHY_COLUMNS
    from immunotrace.tables import write_tsv

    columns = {
        "populations": POPULATION_COLUMNS,
        "markers": MARKER_COLUMNS,
        "densities": DENSITY_COLUMNS,
        "panels": PANEL_COLUMNS,
        "hierarchy": HIERARCHY_COLUMNS,
    }
    for name, rows in tables.items():
        frame = pd.DataFrame(rows, columns=list(columns[name]))
        if "count_positive" in frame:
            frame["count_positive"] = frame["count_positive"].astype("Int64")
        write_tsv(frame, outputs[name])


def cytometry_tables(
    tables: Mapping[str, Sequence[str | Path]], outputs: Mapping[str, str | Path]
) -> None:
    """Join the batches' tables, in the order given, into the published ones of the same name.

    Raises InputError where the parts do not have the same columns.
    """
    for name, parts in tables.items():
        header, lines = None, []
        for path in parts:
            first, *rest = Path(path).read_text(encoding="utf-8").splitlines()
            if header is None:
                header = first
            elif first != header:
                raise InputError(f"{path}: its columns are not those of {parts[0]}: {first}")
            lines += rest
        text = "".join(f"{line}\n" for line in [header or "", *lines])
        Path(outputs[name]).parent.mkdir(parents=True, exist_ok=True)
        Path(outputs[name]).write_text(text, encoding="utf-8")
