"""The bundled case where nothing changes, and where the opposite happens."""

CLAIMS = ["C1", "C2", "C3", "C4", "C5", "C6"]


def test_no_change_supports_none_of_the_measured_claims(no_change):
    found = no_change.verdicts()
    assert {found[claim] for claim in CLAIMS[:5]} <= {"not_supported", "inconclusive"}


def test_the_opposite_contradicts_all_claims(opposite):
    assert opposite.verdicts() == dict.fromkeys(CLAIMS, "contradicted")
