"""What a user gets wrong is told all at once: file, line, column, value, what was expected."""

import re
import textwrap

import pytest
import yaml

from immunotrace.case import load_case, read_timeline
from immunotrace.errors import InputError

ACQUISITIONS = """\
acquisition	subject	role	day	panel	staining	batch	fcs
a1	P1	patient	-1	T	full	run1	raw/a1.fcs
a2	P1	patient	7	T	full	run2	raw/a2.fcs
a3	P1	patient	-1	T	FMO:CCR7	run1	raw/a3.fcs
"""
PANELS = """\
panels:
  T:
    title: T cells
    lineage: T
    markers:
      CD3: {channel: A, threshold: valley}
      CCR7: {channel: B, threshold: fmo}
    gates: {source: template, file: gates.yaml}
    quantify:
      populations: [cells/T cells/CD4]
      markers: [CCR7]
"""
GATES = """\
cuts:
  CD3: {method: valley, population: cells}
gates:
  - {name: cells, method: scatter, channels: [FSC-A, SSC-A]}
  - {name: T cells, parent: cells, method: cuts, above: [CD3]}
  - {name: CD4, parent: cells/T cells, method: cuts, above: [CD3]}
"""
PLATES = """\
plate	subject	role	day	drug	dose_unit	readout	format	file	map
p1	P1	patient	-1	methylprednisolone	ng/ml	cpm	topcount_grid	raw/p1.txt	map.tsv
"""
MAP = "well\twell_role\tdose\nA1\tsample\t5\nA2\tcontrol\t\nA3\tblank\t\n"
CONFIG = """\
case:
  title: a case
  patient: P1
acquisitions: sheets/acquisitions.tsv
panels: sheets/panels.yaml
plates: sheets/plates.tsv
timeline: sheets/timeline.tsv
claims: sheets/claims.yaml
"""
TIMELINE = "subject\tday\tend_day\tkind\tname\tvalue\tunit\nP1\t0\t\tinfusion\tMSC\t\t\n"
CLAIMS = """\
claims:
  - claim: C1
    title: CCR7
    statement: fell
    kind: change
    measurement: percent_positive
    marker: CCR7
    populations: [cells/T cells/CD4]
    direction: decrease
    course: transient
    window: [1, 60]
    return_window: [61, 365]
    minimal_change: 0.2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    sheets = tmp_path / "sheets"
    (sheets / "raw").mkdir(parents=True)
    for name in ("a1.fcs", "a2.fcs", "a3.fcs", "p1.txt"):
        (sheets / "raw" / name).write_text("raw")
    for name, text in {
        "sheets/acquisitions.tsv": ACQUISITIONS,
        "sheets/panels.yaml": PANELS,
        "sheets/gates.yaml": GATES,
        "sheets/plates.tsv": PLATES,
        "sheets/map.tsv": MAP,
        "sheets/timeline.tsv": TIMELINE,
        "sheets/claims.yaml": CLAIMS,
        "config.yaml": CONFIG,
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def load():
    with open("config.yaml") as file:
        return load_case(yaml.safe_load(file), ["config.yaml"])


def problems():
    with pytest.raises(InputError) as caught:
        load()
    return str(caught.value)


SECOND_GRID = PLATES.replace("map\n", "map\tgrid\n").replace("map.tsv\n", "map.tsv\tA\n") + (
    "p2\tP1\tpatient\t7\tmethylprednisolone\tng/ml\tcpm\ttopcount_grid\traw/p1.txt\tmap.tsv\tB\n"
)


def test_a_file_may_hold_several_plates_by_grid(folder):
    (folder / "sheets" / "plates.tsv").write_text(SECOND_GRID)
    case = load()
    assert [(row["plate"], row["file"], row["grid"]) for row in case.plates] == [
        ("p1", "sheets/raw/p1.txt", "A"),
        ("p2", "sheets/raw/p1.txt", "B"),
    ]


def test_a_grid_may_hold_several_curves_but_no_sample_of_two(folder):
    sheet = folder / "sheets" / "plates.tsv"
    sheet.write_text(SECOND_GRID.replace("\tB\n", "\tA\n"))
    assert (
        "plates.tsv line 3, column file: 'raw/p1.txt' gives its well A1 to the row on line 2 already"
        in problems()
    )
    sheet.write_text(SECOND_GRID.replace("map.tsv\tB\n", "other.tsv\tA\n"))
    # The controls A2 are shared.
    (folder / "sheets" / "other.tsv").write_text(MAP.replace("A1", "A4"))
    assert len(load().plates) == 2


def test_a_right_case_is_read(folder):
    case = load()
    assert [row["fcs"] for row in case.acquisitions] == [
        "sheets/raw/a1.fcs",
        "sheets/raw/a2.fcs",
        "sheets/raw/a3.fcs",
    ]
    assert case.acquisitions[0]["day"] == -1
    assert case.plates[0]["map"][0] == {"well": "A1", "well_role": "sample", "dose": 5.0}
    assert case.panels["T"]["gates"]["file"] == "sheets/gates.yaml"
    assert case.settings["cytometry"]["fmo_quantile"] == 0.998
    assert not case.simulated
    assert case.batches == ["run1", "run2"]


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (
            "config.yaml",
            "plates: sheets/plates.tsv",
            "plats: sheets/plates.tsv",
            r"config.yaml line 6: unknown key 'plats'. Did you mean 'plates'\?",
        ),
        (
            "config.yaml",
            "claims:",
            "seed: ten\nclaims:",
            r"config.yaml line 8: 'seed' is 'ten'; expected a whole number",
        ),
        (
            "config.yaml",
            "claims:",
            "cytometry: {fmo_quantile: 2}\nclaims:",
            r"config.yaml line 8: 'cytometry.fmo_quantile' is 2; expected: .*between 0.5 and 1",
        ),
        (
            "config.yaml",
            "  patient: P1\n",
            "",
            r"config.yaml line 1: 'case.patient' is missing: the patient's code",
        ),
        (
            "config.yaml",
            "  patient: P1\n",
            "  patient: P2\n",
            r"config.yaml line 3: case.patient is 'P2', which no row .* role patient; .*: P1",
        ),
        (
            "config.yaml",
            "  title: a case\n",
            "  title: a case\n  title: again\n",
            r"config.yaml line 3: the key 'title' stands already on line 2",
        ),
        ("sheets/panels.yaml", "title: T cells", "title: [", r"panels.yaml line 5: not valid YAML"),
        (
            "config.yaml",
            "sheets/plates.tsv",
            "sheets/plate.tsv",
            r"sheets/plate.tsv: no such file",
        ),
        (
            "sheets/acquisitions.tsv",
            "a2\tP1\tpatient\t7",
            "a2\tP1\tpatient\tseven",
            r"acquisitions.tsv line 3, column day: 'seven'; expected a whole number",
        ),
        (
            "sheets/acquisitions.tsv",
            "a2\tP1\tpatient",
            "a1\tP1\tpatient",
            r"acquisitions.tsv line 3, column acquisition: 'a1' stands already on line 2",
        ),
        (
            "sheets/acquisitions.tsv",
            "a2\tP1\tpatient",
            "a2\tP1\tpatent",
            r"line 3, column role: is 'patent'; expected one of patient, control. Did you mean 'pat",
        ),
        (
            "sheets/acquisitions.tsv",
            "a2\tP1\tpatient",
            "../a2\tP1\tpatient",
            r"line 3, column acquisition: is '../a2'; expected: a name of its own",
        ),
        (
            "sheets/acquisitions.tsv",
            "staining\tbatch",
            "stainin\tbatch",
            r"line 1: unknown column 'stainin'. Did you mean 'staining'\?",
        ),
        (
            "sheets/acquisitions.tsv",
            "raw/a2.fcs",
            "raw/b2.fcs",
            r"acquisitions.tsv line 3, column fcs: no file 'raw/b2.fcs' beside the sheet",
        ),
        (
            "sheets/acquisitions.tsv",
            "run2\traw/a2.fcs",
            "run2",
            r"acquisitions.tsv line 3: 7 cells, the heading has 8 columns",
        ),
        (
            "sheets/acquisitions.tsv",
            "\tT\tfull\trun2",
            "\tTcell\tfull\trun2",
            r"line 3, column panel: 'Tcell' is not in sheets/panels.yaml, which has T",
        ),
        (
            "sheets/acquisitions.tsv",
            "FMO:CCR7",
            "FMO:CCR8",
            r"line 4, column staining: the panel 'T' has no marker 'CCR8'",
        ),
        (
            "sheets/acquisitions.tsv",
            "a3\tP1\tpatient\t-1\tT\tFMO:CCR7\trun1\traw/a3.fcs\n",
            "",
            r"no row with subject 'P1', panel 'T' and staining 'FMO:CCR7', while sheets/panels.yaml line 7",
        ),
        (
            "sheets/panels.yaml",
            "markers: [CCR7]",
            "markers: [CCR6]",
            r"panels.yaml line 11: 'CCR6' is none of the markers of panel 'T'. Did you mean 'CCR7'\?",
        ),
        (
            "sheets/panels.yaml",
            "gates.yaml",
            "gate.yaml",
            r"panels.yaml line 8: no file 'gate.yaml' beside it",
        ),
        (
            "sheets/panels.yaml",
            "[cells/T cells/CD4]",
            "[cells/T cells/CD14]",
            r"panels.yaml line 10: 'cells/T cells/CD14' is none of the populations of panel 'T'",
        ),
        (
            "sheets/gates.yaml",
            "method: scatter",
            "method: scater",
            r"gates.yaml line 4: 'gates.0.method' is 'scater'; expected .* Did you mean 'scatter'",
        ),
        (
            "sheets/gates.yaml",
            "parent: cells,",
            "parent: cell,",
            r"gates.yaml line 5: the parent 'cell' of 'T cells' is no gate above it. Did you mean",
        ),
        (
            "sheets/plates.tsv",
            "ng/ml",
            "ng",
            r"plates.tsv line 2, column dose_unit: is 'ng'; expected one of ng/ml",
        ),
        (
            "sheets/plates.tsv",
            "p1\tP1\tpatient",
            "p1\tP1\tcontrol",
            r"plates.tsv line 2, column role: 'control', but 'P1' is 'patient' in an earlier row",
        ),
        (
            "sheets/map.tsv",
            "A1\tsample\t5",
            "A1\tsample\tnan",
            r"map.tsv line 2, column dose: 'nan'; expected a number",
        ),
        (
            "sheets/acquisitions.tsv",
            "a2\tP1\tpatient\t7",
            "a2\tP1\tpatient\t1_0",
            r"acquisitions.tsv line 3, column day: '1_0'; expected a whole number",
        ),
        (
            "sheets/claims.yaml",
            "minimal_change: 0.2",
            "minimal_change: .nan",
            r"claims.yaml line 13: 'minimal_change' of claim 'C1' is nan; expected a finite number",
        ),
        (
            "sheets/claims.yaml",
            "measurement: percent_positive\n    marker: CCR7\n    populations: [cells/T cells/CD4]",
            "measurement: percent_of_parent\n    populations: [cells/T cells/CD14]",
            r"claims.yaml line 7: no gate makes the population 'cells/T cells/CD14'. Did you mean",
        ),
        (
            "sheets/claims.yaml",
            "measurement: percent_positive",
            "measurement: absolute_ic50",
            r"claims.yaml line 7: absolute_ic50 has no marker; remove it",
        ),
        (
            "sheets/gates.yaml",
            "population: cells}",
            "population: cells/T cells}",
            r"gates.yaml line 2: the cut of 'CD3' is sought in a population that this cut itself",
        ),
        (
            "sheets/map.tsv",
            "A2\tcontrol\t",
            "A2\tcontrol\t0",
            r"map.tsv line 3, column dose: is 0.0; expected",
        ),
        (
            "sheets/map.tsv",
            "A2\tcontrol",
            "A1\tcontrol",
            r"map.tsv line 3, column well: 'A1' stands already",
        ),
        (
            "sheets/map.tsv",
            "A2\tcontrol",
            "A1:B2\tcontrol",
            r"map.tsv line 3, column well: 'A1' stands already on line 2",
        ),
        (
            "sheets/map.tsv",
            "A2\tcontrol",
            "B2:A2\tcontrol",
            r"map.tsv line 3, column well: 'B2:A2' ends above or left of where it begins",
        ),
        (
            "sheets/timeline.tsv",
            "infusion\tMSC",
            "infused\tMSC",
            r"timeline.tsv line 2, column kind: is 'infused'; expected one of infusion",
        ),
        (
            "sheets/claims.yaml",
            "marker: CCR7",
            "marker: CCR9",
            r"claims.yaml line 7: 'CCR9' is quantified in no panel; expected one of CCR7",
        ),
        (
            "sheets/claims.yaml",
            "[cells/T cells/CD4]",
            "[cells/T cells/CD5]",
            r"claims.yaml line 8: markers are quantified in no population 'cells/T cells/CD5'.*Did you mean",
        ),
        (
            "sheets/claims.yaml",
            "    return_window: [61, 365]\n",
            "",
            r"claims.yaml line 2: 'return_window' of claim 'C1' is missing",
        ),
        (
            "sheets/claims.yaml",
            "window: [1, 60]",
            "window: [60, 1]",
            r"claims.yaml line 11: window begins on day 60 and ends on day 1",
        ),
    ],
)
def test_one_mistake(folder, path, old, new, expected):
    edit(folder / path, old, new)
    text = problems()
    # At most one more, where the mistake has a consequence elsewhere.
    assert text.startswith(("1 problem ", "2 problems ")), text
    assert re.search(expected, text), text


CLINICAL = """\
  - claim: C6
    title: benefit
    statement: none
    kind: clinical
    score: {score}
    window: [1, 60]
    minimal_change: 0.3
    rescue_within: 365
