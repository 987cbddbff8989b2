"""Gating strategies from three sources, and the one engine that applies them.

Sources: a Gating-ML 2.0 document (Spidlen et al. 2015, Cytometry A 87A:683), a FlowJo 10 workspace,
and a template of data-driven gates (`immunotrace.cytometry.template`), which is placed on the data
and written as Gating-ML 2.0.

Gating-ML identifies a gate by an XML ID: unique in the document, no blanks, no "+". Populations are
named by people: "T cells", "CD45RA+", the same name under CD4 and under CD8. So documents written
here carry the name in the `custom_info` that the standard allows inside a gate; a document without
it goes by its IDs. Names are joined to population paths with "/"; a "/" inside a gate's name would
break the path and is replaced by U+2215, division slash.
"""

import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

import flowkit as fk
import numpy as np
from lxml import etree

from immunotrace.cytometry.engine import Membership, gate_events, gates_by_path, uncovered
from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import FcsFile, Spillover
from immunotrace.cytometry.template import PlacedGate
from immunotrace.errors import InputError

_GATING = "{http://www.isac-net.org/std/Gating-ML/v2.0/gating}"
_DATATYPES = "{http://www.isac-net.org/std/Gating-ML/v2.0/datatypes}"
_GATE_TAGS = ("RectangleGate", "PolygonGate", "EllipsoidGate", "BooleanGate", "QuadrantGate")
_SLASH = "\u2215"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gating:
    """A gating strategy with the population path of each of its gates.

    `populations` maps FlowKit's gate path (without "root") to the population path, parents before
    children; gates that only group quadrants have none. `origin` is `placed` or `imported`, `moved`
    the populations whose own gate was moved by hand.
    """

    strategy: fk.GatingStrategy
    populations: dict[tuple[str, ...], str]
    origin: str
    moved: frozenset[str] = frozenset()


# --- Gating-ML --------------------------------------------------------------------------------


def read_gatingml(source: str | Path | bytes, name: str | None = None) -> Gating:
    """Read a Gating-ML 2.0 document: a path, or its bytes with a `name` for messages.

    Raises InputError where it is not one.
    """
    where = name or str(source)
    root = _parse_xml(source, where, "Gating-ML 2.0 document")
    names = {}
    for tag in _GATE_TAGS:
        for element in root.iter(_GATING + tag):
            text = element.findtext(f"{_DATATYPES}custom_info/population")
            if text and text.strip():
                names[element.get(_GATING + "id")] = text.strip()
    try:
        strategy = fk.parse_gating_xml(io.BytesIO(etree.tostring(root)))
    except Exception as error:  # FlowKit raises what its parts raise
        raise InputError(f"{where}: not a valid Gating-ML 2.0 document: {error}") from error
    return Gating(strategy, _population_paths(strategy, names, where), "imported")


def gatingml_document(strategy: fk.GatingStrategy, names: Mapping[str, str]) -> bytes:
    """A strategy as a Gating-ML 2.0 document, with the population name of each gate ID in `names`."""
    buffer = io.BytesIO()
    fk.export_gatingml(strategy, buffer)
    root = etree.fromstring(buffer.getvalue())
    for tag in _GATE_TAGS:
        for element in root.iter(_GATING + tag):
            name = names.get(element.get(_GATING + "id"))
            if name is not None:
                info = etree.Element(_DATATYPES + "custom_info")
                etree.SubElement(info, "population").text = name
                element.insert(0, info)
    etree.indent(root)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def published_document(path: str | Path) -> bytes:
    """A Gating-ML document as a file for others: its gates with the names of their populations.

    Comments, and what programs add in `custom_info`, may name FCS files and people: they are left out.
    """
    root = _parse_xml(path, str(path), "Gating-ML 2.0 document")
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    for info in list(root.iter(_DATATYPES + "custom_info")):
        name = info.findtext("population")
        info.clear(keep_tail=True)
        if name is not None:
            etree.SubElement(info, "population").text = name
        else:
            info.getparent().remove(info)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def names_by_id(gating: Gating) -> dict[str, str]:
    """The population name of each gate of a document, by its ID, which is the gate's alone there."""
    return {key[-1]: path.rpartition("/")[2] for key, path in gating.populations.items()}


