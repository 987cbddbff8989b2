"""Gating-ML documents read and written without FlowKit, and what of them is left to it."""

import subprocess
import sys

import flowkit as fk
import numpy as np
import pytest
from lxml import etree

from immunotrace.cytometry import gates, gatingml
from immunotrace.cytometry.fcs import read_fcs
from immunotrace.cytometry.strategy import of_flowkit
from immunotrace.errors import InputError

HEAD = (
    f'<g:Gating-ML xmlns:g="{gatingml.GATING[1:-1]}" xmlns:d="{gatingml.DATATYPES[1:-1]}" '
    f'xmlns:t="{gatingml.TRANSFORMS[1:-1]}">'
)
X = '<g:dimension g:compensation-ref="uncompensated" {}><d:fcs-dimension d:name="X"/></g:dimension>'


X_FROM_1 = X.format('g:min="1"')


def gate(name, dimension=X_FROM_1, more=""):
    return f'<g:RectangleGate g:id="{name}" {more}>{dimension}</g:RectangleGate>'


def read(body):
    return gatingml.read_strategy(etree.fromstring(f"{HEAD}{body}</g:Gating-ML>"))


def write(folder, body):
    (folder / "gates.xml").write_text(f"{HEAD}{body}</g:Gating-ML>", encoding="utf-8")
    return folder / "gates.xml"


# Of the standard's test documents this has a note of software where no other element may be.
LEFT_TO_FLOWKIT = {"gml_range_gate_attr_testing.xml"}


def test_documents_of_the_standard_are_written_as_they_were_read(reference):
    """What was read, written and read again is the same, to us and to FlowKit."""
    folder = reference / "cytometry" / "gatingml_compliance" / "gml"
    left, gates_seen = set(), 0
    for path in sorted(folder.iterdir()):
        root = etree.parse(path).getroot()
        try:
            strategy = gatingml.read_strategy(root)
        except gatingml.NotKnown:
            left.add(path.name)
            continue
        written = gatingml.document(strategy, {})
        again = gatingml.read_strategy(etree.fromstring(written))
        theirs = of_flowkit(gates.read_gatingml(written, path.name).in_flowkit())
        for other in (again, theirs):
            assert set(other.gates) == set(strategy.gates)
            for key, one in strategy.gates.items():
                assert described(other.gates[key]) == described(one)
            for name, one in strategy.transformations.items():
                assert described(other.transformations[name]) == described(one)
            for name, one in strategy.comp_matrices.items():
                np.testing.assert_array_equal(other.comp_matrices[name].matrix, one.matrix)
                assert list(other.comp_matrices[name].detectors) == one.detectors
        gates_seen += len(strategy.gates)
    assert left == LEFT_TO_FLOWKIT
    assert gates_seen > 90


def described(thing):
    """A gate or scale, ours or FlowKit's, as plain values."""
    if isinstance(thing, dict):
        return {key: described(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)) or type(thing).__name__ == "dict_values":
        return [described(value) for value in thing]
    if hasattr(thing, "get_divider_range"):
        return {name: described(thing.get_divider_range(name)) for name in thing.divider_refs}
    if hasattr(thing, "__dict__"):
        extra = {"gate_type", "name", "min", "max"}
        values = {
            k: described(v) for k, v in vars(thing).items() if k not in extra and v not in ([], ())
        }
        ends = [getattr(thing, end, None) for end in ("min", "max")]
        return type(thing).__name__, values, ends
    return thing


@pytest.mark.parametrize("cut", [-5.0, 0.0, 0.5, 700.0, 1e300])
def test_quadrants_lie_on_their_side_of_any_divider(cut):
    """FlowKit's own writer takes half and twice the divider, which below 0 is on the other side."""
    made = fk.GatingStrategy()
    sides = [(None, cut), (cut, None)]
    quadrants = [fk.gates.Quadrant(f"q{i}", ["d"], [side]) for i, side in enumerate(sides)]
    divider = fk.QuadrantDivider("d", "X", "uncompensated", [cut])
    made.add_gate(fk.gates.QuadrantGate("Q", [divider], quadrants), ("root",))
    gating = gates.read_gatingml(gatingml.document(of_flowkit(made), {}), "made")
    for strategy in (gating.strategy, of_flowkit(gating.in_flowkit())):
        found = strategy.gates["Q",].quadrants
        assert [found[f"q{i}"].get_divider_range("d") for i in range(2)] == sides


