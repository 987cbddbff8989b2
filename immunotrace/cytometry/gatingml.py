"""Gating-ML 2.0 documents (Spidlen et al. 2015, Cytometry A 87A:683), read and written.

The reader takes what it knows in every detail. Of anything else it says so with `NotKnown`, and the
document goes to FlowKit, which validates it against the standard's schema.
"""

import math
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from lxml import etree

from immunotrace.cytometry import strategy as parts
from immunotrace.cytometry.strategy import Key, Strategy, kind

GATING = "{http://www.isac-net.org/std/Gating-ML/v2.0/gating}"
DATATYPES = "{http://www.isac-net.org/std/Gating-ML/v2.0/datatypes}"
TRANSFORMS = "{http://www.isac-net.org/std/Gating-ML/v2.0/transformations}"
GATES = ("RectangleGate", "PolygonGate", "EllipsoidGate", "BooleanGate", "QuadrantGate")
# Element, class and parameters of the scales; RatioTransform has two dimensions besides.
_SCALES = {
    "flin": (parts.LinearTransform, "TA"),
    "flog": (parts.LogTransform, "TM"),
    "fasinh": (parts.AsinhTransform, "TMA"),
    "logicle": (parts.LogicleTransform, "TWMA"),
    "hyperlog": (parts.HyperlogTransform, "TWMA"),
}


class NotKnown(Exception):
    """The document has something that this reader does not know: where."""


# --- reading ------------------------------------------------------------------------------------


def read_strategy(root: etree._Element) -> Strategy:
    """The strategy of a document's first element. Raises NotKnown."""
    found = Strategy()
    gates: dict[str, Any] = {}
    parents: dict[str, str | None] = {}
    _known(root.tag == f"{GATING}Gating-ML")
    for element in _children(root, "*"):
        try:
            if element.tag == f"{TRANSFORMS}transformation":
                (name,) = _attributes(element, f"{TRANSFORMS}id")
                _add(found.transformations, name, _scale(element))
            elif element.tag == f"{TRANSFORMS}spectrumMatrix":
                name, inverted = _attributes(
                    element, f"{TRANSFORMS}id", f"?{TRANSFORMS}matrix-inverted-already"
                )
                _known(inverted in (None, "false", "0"))
                _add(found.comp_matrices, name, _matrix(element))
            else:
                kind_of_gate = element.tag.removeprefix(GATING)
                _known(kind_of_gate in _READERS)
                name, parent = _attributes(element, f"{GATING}id", f"?{GATING}parent_id")
                _add(gates, name, _READERS[kind_of_gate](name, element))
                parents[name] = parent
        except NotKnown:
            tag = etree.QName(element).localname
            raise NotKnown(f"at line {element.sourceline}, {tag}") from None
    try:
        found.gates = _tree(gates, parents)
    except NotKnown:
        raise NotKnown("in how its gates refer to one another") from None
    return found


def _tree(gates: Mapping[str, Any], parents: Mapping[str, str | None]) -> dict[Key, Any]:
    """Gates by their paths; the operands of boolean gates get theirs."""
    owners = {
        name: gate.gate_name
        for gate in gates.values()
        if kind(gate) == "QuadrantGate"
        for name in gate.quadrants
    }
    quadrants = sum(len(g.quadrants) for g in gates.values() if kind(g) == "QuadrantGate")
    _known(len(owners) == quadrants and not set(owners) & set(gates))
    children: dict[str | None, list[str]] = {}
    needs: dict[str, set[str]] = {}
    for name, parent in parents.items():
        # A quadrant may be a parent or an operand, the gate that makes it may not.
        operands = [r["ref"] for r in gates[name].gate_refs] if _is_boolean(gates[name]) else []
        for other in [*operands, *([parent] if parent is not None else [])]:
            _known(other in owners or (other in gates and kind(gates[other]) != "QuadrantGate"))
            needs.setdefault(name, set()).add(owners.get(other, other))
        children.setdefault(parent, []).append(name)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError:
        raise NotKnown from None
    keys: dict[str, Key] = {}
    waiting = [((), name) for name in reversed(children.get(None, []))]
    placed: dict[Key, Any] = {}
    while waiting:
        above, name = waiting.pop()
        key = keys[name] = (*above, name)
        placed[key] = gates[name]
        inner = [(key, child) for child in children.get(name, [])]
        for quadrant in getattr(gates[name], "quadrants", ()):
            keys[quadrant] = (*key, quadrant)
            inner += [(keys[quadrant], child) for child in children.get(quadrant, [])]
        waiting += reversed(inner)
    for gate in filter(_is_boolean, placed.values()):
        for reference in gate.gate_refs:
            reference["path"] = ("root", *keys[reference["ref"]][:-1])
    return placed