def xml_id(name: str, taken: Iterable[str] = ()) -> str:
    """An XML ID made of a name: "CD45RA+" is CD45RApos; numbered where it is taken already."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name.replace("+", "pos"))
    plain = re.sub(r"-$", "neg", plain)
    if not re.match(r"[A-Za-z_]", plain):
        plain = "_" + plain
    taken, unique, number = set(taken), plain, 1
    while unique in taken:
        number += 1
        unique = f"{plain}.{number}"
    return unique


def placed_document(
    gates: Iterable[PlacedGate],
    scale: Mapping[str, float],
    compensated: bool,
    spillover: Spillover | None = None,
) -> bytes:
    """Placed gates as a Gating-ML 2.0 document.

    `scale` holds the logicle parameters of the edges of `cuts`; with `compensated` the fluorescence
    dimensions refer to the spillover in the FCS file, or to `spillover`, which is written with them.
    """
    strategy = fk.GatingStrategy()
    reference = "FCS" if compensated else "uncompensated"
    if compensated and spillover is not None:
        reference = "spillover"
        channels = list(spillover.channels)
        strategy.add_comp_matrix(reference, fk.Matrix(spillover.matrix, channels, channels))
    strategy.add_transform(
        "logicle",
        fk.transforms.LogicleTransform(
            param_t=scale["T"], param_w=scale["W"], param_m=scale["M"], param_a=scale["A"]
        ),
    )
    paths: dict[str, tuple[str, ...]] = {"": ("root",)}
    names: dict[str, str] = {}
    for gate in gates:
        gate_id = xml_id(gate.name, {*names, "logicle", "spillover"})
        names[gate_id] = gate.name
        references = {
            # A matrix says nothing of the channels that it does not have.
            channel: "uncompensated"
            if reference == "spillover" and channel not in spillover.channels
            else reference
            for channel in gate.channels
        }
        strategy.add_gate(_flowkit_gate(gate, gate_id, references), paths[gate.parent])
        paths[gate.path] = (*paths[gate.parent], gate_id)
    return gatingml_document(strategy, names)


def _flowkit_gate(gate: PlacedGate, gate_id: str, references: Mapping[str, str]):
    if gate.method == "rectangle":
        return fk.gates.RectangleGate(
            gate_id,
            [
                fk.Dimension(channel, references[channel], "logicle", range_min=low, range_max=high)
                for channel, (low, high) in zip(gate.channels, gate.edges, strict=True)
            ],
        )
    dimensions = [fk.Dimension(channel) for channel in gate.channels]
    if gate.method == "polygon":
        return fk.gates.PolygonGate(gate_id, dimensions, gate.vertices.tolist())
    return fk.gates.EllipsoidGate(
        gate_id, dimensions, gate.centre.tolist(), gate.covariance.tolist(), gate.distance
    )


# --- FlowJo -----------------------------------------------------------------------------------


class FlowJoWorkspace:
    """A FlowJo 10 workspace, parsed once; its samples' gates on request.

    FlowKit knows one sample of a name and drops the others; so each sample is handed to it by
    itself, and a name that is there twice is refused.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the workspace. Raises InputError where it is not one."""
        self.path = path
        self._root = _parse_xml(path, str(path), "FlowJo workspace")
        self._samples = self._root.find("SampleList")
        if "flowJoVersion" not in self._root.attrib or self._samples is None:
            raise InputError(f"{path}: not a FlowJo 10 workspace with samples")
        self._by_name: dict[str, list] = {}
        for element in list(self._samples):
            for name in _sample_names(element):
                self._by_name.setdefault(name, []).append(element)
            self._samples.remove(element)
        # Gates of groups are copies of what each sample has.
        for group in self._root.findall("Groups/*"):
            group.getparent().remove(group)

    def gating(self, fcs: FcsFile, wanted: str | None = None) -> Gating:
        """The gates of a file's sample: the one called `wanted`, else like $FIL, else like the file.

        Unless it is `wanted`, the workspace's $TOT must agree with the file. Raises InputError.
        """
        element = _choose_sample(self.path, fcs, wanted, self._by_name)
        _plain_names(self.path, element)
        self._samples.append(element)
        try:
            parsed = fk.parse_wsp(io.BytesIO(etree.tostring(self._root)))
        except Exception as error:  # FlowKit raises what its parts raise
            raise InputError(
                f"{self.path}: the sample of {fcs.path} cannot be read ({type(error).__name__})"
            ) from error
        finally:
            self._samples.remove(element)
        (sample,) = parsed["samples"].values()
        strategy = sample["gating_strategy"]
        return Gating(strategy, _population_paths(strategy, {}, self.path), "imported")


def _sample_names(element) -> list[str]:
    """The names a sample goes by: its own, then the file name in its URI."""
    node, data = element.find("SampleNode"), element.find("DataSet")
    names = [node.get("name")] if node is not None and node.get("name") else []
    uri = data.get("uri") if data is not None else None
    if uri:
        names.append(PurePosixPath(unquote(uri)).name)
    return list(dict.fromkeys(names))


def _choose_sample(path, fcs: FcsFile, wanted: str | None, by_name: dict[str, list]):
    file_name = PureWindowsPath(fcs.path).name  # splits at either kind of slash
    candidates = [wanted] if wanted else [fcs.keywords.get("$FIL", "").strip(), file_name]
    for name in candidates:
        found = by_name.get(name, [])
        if len(found) > 1:
            raise InputError(
                f"{path}: {len(found)} samples have the name of {fcs.path}; rename them in FlowJo"
            )
        if found:
            if not wanted:
                _check_total(path, name, found[0], fcs)
            return found[0]
    raise InputError(
        f"{path}: none of the names of its samples ({len(by_name)}) is the "
        f"{'workspace_sample' if wanted else '$FIL or the file name'} of {fcs.path}. Give the sample's "
        "name as FlowJo shows it in the column workspace_sample of the acquisitions sheet"
    )


def _check_total(path, name: str, element, fcs: FcsFile) -> None:
    for keyword in element.iterfind("Keywords/Keyword"):
        if keyword.get("name") == "$TOT":
            total = (keyword.get("value") or "").strip()
            if total.isdigit() and int(total) != len(fcs.events):
                raise InputError(
                    f"{path}: the sample of {fcs.path} has {total} events there ($TOT), but the file has "
                    f"{len(fcs.events)}; if it is the right file, give the sample's name in the "
                    "column workspace_sample of the acquisitions sheet"
                )


def _plain_names(path, sample) -> None:
    """Replace the "/" in a sample's gate names, in place.

    FlowKit finds gates by paths joined with "/", and FlowJo's boolean gates name their operands so.
    """
    moved: dict[str, str] = {}

    def walk(node, old: str, new: str) -> None:
        for child in node.findall("Subpopulations/*"):
            name = child.get("name") or ""
            plain = name.replace("/", _SLASH)
            if plain != name:
                _log.info("%s: gate %r is called %r in the tables", path, name, plain)
                child.set("name", plain)
            moved[f"{old}{name}"] = f"{new}{plain}"
            walk(child, f"{old}{name}/", f"{new}{plain}/")

    walk(sample.find("SampleNode"), "", "")
    for dependent in sample.iter("Dependent"):
        dependent.set("name", moved.get(dependent.get("name"), dependent.get("name")))


# --- both -------------------------------------------------------------------------------------


def _parse_xml(source: str | Path | bytes, where: str, what: str):
    # Entities are not expanded and nothing is fetched: the file is someone else's text.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        if isinstance(source, bytes):
            return etree.fromstring(source, parser)
        return etree.parse(str(source), parser).getroot()
    except OSError:
        raise InputError(
            f"{where}: there is no such file; it is named as the gates' {what} in the panels file"
        ) from None
    except etree.XMLSyntaxError as error:
        raise InputError(f"{where}: not a {what}: {error}") from error


def _population_paths(
    strategy: fk.GatingStrategy, names: Mapping[str, str], source
) -> dict[tuple[str, ...], str]:
    paths: dict[tuple[str, ...], str] = {}
    seen: dict[str, tuple[str, ...]] = {}
    grouping = set()
    for gate_name, ancestors in strategy.get_gate_ids():
        key = (*ancestors[1:], gate_name)
        if isinstance(_gate(strategy, key), fk.gates.QuadrantGate):
            grouping.add(key)
            continue
        parts = [
            names.get(part, part).replace("/", _SLASH)
            for depth, part in enumerate(key, start=1)
            if key[:depth] not in grouping
        ]
        path = "/".join(parts)
        if path in seen:
            raise InputError(
                f"{source}: two gates, {'/'.join(seen[path])!r} and {'/'.join(key)!r}, make the "
                f"population {path!r}; rename one"
            )
        seen[path] = key
        paths[key] = path
    return paths


def _gate(strategy: fk.GatingStrategy, key: tuple[str, ...]):
    """The gate of a path, None for one quadrant of a quadrant gate."""
    try:
        return strategy.get_gate(key[-1], ("root", *key[:-1]))
    except fk.exceptions.QuadrantReferenceError:
        return None


def column_of(fcs: FcsFile, name: str) -> int | None:
    """The column that a gate's dimension names by $PnN (FlowJo writes "_" for "/") or $PnS."""
    for names in (fcs.channels, fcs.labels, [c.replace("/", "_") for c in fcs.channels]):
        if name in names:
            return list(names).index(name)
    return None


