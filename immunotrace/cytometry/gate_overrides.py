"""Gates moved by hand: a gate of a Gating-ML 2.0 file put in another's place."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from immunotrace.cytometry.gate_names import SHAPES
from immunotrace.errors import InputError

if TYPE_CHECKING:
    from immunotrace.cytometry.gates import Gating


def with_moved_gates(
    gating: "Gating",
    overrides: Iterable[Mapping[str, str]],
    where: str,
    flowjo_names: bool = False,
) -> "Gating":
    """A gating with the gates of other files in place of its own, which are named in `moved`.

    Each of `overrides` has `population`, the path of the gate in the gating and in `gates`, the
    Gating-ML 2.0 file. Its geometry, dimensions and scale are taken; its place in the tree, the gates
    below it and all others stay. `where` (the acquisition) begins messages. With `flowjo_names` a
    "/" in a channel is "_". Raises InputError.
    """
    from immunotrace.cytometry import gates
    from immunotrace.cytometry.strategy import of_flowkit

    strategy = gating.in_flowkit()
    moved = set()
    for override in overrides:
        population, file = override["population"], override["gates"]
        other = gates.read_gatingml(file)
        key = _key(gating, population, f"{where}: its gates")
        other_key = _key(other, population, f"{where}: {file}")
        for which, gate in (
            ("the gate that is moved", gating.strategy.gates.get(key)),
            (f"the one in {file}", other.strategy.gates.get(other_key)),
        ):
            what = "single quadrant" if gate is None else type(gate).__name__
            if what not in SHAPES:
                raise InputError(
                    f"{where}: gate_overrides: {population!r}: {which} is a {what}; "
                    f"only {', '.join(SHAPES)} can be moved. Move those that it stands on"
                )
        theirs = other.in_flowkit()
        gate = copy.deepcopy(theirs.get_gate(other_key[-1], ("root", *other_key[:-1])))
        node = strategy._get_gate_node(key[-1], ("root", *key[:-1]))
        gate.gate_name = key[-1]
        prefix = f"moved{len(moved) + 1}."
        _bring_references(gate, theirs, strategy, prefix, flowjo_names, where)
        # FlowKit's own exchange, custom gates, asks for the same shape and dimensions.
        node.gate, node.gate_type = gate, type(gate).__name__
        moved.add(population)
    return replace(
        gating,
        strategy=of_flowkit(strategy),
        in_flowkit=lambda: strategy,
        moved=frozenset(moved),
    )


def _key(gating: "Gating", population: str, where: str) -> tuple[str, ...]:
    for key, path in gating.populations.items():
        if path == population:
            return key
    raise InputError(
        f"{where}: gate_overrides: no gate makes the population {population!r}; there are "
        f"{', '.join(gating.populations.values())}"
    )


def _bring_references(gate, source, target, prefix: str, flowjo_names: bool, where: str) -> None:
    """Take along the transforms and matrices that a gate's dimensions refer to, under own names."""
    for dimension in gate.dimensions:
        if not hasattr(dimension, "compensation_ref") or hasattr(dimension, "ratio_ref"):
            raise InputError(f"{where}: gate_overrides: a gate on a ratio cannot be moved")
        if flowjo_names:
            dimension.id = dimension.id.replace("/", "_")
        scale = dimension.transformation_ref
        if scale is not None and not _alike(scale, source, target):
            if prefix + scale not in target.transformations:
                target.add_transform(prefix + scale, copy.deepcopy(source.transformations[scale]))
            dimension.transformation_ref = prefix + scale
        matrix = dimension.compensation_ref
        if matrix in source.comp_matrices:
            if prefix + matrix not in target.comp_matrices:
                target.add_comp_matrix(prefix + matrix, copy.deepcopy(source.comp_matrices[matrix]))
            dimension.compensation_ref = prefix + matrix
        elif matrix == "FCS" and len(target.comp_matrices) == 1 and flowjo_names:
            # In a workspace the events' own compensation is the workspace's.
            dimension.compensation_ref = next(iter(target.comp_matrices))


def _alike(scale: str, source, target) -> bool:
    """Whether both strategies have a transform of this name, and with the same parameters."""
    ours, theirs = target.transformations.get(scale), source.transformations[scale]
    return type(ours) is type(theirs) and vars(ours) == vars(theirs)
