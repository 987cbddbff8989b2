"""The score compares like with like: a hand-made truth and tables around it."""

import json
import math

import pytest

from simulation.scoring import score, summary, write_score

CD4 = "singlets/lymphocytes/live/T cells/CD4"


def tube(day, percent):
    known = {"count": 100, "parent_count": 200, "percent_of_parent": percent}
    parameters = {"percent_of_parent": {CD4: percent}, "percent_positive": {}}
    return {
        "subject": "P", "day": day, "populations": {CD4: known}, "markers": {},
        "parameters": parameters, "parameters_without_variation": parameters,
    }  # fmt: skip


@pytest.fixture
def scored(tmp_path):
    truth = {"acquisitions": {"a": tube(-1, 50.0), "b": tube(7, 25.0)}, "plates": {}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    course = {"sign_of_effects": 0, "clinical_course": "failure"}
    (tmp_path / "timeline.json").write_text(json.dumps(course))
    (tmp_path / "populations.tsv").write_text(
        "acquisition\tsubject\tday\tpopulation\tpercent_of_parent\tpercent_of_parent_low\t"
        f"percent_of_parent_high\na\tP\t-1\t{CD4}\t51\t48\t54\nb\tP\t7\t{CD4}\t30\t27\t33\n"
    )
    (tmp_path / "changes.tsv").write_text(
        "measurement\tsubject\tpopulation\tmarker\tday\tscale\tdrug\tchange\tchange_low\tchange_high\n"
        f"percent_of_parent\tP\t{CD4}\t\t7\tlogit\t\t-0.9\t-1.2\t-0.6\n"
    )
    (tmp_path / "claims.tsv").write_text(
        "claim\tverdict\tevidence\nC1\tsupported\tchanges.tsv: x\nC6\tsupported\ttimeline: y\n"
    )
    return score([tmp_path / "truth.json"], tmp_path / "timeline.json", tmp_path)


def test_values_changes_and_verdicts(scored):
    first, second, change, wrong, right = scored
    assert (first["difference"], first["covered"]) == (1, True)
    assert (second["difference"], second["covered"]) == (5, False)
    assert second["relative_difference_percent"] == pytest.approx(20)
    # From 50 % to 25 % is a change of log(1/3) on the logit scale.
    assert change["truth"] == pytest.approx(math.log(1 / 3))
    assert change["covered"]
    assert (wrong["truth"], wrong["covered"]) == ("not_supported or inconclusive", False)
    assert right["covered"]


def test_summary_and_page(scored, tmp_path):
    fractions = summary(scored)[0]
    assert (fractions["values"], fractions["largest"], fractions["covered_percent"]) == (2, 5, 50)
    write_score(scored, "SIMULATED <x>", "no_change", tmp_path / "s.html", tmp_path / "s.tsv")
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "1 of 2 as simulated" in page
    assert "SIMULATED &lt;x&gt;" in page
    assert (tmp_path / "s.tsv").read_text().count("\n") == 1 + len(scored)
