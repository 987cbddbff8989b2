"""What days, a control and a user's own claim do to the verdicts, through the workflow's own rules."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from runs import Run, copy_repository, snakemake

from immunotrace.tables import read_tsv

CLAIMS = "results/tables/claims.tsv"
SUMMARY = "results/report/chapters/summary.ipynb"
OWN_CLAIM = """
  - claim: mine
    title: CXCR4 on naive CD8 T cells
    statement: CXCR4 on naive CD8 T cells fell and stayed low
    kind: change
    measurement: median_all
    marker: CXCR4
    populations: [singlets/lymphocytes/live/T cells/CD8/CD45RA+]
    direction: decrease
    course: lasting
    window: [1, 60]
    return_window: [61, 365]
    minimal_change: 0.2
"""


@pytest.fixture
def finished(abstract, tmp_path):
    """A copy of the finished bundled case. Results are links, for no job writes into a file in place;
    what Snakemake notes of them, and logs, are copies."""
    results = abstract.folder / "results"

    def copy(source, target):
        (os.link if results in Path(source).parents else shutil.copy2)(source, target)

    return shutil.copytree(abstract.folder, tmp_path / "clone", copy_function=copy)


def keep_days(folder, wanted):
    for name in ("acquisitions", "plates"):
        path = folder / f"resources/case/{name}.tsv"
        head, *rows = path.read_text().splitlines()
        day = head.split("\t").index("day")
        rows = [row for row in rows if wanted(int(row.split("\t")[day]))]
        path.write_text("\n".join([head, *rows]) + "\n")


def test_without_a_sample_after_the_nadir_temporary_is_not_known(finished):
    keep_days(finished, lambda day: day <= 21)
    run = snakemake(finished, CLAIMS, "--config", "scenario=abstract")
    assert run.code == 0, run.output
    assert not {"ingest_batch", "quantify_batch"} & {job.split()[0] for job in run.jobs}
    table = run.table("claims").set_index("claim")
    assert table.loc[["C1", "C2", "C3", "C4"], "verdict"].eq("inconclusive").all()
    assert table.loc["C4", "sentence"].count("no later value is there on days 61 to 365") == 1
    assert table["return_day"].isna().all()
    assert table.loc["C5", "verdict"] == "supported"  # which says nothing of a return


def test_a_users_own_claim_is_judged_and_shown(finished):
    path = finished / "resources/case/claims.yaml"
    path.write_text(path.read_text() + OWN_CLAIM)
    run = snakemake(finished, CLAIMS, SUMMARY, "--config", "scenario=abstract")
    assert run.code == 0, run.output
    assert not {"ingest_batch", "compute_changes"} & {job.split()[0] for job in run.jobs}
    claim = run.table("claims").set_index("claim").loc["mine"]
    # CXCR4 came back, so it did not stay low.
    assert claim["verdict"] in ("not_supported", "inconclusive")
    assert claim["sentence"].startswith("Median CXCR4 of CD45RA+ cells fell")
    assert "CXCR4 on naive CD8 T cells fell and stayed low" in (finished / SUMMARY).read_text()


def test_the_score_against_the_truth(finished):
    run = snakemake(finished, "results/score/score.html", "--config", "scenario=abstract")
    assert run.code == 0, run.output
    assert run.jobs == ["score_simulation"]
    rows = read_tsv(finished / "results/score/score.tsv")
    assert rows.query("kind == 'verdict'")["covered"].all()
    # a population's bar: within 1 percentage point of the labels, or 5 % of them
    shares = rows[rows["kind"] == "percent_of_parent"]
    off = (shares["difference"].abs() > 1) & (shares["relative_difference_percent"].abs() > 5)
    assert len(shares) > 400
    assert not off.any(), shares[off]
    change = rows[rows["kind"] == "change of percent_positive"]
    assert change["covered"].mean() > 0.85  # one case, its days and populations correlated
    page = (finished / "results/score/score.html").read_text()
    assert "SIMULATED" in page
    assert "6 of 6 as simulated" in page


def plates_only(repository, abstract, folder, wanted, control) -> Run:
    """Run claim C5 on those plates of the bundled case whose subject and day are `wanted`."""
    clone = copy_repository(repository, folder / "clone")
    sheet = clone / "resources/case/plates.tsv"
    head, *rows = sheet.read_text().splitlines()
    names = head.split("\t")
    kept = [row for row in rows if wanted(dict(zip(names, row.split("\t"), strict=True)))]
    raw = os.path.relpath(abstract.folder / "results/simulated", sheet.parent)
    text = "\n".join([head, *kept]) + "\n"
    sheet.write_text(text.replace("../../results/simulated", raw))
    claims = yaml.safe_load((clone / "resources/case/claims.yaml").read_text())["claims"]
    (clone / "c5.yaml").write_text(
        yaml.safe_dump({"claims": [claim for claim in claims if claim["claim"] == "C5"]})
    )
    case = {"title": "plates", "patient": "MSC01"} | ({"control": "HC01"} if control else {})
    config = {"case": case, "plates": "resources/case/plates.tsv", "claims": "c5.yaml"}
    (clone / "mine.yaml").write_text(yaml.safe_dump(config))
    run = snakemake(clone, CLAIMS, "--configfile", "mine.yaml")
    assert run.code == 0, run.output
    return run


def widths(run):
    table = run.table("changes").query("measurement == 'absolute_ic50' and subject == 'MSC01'")
    return (table["change_high"] - table["change_low"]).dropna().mean()


def test_without_the_control_intervals_widen_and_the_table_says_so(repository, abstract, tmp_path):
    run = plates_only(repository, abstract, tmp_path, lambda row: row["subject"] == "MSC01", False)
    assert widths(run) > 1.2 * widths(abstract)
    claim = run.table("claims").iloc[0]
    assert "no control" in claim["not_known"]
    assert claim["verdict"] in ("supported", "inconclusive")


def test_one_baseline_day_works_and_says_what_it_cannot_know(repository, abstract, tmp_path):
    run = plates_only(repository, abstract, tmp_path, lambda row: int(row["day"]) >= -1, True)
    claim = run.table("claims").iloc[0]
    # The benchmark of claims gives this design a power of 70 %.
    assert claim["verdict"] in ("supported", "inconclusive")
    assert "how much MSC01 varies from day to day (1 baseline day)" in claim["not_known"]
    assert widths(run) > widths(abstract)
    detectable = run.table("detectable_changes")
    own = detectable[(detectable["design"] == "as it is") & (detectable["subject"] == "MSC01")]
    assert (own["baseline_days"] == 1).all()
    assert np.isfinite(own["smallest_decrease_percent"]).all()