"""
COMPOSITE = """\
  - claim: all
    title: receptors
    statement: all fell
    kind: composite
    claims: [C1, {name}]
"""


def test_a_score_that_the_timeline_does_not_have(folder):
    (folder / "sheets/claims.yaml").write_text(CLAIMS + CLINICAL.format(score="PCDIA"))
    score = "P1\t-1\t\tscore\tPCDAI\t45\tpoints\nP2\t-1\t\tscore\tCDAI\t45\tpoints\n"
    other = (
        PLATES
        + "p2\tP2\tpatient\t7\tmethylprednisolone\tng/ml\tcpm\ttopcount_grid\traw/a1.fcs\tmap.tsv\n"
    )
    (folder / "sheets/plates.tsv").write_text(other)
    (folder / "sheets/timeline.tsv").write_text(TIMELINE + score)
    expected = (
        "claims.yaml line 18: the timeline has no score 'PCDIA' of P1; expected one of PCDAI."
    )
    assert expected in problems()
    (folder / "sheets/claims.yaml").write_text(CLAIMS + CLINICAL.format(score="PCDAI"))
    load()


def test_a_composite_claim_of_claims_that_there_are(folder):
    other = CLAIMS.removeprefix("claims:\n").replace("claim: C1", "claim: C2")
    (folder / "sheets/claims.yaml").write_text(CLAIMS + other + COMPOSITE.format(name="C3"))
    assert re.search(
        r"claims.yaml line \d+: no claim is named 'C3'; expected one of C1, C2", problems()
    )
    (folder / "sheets/claims.yaml").write_text(CLAIMS + other + COMPOSITE.format(name="C2"))
    load()


def test_a_composite_or_clinical_claim_has_no_course_and_no_part_twice(folder):
    twice = COMPOSITE.format(name="C1")
    (folder / "sheets/claims.yaml").write_text(CLAIMS + twice)
    assert problems().startswith("1 problem ")
    assert "of the claims that a composite claim is made of, at least two, each once" in problems()
    (folder / "sheets/timeline.tsv").write_text(TIMELINE + "P1\t-1\t\tscore\tS\t45\tpoints\n")
    course = CLINICAL.format(score="S") + "    course: transient\n"
    (folder / "sheets/claims.yaml").write_text(CLAIMS + course)
    assert problems().startswith("1 problem ")
    assert "a clinical claim has no `course`; remove it" in problems()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLAIMS.replace("title: CCR7", "title: 2020-13-45"), "no date or number .month must be in"),
        (CLAIMS.replace("title: CCR7", "title: " + "9" * 5000), "no date or number .Exceeds"),
        ("claims: &all [*all]\n", "lists or groups hold themselves"),
        ("claims: " + "[" * 2000 + "]" * 2000, "nested too deep"),
    ],
    ids=["date", "number", "cycle", "deep"],
)
def test_yaml_that_only_looks_like_data_is_one_problem(folder, text, expected):
    (folder / "sheets/claims.yaml").write_text(text)
    assert problems().startswith("1 problem ")
    assert re.search(rf"claims.yaml: .*{expected}", problems())


B_PANEL = """\
  B:
    title: B cells
    lineage: B
    markers:
      CD3: {channel: A, threshold: valley}
      IgM: {channel: B, threshold: valley}
    gates: {source: template, file: gates.yaml}
    quantify:
      populations: [cells/T cells]
      markers: [IgM]