class EventTable:
    """Events in memory, with what the engine and FlowKit's ask of an fk.Sample.

    fk.Sample itself takes an array only by way of a temporary file of 32-bit numbers, and a path
    only by reading it again with a reader that is less strict than ours.
    """

    def __init__(
        self,
        name: str,
        fcs: FcsFile,
        events,
        spillover: Spillover | None,
        flowjo_names: bool = False,
    ) -> None:
        """`events` (n, channels) are linear and uncompensated, `spillover` what "FCS" refers to.

        With `flowjo_names` a "/" in $PnN is "_", as in workspaces.
        """
        self.id = name
        self.event_count = len(events)
        self.channels = list(fcs.channels)
        self.pnn_labels = [c.replace("/", "_") if flowjo_names else c for c in fcs.channels]
        self.pns_labels = list(fcs.labels)
        self.spillover = spillover
        self.fluoro_indices = list(range(len(fcs.channels)))
        self.null_channels = [
            c for c in fcs.channels if spillover is None or c not in spillover.channels
        ]
        self.events = events if isinstance(events, Events) else Events(events)

    def __repr__(self) -> str:
        return self.id

    def blocks(self) -> Iterator[np.ndarray]:
        """The events in order, in blocks (n, channels)."""
        return self.events.blocks()

    def compensated(self, matrix) -> Events:
        """The events compensated by a matrix of a gating strategy."""
        if not isinstance(matrix, fk.Matrix):
            return Events(matrix.apply(self))
        spillover = Spillover(tuple(matrix.detectors), np.asarray(matrix.matrix), self.id)
        return self.events.compensated(self.pnn_labels, spillover)

    def get_metadata(self) -> dict[str, str]:
        if self.spillover is None:
            return {}
        numbers = [repr(float(value)) for value in self.spillover.matrix.ravel()]
        fields = [str(len(self.spillover.channels)), *self.spillover.channels, *numbers]
        return {"spillover": ",".join(fields)}

    def get_events(self, source: str = "raw") -> np.ndarray:
        return np.asarray(self.events)

    def get_channel_index(self, label: str) -> int:
        return self.pnn_labels.index(label)