def _is_boolean(gate) -> bool:
    return kind(gate) == "BooleanGate"


def _rectangle(name: str, element):
    found = [_dimension(e, True) for e in _children(element, f"{GATING}dimension")]
    _known(bool(found))
    return parts.RectangleGate(name, found)


def _polygon(name: str, element):
    children = list(_children(element, f"{GATING}dimension", f"{GATING}vertex"))
    dimensions = [_dimension(e) for e in children if e.tag == f"{GATING}dimension"]
    vertices = [_values(e, "coordinate") for e in children if e.tag == f"{GATING}vertex"]
    _known(len(dimensions) == 2 and len(vertices) >= 3 and {len(v) for v in vertices} == {2})
    return parts.PolygonGate(name, dimensions, vertices)


def _ellipsoid(name: str, element):
    tags = [GATING + tag for tag in ("dimension", "mean", "covarianceMatrix", "distanceSquare")]
    children = list(_children(element, *tags))
    dimensions = [_dimension(e) for e in children if e.tag == tags[0]]
    _known([e.tag for e in children] == [*tags[:1] * len(dimensions), *tags[1:]])
    mean, covariance, distance = children[len(dimensions) :]
    rows = [_values(row, "entry") for row in _children(covariance, f"{GATING}row")]
    centre, size = _values(mean, "coordinate"), len(dimensions)
    _known(size >= 2 and [len(row) for row in (centre, *rows)] == [size] * (size + 1))
    (squared,) = _attributes(distance, f"{DATATYPES}value")
    return parts.EllipsoidGate(name, dimensions, centre, rows, _number(squared))


def _quadrants(name: str, element):
    children = list(_children(element, f"{GATING}divider", f"{GATING}Quadrant"))
    dividers: dict[str, Any] = {}
    quadrants: dict[str, Any] = {}
    for child in children:
        if child.tag == f"{GATING}divider":
            identity, matrix, scale = _attributes(
                child, f"{GATING}id", f"{GATING}compensation-ref", f"?{GATING}transformation-ref"
            )
            inner = list(_children(child, f"{DATATYPES}fcs-dimension", f"{GATING}value"))
            _known(bool(inner))
            channel, *values = inner
            numbers = [_number(value.text) for value in values]
            _known(bool(numbers))
            divider = parts.QuadrantDivider(identity, _name(channel), matrix, numbers, scale)
            _add(dividers, identity, divider)
    for child in children:
        if child.tag == f"{GATING}Quadrant":
            ranges: dict[str, Any] = {}
            for position in _children(child, f"{GATING}position"):
                divider, location = _attributes(
                    position, f"{GATING}divider_ref", f"{GATING}location"
                )
                _known(divider in dividers)
                _add(ranges, divider, _around(dividers[divider].values, _number(location)))
            _known(bool(ranges))
            (identity,) = _attributes(child, f"{GATING}id")
            _add(quadrants, identity, parts.Quadrant(identity, ranges))
    _known(bool(quadrants))
    return parts.QuadrantGate(name, list(dividers.values()), quadrants)


def _around(values: list[float], location: float) -> tuple[float | None, float | None]:
    low = max((value for value in values if value <= location), default=None)
    return low, min((value for value in values if value > location), default=None)


def _boolean(name: str, element):
    (operation,) = _exactly(1, _children(element, f"{GATING}and", f"{GATING}or", f"{GATING}not"))
    references = []
    for operand in _children(operation, f"{GATING}gateReference"):
        gate, complement = _attributes(operand, f"{GATING}ref", f"?{GATING}use-as-complement")
        _known(complement in (None, "true", "false", "1", "0"))
        references.append({"ref": gate, "complement": complement in ("true", "1")})
    operator = operation.tag.removeprefix(GATING)
    _known(len(references) == 1 if operator == "not" else len(references) >= 2)
    return parts.BooleanGate(name, operator, references)


_READERS = {
    "RectangleGate": _rectangle,
    "PolygonGate": _polygon,
    "EllipsoidGate": _ellipsoid,
    "QuadrantGate": _quadrants,
    "BooleanGate": _boolean,
}