"""
SECOND_DRUG = "p2\tP1\tpatient\t7\tdexamethasone\tng/ml\tcpm\ttopcount_grid\traw/a1.fcs\tmap.tsv\n"
IC50 = {"measurement": "absolute_ic50", "marker": None, "populations": None}
SHARE = {"measurement": "percent_of_parent", "marker": None}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"panel": "Q"}, "there is no panel 'Q'; expected one of T, B"),
        ({"panel": "B"}, "'CCR7' is not measured in 'cells/T cells/CD4' of panel 'B'"),
        ({"marker": "IgM"}, "'IgM' is not measured in 'cells/T cells/CD4'; expected one of cells/T cells."),
        ({"marker": "IgM", "populations": ["cells/T cells"]}, "panel B, of which P1 has no full stain"),
        ({"marker": None}, "percent_positive needs `marker`"),
        ({"measurement": "median_all", "drug": "dexamethasone"}, "median_all has no drug; remove it"),
        ({**SHARE, "marker": "CCR7"}, "percent_of_parent has no marker; remove it"),
        ({**SHARE, "populations": ["cells/T cells/CD8"]}, "no gate makes the population 'cells/T cells/CD8'"),
        (IC50, "P1 has plates of several drugs; name one of dexamethasone, methylprednisolone as `drug`"),
        ({**IC50, "drug": "dexametasone"}, "no plate of P1 has the drug 'dexametasone'.*Did you mean"),
        ({**IC50, "drug": "dexamethasone", "panel": "T"}, "absolute_ic50 has no panel; remove it"),
        ({"window": [-30, 0]}, "window ends on day 0, but days up to 0 are baseline"),
        ({"return_window": [-30, -1]}, "return_window ends on day -1, but days up to 0 are baseline"),
        ({"window": [10, 60], "return_window": [1, 8]}, "return_window ends on day 8 and window begins on day 10"),
        ({"score": "PCDAI"}, "a change claim has no `score`; remove it"),
        ({"rescue_within": 30}, "a change claim has no `rescue_within`; remove it"),
        ({"course": "any"}, "a claim of course any has no `return_window`; remove it"),
        ({"course": "none", "return_window": None}, "a claim of course none is of either `direction`"),
        ({"kind": None}, "'kind' of claim 'C1' is missing"),
        ({"course": ["any"]}, "'course' of claim 'C1' is \\['any'\\]; expected text"),
        ({"window": [6, 1]}, "window begins on day 6 and ends on day 1"),
        ({"populations": ["cells/T cells/CD4"] * 2}, "expected: full paths of populations, each once"),
    ],
)  # fmt: skip
def test_a_claim_that_nothing_can_answer_is_one_problem(folder, changed, expected):
    edit(folder / "sheets/panels.yaml", PANELS, PANELS + B_PANEL)
    edit(folder / "sheets/plates.tsv", PLATES, PLATES + SECOND_DRUG)
    claim = yaml.safe_load(CLAIMS)["claims"][0] | changed
    claim = {name: value for name, value in claim.items() if value is not None}
    (folder / "sheets/claims.yaml").write_text(yaml.safe_dump({"claims": [claim]}))
    text = problems()
    assert text.startswith("1 problem "), text
    assert re.search(expected, text), text


def test_a_population_of_two_panels_needs_the_panel(folder):
    edit(folder / "sheets/panels.yaml", PANELS, PANELS + B_PANEL)
    more = "b1\tP1\tpatient\t7\tB\tfull\trun2\traw/b1.fcs\n"
    edit(folder / "sheets/acquisitions.tsv", ACQUISITIONS, ACQUISITIONS + more)
    (folder / "sheets/raw/b1.fcs").write_text("raw")
    claim = yaml.safe_load(CLAIMS)["claims"][0] | SHARE
    claim = {name: value for name, value in claim.items() if value is not None}
    (folder / "sheets/claims.yaml").write_text(yaml.safe_dump({"claims": [claim]}))
    assert "is measured by the panels T and B; name one of them as `panel`" in problems()
    (folder / "sheets/claims.yaml").write_text(yaml.safe_dump({"claims": [claim | {"panel": "T"}]}))
    load()


def test_days_that_were_not_sampled(folder):
    # P1 was sampled on days -1 and 7. A window in between is a mistake, one that lies ahead is not.
    edit(folder / "sheets/claims.yaml", "window: [1, 60]", "window: [2, 6]")
    assert re.search(r"claims.yaml line 11: P1 has no sample on days 2 to 6; .* days 7", problems())
    edit(folder / "sheets/claims.yaml", "window: [2, 6]", "window: [8, 60]")
    load()
    edit(folder / "sheets/claims.yaml", "window: [8, 60]", "window: [1, 2]")
    edit(folder / "sheets/claims.yaml", "return_window: [61, 365]", "return_window: [3, 5]")
    text = problems()
    assert "expected a window with one of the days 7" in text
    assert "expected a return_window with one of the days 7" in text


@pytest.mark.parametrize(
    ("window", "return_window", "expected"),
    [
        ([0, 60], [61, 365], "window begins on day 0, but days up to 0 are baseline"),
        ([10, 60], [5, 365], "return_window begins on day 5 and window ends on day 60"),
        ([1, 60], [60, 365], "return_window begins on day 60 and window ends on day 60"),
    ],
)
def test_windows_lie_after_the_infusion_and_one_after_the_other(
    folder, window, return_window, expected
):
    edit(folder / "sheets/claims.yaml", "window: [1, 60]", f"window: {window}")
    edit(
        folder / "sheets/claims.yaml", "return_window: [61, 365]", f"return_window: {return_window}"
    )
    text = problems()
    assert text.startswith("1 problem ")
    assert expected in text


def test_a_window_that_lies_ahead_is_allowed(folder):
    edit(folder / "sheets/claims.yaml", "window: [1, 60]", "window: [400, 500]")
    edit(folder / "sheets/claims.yaml", "return_window: [61, 365]", "return_window: [501, 600]")
    load()


def test_a_misspelt_subject_of_the_timeline(folder):
    edit(folder / "config.yaml", "patient: P1", "patient: PAT1")
    for name in ("acquisitions", "plates", "timeline"):
        path = folder / f"sheets/{name}.tsv"
        path.write_text(path.read_text().replace("P1\t", "PAT1\t"))
    sheet = folder / "sheets/timeline.tsv"
    sheet.write_text(sheet.read_text() + 2 * "PTA1\t7\t\tinfusion\tMSC\t\t\n")
    text = problems()
    assert text.startswith("1 problem ")
    assert (
        "timeline.tsv lines 3, 4, column subject: 'PTA1' is in no other sheet and is not the subject of "
        "`case`; expected one of PAT1. Did you mean 'PAT1'?" in text
    )


@pytest.mark.parametrize("code", ["MCS01", "MSC1", "msc01", "MSC-01", "MSCO1"])
def test_a_subject_that_is_nearly_the_patient(folder, code):
    edit(folder / "config.yaml", "patient: P1", "patient: MSC01")
    for name in ("acquisitions", "plates", "timeline"):
        path = folder / f"sheets/{name}.tsv"
        path.write_text(path.read_text().replace("P1\t", "MSC01\t"))
    sheet = folder / "sheets/acquisitions.tsv"
    right = sheet.read_text()
    # The full stain of day 7 and the FMO control: one line, and no line about a missing control.
    sheet.write_text(right.replace("a2\tMSC01", f"a2\t{code}").replace("a3\tMSC01", f"a3\t{code}"))
    text = problems()
    assert text.startswith("1 problem "), text
    assert f"acquisitions.tsv lines 3, 4, column subject: {code!r} is not the subject" in text
    assert "Did you mean 'MSC01'?" in text


@pytest.mark.parametrize("code", ["MSC02", "MSC10", "UC01", "P7"])
def test_another_patient_is_allowed(folder, code):
    edit(folder / "config.yaml", "patient: P1", "patient: MSC01")
    for name in ("acquisitions", "plates", "timeline"):
        path = folder / f"sheets/{name}.tsv"
        path.write_text(path.read_text().replace("P1\t", "MSC01\t"))
    sheet = folder / "sheets/plates.tsv"
    row = f"p2\t{code}\tpatient\t7\tmethylprednisolone\tng/ml\tcpm\ttopcount_grid\traw/a1.fcs\tmap.tsv\n"
    sheet.write_text(sheet.read_text() + row)
    # One number for another may be a slip or another patient: it is said.
    told = [
        warning for warning in load().warnings if "no claim is answered from this row" in warning
    ]
    assert [warning.split(":")[0] for warning in told] == (
        ["sheets/plates.tsv line 3, column subject"] if code.startswith("MSC") else []
    )


FOLLOW_ON = [
    ("config.yaml", "title:", "titel:", "Did you mean 'title'"),
    ("config.yaml", "patient: P1", "patient: P1q", "case.patient is 'P1q', which no row"),
    ("config.yaml", "plates: sheets/plates.tsv", "plats: sheets/plates.tsv", "unknown key 'plats'"),
    ("config.yaml", "panels: sheets", "panel: sheets", "unknown key 'panel'. Did you mean 'panels'?"),
    ("sheets/claims.yaml", "rescue_within:", "rescue_withn:", "unknown key 'rescue_withn' of claim 'C6'"),
    ("sheets/panels.yaml", "markers: [CCR7]", "markers: [CCR77]", "'CCR77' is none of the markers"),
    ("config.yaml", "plates: sheets/plates.tsv", "plates: 5", "'plates' is 5; expected text"),
    ("config.yaml", "timeline: sheets/timeline.tsv", "timeline: 5", "'timeline' is 5"),
    ("sheets/plates.tsv", "drug\tdose", "drugs\tdose", "unknown column 'drugs'"),
    ("sheets/plates.tsv", "-1\tmethylprednisolone\tng/ml", "-1\tmethylprednisolone\tng/mL", "is 'ng/mL'"),
    ("sheets/plates.tsv", "-1\tmethylprednisolone", "-1\t", "line 2, column drug: empty"),
    ("sheets/plates.tsv", "patient\t-1", "patient\tx", "column day: 'x'"),
    ("sheets/map.tsv", "sample\t5", "sample\tfive", "column dose: 'five'; expected a number"),
    ("sheets/map.tsv", "A2\tcontrol", "A2\tcontrl", "line 3, column well_role: is 'contrl'"),
    ("sheets/timeline.tsv", "kind\tname", "kind\tnaem", "unknown column 'naem'"),
    ("sheets/acquisitions.tsv", "a3\tP1\t", "a3\t\t", "line 4, column subject: empty"),
    ("sheets/acquisitions.tsv", "FMO:CCR7", "FMO:CCR8", "no marker 'CCR8'"),
    ("sheets/acquisitions.tsv", "-1\tT\tFMO", "-1\tTt\tFMO", "'Tt' is not in"),
    ("sheets/acquisitions.tsv", "subject\trole", "subjct\trole", "unknown column 'subjct'"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "old", "new", "expected"), FOLLOW_ON)
def test_a_mistake_has_no_follow_on_lines(folder, path, old, new, expected):
    # A second plate, and claims that ask every sheet.
    second = (
        "p2\tP1\tpatient\t7\tmethylprednisolone\tng/ml\tcpm\ttopcount_grid\traw/a1.fcs\tmap.tsv\n"
    )
    (folder / "sheets/plates.tsv").write_text(PLATES + second)
    (folder / "sheets/timeline.tsv").write_text(TIMELINE + "P1\t-1\t\tscore\tPCDAI\t45\tpoints\n")
    claim = yaml.safe_load(CLAIMS)["claims"][0]
    ic50 = {k: v for k, v in claim.items() if k not in ("marker", "populations")}
    ic50 |= {"claim": "C2", "measurement": "absolute_ic50", "drug": "methylprednisolone"}
    clinical = yaml.safe_load(CLINICAL.format(score="PCDAI"))
    (folder / "sheets/claims.yaml").write_text(yaml.safe_dump({"claims": [claim, ic50, *clinical]}))
    load()
    edit(folder / path, old, new)
    text = problems()
    assert expected in text
    assert text.startswith("1 problem "), text


def test_the_same_problem_of_several_rows_is_one_line(folder):
    more = "a4\tP1\tpatient\t7\tT\tFMO:CCR8\trun2\traw/a4.fcs\na5\tP1\tpatient\t9\tT\tFMO:CCR8\trun2\traw/a5.fcs\n"
    edit(folder / "sheets/acquisitions.tsv", ACQUISITIONS, ACQUISITIONS + more)
    for name in ("a4.fcs", "a5.fcs"):
        (folder / "sheets/raw" / name).write_text("raw")
    text = problems()
    assert text.startswith("1 problem ")
    assert (
        "acquisitions.tsv lines 5, 6, column staining: the panel 'T' has no marker 'CCR8'" in text
    )


def test_a_missing_file_is_named_once(folder, monkeypatch):
    (folder / "sheets/raw/a2.fcs").unlink()
    assert "no file 'raw/a2.fcs' beside the sheet (looked for 'sheets/raw/a2.fcs')." in problems()
    for path in (folder / "sheets").iterdir():
        path.rename(folder / path.name)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("sheets/", ""))
    assert "no file 'raw/a2.fcs' beside the sheet. Put it there" in problems()


def test_a_cv_of_the_literature_needs_its_source(folder):
    config = (folder / "config.yaml").read_text()
    usual = "longitudinal: {variation: {percent_positive: {cv: 0.1SOURCE}}}\n"
    (folder / "config.yaml").write_text(config + usual.replace("SOURCE", ""))
    assert "longitudinal.variation.percent_positive.source" in problems()
    (folder / "config.yaml").write_text(config + usual.replace("SOURCE", ", source: Someone 2001"))
    assert load().settings["longitudinal"]["variation"]["percent_positive"]["cv"] == 0.1


def test_all_mistakes_in_one_pass(folder):
    edit(folder / "sheets/acquisitions.tsv", "raw/a2.fcs", "raw/b2.fcs")
    edit(folder / "sheets/plates.tsv", "ng/ml", "ng")
    edit(folder / "sheets/claims.yaml", "marker: CCR7", "marker: CCR9")
    edit(folder / "sheets/timeline.tsv", "infusion", "infused")
    text = problems()
    assert text.startswith("4 problems ")
    assert [line.strip()[:2] for line in text.splitlines()[1:]] == ["1.", "2.", "3.", "4."]


def test_a_mistake_in_the_configuration_hides_none_in_the_sheets(folder):
    edit(folder / "config.yaml", "title:", "titel:")
    edit(folder / "sheets/plates.tsv", "ng/ml", "ng")
    text = problems()
    assert "Did you mean 'title'?" in text
    assert "plates.tsv line 2, column dose_unit" in text


def test_two_dose_units_of_one_drug(folder):
    (folder / "sheets/raw/p2.txt").write_text("raw")
    row = (
        PLATES.splitlines()[1].replace("p1", "p2").replace("ng/ml", "nM").replace("\t-1\t", "\t7\t")
    )
    (folder / "sheets/plates.tsv").write_text(PLATES + row + "\n")
    assert "plates.tsv line 3, column dose_unit: 'nM', but 'methylprednisolone' is in" in problems()


def test_a_sheet_without_tabs(folder):
    (folder / "sheets/plates.tsv").write_text(PLATES.replace("\t", ","))
    text = problems()
    assert text.startswith("1 problem ")
    assert "expected columns with a tab between them" in text


def test_the_order_of_rows_means_nothing(folder):
    before = load()
    path = folder / "sheets/acquisitions.tsv"
    heading, *rows = path.read_text().splitlines()
    path.write_text("\n".join([heading, *reversed(rows)]) + "\n")
    assert load() == before


def test_a_plates_only_case(folder):
    (folder / "config.yaml").write_text(
        "case: {title: t, patient: P1}\nplates: sheets/plates.tsv\n"
    )
    case = load()
    assert case.acquisitions == []
    assert len(case.plates) == 1


def test_a_plate_map_of_rectangles(folder):
    edit(folder / "sheets/map.tsv", "A1\tsample\t5\n", "O23:P24\tsample\t5\nB1:B3\tsample\t1\n")
    wells = load().plates[0]["map"]
    assert [w["well"] for w in wells] == ["O23", "O24", "P23", "P24", "B1", "B2", "B3", "A2", "A3"]
    assert [w.get("dose") for w in wells] == [5] * 4 + [1] * 3 + [None] * 2


def test_neither_modality(folder):
    (folder / "config.yaml").write_text("case: {title: t, patient: P1}\n")
    assert "neither `acquisitions` nor `plates`" in problems()


@pytest.mark.parametrize("text", ["", "\n\n", "acquisition\tsubject\n", "\xff\xfe"])
def test_empty_and_broken_sheets(folder, text):
    (folder / "sheets/acquisitions.tsv").write_bytes(text.encode("latin-1"))
    assert "acquisitions.tsv" in problems()


def test_sheets_saved_by_spreadsheets(folder):
    # A byte order mark, Windows line ends, a comment and blank lines change nothing.
    path = folder / "sheets/acquisitions.tsv"
    expected = load().acquisitions
    text = "\ufeff" + path.read_text().replace("\n", "\r\n") + "\r\n\t\t\r\n"
    path.write_bytes(text.encode("utf-8"))
    assert load().acquisitions == expected


def test_timeline_rows(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text(
        textwrap.dedent(
            """\
            subject\tday\tend_day\tkind\tname\tvalue\tunit
            P1\t5\t3\tdrug\tprednisone\t\t
            P1\t5\t\tscore\tactivity\t\t
            """
        )
    )
    rows, found = read_timeline(str(path))
    assert len(rows) == 2
    assert "line 2, column end_day: 3 is before day 5" in found[0]
    assert "line 3, column value: empty" in found[1]


MOVED = """\
<gating:Gating-ML xmlns:gating="http://www.isac-net.org/std/Gating-ML/v2.0/gating"
  xmlns:data-type="http://www.isac-net.org/std/Gating-ML/v2.0/datatypes">
  <gating:RectangleGate gating:id="cells"/>
  <gating:RectangleGate gating:id="Tcells" gating:parent_id="cells">
    <data-type:custom_info><population>T cells</population></data-type:custom_info>
  </gating:RectangleGate>
