"""The crate of an example case: complete, sound, and without what belongs to nobody else."""

import copy
import json
import os
import re
import sys
from pathlib import Path

import pytest
from crate_validator import required_faults

sys.path.append(str(Path(__file__).resolve().parent / "figures"))

from example_tables import SOFTWARE, write_example

from immunotrace.crate import describe_run, read_benchmarks
from immunotrace.provenance import STEPS

BENCHMARKS = {"fit_curves": (4.12, 166.1), "ingest_batch/run1": (2.0, 90.0), "ingest_batch/run2": (3.5, 95.5),
              "simulate_timeline": (1.0, 50.0), "simulate/run1": (7.0, 60.0), "draw_figures/t_cells": (9.0, 300.0)}  # fmt: skip
HELD = {name: {"numpy": "2.4.6"} for name in ("doseresponse", "figures", "simulation")}
SOFTWARE = SOFTWARE | {"environments": SOFTWARE["environments"] | HELD}
SETTINGS = {
    "cytometry.fmo_quantile": 0.998,
    "claims.C1.window": [1, 60],
    "panels.T.markers.CCR4/a b.threshold": "fmo",
}
WORKFLOW = ("Snakefile", "rules/report.smk")


@pytest.fixture
def made(tmp_path, repository):
    """The folder of results and a function from changes to the crate of them."""
    case = write_example(tmp_path, "full")
    results = tmp_path / "results"
    for name in ("report/report.html", "report/report.pdf", "figures/t_cells_medians.svg"):
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_text(name)
    for name in WORKFLOW:
        (results / "crate" / name).parent.mkdir(parents=True, exist_ok=True)
        (results / "crate" / name).write_bytes((repository / name).read_bytes())

    def crate(benchmarks=BENCHMARKS, software=SOFTWARE, study=None):
        told = copy.deepcopy(case)
        told["environments"] = sorted(software["environments"])
        if study:
            told["settings"]["study"] = study
        files = [str(p) for folder in ("tables", "figures", "report") for p in (results / folder).rglob("*")
                 if p.is_file()]  # fmt: skip
        workflow = {str(results / "crate" / name): repository / name for name in WORKFLOW}
        found = describe_run(told, SETTINGS, software, results, files, workflow, benchmarks, 2026)
        (results / "ro-crate-metadata.json").write_text(json.dumps(found), encoding="utf-8")
        return found

    return results, crate


def entities(crate):
    return {entity["@id"]: entity for entity in crate["@graph"]}


def test_the_validator_finds_no_fault_and_would_find_one(made, monkeypatch):
    results, crate = made
    found = crate()
    assert required_faults(results, monkeypatch) == []
    (results / "tables/curves.tsv").unlink()
    found["@graph"] = [e for e in found["@graph"] if e["@id"] != "#script/fit_curves"]
    (results / "ro-crate-metadata.json").write_text(json.dumps(found), encoding="utf-8")
    faults = " ".join(required_faults(results, monkeypatch))
    assert "tables/curves.tsv" in faults
    assert "MUST have an instrument property" in faults


