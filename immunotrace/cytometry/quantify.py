"""Counts, percentages and medians of every population and marker of a batch.

Gates are applied to the events that quality control kept. Statistics of markers are on the linear
compensated scale; the median of an even number of values is the mean of the middle two, or the
lower one as in FlowJo, as the configuration says.
"""

import csv
import difflib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    "ancestor",
    "percent_of_ancestor",
    "percent_of_ancestor_low",
    "percent_of_ancestor_high",
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
    "median_all_low",
    "median_all_high",
    "median_positive_low",
    "median_positive_high",
    "geometric_mean",
    "geometric_mean_left_out",
    "robust_sd",
    "integrated_mfi",
    "fmo_median",
    "median_minus_fmo",
    "flag_positive",
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
_VALUES_AT_ONCE = 1 << 22  # of markers of a population in memory: 32 MiB


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
        wanted: Iterable[str] | None = None,
    ) -> tuple:
        """Compensated events (n, channels), the gating, and the mask of each population.

        Gates that the row's `gate_overrides` name are those of their files: they win over placed and
        imported ones, and over a threshold that makes an edge of a placed one. With `wanted` only
        these populations of a template, and what they stand on, are placed.

        `folder` gets the gates of the acquisition as a Gating-ML 2.0 document. Gates placed from a
        template are applied as read back from it. Gates of a FlowJo workspace stay there, for its
        biexponential scale has no counterpart in Gating-ML: the folder gets a line that says so.
        """
        from immunotrace.cytometry import gates, gatingml
        from immunotrace.cytometry.events import Events
        from immunotrace.cytometry.gate_overrides import with_moved_gates
        from immunotrace.cytometry.panel import compensated_events, marker_channels
        from immunotrace.cytometry.template import place

        name = row["acquisition"]
        compensation = self.panel.get("compensation", "fcs")
        spillover = fcs.spillover if compensation == "fcs" else None
        events = compensated_events(fcs, keep, self.panel)
        raw = Events(fcs.events, keep)
        table = gates.EventTable(name, fcs, raw, spillover, self.kind == "flowjo")
        if self.kind == "template":
            channels = marker_channels(self.panel)
            placed = place(self.template, fcs, events, channels, thresholds, wanted).gates
            document = gates.placed_document(
                placed, self.scale, compensation == "fcs", fcs.given_spillover
            )
            gating = replace(gates.read_gatingml(document, name), origin="placed")
        elif self.kind == "gatingml":
            document, gating = gates.published_document(self.file), self.gating
        else:
            gating = self.workspace.gating(fcs, row.get("workspace_sample"))
            document = None
            if compensation == "workspace":
                matrix = gates.workspace_spillover(gating, table)
                events = Events(fcs.events, keep, fcs.channels, matrix)
        overrides = row.get("gate_overrides", [])
        if wanted is not None and self.kind == "template":
            overrides = [o for o in overrides if o["population"] in gating.populations.values()]
        if overrides:
            gating = with_moved_gates(gating, overrides, name, self.kind == "flowjo")
            if document is not None:
                document = gatingml.document(gating.strategy, gates.names_by_id(gating))
        if folder is not None and document is not None:
            (folder / f"{name}.xml").write_bytes(document)
        elif folder is not None:
            (folder / f"{name}.txt").write_text(
                f"The gates of {name} are those of its panel's FlowJo workspace. Its "
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
    fmo_median_paths: Iterable[str | Path] = (),
) -> None:
    """Gate and quantify the full stains of a batch.

    `rows` are its rows of the acquisitions sheet (`fcs` a path), with `gate_overrides` where gates
    were moved by hand (population and file of each); `panels` is panels.yaml's mapping,
    each `gates.file` a path from the working directory; `settings` is the configuration's
    `cytometry`; `kept_path` holds the masks of quality control (a file without one is left out);
    `threshold_paths` and `fmo_median_paths` are the tables of place_thresholds. `outputs` names the
    tables populations, markers, densities, panels and hierarchy, and the folder gates. Raises
    InputError.
    """
    from immunotrace.cytometry.events import Events
    from immunotrace.cytometry.fcs import find_channel
    from immunotrace.cytometry.gates import EventTable
    from immunotrace.cytometry.hierarchy import hierarchy_rows
    from immunotrace.cytometry.panel import read_acquisition, read_kept

    thresholds = _read_thresholds(threshold_paths)
    fmo_medians = _read_fmo_medians(fmo_median_paths)
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
        fcs = read_acquisition(row)
        own = thresholds.get((row["subject"], panel_name), {})
        events, gating, inside = source.gate(
            row, fcs, kept[row["acquisition"]], _values(own), folder
        )
        base = {key: row[key] for key in _ROW}
        wanted = panel.get("quantify", {"populations": [], "markers": []})
        _check_quantify(panel_name, wanted, panel, inside, row)
        tables["populations"] += population_rows(
            base, inside.counts, len(events), gating.origin, minimum, wanted.get("ancestor", "")
        )
        columns = {m: find_channel(fcs, panel["markers"][m]["channel"]) for m in wanted["markers"]}
        densities: dict[str, list[dict]] = {marker: [] for marker in columns}
        for population in wanted["populations"]:
            values = population_values(events, inside[population], columns)
            for marker, line, density in _describe_markers(
                base, population, values, own, settings, fmo_medians, source.scale
            ):
                tables["markers"].append(line)
                densities[marker] += density
        tables["densities"] += [line for lines in densities.values() for line in lines]
        tables["panels"] += panel_rows(base, fcs, events, inside, gating, panel, source.scale, seed)
        for line in tables["populations"]:
            if line["acquisition"] == row["acquisition"] and line["population"] in gating.moved:
                line["gate_origin"] = "moved"
        raw = Events(fcs.events, kept[row["acquisition"]])
        table = EventTable(row["acquisition"], fcs, raw, None, source.kind == "flowjo")
        tables["hierarchy"] += hierarchy_rows(
            row["acquisition"], fcs, table, events, inside, gating, source.scale
        )
    _write_tables(tables, outputs)


