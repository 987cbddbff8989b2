"""Methods, checklists and the provenance chapter say what was done, and what is missing."""

import copy

import pytest
from example_tables import example
from hypothesis import given
from hypothesis import strategies as st

from immunotrace.privacy import instrument
from immunotrace.report import checklists, methods, origins
from immunotrace.validation import load_schema, schema_problems, with_defaults

DAYS = 3


def configured(settings: dict) -> dict:
    """The example's case with all settings that there are."""
    case = example("full")[1]
    case["settings"] |= settings
    return case


def leaves(schema: dict, path: tuple = ()):
    for key, part in schema.get("properties", {}).items():
        if part.get("type") == "object" and "properties" in part:
            yield from leaves(part, (*path, key))
        else:
            yield (*path, key), part


def another(part: dict, value):
    """A valid value of a setting that is not the one it has."""
    if "enum" in part:
        return next(v for v in part["enum"] if v != value)
    if part["type"] == "boolean":
        return not value
    if part["type"] == "array":
        return value[:1] + ["another part"] if "enum" not in part["items"] else value[:1]
    if part["type"] == "object":
        if "propertyNames" in part:
            return {"percent_positive": {"cv": 0.1, "source": "Doe 2001"}}
        return {"methylprednisolone": 374.47}
    top = part.get("exclusiveMaximum", part.get("maximum"))
    return value + 1 if top is None or value + 1 < top else value - 0.01


SECTIONS = ("cytometry", "dose_response", "longitudinal")
LEAVES = [
    ((section, *path), part)
    for section in SECTIONS
    for path, part in leaves(load_schema("config")["properties"][section])
]


def written(case: dict) -> str:
    parts = [*methods.cytometry(case), *methods.dose_response(case), *methods.change(case, DAYS)]
    return "\n".join(parts)


@pytest.mark.parametrize(("path", "part"), LEAVES, ids=[".".join(path) for path, _ in LEAVES])
def test_no_setting_changes_without_a_word_in_the_methods(path, part):
    """A new key that the text passes over fails here."""
    defaults = with_defaults({name: {} for name in SECTIONS}, load_schema("config"))
    settings = {name: defaults[name] for name in SECTIONS}
    settings["dose_response"]["dose_unit"] = "nM"  # without it the molar masses are not used
    changed = copy.deepcopy(settings)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = another(part, place.get(path[-1]))
    assert not schema_problems(place[path[-1]], part, str)
    assert written(configured(settings)) != written(configured(changed))


def test_references_are_those_of_what_was_used():
    case = configured({})
    plain = " ".join(methods.references(case, DAYS))
    assert "bisquare" not in plain
    assert "FMO controls" in plain
    case["settings"]["dose_response"]["robust"] = True
    assert "bisquare" in " ".join(methods.references(case, DAYS))
    one_day = " ".join(methods.references(example("one_day")[1], 1))
    assert "IC50" not in one_day
    assert "reference change" not in one_day
    assert "FCS 3.1" not in " ".join(methods.references(example("plates_only")[1], DAYS))
    assert "Taddio" not in " ".join(methods.references(example("no_control")[1], DAYS))


def test_methods_of_change_speak_of_what_the_design_has():
    full = " ".join(methods.change(example("full")[1], DAYS))
    assert "own baseline days and all days of the control HC01" in full
    assert (
        "fractions on the logit scale, medians on the log scale and IC50s on the log scale" in full
    )
    alone = example("no_control")[1]
    assert "the patient's own baseline days alone" in " ".join(methods.change(alone, DAYS))
    alone["inputs"] = [entry for entry in alone["inputs"] if entry["day"] != -14]
    one = " ".join(methods.change(alone, DAYS))
    assert "of which there are none. So no change is judged." in one
    alone["settings"]["longitudinal"]["variation"] = {"median_all": {"cv": 0.1, "source": "Doe"}}
    assert "no change is judged" not in " ".join(methods.change(alone, DAYS))
    plates = " ".join(methods.change(example("plates_only")[1], DAYS))
    for absent in ("fractions", "medians", "Composition", "expression", "clinical"):
        assert absent not in plates, absent