</gating:Gating-ML>
"""
OVERRIDES = "acquisition\tpopulation\tgates\na1\tcells/T cells\tmoved.xml\n"


@pytest.fixture
def moved(folder):
    (folder / "sheets/moved.xml").write_text(MOVED)
    (folder / "sheets/gate_overrides.tsv").write_text(OVERRIDES)
    edit(folder / "config.yaml", "plates:", "gate_overrides: sheets/gate_overrides.tsv\nplates:")
    return folder


def test_moved_gates_belong_to_their_acquisition(moved):
    first, second, third = load().acquisitions
    assert first["gate_overrides"] == [{"population": "cells/T cells", "gates": "sheets/moved.xml"}]
    assert "gate_overrides" not in second
    assert "gate_overrides" not in third


def test_mistakes_in_gate_overrides(moved):
    sheet = moved / "sheets/gate_overrides.tsv"
    (moved / "results").mkdir()
    (moved / "results/S.xml").write_text(MOVED)
    (moved / "sheets/other.xml").write_text("<Workspace/>")
    rows = [
        "a1\tcells/T cells\tmoved.xml",
        "a9\tcells\tmoved.xml",
        "a2\tcells/T cell\tmoved.xml",
        "a2\tcells/T cells/CD4\tmoved.xml",
        "a3\tcells\tnowhere.xml",
        "a3\tcells/T cells\tother.xml",
        "a1\tcells\t../results/S.xml",
    ]
    sheet.write_text(OVERRIDES + "\n".join(rows) + "\n")
    text = problems()
    place = "sheets/gate_overrides.tsv line"
    for expected in (
        f"{place} 3, column population: 'cells/T cells' of 'a1' stands already on line 2",
        f"{place} 4, column acquisition: 'a9' is not in the acquisitions sheet.",
        f"{place} 5, column population: 'cells/T cell' is no gate of sheets/gates.yaml, which has "
        "cells, cells/T cells, cells/T cells/CD4. Did you mean 'cells/T cells'?",
        f"{place} 6, column gates: sheets/moved.xml has no gate for 'cells/T cells/CD4'; it has cells",
        f"{place} 7, column gates: no file 'nowhere.xml' beside the sheet",
        "sheets/other.xml: not a Gating-ML 2.0 document",
        f"{place} 9, column gates: results/S.xml is written by the pipeline",
    ):
        assert expected in text


def test_several_data_sets_of_a_file_and_a_matrix_of_ones_own(folder):
    path = folder / "sheets/acquisitions.tsv"
    lines = ACQUISITIONS.replace("a2.fcs", "a1.fcs").splitlines()
    cells = ["dataset\tspillover", "1\traw/matrix.csv", "2\t", "\t"]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(lines, cells, strict=True)))
    text = problems()
    assert "line 2, column spillover: no file 'raw/matrix.csv' beside the sheet" in text
    assert "stands already" not in text
    (folder / "sheets/raw/matrix.csv").write_text("A,B")
    first, second, third = load().acquisitions
    assert (first["dataset"], first["spillover"]) == (1, "sheets/raw/matrix.csv")
    assert (second["fcs"], second["dataset"]) == ("sheets/raw/a1.fcs", 2)
    assert not {"dataset", "spillover"} & set(third)
    path.write_text(path.read_text().replace("raw/a1.fcs\t2", "raw/a1.fcs\t1"))
    assert "line 3, column fcs: 'raw/a1.fcs' stands already on line 2" in problems()
    path.write_text(path.read_text().replace("raw/a1.fcs\t1\t\n", "raw/a1.fcs\t0\t\n"))
    assert "column dataset" in problems()
    edit(folder / "sheets/panels.yaml", "    gates:", "    compensation: none\n    gates:")
    assert (
        "the panel 'T' has `compensation: none`, so no matrix of this sheet is used" in problems()
    )


def test_codes_that_look_like_a_person_are_warned_of_with_their_rows(folder):
    assert load().warnings == []
    for path in (
        "sheets/acquisitions.tsv",
        "sheets/plates.tsv",
        "sheets/timeline.tsv",
        "config.yaml",
    ):
        text = (folder / path).read_text(encoding="utf-8")
        (folder / path).write_text(text.replace("P1\t", "Smith\t").replace("P1\n", "Smith\n"))
    edit(folder / "sheets/acquisitions.tsv", "a2\t", "a2_20150412\t")
    warnings = load().warnings
    assert [warning.split(". It will")[0] for warning in warnings] == [
        "sheets/acquisitions.tsv line 2, column subject: 'Smith' looks like a name",
        "sheets/acquisitions.tsv line 3, column acquisition: 'a2_20150412' looks like a date",
        "sheets/plates.tsv line 2, column subject: 'Smith' looks like a name",
    ]


def test_dates_in_texts_of_the_configuration_are_warned_of(folder):
    with open(folder / "config.yaml", "a", encoding="utf-8") as file:
        file.write("study:\n  diagnostics: Crohn, seen on 14-MAR-1987\n  dates: 2011 to 2013\n")
    (warning,) = load().warnings
    assert re.match(r"config\.yaml line \d+: study\.diagnostics holds a date\. It will", warning)
    assert "1987" not in warning
