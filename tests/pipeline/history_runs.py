"""Runs one after another: what the report says is new, and that nothing runs for its own sake."""

import json
import shutil

import pytest
from runs import Run, snakemake

SCENARIO = ["--config", "scenario=abstract"]


def news(folder):
    return json.loads((folder / "results/report/what_is_new.json").read_text(encoding="utf-8"))


def page(folder):
    return (folder / "results/report/report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def second(abstract, tmp_path_factory) -> Run:
    """The bundled case run again in a copy, with another smallest change that counts for claim C1."""
    folder = tmp_path_factory.mktemp("second") / "clone"
    shutil.copytree(abstract.folder, folder)
    claims = folder / "resources/case/claims.yaml"
    text = claims.read_text(encoding="utf-8")
    claims.write_text(
        text.replace("minimal_change: 0.2", "minimal_change: 0.9", 1), encoding="utf-8"
    )
    run = snakemake(folder, *SCENARIO)
    assert run.code == 0, run.output
    return run


def test_the_first_run_says_so_and_leaves_a_record(abstract):
    assert news(abstract.folder)["status"] == "first"
    assert "This is the first run" in page(abstract.folder)
    assert (abstract.folder / "results/history/0001.json").is_file()


def test_a_moved_threshold_is_told_with_its_consequences_and_nothing_else(second):
    found = news(second.folder)
    assert found["status"] == "changed"
    (setting,) = found["settings"]
    assert (setting["key"], setting["old"], setting["new"]) == (
        "claims.C1.minimal_change",
        0.2,
        0.9,
    )
    assert [(v["name"], v["old"]) for v in found["verdicts"]] == [("C1", "supported")]
    assert {n["name"] for n in found["numbers"]} <= {"C1"}
    assert found["inputs"] == {"added": [], "removed": [], "changed": []}
    assert found["figures"] == []
    assert "Claim C1 CCR4 on T cells: was supported, is " in page(second.folder)
    assert {path.name for path in second.folder.glob("results/history/*.json")} == {
        "0001.json",
        "0002.json",
    }


@pytest.fixture(scope="module")
def later(abstract, tmp_path_factory) -> Run:
    """The bundled case with another day's files and plates, a month after the last."""
    folder = tmp_path_factory.mktemp("later") / "clone"
    shutil.copytree(abstract.folder, folder)
    for name in ("acquisitions", "plates"):
        sheet = folder / f"resources/case/{name}.tsv"
        rows = sheet.read_text(encoding="utf-8").splitlines(keepends=True)
        new = [row.replace("run9", "run10").replace("\t150\t", "\t180\t") for row in rows]
        sheet.write_text("".join([*rows, *(row for row in new if "run10" in row)]), "utf-8")
    run = snakemake(folder, *SCENARIO)
    assert run.code == 0, run.output
    return run


def test_a_new_day_is_told_with_its_files_its_numbers_and_no_others(abstract, later):
    found = news(later.folder)
    assert {i["name"] for i in found["inputs"]["added"]} == {
        *(f"{who}_run10_{panel}" for who in ("MSC01", "HC01") for panel in "BT"),
        *(f"{who}_run10" for who in ("MSC01", "HC01")),
    }
    assert not found["inputs"]["removed"]
    assert not found["inputs"]["changed"]
    assert not found["settings"]
    assert not found["timeline"]["added"]
    # What differs, found once more from the tables of both runs.
    keys = {
        "populations": ["acquisition", "population", "percent_of_parent"],
        "markers": ["acquisition", "population", "marker", "percent_positive", "median_all"],
        "curves": ["curve", "absolute_ic50", "relative_ic50", "imax_top_dose"],
    }
    for table, columns in keys.items():
        # Curves are fitted all at once: how many they are may change the last digit of one.
        old, new = (
            run.table(table)[columns].map(lambda v: f"{v:.12g}" if isinstance(v, float) else v)
            for run in (abstract, later)
        )
        both = old.merge(new, how="outer", indicator=True)
        assert (both["_merge"] != "left_only").all(), f"{table}: an old value changed"
        named = both.loc[both["_merge"] == "right_only", columns[0]].astype(str)
        assert len(named)
        assert named.str.contains("run10|day 180").all()
    added = [number for number in found["numbers"] if number["old"] is None]
    assert {number["day"] for number in added} == {180}
    changed = [number["name"] for number in found["numbers"] if number["old"] is not None]
    effect = ["effect", "effect_low", "effect_high"]
    old, new = (run.table("claims").set_index("claim")[effect] for run in (abstract, later))
    assert sorted(changed) == sorted(new.index[((old - new).abs() > 1e-3).any(axis=1)])
    html = (later.folder / "results/report/report.html").stat().st_size
    assert html < 15e6  # the budget, with every figure before and now in it


def test_deleted_results_come_back_the_same_and_the_report_says_no_change(second):
    folder = second.folder
    kept = {
        path: path.read_bytes()
        for name in ("tables", "figures")
        for path in (folder / "results" / name).iterdir()
    }
    for path in [*kept, folder / "results/report/report.html"]:
        path.unlink()
    again = snakemake(folder, *SCENARIO)
    assert again.code == 0, again.output
    assert len(kept) > 90
    assert all(path.read_bytes() == content for path, content in kept.items())
    found = news(folder)
    assert found["status"] == "unchanged"
    assert found["settings"]  # the last news are still told
    assert "No change" in page(folder)
    assert len(list(folder.glob("results/history/*.json"))) == 2
    assert "Nothing to be done" in snakemake(folder, *SCENARIO).output


def test_a_failed_run_keeps_the_records_and_is_explained(second):
    folder = second.folder
    notebook = folder / "notebooks/summary.ipynb"
    notebook.write_text(notebook.read_text(encoding="utf-8").replace("import os", "1 / 0", 1))
    before = sorted(path.read_bytes() for path in folder.glob("results/history/*.json"))
    # As a user runs it: quiet, with the profile that the repository brings.
    failed = snakemake(folder, "--quiet", "rules", "host", "reason", *SCENARIO)
    assert failed.code != 0
    assert "Failed: run_chapters" in failed.output
    assert "its log: logs/run_chapters.log" in failed.output
    assert "chapter summary, cell " in failed.output
    assert "ZeroDivisionError" in failed.output
    assert "Stopped after 0:00:" in failed.output
    assert "rule run_chapters:" not in failed.output
    assert sorted(path.read_bytes() for path in folder.glob("results/history/*.json")) == before
