"""The finished bundled case: what its crate and its last chapter say is what Snakemake did."""

import csv
import hashlib
import json
import re
from fnmatch import fnmatchcase
from urllib.parse import unquote

import pytest
from crate_validator import required_faults
from runs import snakemake

from immunotrace.provenance import STEPS


@pytest.fixture(scope="module")
def crate(abstract):
    path = abstract.folder / "results/ro-crate-metadata.json"
    return json.loads(path.read_text(encoding="utf-8"))["@graph"]


def test_the_crate_is_valid(abstract, monkeypatch):
    assert required_faults(abstract.folder / "results", monkeypatch) == []


def test_files_of_the_crate_are_those_on_disk(abstract, crate):
    results = abstract.folder / "results"
    files = [e for e in crate if "File" in e["@type"] and not e["@id"].startswith("#")]
    assert len(files) > 110  # figures in four forms, tables, chapters, the workflow
    for entity in files:
        content = (results / unquote(entity["@id"])).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest(), entity["@id"]
    inputs = [e for e in crate if e["@type"] == "File" and e["@id"].startswith("#")]
    case = json.loads((results / "report/case.json").read_text())
    assert len(inputs) == len(case["inputs"])
    assert ".fcs" not in json.dumps(inputs)


def test_every_rule_of_the_run_has_its_time(abstract, crate):
    timed = {e["name"].removeprefix("rule ") for e in crate if "resourceUsage" in e}
    ran = {job.split()[0] for job in abstract.jobs} - {"all", "write_crate"}
    assert {step_of(rule).rule for rule in ran} == timed


def step_of(rule: str):
    """The step of this very rule, else one that stands for several."""
    fitting = [step for step in STEPS if fnmatchcase(rule, step.rule)]
    return max(fitting, key=lambda step: step.rule == rule, default=None)


def kind_of(path: str) -> str:
    """A file of Snakemake's list as a step calls it."""
    if re.search(r"simulated/.*\.fcs$", path):
        return "acquisition"
    if re.search(r"simulated/.*plate\.txt$", path):
        return "plate"
    named = {"plate_map.tsv": "plate map", "timeline.tsv": "timeline"}
    name = path.rsplit("/", 1)[-1]
    if name in named:
        return named[name]
    if re.fullmatch(r"gates_[TB]\.yaml", name):
        return "gates"
    return path.removeprefix("results/")


def test_steps_read_and_make_what_rules_do(abstract):
    """Snakemake's own list of files, their rules and their inputs is the oracle."""
    listed = snakemake(abstract.folder, "--detailed-summary")
    lines = listed.output[listed.output.index("output_file") :].splitlines()
    seen = {step.rule: (set(), set()) for step in STEPS}
    for row in csv.DictReader(lines, delimiter="\t"):
        step = step_of(row["rule"])
        if step is None:
            assert row["rule"] == "write_crate"
            continue
        made = kind_of(row["output_file"])
        if not made.startswith("simulated/truth/"):
            assert any(fnmatchcase(made, part) for part in step.makes), row["output_file"]
            seen[step.rule][1].update(p for p in step.makes if fnmatchcase(made, p))
        for path in row["input-file(s)"].split(","):
            read = kind_of(path)
            if path in ("", "-") or read.endswith("simulation.yaml"):
                continue
            assert any(fnmatchcase(read, part) for part in step.reads), (step.rule, path)
            seen[step.rule][0].update(p for p in step.reads if fnmatchcase(read, p))
    for step in STEPS:
        reads, makes = seen[step.rule]
        # In this case no gate is moved and no spillover given; maps of plates are in the rule's params.
        absent = {"moved gate", "spillover"} | (
            {"plate map"} if step.rule == "read_plates" else set()
        )
        assert set(step.reads) - reads <= absent, step.rule
        assert set(step.makes) == makes, step.rule


def test_environments_agree_under_pip(abstract):
    folder = abstract.folder / "results/report/software"
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert set(found) == {"cytometry", "doseresponse", "figures", "report", "simulation"}
    for name in {name for held in found.values() for name in held}:
        assert len({held[name] for held in found.values() if name in held}) == 1
    assert {"flowkit", "scipy"} <= set(found["cytometry"])
    assert "flowkit" not in found["figures"]
    assert "matplotlib" in found["figures"]