def test_what_a_claim_is_judged_by_is_told():
    (claim, composite, clinical) = methods.claim_rows(
        {
            "longitudinal.level": 0.95,
            **{f"claims.C.1.{key}": value for key, value in {
                "kind": "change", "measurement": "percent_positive", "marker": "CCR4", "populations": ["a/CD4", "a/CD8"],
                "direction": "decrease", "course": "transient", "window": [-1, 60], "return_window": [61, 365],
                "minimal_change": 0.2, "level": 0.9}.items()},
            "claims.D.kind": "composite", "claims.D.claims": ["C.1", "E"],
            "claims.E.kind": "clinical", "claims.E.score": "PCDAI", "claims.E.rescue_within": 365,
        }
    )  # fmt: skip
    assert claim == {
        "claim": "C.1", "about": "percent positive CCR4 in CD4 and CD8", "expected": "decrease, transient",
        "window": "−1 to 60", "return_window": "61 to 365", "minimal_change": "20 %", "level": "90 %"}  # fmt: skip
    assert composite["about"] == "all of C.1 and E"
    assert (clinical["about"], clinical["level"]) == ("PCDAI; rescue by day 365", "")


def test_gates_of_a_workspace_are_said_to_be_there():
    tables, case = example("full")
    rows = checklists.miflowcyt(case, tables["populations"], tables["cytometry_qc"])
    assert "Gating-ML" in rows.set_index("item").loc["Boundaries of gates", "text"]
    traced = (case, tables["cytometry_qc"], tables["populations"], tables["markers"])
    assert origins.acquisition_rows(*traced)["gates"].iloc[0] == "run1/gates/MSC01_run1_T.xml"
    for panel in case["panels"].values():
        panel["gates"] = {"source": "flowjo"}
    rows = checklists.miflowcyt(case, tables["populations"], tables["cytometry_qc"])
    told = rows.set_index("item").loc["Boundaries of gates", "text"]
    assert told.startswith("the FlowJo workspace of the panel")
    assert "Gating-ML" not in told
    assert origins.acquisition_rows(*traced)["gates"].iloc[0] == "FlowJo workspace of panel T"


def status(rows, item):
    return rows.set_index("item").loc[item, "status"]


def test_what_miflowcyt_asks_is_called_given_or_not():
    tables, case = example("full")
    rows = checklists.miflowcyt(case, tables["populations"], tables["cytometry_qc"])
    for item in (
        "Purpose",
        "Organisation",
        "Contact",
        "Material and source",
        "Analyte detector, clone",
        "List-mode files",
    ):
        assert status(rows, item) == "not given", item
    for item in ("Variables", "Model", "Compensation", "Gates and percent inside"):
        assert status(rows, item) == "given", item
    assert "LSRFortessa X20" in rows.set_index("item").loc["Model", "text"]
    panel = next(iter(case["panels"].values()))
    marker = next(iter(panel["markers"]))
    panel["markers"][marker]["clone"] = "L291H4"
    case["settings"]["study"] = {
        "purpose": "to see",
        "keywords": ["MSC", "Crohn"],
        "contact": "a lab",
    }
    rows = checklists.miflowcyt(case, tables["populations"], tables["cytometry_qc"])
    assert status(rows, "Analyte detector, clone") == "in part"
    clone = rows.set_index("item").loc["Analyte detector, clone", "text"]
    assert (
        f"{marker} ({next(iter(case['panels']))}): L291H4; add clone to panels.yaml for " in clone
    )
    assert rows.set_index("item").loc["Keywords", "text"] == "MSC, Crohn"
    assert status(rows, "Contact") == "given"


