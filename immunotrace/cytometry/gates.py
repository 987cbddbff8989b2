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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
from lxml import etree

from immunotrace.cytometry import gatingml
from immunotrace.cytometry.engine import Membership, gate_events, uncovered
from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import FcsFile, Spillover
from immunotrace.cytometry.strategy import (
    Dimension,
    EllipsoidGate,
    Key,
    LogicleTransform,
    Matrix,
    PolygonGate,
    RectangleGate,
    Strategy,
    kind,
    of_flowkit,
)
from immunotrace.errors import InputError

if TYPE_CHECKING:
    from immunotrace.cytometry.template import PlacedGate

_SLASH = "\u2215"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gating:
    """A gating strategy with the population path of each of its gates.

    `populations` maps a gate's path in the strategy to the population path, parents before
    children; gates that only group quadrants have none. `origin` is `placed` or `imported`, `moved`
    the populations whose own gate was moved by hand. `in_flowkit` gives the fk.GatingStrategy.
    """

    strategy: Strategy
    populations: dict[Key, str]
    origin: str
    in_flowkit: Callable[[], Any]
    moved: frozenset[str] = frozenset()


def flowkit_gating(flowkit, source: str | Path) -> Gating:
    """The gating of an fk.GatingStrategy; `source` begins messages.

    Raises InputError where two gates make the same population.
    """
    strategy = of_flowkit(flowkit)
    return Gating(strategy, _population_paths(strategy, {}, source), "imported", lambda: flowkit)


# --- Gating-ML --------------------------------------------------------------------------------


def read_gatingml(source: str | Path | bytes, name: str | None = None) -> Gating:
    """Read a Gating-ML 2.0 document: a path, or its bytes with a `name` for messages.

    FlowKit is asked where `immunotrace.cytometry.gatingml` does not know all of it. Raises InputError
    where it is not such a document, or has what neither of them applies.
    """
    where = name or str(source)
    root = _parse_xml(source, where, "Gating-ML 2.0 document")
    names = {}
    for element in root.iter(*(gatingml.GATING + tag for tag in gatingml.GATES)):
        text = element.findtext(f"{gatingml.DATATYPES}custom_info/population")
        if text and text.strip():
            names[element.get(gatingml.GATING + "id")] = text.strip()
    try:
        strategy = gatingml.read_strategy(root)
    except gatingml.NotKnown as place:
        strategy = of_flowkit(_read_with_flowkit(root, where, f" ({place})"))
    paths = _population_paths(strategy, names, where)
    return Gating(strategy, paths, "imported", lambda: _read_with_flowkit(root, where))


def _read_with_flowkit(root, where: str, place: str = ""):
    import flowkit as fk

    for attribute in ("boundMin", "boundMax", "matrix-inverted-already"):
        values = {element.get(gatingml.TRANSFORMS + attribute) for element in root.iter("{*}*")}
        if values - {None, "false", "0"} or (values != {None} and attribute.startswith("bound")):
            raise InputError(
                f"{where}: has the attribute {attribute}, which is not applied here; write the "
                "gates without it"
            )
    try:
        return fk.parse_gating_xml(io.BytesIO(etree.tostring(root)))
    except Exception as error:  # FlowKit raises what its parts raise
        raise InputError(f"{where}: not a valid Gating-ML 2.0 document{place}: {error}") from error


def published_document(path: str | Path) -> bytes:
    """A Gating-ML document as a file for others: its gates with the names of their populations.

    Comments, and what programs add in `custom_info`, may name FCS files and people: they are left out.
    """
    root = _parse_xml(path, str(path), "Gating-ML 2.0 document")
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    for info in list(root.iter(f"{gatingml.DATATYPES}custom_info")):
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
    gates: "Iterable[PlacedGate]",
    scale: Mapping[str, float],
    compensated: bool,
    spillover: Spillover | None = None,
) -> bytes:
    """Placed gates as a Gating-ML 2.0 document.

    `scale` holds the logicle parameters of the edges of `cuts`; with `compensated` the fluorescence
    dimensions refer to the spillover in the FCS file, or to `spillover`, which is written with them.
    """
    strategy = Strategy()
    reference = "FCS" if compensated else "uncompensated"
    if compensated and spillover is not None:
        reference = "spillover"
        channels = list(spillover.channels)
        strategy.comp_matrices[reference] = Matrix(spillover.matrix, channels, channels)
    strategy.transformations["logicle"] = LogicleTransform(*(scale[key] for key in "TWMA"))
    keys: dict[str, Key] = {"": ()}
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
        keys[gate.path] = (*keys[gate.parent], gate_id)
        strategy.gates[keys[gate.path]] = _gate_of(gate, gate_id, references)
    return gatingml.document(strategy, names)


