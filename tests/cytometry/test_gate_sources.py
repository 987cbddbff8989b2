"""Gates from Gating-ML and FlowJo against counts that other programs wrote."""

import json

import numpy as np
import pandas as pd
import pytest
from cytometry_chain import SETTINGS, read_sheets, run_chain
from hierarchy_check import drawn_counts

from examples.bcell_lyoplate.make_gates import convert
from immunotrace.cytometry import gates
from immunotrace.cytometry.events import Events
from immunotrace.cytometry.fcs import read_fcs
from immunotrace.cytometry.hierarchy import HIERARCHY_COLUMNS, hierarchy_rows
from immunotrace.cytometry.quantify import median, population_rows
from immunotrace.cytometry.template_file import DEFAULT_LOGICLE
from immunotrace.errors import InputError

# Gates that are not in gml_all_gates.xml have documents of their own.
COMPLIANCE = {
    "gml_all_gates.xml": 49,
    "gml_ellipsoid3d_gate.xml": 1,
    "gml_parent_quadrant_rect_gate.xml": 5,
}
TRUTH = {"FL2P-FL4P/ParRectangle1": "ParQuadRect"}  # a gate whose truth has another name


def test_gating_ml_compliance(reference):
    folder = reference / "cytometry" / "gatingml_compliance"
    fcs = read_fcs(folder / "data1.fcs")
    table = gates.EventTable("data1", fcs, fcs.events, fcs.spillover)
    names = set()
    for document, count in COMPLIANCE.items():
        gating = gates.read_gatingml(folder / "gml" / document)
        inside = gates.apply_gates(gating, table)
        published = gates.published_document(folder / "gml" / document)
        again = gates.apply_gates(gates.read_gatingml(published, document), table)
        assert all(np.array_equal(mask, again[name]) for name, mask in inside.items())
        assert assert_as_flowkit(gating, table) == count
        for population, mask in inside.items():
            name = TRUTH.get(population, population.rpartition("/")[2])
            truth = np.loadtxt(folder / "truth" / f"Results_{name}.txt", dtype=int)
            assert np.array_equal(mask, truth == 1), population
            names.add(name)
    assert len(names) == 51


def test_a_published_document_has_gates_and_names_and_no_remarks(tmp_path):
    """Cytobank writes file names and titles of experiments into `custom_info`."""
    space = "http://www.isac-net.org/std/Gating-ML/v2.0/"
    path = tmp_path / "exported.xml"
    path.write_text(
        f"""<?xml version="1.0"?><!-- Qvistgaard --><?made by Qvistgaard?>
<g:Gating-ML xmlns:g="{space}gating" xmlns:d="{space}datatypes">
  <d:custom_info><cytobank><experiment_title>Qvistgaard 19700312</experiment_title></cytobank></d:custom_info>
  <g:RectangleGate g:id="G1"><!-- Qvistgaard --><d:custom_info by="Qvistgaard">Qvistgaard
    <cytobank><fcs_file_filename>Qvistgaard.fcs</fcs_file_filename></cytobank><population>T &lt;cells&gt;</population>
  </d:custom_info><g:dimension g:min="1" g:compensation-ref="uncompensated"><d:fcs-dimension d:name="CD3"/></g:dimension>
  </g:RectangleGate>
</g:Gating-ML>""",
        encoding="utf-8",
    )
    document = gates.published_document(path)
    assert b"Qvist" not in document
    assert b"19700312" not in document
    before = gates.read_gatingml(path)
    after = gates.read_gatingml(document, "published")
    assert list(before.populations.values()) == ["T <cells>"]
    assert after.populations == before.populations


@pytest.fixture(scope="module")
def bcell(reference, repository, tmp_path_factory):
    """The example's tables, its gates made from the reference as make_gates does."""
    out = tmp_path_factory.mktemp("bcell")
    folder = reference / "cytometry" / "bcell_lyoplate"
    rows, panels = read_sheets(repository / "examples" / "bcell_lyoplate")
    stored = json.loads((folder / "gates.json").read_text(encoding="utf-8"))
    (out / "gates.xml").write_bytes(convert(stored["gates"]))
    panels["B"]["gates"]["file"] = str(out / "gates.xml")
    rows[0]["fcs"] = str(folder / "fcs" / "12828_1_Bcell_C01.linearised.fcs")
    settings = {**SETTINGS, "qc": {"remove": []}}
    return run_chain(rows, panels, settings, out), out


