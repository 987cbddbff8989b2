"""The bundled case where nothing changes, and where the opposite happens."""

import pytest

from simulation.scoring import score

CLAIMS = ["C1", "C2", "C3", "C4", "C5", "C6"]


def test_no_change_supports_none_of_the_measured_claims(no_change):
    found = no_change.verdicts()
    assert {found[claim] for claim in CLAIMS[:5]} <= {"not_supported", "inconclusive"}


@pytest.mark.parametrize("scenario", ["no_change", "opposite"])
def test_every_fraction_is_near_the_truth(scenario, request):
    """Each population of each acquisition; of the scenario `abstract`, design_runs.py asks the same."""
    results = request.getfixturevalue(scenario).folder / "results"
    truths = sorted((results / "simulated" / "truth").glob("*.json"))
    timeline = results / "simulated" / "truth" / "timeline.json"
    rows = score([path for path in truths if path != timeline], timeline, results / "tables")
    shares = [row for row in rows if row["kind"] == "percent_of_parent"]
    assert len(shares) > 400
    off = [row for row in shares if abs(row["difference"]) > max(1.0, 0.05 * row["truth"])]
    assert off == []


def test_the_opposite_contradicts_all_claims(opposite):
    assert opposite.verdicts() == dict.fromkeys(CLAIMS, "contradicted")