def _gate_of(gate: "PlacedGate", gate_id: str, references: Mapping[str, str]):
    if gate.method == "rectangle":
        edges = zip(gate.channels, gate.edges, strict=True)
        return RectangleGate(
            gate_id,
            [Dimension(channel, references[channel], "logicle", *ends) for channel, ends in edges],
        )
    dimensions = [Dimension(channel) for channel in gate.channels]
    if gate.method == "polygon":
        return PolygonGate(gate_id, dimensions, gate.vertices)
    return EllipsoidGate(gate_id, dimensions, gate.centre, gate.covariance, gate.distance)


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
        import flowkit as fk

        try:
            parsed = fk.parse_wsp(io.BytesIO(etree.tostring(self._root)))
        except Exception as error:  # FlowKit raises what its parts raise
            raise InputError(
                f"{self.path}: the sample of {fcs.path} cannot be read ({type(error).__name__})"
            ) from error
        finally:
            self._samples.remove(element)
        (sample,) = parsed["samples"].values()
        return flowkit_gating(sample["gating_strategy"], self.path)


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


def _population_paths(strategy: Strategy, names: Mapping[str, str], source) -> dict[Key, str]:
    paths: dict[Key, str] = {}
    seen: dict[str, Key] = {}
    grouping = set()
    for key in strategy.paths():
        if kind(strategy.gates.get(key)) == "QuadrantGate":
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
        if kind(matrix) != "Matrix":
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
        if self.pnn_labels.count(label) > 1:
            raise LookupError(f"{label} names {self.pnn_labels.count(label)} channels")
        return self.pnn_labels.index(label)


def apply_gates(gating: Gating, table: EventTable) -> Membership:
    """Which events each population holds: population path -> boolean (events,), parents first.

    Strategies that `immunotrace.cytometry.engine` does not cover go to FlowKit, which the log and
    `left_to_flowkit` of the result say. Raises InputError where a gate's channel or transform is
    not there.
    """
    reasons = "; ".join(uncovered(gating.strategy))
    try:
        if not reasons:
            return gate_events(gating.strategy, gating.populations, table)
        _log.warning("%s: gates are applied by FlowKit: %s", table.id, reasons)
        return apply_gates_with_flowkit(gating, table, reasons)
    except (LookupError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{table.id}: its gates cannot be applied: {error}. Its channels are "
            f"{', '.join(table.pnn_labels)}"
        ) from error


def apply_gates_with_flowkit(gating: Gating, table: EventTable, reasons: str = "") -> Membership:
    """The same by FlowKit: for what the engine does not cover, and to compare with."""
    from flowkit.exceptions import FlowKitException

    strategy = gating.in_flowkit()
    try:
        results = strategy.gate_sample(table, cache_events=True)
    except FlowKitException as error:
        raise ValueError(str(error)) from error
    finally:
        strategy.clear_cache()
    masks = {}
    for key, population in gating.populations.items():
        # GatingResults.get_gate_membership fails with pandas 3 in every strategy that has a
        # quadrant gate (flowkit 1.3.0), hence its raw results.
        owner = ("root", *key[:-1])
        if key not in gating.strategy.gates:  # a quadrant
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
    for key, gate in strategy.gates.items():
        if kind(gate) not in ("RectangleGate", "QuadrantGate"):
            continue
        dimensions = gate.dimensions
        if len(dimensions) != 2 or any(kind(d) == "RatioDimension" for d in dimensions):
            continue
        if kind(gate) == "QuadrantGate":
            channels = tuple(d.dimension_ref for d in dimensions)
            raw = [d.values for d in dimensions]
        else:
            channels = tuple(d.id for d in dimensions)
            raw = [[v for v in (d.min, d.max) if v is not None] for d in dimensions]
        edges = tuple(
            [_linear_edge(strategy, d, v) for v in values]
            for d, values in zip(dimensions, raw, strict=True)
        )
        group = groups.setdefault((gating.populations.get(key[:-1], ""), channels), [])
        # A quadrant gate stands for several gates.
        group += [edges] * (2 if kind(gate) == "QuadrantGate" else 1)
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


def _linear_edge(strategy: Strategy, dimension, value: float) -> float:
    if dimension.transformation_ref is None:
        return float(value)
    transform = strategy.transformations[dimension.transformation_ref]
    return float(transform.inverse(np.array([[value]], float))[0, 0])