def test_what_care_asks_is_called_given_or_not():
    _, case = example("full")
    case["timeline"] = [
        {"subject": "MSC01", "day": 0, "end_day": None, "kind": "infusion", "name": "MSC", "value": 2.0, "unit": "million cells per kg"},
        {"subject": "MSC01", "day": -10, "end_day": 5.0, "kind": "drug", "name": "prednisone", "value": None, "unit": None},
        {"subject": "HC01", "day": 3, "end_day": None, "kind": "score", "name": "a score of somebody else", "value": 1.0, "unit": None},
    ]  # fmt: skip
    rows = checklists.care(case)
    assert status(rows, "Dates and times, as days") == "given"
    assert status(rows, "Dose") == "in part"
    assert (
        rows.set_index("item")
        .loc["Dose", "text"]
        .startswith("MSC, 2 million cells per kg, day 0; add value")
    )
    for item in (
        "Changes",
        "Outcomes",
        "Scores",
        "Rescue treatment",
        "Adverse events",
        "Diagnosis and tests",
    ):
        assert status(rows, item) == "not given", item
    case["settings"]["study"] = {"adverse_events": "none"}
    assert status(checklists.care(case), "Adverse events") == "given"
    case["timeline"] = []
    assert set(checklists.care(case)["status"]) == {"given", "not given"}


def test_tables_are_traced_and_those_that_are_not_made_left_out():
    full = origins.table_rows(example("full")[1]).set_index("table")
    assert full.loc["curves.tsv", ["reads", "rule", "environment"]].tolist() == [
        "wells.tsv", "fit_curves", "doseresponse"]  # fmt: skip
    plates = origins.table_rows(example("plates_only")[1]).set_index("table")
    assert "markers.tsv" not in plates.index
    assert plates.loc["changes.tsv", "reads"] == "curves.tsv, contrasts.tsv"


def test_claims_are_traced_to_files_of_the_patient():
    tables, case = example("full")
    claims = tables["claims"].assign(
        measurement="percent_positive", populations=tables["populations"]["population"].iloc[3], nadir_day=21
    )  # fmt: skip
    rows = origins.claim_rows(case, claims, tables["populations"], tables["curves"])
    own = tables["populations"].query("subject == 'MSC01' and day == 21")
    expected = own[own["population"] == claims["populations"].iloc[0]]["acquisition"].unique()
    assert rows["files"].iloc[0] == ", ".join(expected)
    assert rows["files"].iloc[0]
    assert all("HC01" not in files for files in rows["baseline"])


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("LSRFortessa X50 (LSRFortessa)", "LSRFortessa X50"),
        ("4486521 Attune NxT Acoustic Focusing Cytometer (Lasers: BRVY", "Attune NxT Acoustic Focusing Cytometer"),
        ("MACSQuant VYB,2.5.1345.9863", "MACSQuant VYB"),
        ("FACSCantoII of Dr Qvistgaard, 19700312", "FACSCantoII"),
        ("Qvistgaard", None),
        ("", None),
    ],
)  # fmt: skip
def test_of_an_instrument_maker_and_model_are_told(told, shown):
    assert instrument(told) == shown


@given(st.text())
def test_no_other_word_of_an_instrument_is_told(text):
    shown = instrument(f"Aurora {text} Qvistgaard 4711908")
    assert "Qvistgaard" not in shown
    assert "4711908" not in shown


def test_files_of_thirteen_instruments_tell_their_model(reference):
    from immunotrace.cytometry.fcs_text import read_data_set
    from immunotrace.errors import InputError

    shown = {}
    for path in sorted((reference / "cytometry/instruments").rglob("*.fcs")):
        with open(path, "rb") as file:
            try:
                data = read_data_set(file, str(path), path.stat().st_size, None)
            except InputError:
                continue
        if data.text("$CYT"):
            shown[path.name] = instrument(data.text("$CYT"))
    assert len(shown) > 8
    unknown = {name for name, model in shown.items() if model is None}
    assert not unknown, unknown
