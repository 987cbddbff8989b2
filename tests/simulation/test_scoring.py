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


def plate(ic50):
    return {"subject": "P", "day": -1, "absolute_ic50": ic50, "relative_ic50": 30.0,
            "without_variation": {}, "reaches_half_inhibition": ic50 is not None}  # fmt: skip


@pytest.fixture
def scored(tmp_path):
    plates = {name: plate(ic50) for name, ic50 in [("p", 40.0), ("q", 40.0), ("r", None)]}
    truth = {"acquisitions": {"a": tube(-1, 50.0), "b": tube(7, 25.0)}, "plates": plates}
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
        "claim\tverdict\tmeasurement\tmarker\n"
        "C1\tsupported\tpercent_positive\tCCR4\nC6\tsupported\t\t\n"
        "mine\tsupported\tmedian_all\tIgM\nC2\tsupported\tmedian_all\tIgM\n"
    )
    (tmp_path / "curves.tsv").write_text(
        "plate\tsubject\tday\tdrug\tabsolute_ic50\tabsolute_ic50_low\tabsolute_ic50_high\t"
        "relative_ic50\tbound\tbound_dose\n"
        # above the highest dose, though the truth is 40; not determined; and 90 where there is none
        "p\tP\t-1\td\t\t\t\t\t>\t250\nq\tP\t-1\td\t\t\t\t38\t\t\n"
        "r\tP\t7\td\t90\t80\t99\t\t\t\n"
    )
    return score([tmp_path / "truth.json"], tmp_path / "timeline.json", tmp_path)


def test_values_changes_and_verdicts(scored):
    first, second = scored[:2]
    change, wrong, right, *others = scored[-5:]
    assert (first["difference"], first["covered"]) == (1, True)
    assert (second["difference"], second["covered"]) == (5, False)
    assert second["relative_difference_percent"] == pytest.approx(20)
    # From 50 % to 25 % is a change of log(1/3) on the logit scale.
    assert change["truth"] == pytest.approx(math.log(1 / 3))
    assert change["covered"]
    assert (wrong["truth"], wrong["covered"]) == ("not_supported or inconclusive", False)
    assert right["covered"]
    # A user's claim has no answer in the truth, whatever its name.
    assert [row["covered"] for row in others] == [None, None]


def test_curves_that_are_wrongly_censored_or_determined_count(scored):
    absolute = [row for row in scored if row["kind"] == "absolute_ic50"]
    assert [row["covered"] for row in absolute] == [False, None, False]
    ic50 = next(row for row in summary(scored) if row["what"].startswith("absolute IC50"))
    assert (ic50["missed"], ic50["intervals"], ic50["covered_percent"]) == (2, 2, 0)
    relative = next(row for row in summary(scored) if row["what"].startswith("relative IC50"))
    assert (relative["values"], relative["missed"]) == (1, 2)


def test_summary_and_page(scored, tmp_path):
    fractions = summary(scored)[0]
    assert (fractions["values"], fractions["largest"], fractions["covered_percent"]) == (2, 5, 50)
    write_score(scored, "SIMULATED <x>", "no_change", tmp_path / "s.html", tmp_path / "s.tsv")
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "1 of 2 as simulated" in page
    assert "SIMULATED &lt;x&gt;" in page
    assert (tmp_path / "s.tsv").read_text().count("\n") == 1 + len(scored)