def _describe_markers(
    base, population, values_of_markers, thresholds, settings, fmo_medians, scale
) -> Iterator[tuple[str, dict, list[dict]]]:
    """Marker, row of markers.tsv, rows of densities.tsv."""
    for marker, values in values_of_markers:
        values.sort()
        threshold = thresholds.get(marker)
        control = fmo_medians.get((base["subject"], base["panel"], population, marker))
        line = marker_row(base, population, marker, values, threshold, settings, control)
        yield marker, line, density_rows(base, population, marker, values, threshold, scale)


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


def _read_fmo_medians(paths: Iterable[str | Path]) -> dict[tuple[str, str, str, str], float]:
    out = {}
    for path in paths:
        with open(path, encoding="utf-8", newline="") as handle:
            for line in csv.DictReader(handle, delimiter="\t"):
                key = line["subject"], line["panel"], line["population"], line["marker"]
                out[key] = float(line["fmo_median"])
    return out


def _check_quantify(panel_name, wanted, panel, inside, row) -> None:
    for population in [*wanted["populations"], *filter(None, [wanted.get("ancestor")])]:
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


def population_values(
    events, inside: np.ndarray, columns: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Each marker with its values within a population, float64 in the order of the events.

    `events` is an `Events`, `inside` (n,) the population, `columns` the column of each marker. As
    many markers at once as 32 MiB hold, so that memory stays within bounds; what was yielded
    is written over by the next ones.
    """
    count = int(np.count_nonzero(inside))
    step = max(1, _VALUES_AT_ONCE // max(1, count))
    markers = list(columns)
    memory = np.empty((min(step, len(markers)), count))
    for start in range(0, len(markers), step):
        some = markers[start : start + step]
        wanted = [columns[marker] for marker in some]
        values = events.columns(wanted, inside, memory[: len(some)])
        yield from zip(some, values, strict=True)


def population_rows(
    base: Mapping[str, Any],
    counts: Mapping[str, int],
    total: int,
    origin: str,
    minimum_events: int,
    ancestor: str = "",
) -> list[dict[str, Any]]:
    """One row a population: its count, its parent's, and the percentage with its Wilson interval.

    `counts` maps population paths to counts, of `total` events; a path's parent is the part before
    its last "/", the empty path meaning all events. Populations within `ancestor` get their
    percentage of it too.
    """
    counts = {"": total, **counts}
    out = []
    for path, count in counts.items():
        if not path:
            continue
        parent = path.rpartition("/")[0]
        row = {
            **base,
            "population": path,
            "parent": parent,
            "count": count,
            "parent_count": counts[parent],
            **_percent("percent_of_parent", count, counts[parent]),
            "gate_origin": origin,
            "flag": _few(counts[parent], minimum_events),
        }
        if ancestor and path.startswith(f"{ancestor}/"):
            row["ancestor"] = ancestor
            row |= _percent("percent_of_ancestor", count, counts[ancestor])
        out.append(row)
    return out


def _percent(name: str, count: int, total: int) -> dict[str, float]:
    from immunotrace.statistics import wilson_interval

    low, high = wilson_interval(count, total)
    return {
        name: 100 * count / total if total else np.nan,
        f"{name}_low": 100 * float(low),
        f"{name}_high": 100 * float(high),
    }


def _few(count: int, minimum: int, what: str = "events") -> str:
    return f"few {what} (n < {minimum})" if count < minimum else ""


def marker_row(
    base: Mapping[str, Any],
    population: str,
    marker: str,
    values: np.ndarray,
    threshold: Threshold | None,
    settings: Mapping[str, Any],
    fmo_median: float | None = None,
) -> dict[str, Any]:
    """A marker in a population, from its `values` (n,) in rising order.

    Positive means at or above the threshold. Intervals of medians are those between order
    statistics (`immunotrace.statistics.median_interval`). The geometric mean is of the values above
    0; how many were left out is told. Robust SD is half the distance of the 15.87th and 84.13th
    percentiles (FlowJo 10 documentation, statistic definitions). Integrated MFI is the percentage of
    positives times their median (Darrah et al. 2007, Nat Med 13:843). `fmo_median` is the median of
    the FMO control in the same population. `settings` holds minimum_events and, optionally, median.
    """
    from immunotrace.statistics import median_interval

    kind, minimum = settings.get("median", "midpoint"), settings["minimum_events"]
    above_zero = values[np.searchsorted(values, 0, side="right") :]
    low, high = median_interval(values)
    row = {
        **base,
        "population": population,
        "marker": marker,
        "median_all": median(values, kind),
        "median_all_low": low,
        "median_all_high": high,
        "count": len(values),
        "geometric_mean": _geometric_mean(above_zero),
        "geometric_mean_left_out": len(values) - len(above_zero),
        "robust_sd": _robust_sd(values),
    }
    if fmo_median is not None:
        row |= {"fmo_median": fmo_median, "median_minus_fmo": row["median_all"] - fmo_median}
    flags = [_few(len(values), minimum)]
    if threshold is None:
        flags.append("no threshold")
    else:
        positive = values[np.searchsorted(values, threshold.value) :]
        low, high = median_interval(positive)
        row |= {
            **_percent("percent_positive", len(positive), len(values)),
            "median_positive": median(positive, kind),
            "median_positive_low": low,
            "median_positive_high": high,
            "threshold": threshold.value,
            "count_positive": len(positive),
            "flag_positive": _few(len(positive), minimum, "positive events"),
        }
        # Of no positives the percentage is 0 and so is the product, whatever their median.
        row["integrated_mfi"] = row["percent_positive"] * row["median_positive"]
        if len(values) and not len(positive):
            row["integrated_mfi"] = 0.0
        flags.append(threshold.note)
    return {**row, "flag": "; ".join(flag for flag in flags if flag)}


def median(values: np.ndarray, kind: str = "midpoint") -> float:
    """The median of sorted values; of an even number the mean of the middle two (`midpoint`) or the
    lower of them (`lower`, as in FlowJo). NaN of none."""
    if not len(values):
        return float("nan")
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return float(low if kind == "lower" else (low + high) / 2)


def median_of(values: np.ndarray, kind: str = "midpoint") -> float:
    """The `median` of values in any order, which are put into another: quicker than to sort them."""
    half = len(values) // 2
    if len(values):
        values.partition(half)
        if len(values) % 2 == 0:
            last = values[:half].argmax()
            values[[last, half - 1]] = values[[half - 1, last]]
    return median(values, kind)


def _geometric_mean(values: np.ndarray) -> float:
    if not len(values):
        return float("nan")
    # In pieces: the logarithms of all would double what is in memory.
    pieces = np.array_split(values, 1 + len(values) // 65_536)
    return float(np.exp(sum(np.log(piece).sum() for piece in pieces) / len(values)))


def _robust_sd(values: np.ndarray) -> float:
    if not len(values):
        return float("nan")
    # Interpolated as by np.quantile, which would sort again.
    at = (len(values) - 1) * np.array([0.1587, 0.8413])
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, len(values) - 1)
    low, high = values[below] + (at - below) * (values[above] - values[below])
    return float((high - low) / 2)


def density_rows(
    base: Mapping[str, Any],
    population: str,
    marker: str,
    values: np.ndarray,
    threshold: Threshold | None,
    scale: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Histogram of sorted values on the logicle scale; those beyond its ends are in the end bins."""
    from immunotrace.cytometry.template import logicle_inverse

    names = {key: base[key] for key in ("acquisition", "panel")}
    axis = {f"logicle_{key.lower()}": value for key, value in scale.items()}
    cut = _display(None if threshold is None else threshold.value, scale)
    inner = np.searchsorted(values, logicle_inverse(_BINS[1:-1], scale))
    counts = np.diff([0, *inner, len(values)])
    return [
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
        for i, count in enumerate(counts)
    ]


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
        for column in ("count_positive", "geometric_mean_left_out"):
            if column in frame:
                frame[column] = frame[column].astype("Int64")
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