def _dimension(element, ranged: bool = False):
    wanted = [f"{GATING}compensation-ref", f"?{GATING}transformation-ref"]
    wanted += [f"?{GATING}min", f"?{GATING}max"] if ranged else []
    matrix, scale, *ends = _attributes(element, *wanted)
    ends = [None if end is None else _number(end) for end in ends]
    (of,) = _exactly(
        1, _children(element, f"{DATATYPES}fcs-dimension", f"{DATATYPES}new-dimension")
    )
    if of.tag == f"{DATATYPES}fcs-dimension":
        return parts.Dimension(_name(of), matrix, scale, *ends)
    (ratio,) = _attributes(of, f"{DATATYPES}transformation-ref")
    return parts.RatioDimension(ratio, matrix, scale, *ends)


def _scale(element):
    (child,) = _exactly(1, _children(element, "*"))
    name = child.tag.removeprefix(TRANSFORMS)
    if name == "fratio":
        numbers = [_number(v) for v in _attributes(child, *(TRANSFORMS + p for p in "ABC"))]
        channels = _exactly(2, _children(child, f"{DATATYPES}fcs-dimension"))
        return parts.RatioTransform([_name(channel) for channel in channels], *numbers)
    _known(name in _SCALES)
    made, parameters = _SCALES[name]
    numbers = [_number(v) for v in _attributes(child, *(TRANSFORMS + p for p in parameters))]
    return made(*numbers)


def _matrix(element):
    tags = [TRANSFORMS + tag for tag in ("fluorochromes", "detectors", "spectrum")]
    children = list(_children(element, *tags))
    _known([child.tag for child in children] == [*tags[:2], *tags[2:] * (len(children) - 2)])
    fluorochromes, detectors, *rows = children
    names = [
        [_name(channel) for channel in _children(part, f"{DATATYPES}fcs-dimension")]
        for part in (fluorochromes, detectors)
    ]
    numbers = [
        [
            _number(_attributes(cell, f"{TRANSFORMS}value")[0])
            for cell in _children(row, f"{TRANSFORMS}coefficient")
        ]
        for row in rows
    ]
    size = len(numbers)
    _known(size > 0 and [len(part) for part in (*names, *numbers)] == [size] * (size + 2))
    return parts.Matrix(np.array(numbers), names[1], names[0])


def _children(element, *tags: str) -> Iterator[etree._Element]:
    """The elements within, which must have one of these tags or any; notes of software are left out."""
    for child in element:
        if not isinstance(child.tag, str) or child.tag == f"{DATATYPES}custom_info":
            continue
        _known(child.tag in tags or "*" in tags)
        yield child


def _exactly(number: int, elements: Iterator) -> list:
    found = list(elements)
    _known(len(found) == number)
    return found


def _attributes(element, *names: str) -> list[str | None]:
    """Their values; there must be no others, and of these only what begins with "?" may be missing."""
    known = [name.removeprefix("?") for name in names]
    _known(set(element.attrib) <= set(known))
    for name in names:
        _known(name.startswith("?") or bool(element.get(name)))
    return [element.get(name) for name in known]


def _name(element) -> str:
    return _attributes(element, f"{DATATYPES}name")[0]


def _values(element, tag: str) -> list[float]:
    return [
        _number(_attributes(child, f"{DATATYPES}value")[0])
        for child in _children(element, GATING + tag)
    ]