def test_bcell_counts_are_those_of_cytolib(bcell, reference):
    counts = pd.read_csv(reference / "cytometry" / "bcell_lyoplate" / "reference_counts.csv")
    table = bcell[0]["populations"].set_index("population")
    assert len(table) == len(counts) == 22
    for row in counts.itertuples():
        ours = table.loc[row.gate_path]
        assert (ours["count"], ours["parent_count"]) == (row.count, row.parent_count)
        # The reference prints six digits.
        assert ours["percent_of_parent"] == pytest.approx(row.percent_of_parent, abs=1e-6)
    assert set(table["gate_origin"]) == {"imported"}


def test_bcell_membership_is_that_of_cytolib(bcell, reference):
    folder = reference / "cytometry" / "bcell_lyoplate"
    fcs = read_fcs(folder / "fcs" / "12828_1_Bcell_C01.linearised.fcs")
    table = gates.EventTable("bcell", fcs, fcs.events, fcs.spillover)
    inside = gates.apply_gates(gates.read_gatingml(bcell[1] / "gates.xml"), table)
    with np.load(folder / "reference_membership.npz") as stored:
        compared = 0
        for population, mask in inside.items():
            key = population.replace("/", " > ")
            if key in stored.files:
                truth = np.unpackbits(stored[key])[: len(mask)].astype(bool)
                assert np.array_equal(mask, truth), population
                compared += 1
    assert compared == 20  # the two boolean gates have counts only


def test_percent_positive_is_the_gate_at_the_same_value(bcell):
    """The example's thresholds are the values at which the reference gates IgD and CD27."""
    markers = bcell[0]["markers"].set_index("marker")
    assert markers.loc["IgD", "count_positive"] == 9673
    assert markers.loc["CD27", "count_positive"] == 1044
    assert markers.loc["CD38", "flag"] == "no threshold"
    pairs = bcell[0]["panels"].groupby(["x_marker", "y_marker"]).size()
    assert pairs["IgD", "CD27"] == 2000


@pytest.fixture(scope="module")
def flowatlas(reference, repository, tmp_path_factory):
    out = tmp_path_factory.mktemp("flowatlas")
    rows, panels = read_sheets(repository / "examples" / "flowatlas_tcell")
    folder = reference / "cytometry" / "flowatlas_tcell"
    for row in rows:
        row["fcs"] = str(folder / "fcs" / row["fcs"].rpartition("/")[2])
    for panel in panels.values():
        panel["gates"]["file"] = str(folder / "workspace.wsp")
    settings = {**SETTINGS, "qc": {"remove": []}}
    return run_chain(rows, panels, settings, out), {
        row["acquisition"]: row["fcs"].rpartition("/")[2] for row in rows
    }


def test_flowatlas_against_flowjo(flowatlas, reference):
    """FlowJo bins its display, FlowKit does not: hence 0.7 points at most, 0.25 for 95 %."""
    counts = pd.read_csv(reference / "cytometry" / "flowatlas_tcell" / "reference_counts.csv")
    tables, files = flowatlas
    ours = tables["populations"].assign(file=tables["populations"]["acquisition"].map(files))
    both = ours.merge(
        counts,
        left_on=["file", "population"],
        right_on=["fcs_file", "gate_path"],
        suffixes=("", "_flowjo"),
    )
    assert len(both) == len(ours) == len(counts) == 283
    assert both["file"].nunique() == 12
    off = (both["percent_of_parent"].fillna(0) - both["percent_of_parent_flowjo"]).abs()
    assert off.max() <= 0.7
    assert (off <= 0.25).mean() >= 0.95


def test_flowatlas_gate_by_gate_as_flowkit(reference):
    """The same events as FlowKit in all 283 gates; so no gate is further from FlowJo than there."""
    folder = reference / "cytometry" / "flowatlas_tcell"
    workspace = gates.FlowJoWorkspace(folder / "workspace.wsp")
    compared = 0
    for path in sorted((folder / "fcs").iterdir()):
        fcs = read_fcs(path)
        gating = workspace.gating(fcs, path.name)
        table = gates.EventTable(path.name, fcs, fcs.events, None, flowjo_names=True)
        compared += assert_as_flowkit(gating, table)
    assert compared == 283


def assert_as_flowkit(gating, table) -> int:
    """The engine and FlowKit find the same events in each population; how many populations."""
    ours = gates.apply_gates(gating, table)
    theirs = gates.apply_gates_with_flowkit(gating, table)
    assert ours.left_to_flowkit == ""
    assert ours.counts == theirs.counts
    for population, mask in theirs.items():
        assert np.array_equal(ours[population], mask), population
    return len(ours)