def apply_gates(gating: Gating, table: EventTable) -> Membership:
    """Which events each population holds: population path -> boolean (events,), parents first.

    Strategies that `immunotrace.cytometry.engine` does not cover go to FlowKit, which the log and
    `left_to_flowkit` of the result say. Raises InputError where a gate's channel or transform is
    not there.
    """
    gates = gates_by_path(gating.strategy)
    reasons = "; ".join(uncovered(gating.strategy, gates))
    try:
        if not reasons:
            return gate_events(gating.strategy, gates, gating.populations, table)
        _log.warning("%s: gates are applied by FlowKit: %s", table.id, reasons)
        return apply_gates_with_flowkit(gating, table, reasons)
    except (LookupError, ValueError, NotImplementedError, fk.exceptions.FlowKitException) as error:
        raise InputError(
            f"{table.id}: its gates cannot be applied: {error}. Its channels are "
            f"{', '.join(table.pnn_labels)}"
        ) from error


def apply_gates_with_flowkit(gating: Gating, table: EventTable, reasons: str = "") -> Membership:
    """The same by FlowKit: for what the engine does not cover, and to compare with."""
    strategy = gating.strategy
    try:
        results = strategy.gate_sample(table, cache_events=True)
    finally:
        strategy.clear_cache()
    masks = {}
    for key, population in gating.populations.items():
        # GatingResults.get_gate_membership fails with pandas 3 in every strategy that has a
        # quadrant gate (flowkit 1.3.0), hence its raw results.
        owner = ("root", *key[:-1])
        if _gate(strategy, key) is None:
            entry = results._raw_results[owner[-1], "/".join(owner[:-1])][key[-1]]
        else:
            entry = results._raw_results[key[-1], "/".join(owner)]
        masks[population] = np.asarray(entry["events"], bool)
    membership = Membership(list(masks), reasons)
    membership.add_block(table.event_count, masks)
    return membership