def test_truth_values_and_open_ends():
    ratio = '<d:new-dimension d:transformation-ref="r"/>'
    strategy = read(
        '<t:transformation t:id="r"><t:fratio t:A="1" t:B="0" t:C="0"><d:fcs-dimension d:name="X"/>'
        '<d:fcs-dimension d:name="Y"/></t:fratio></t:transformation>'
        '<g:BooleanGate g:id="no" g:parent_id="a"><g:not><g:gateReference g:ref="b" '
        'g:use-as-complement="1"/></g:not></g:BooleanGate>'
        + gate("a", X.format('g:max="2.5"'))
        + gate("b", f'<g:dimension g:compensation-ref="FCS" g:min="3">{ratio}</g:dimension>')
    )
    assert list(strategy.gates) == [("a",), ("a", "no"), ("b",)]
    (operand,) = strategy.gates["a", "no"].gate_refs
    assert operand == {"ref": "b", "path": ("root",), "complement": True}
    (dimension,) = strategy.gates["b",].dimensions
    assert (dimension.min, dimension.max) == (3.0, None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (gate("a") + "\n" + gate("a"), "Gating-ML 2.0 document .at line 2, RectangleGate"),
        (gate("a") + "<g:OddGate/>", "at line 1, OddGate"),
        (gate("a", more='g:parent_id="b"'), "gates.xml"),
        (gate("a", more='g:parent_id="b"') + gate("b", more='g:parent_id="a"'), "gates.xml"),
        (gate("a", X.format('g:min="low"')), "gates.xml"),
        (gate("a", X.format('g:minimum="1"')), "gates.xml"),
        (gate("a", ""), "gates.xml"),
        (
            '<t:transformation t:id="l" t:boundMax="2"><t:flin t:T="1" t:A="0"/></t:transformation>'
            + gate("a"),
            "has the attribute boundMax, which is not applied here",
        ),
        (
            '<t:transformation t:id="l"><t:flin t:T="1" t:A="0" t:boundMin="2"/></t:transformation>'
            + gate("a"),
            "has the attribute boundMin, which is not applied here",
        ),
    ],
)
def test_what_is_wrong_or_not_applied_is_refused(tmp_path, body, message):
    with pytest.raises(InputError, match=message):
        gates.read_gatingml(write(tmp_path, body))


MATRIX = (
    '<t:spectrumMatrix t:id="m" t:matrix-inverted-already="{}"><t:fluorochromes><d:fcs-dimension '
    'd:name="a"/></t:fluorochromes><t:detectors><d:fcs-dimension d:name="X"/></t:detectors>'
    '<t:spectrum><t:coefficient t:value="1"/></t:spectrum></t:spectrumMatrix>'
)


def test_a_matrix_that_is_inverted_already_is_refused(tmp_path):
    found = gates.read_gatingml(write(tmp_path, MATRIX.format("false") + gate("a")))
    assert found.strategy.comp_matrices["m"].detectors == ["X"]
    with pytest.raises(InputError, match="has the attribute matrix-inverted-already"):
        gates.read_gatingml(write(tmp_path, MATRIX.format("true") + gate("a")))


def test_flowkit_is_imported_for_what_needs_it_only(tmp_path, repository):
    """Placed and imported gates are applied without it: its import takes longer than a file."""
    code = (
        "import sys; from immunotrace.cytometry import gates, hierarchy, quantify, thresholds;"
        "found = gates.read_gatingml(sys.argv[1]); assert list(found.populations.values()) == ['a'];"
        "print(*{'flowkit', 'bokeh', 'scipy', 'pandas'} & set(sys.modules))"
    )
    path = write(tmp_path, gate("a"))
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_table_that_lacks_a_channel_says_so(tmp_path, reference):
    fcs = read_fcs(reference / "cytometry" / "gatingml_compliance" / "data1.fcs")
    gating = gates.read_gatingml(write(tmp_path, gate("a")))
    table = gates.EventTable("data1", fcs, fcs.events, fcs.spillover)
    with pytest.raises(InputError, match="data1: its gates cannot be applied: X is not found"):
        gates.apply_gates(gating, table)