def test_fcexpr_counts_and_medians_of_flowjo(reference):
    """48 files, 144 gates: FlowKit's events, FlowJo's counts within 2, FlowJo's medians within 0.25 %.

    FlowJo bins its scale before it gates and takes statistics: 114 counts are the same, and where
    they are, its median is the lower one within half a bin.
    """
    folder = reference / "cytometry" / "fcexpr_mfi"
    counts = pd.read_csv(folder / "reference_counts.csv").set_index(["fcs_file", "gate_path"])
    stored = pd.read_csv(folder / "reference_statistics.csv")
    stored = stored[stored["statistic"] == "Median"].set_index("sample")
    workspace = gates.FlowJoWorkspace(folder / "07-Oct-2021.wsp")
    off, medians = [], []
    for path in sorted((folder / "fcs").iterdir()):
        fcs = read_fcs(path)
        gating = workspace.gating(fcs, path.name)
        table = gates.EventTable(path.name, fcs, fcs.events, None, flowjo_names=True)
        assert_as_flowkit(gating, table)
        inside = gates.apply_gates(gating, table)
        for population, count in inside.counts.items():
            off.append(count - counts.loc[(path.name, population), "count"])
        line = stored.loc[path.name]
        column = gates.column_of(fcs, line["channel_id"])
        values = np.sort(fcs.events[inside[line["gate_path"]], column])
        if len(values) == counts.loc[(path.name, line["gate_path"]), "count"]:
            medians.append(median(values, "lower") / line["value"] - 1)
    assert len(off) == 144
    assert np.abs(off).max() <= 2
    assert np.count_nonzero(off) <= 30
    assert len(medians) >= 41
    assert np.abs(medians).max() <= 0.0025


def test_flowatlas_names_what_it_cannot_check(flowatlas):
    notes = flowatlas[0]["qc"]["notes"]
    assert notes.str.contains("no Time channel").all()
    assert notes.str.contains("doublets not possible").all()
    assert (flowatlas[0]["qc"]["verdict"] == "pass").all()


def assert_drawn(hierarchy, populations, least_gates, projected=()):
    """The outlines enclose, among the events drawn, what the tables count; returns how narrowly."""
    counted = populations.set_index(["acquisition", "population"])
    seen, slack = 0, []
    for (acquisition, _), step in hierarchy.groupby(["acquisition", "step"]):
        parent = step[step["item"] == "parent"].iloc[0]
        assert step.loc[step["item"] == "cell", "value"].sum() == parent["value"]
        for gate in drawn_counts(step).itertuples():
            row = counted.loc[(acquisition, gate.population)]
            assert row["parent_count"] == parent["value"]
            assert gate.percent == pytest.approx(row["percent_of_parent"], abs=1e-4, nan_ok=True)
            assert row["count"] <= gate.most, (acquisition, gate.population)
            assert gate.population in projected or gate.least <= row["count"]
            slack.append((gate.most - gate.least) / max(parent["value"], 1))
            seen += 1
    assert seen >= least_gates
    return np.median(slack)


def test_outlines_of_flowjo_gates_enclose_their_events(flowatlas):
    tables = flowatlas[0]
    # Narrow enough to say something: in half of the gates less than a fifth of the events is unsure.
    assert assert_drawn(tables["hierarchy"], tables["populations"], 270) < 0.2


def test_outlines_of_bcell_gates_enclose_their_events(bcell):
    tables = bcell[0]
    # Its two boolean gates have no outline.
    assert assert_drawn(tables["hierarchy"], tables["populations"], 20) < 0.2


def test_outlines_of_gating_ml_gates_enclose_their_events(reference):
    """Rectangles, polygons, ellipses and quadrants on every transform of the standard."""
    folder = reference / "cytometry" / "gatingml_compliance"
    fcs = read_fcs(folder / "data1.fcs")
    table = gates.EventTable("data1", fcs, fcs.events, fcs.spillover)
    gating = gates.read_gatingml(folder / "gml" / "gml_all_gates.xml")
    inside = gates.apply_gates(gating, table)
    rows = hierarchy_rows("data1", fcs, table, Events(fcs.events), inside, gating, DEFAULT_LOGICLE)
    drawn = pd.DataFrame(rows, columns=HIERARCHY_COLUMNS)
    base = {"acquisition": "data1", "subject": "s", "role": "patient", "day": 0, "panel": "p"}
    counts = pd.DataFrame(population_rows(base, inside.counts, len(fcs.events), "imported", 0))
    # Of these, on three channels, the outline on two holds events that the third keeps out.
    projected = {name for name in inside if name.startswith("FSC") and "-FL1" in name}
    assert_drawn(drawn, counts, 23, projected)


