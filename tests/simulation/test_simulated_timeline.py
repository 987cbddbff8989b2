"""The simulated clinical course."""

import csv

import pytest

from simulation.timeline import simulate_timeline


def rows(settings, scenario, tmp_path):
    simulate_timeline(
        settings, scenario, tmp_path / "out" / "timeline.tsv", tmp_path / "truth.json"
    )
    with open(tmp_path / "out" / "timeline.tsv", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def scores(table, first, last):
    found = [float(row["value"]) for row in table
             if row["kind"] == "score" and first <= int(row["day"]) <= last]  # fmt: skip
    return sum(found) / len(found)


@pytest.mark.parametrize("scenario", ["abstract", "no_change"])
def test_without_benefit_the_patient_is_rescued_after_the_last_blood(settings, scenario, tmp_path):
    table = rows(settings, scenario, tmp_path)
    rescue = {row["name"]: int(row["day"]) for row in table if row["kind"] == "rescue"}
    assert list(rescue) == ["infliximab", "autologous HSCT"]
    assert min(rescue.values()) > 150
    assert scores(table, 1, 180) == pytest.approx(scores(table, -99, -1), rel=0.1)


def test_in_the_opposite_scenario_the_score_responds_without_rescue(settings, tmp_path):
    table = rows(settings, "opposite", tmp_path)
    assert not [row for row in table if row["kind"] == "rescue"]
    assert scores(table, 1, 180) < 0.6 * scores(table, -99, -1)


def test_timeline_has_the_columns_of_its_sheet(settings, tmp_path):
    table = rows(settings, "abstract", tmp_path)
    assert list(table[0]) == ["subject", "day", "end_day", "kind", "name", "value", "unit"]
    assert {row["kind"] for row in table} == {"infusion", "drug", "score", "rescue"}
    days = [int(row["day"]) for row in table]
    assert days == sorted(days)
    assert min(int(row["day"]) for row in table if row["kind"] == "infusion") == 0
    assert all(row["unit"] == "mg per day" for row in table if row["kind"] == "drug")