def test_every_reference_leads_to_an_entity_and_no_entity_stands_twice(made):
    found = made[1]()
    names = [entity["@id"] for entity in found["@graph"]]
    assert len(names) == len(set(names))

    def references(part):
        if isinstance(part, dict):
            if set(part) == {"@id"}:
                yield part["@id"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    outside = {name for name in references(found["@graph"]) if not name.startswith("https://")}
    assert outside <= set(names)


def test_a_number_is_traced_to_its_raw_files(made):
    """Backwards from claims.tsv over the actions that made each file, the raw files are reached."""
    found = entities(made[1]())
    actions = [e for e in found.values() if e["@type"] == "CreateAction" and e["@id"] != "#run"]

    def ids(value):
        return {part["@id"] for part in (value if isinstance(value, list) else [value])}

    reached, waiting = set(), {"tables/claims.tsv"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        for action in actions:
            if name in ids(action["result"]):
                waiting |= ids(action["object"]) - reached
    assert {
        "#acquisition/MSC01_run1_T",
        "tables/changes.tsv",
        "#between/cytometry/*/kept.npz",
    } <= reached
    raw = found["#acquisition/MSC01_run1_T"]
    assert raw["sha256"] == f"{1:064x}"
    assert "day -14; panel T" in raw["description"]


def test_software_settings_commit_and_times_are_told(made):
    found = entities(made[1]())
    assert found["#software/python-3.13.1"]["softwareVersion"] == "3.13.1"
    held = found["#environment/report"]["softwareRequirements"]
    assert {"@id": "#software/python-3.13.1"} in held
    assert found["#value/cytometry.fmo_quantile"]["value"] == 0.998
    assert found["#value/claims.C1.window"]["value"] == "1, 60"
    assert found["#value/panels.T.markers.CCR4/a%20b.threshold"]["value"] == "fmo"
    assert found["crate/Snakefile"]["version"] == SOFTWARE["commit"]
    assert found["crate/Snakefile"]["creativeWorkStatus"] == "as committed"
    assert found["#usage/ingest_batch/seconds"]["value"] == "5.5"
    assert found["#usage/ingest_batch/memory"]["value"] == "95.5"
    assert found["#usage/draw_t_cells/seconds"]["value"] == "9.0"
    assert found["#usage/simulate/seconds"]["value"] == "7.0"
    assert found["#usage/simulate_timeline/seconds"]["value"] == "1.0"
    assert "resourceUsage" not in found["#action/judge_claims"]


def test_uncommitted_code_is_called_so_and_no_checkout_has_no_version(made):
    _, crate = made
    changed = entities(crate(software=SOFTWARE | {"commit": "abc+"}))["crate/Snakefile"]
    assert (changed["version"], changed["creativeWorkStatus"]) == (
        "abc",
        "changed since that commit",
    )
    assert "version" not in entities(crate(software=SOFTWARE | {"commit": None}))["crate/Snakefile"]


def test_only_times_differ_between_two_runs(made):
    _, crate = made
    slower = {job: (2 * seconds, memory) for job, (seconds, memory) in BENCHMARKS.items()}
    first, second = crate(), crate(benchmarks=slower)
    assert first != second
    assert first == crate()
    for found in (first, second):
        for entity in found["@graph"]:
            if entity["@id"].startswith("#usage/"):
                entity["value"] = None
    assert first == second


def test_no_day_of_the_calendar_and_no_folder_is_told(made):
    results, crate = made
    text = json.dumps(crate())
    assert not re.search(r"[12][0-9]{3}-[01][0-9]-[0-3][0-9]", text)
    assert str(results) not in text
    assert os.sep + "home" not in text
    assert entities(crate())["./"]["datePublished"] == "2026"


def test_a_study_names_licence_and_organisation(made):
    found = entities(made[1](study={"organisation": "A lab", "licence": "CC-BY-4.0"}))
    assert found["#run"]["agent"] == {"@id": "#organisation"}
    assert found["#organisation"]["name"] == "A lab"
    assert found["./"]["license"] == "CC-BY-4.0"


def test_benchmarks_are_read_and_those_without_numbers_left_out(tmp_path):
    (tmp_path / "ingest_batch").mkdir()
    (tmp_path / "ingest_batch/run1.tsv").write_text("s\th:m:s\tmax_rss\n4.5\t0:00:04\t166.1\n")
    (tmp_path / "short.tsv").write_text("s\th:m:s\tmax_rss\n0.1\t0:00:00\tNA\n")
    (tmp_path / "empty.tsv").write_text("")
    found = read_benchmarks(tmp_path)
    assert found == {"ingest_batch/run1": (4.5, 166.1), "short": (0.1, 0.0)}
    assert read_benchmarks(tmp_path / "none") == {}


def test_steps_name_scripts_that_exist(repository):
    for step in STEPS:
        assert (repository / "scripts" / step.script).is_file(), step.rule
        environment = repository / "envs" / f"{step.environment}.yaml"
        assert step.environment == "each" or environment.is_file(), step.rule