@pytest.fixture
def workspace(reference, tmp_path):
    """The workspace's text, and a function that writes a changed one."""
    folder = reference / "cytometry" / "flowatlas_tcell"
    text = (folder / "workspace.wsp").read_text(encoding="utf-8")

    def write(changed: str):
        path = tmp_path / "changed.wsp"
        path.write_text(changed, encoding="utf-8")
        return gates.FlowJoWorkspace(path)

    return folder, text, write


def test_slash_in_a_gate_name_does_not_break_the_path(workspace):
    folder, text, write = workspace
    fcs = read_fcs(folder / "fcs" / "423_Donor_Lung_032.fcs")
    table = gates.EventTable("x", fcs, fcs.events, None, flowjo_names=True)
    before = gates.apply_gates(write(text).gating(fcs), table)
    changed = write(text.replace('name="T cells"', 'name="T/NK cells"'))
    after = gates.apply_gates(changed.gating(fcs), table)
    assert len(after) == len(before)
    for path, mask in before.items():
        assert np.array_equal(after[path.replace("T cells", "T\u2215NK cells")], mask)


BOOLEANS = """
<NotNode name="no {a}" owningGroup=""><Dependents><Dependent name="{a}"/></Dependents><Subpopulations>
<AndNode name="both" owningGroup=""><Dependents><Dependent name="{b}"/><Dependent name="{b}/{c}"/></Dependents>
</AndNode></Subpopulations></NotNode>
<OrNode name="either" owningGroup=""><Dependents><Dependent name="{a}"/><Dependent name="{b}"/></Dependents></OrNode>
"""


def test_boolean_gates_of_flowjo(workspace):
    """NOT, AND and OR nodes, one below another, and operands whose names have a slash."""
    folder, text, write = workspace
    text = text.replace('name="T cells"', 'name="T/NK cells"')
    fcs = read_fcs(folder / "fcs" / "423_Donor_Lung_032.fcs")
    sample = text.index('<SampleNode name="423_Donor_Lung_032.fcs"')
    first = text.index("<Subpopulations>", sample) + len("<Subpopulations>")
    added = BOOLEANS.format(a="B cells", b="non-B", c="T/NK cells")
    gating = write(text[:first] + added + text[first:]).gating(fcs)
    table = gates.EventTable("f", fcs, fcs.events, None, flowjo_names=True)
    assert_as_flowkit(gating, table)
    inside = gates.apply_gates(gating, table)
    a, b, c = inside["B cells"], inside["non-B"], inside["non-B/T\u2215NK cells"]
    assert 0 < c.sum() < b.sum()
    assert a.sum() > 0
    assert np.array_equal(inside["no B cells"], ~a)
    assert np.array_equal(inside["no B cells/both"], ~a & b & c)
    assert np.array_equal(inside["either"], a | b)


def test_samples_are_matched_strictly(workspace):
    folder, text, write = workspace
    fcs = read_fcs(folder / "fcs" / "423_Donor_Lung_032.fcs")
    with pytest.raises(InputError, match=r"2 samples have the name of .*423_Donor_Lung_032\.fcs"):
        write(text.replace("423_Donor_Liver_022.fcs", "423_Donor_Lung_032.fcs")).gating(fcs)
    with pytest.raises(InputError, match="workspace_sample"):
        write(text).gating(fcs, "423_Donor_Lung")
    with pytest.raises(InputError, match=r"has 5200 events there \(\$TOT\)"):
        write(text.replace('"$TOT"  value="5199"', '"$TOT"  value="5200"')).gating(fcs)


@pytest.mark.parametrize(
    "content",
    [
        b"not xml",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>',
        b'<Workspace flowJoVersion="9.0"/>',
    ],
)
def test_what_is_no_gates_document_is_refused(content, tmp_path):
    path = tmp_path / "gates.xml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"gates\.xml"):
        gates.read_gatingml(path)
    with pytest.raises(InputError, match=r"gates\.xml"):
        gates.FlowJoWorkspace(path)


def test_missing_channel_is_named(reference):
    folder = reference / "cytometry"
    fcs = read_fcs(folder / "flowatlas_tcell" / "fcs" / "390C_Ileum_028.fcs")
    gating = gates.read_gatingml(folder / "gatingml_compliance" / "gml" / "gml_rect1_gate.xml")
    table = gates.EventTable("ileum", fcs, fcs.events, None)
    with pytest.raises(InputError, match="ileum: its gates cannot be applied: SSC-H is not found"):
        gates.apply_gates(gating, table)


def test_xml_ids():
    assert gates.xml_id("CD45RA+") == "CD45RApos"
    assert gates.xml_id("CD45RA-") == "CD45RAneg"
    assert gates.xml_id("T cells", {"T_cells"}) == "T_cells.2"
    assert gates.xml_id("4-1BB/x") == "_4-1BB_x"