def _number(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        raise NotKnown from None
    _known(math.isfinite(number))
    return number


def _add(known: dict[str, Any], name: str, thing) -> None:
    _known(name not in known)
    known[name] = thing


def _known(true: bool) -> None:
    if not true:
        raise NotKnown


# --- writing ------------------------------------------------------------------------------------


def document(strategy: Strategy, names: Mapping[str, str]) -> bytes:
    """A strategy as a document, with the population name of each gate ID in `names`.

    Its gates must be of the kinds that Gating-ML 2.0 has, each with an ID of its own.
    """
    spaces = {"gating": GATING[1:-1], "data-type": DATATYPES[1:-1], "transforms": TRANSFORMS[1:-1]}
    root = etree.Element(f"{GATING}Gating-ML", nsmap=spaces)
    elements = {made.__name__: (tag, parameters) for tag, (made, parameters) in _SCALES.items()}
    for name, scale in strategy.transformations.items():
        tag, parameters = elements.get(kind(scale), ("fratio", "ABC"))
        inner = _put(_put(root, f"{TRANSFORMS}transformation", id=name), TRANSFORMS + tag)
        for parameter in parameters:
            inner.set(TRANSFORMS + parameter, _text(getattr(scale, f"param_{parameter.lower()}")))
        for channel in getattr(scale, "dimensions", ()):
            _put(inner, f"{DATATYPES}fcs-dimension", name=channel)
    for name, matrix in strategy.comp_matrices.items():
        _write_matrix(_put(root, f"{TRANSFORMS}spectrumMatrix", id=name), matrix)
    for key, gate in strategy.gates.items():
        element = _put(root, GATING + kind(gate), id=key[-1])
        if len(key) > 1:
            element.set(f"{GATING}parent_id", key[-2])
        if key[-1] in names:
            etree.SubElement(_put(element, f"{DATATYPES}custom_info"), "population").text = names[
                key[-1]
            ]
        _write_gate(element, gate)
    etree.indent(root)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _write_matrix(element, matrix) -> None:
    for tag, channels in (("fluorochromes", matrix.fluorochromes), ("detectors", matrix.detectors)):
        inner = _put(element, TRANSFORMS + tag)
        for channel in channels:
            _put(inner, f"{DATATYPES}fcs-dimension", name=channel)
    for row in matrix.matrix:
        inner = _put(element, f"{TRANSFORMS}spectrum")
        for value in row:
            _put(inner, f"{TRANSFORMS}coefficient", value=_text(value))


def _write_gate(element, gate) -> None:
    for dimension in gate.dimensions:
        _write_dimension(element, dimension)
    if kind(gate) == "PolygonGate":
        for vertex in gate.vertices:
            _put_values(_put(element, f"{GATING}vertex"), "coordinate", vertex)
    elif kind(gate) == "EllipsoidGate":
        _put_values(_put(element, f"{GATING}mean"), "coordinate", gate.coordinates)
        covariance = _put(element, f"{GATING}covarianceMatrix")
        for row in gate.covariance_matrix:
            _put_values(_put(covariance, f"{GATING}row"), "entry", row)
        distance = _put(element, f"{GATING}distanceSquare")
        distance.set(f"{DATATYPES}value", _text(gate.distance_square))
    elif kind(gate) == "QuadrantGate":
        for name, quadrant in gate.quadrants.items():
            inner = _put(element, f"{GATING}Quadrant", id=name)
            for divider in quadrant.divider_refs:
                low, high = quadrant.get_divider_range(divider)
                # A place within; its lower end belongs to a quadrant.
                place = low if low is not None else high - max(1.0, abs(high))
                _put(inner, f"{GATING}position", divider_ref=divider, location=_text(place))
    elif kind(gate) == "BooleanGate":
        inner = _put(element, GATING + gate.type)
        for reference in gate.gate_refs:
            operand = _put(inner, f"{GATING}gateReference", ref=reference["ref"])
            if reference["complement"]:
                operand.set(f"{GATING}use-as-complement", "true")


def _write_dimension(element, dimension) -> None:
    divides = kind(dimension) == "QuadrantDivider"
    inner = _put(element, GATING + ("divider" if divides else "dimension"))
    if divides:
        inner.set(f"{GATING}id", dimension.id)
    inner.set(f"{GATING}compensation-ref", dimension.compensation_ref or "uncompensated")
    if dimension.transformation_ref is not None:
        inner.set(f"{GATING}transformation-ref", dimension.transformation_ref)
    for end in ("min", "max"):
        if getattr(dimension, end, None) is not None:
            inner.set(GATING + end, _text(getattr(dimension, end)))
    if kind(dimension) == "RatioDimension":
        of = _put(inner, f"{DATATYPES}new-dimension")
        of.set(f"{DATATYPES}transformation-ref", dimension.ratio_ref)
        return
    channel = dimension.dimension_ref if divides else dimension.id
    _put(inner, f"{DATATYPES}fcs-dimension", name=channel)
    for value in dimension.values if divides else ():
        _put(inner, f"{GATING}value").text = _text(value)


def _put(element, tag: str, **attributes: str):
    """A new element at the end of another; its attributes are of the namespace of its tag."""
    space = tag.partition("}")[0] + "}"
    return etree.SubElement(element, tag, {space + key: v for key, v in attributes.items()})


def _put_values(element, tag: str, values) -> None:
    for value in values:
        _put(element, GATING + tag).set(f"{DATATYPES}value", _text(value))


def _text(number) -> str:
    return repr(float(number))