def workspace_spillover(gating: Gating, table: EventTable) -> Spillover:
    """The matrix of the workspace, with the file's channel names. Raises InputError."""
    matrices = list(gating.strategy.comp_matrices.values())
    if len(matrices) != 1:
        raise InputError(
            f"{table.id}: the panel says `compensation: workspace`, but the workspace has "
            f"{len(matrices)} compensation matrices for it; use `compensation: none` or `fcs`"
        )
    names = dict(zip(table.pnn_labels, table.channels, strict=True))
    channels = tuple(names.get(detector, detector) for detector in matrices[0].detectors)
    return Spillover(channels, np.asarray(matrices[0].matrix), f"{table.id}: workspace matrix")


def rectangle_pairs(gating: Gating) -> list[dict[str, Any]]:
    """The pairs of channels in which sibling rectangles, or a quadrant gate, cut a population.

    One dict a pair: parent (population path), channels (2), and thresholds (2): the linear value at
    which all those gates cut the channel, None where they do not agree.
    """
    strategy = gating.strategy
    groups: dict[tuple, list[tuple[list[float], ...]]] = {}
    for gate_name, ancestors in strategy.get_gate_ids():
        gate = _gate(strategy, (*ancestors[1:], gate_name))
        if not isinstance(gate, fk.gates.RectangleGate | fk.gates.QuadrantGate):
            continue
        dimensions = gate.dimensions
        if len(dimensions) != 2 or any(isinstance(d, fk.RatioDimension) for d in dimensions):
            continue
        if isinstance(gate, fk.gates.QuadrantGate):
            channels = tuple(d.dimension_ref for d in dimensions)
            raw = [d.values for d in dimensions]
        else:
            channels = tuple(d.id for d in dimensions)
            raw = [[v for v in (d.min, d.max) if v is not None] for d in dimensions]
        edges = tuple(
            [_linear_edge(strategy, d, v) for v in values]
            for d, values in zip(dimensions, raw, strict=True)
        )
        group = groups.setdefault((gating.populations.get(ancestors[1:], ""), channels), [])
        # A quadrant gate stands for several gates.
        group += [edges] * (2 if isinstance(gate, fk.gates.QuadrantGate) else 1)
    out = []
    for (parent, channels), members in groups.items():
        if len(members) < 2:
            continue
        thresholds = []
        for axis in range(2):
            values = [v for edges in members for v in edges[axis] if np.isfinite(v)]
            agree = bool(values) and np.allclose(values, values[0], rtol=1e-6, atol=1e-6)
            thresholds.append(values[0] if agree else None)
        out.append({"parent": parent, "channels": channels, "thresholds": tuple(thresholds)})
    return out


def _linear_edge(strategy: fk.GatingStrategy, dimension, value: float) -> float:
    if dimension.transformation_ref is None:
        return float(value)
    transform = strategy.transformations[dimension.transformation_ref]
    return float(transform.inverse(np.array([[value]], float))[0, 0])
