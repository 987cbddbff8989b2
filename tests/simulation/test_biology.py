"""The parameters behind the cells: scenarios, courses, variation."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simulation.biology import RECEPTORS, blood, course
from simulation.truth import planned

LIVE = "singlets/lymphocytes/live"


def plan(settings, scenario, day, role="patient", panel="T"):
    return planned(panel, blood(settings, scenario, 1, "MSC01", role, day, with_variation=False))


def logit(percent: float) -> float:
    return log(percent / (100 - percent))


def receptor(plans: dict, lineage: str, marker: str, part: str = "") -> float:
    return plans["percent_positive"][f"{LIVE}/T cells/{lineage}{part}"][marker]


def switched(plans: dict) -> float:
    return plans["percent_of_parent"][f"{LIVE}/B cells/switched memory"]


@pytest.mark.parametrize(
    ("scenario", "sign"), [("abstract", -1), ("no_change", 0), ("opposite", 1)]
)
@pytest.mark.parametrize("lineage", ["CD4", "CD8"])
@pytest.mark.parametrize("marker", RECEPTORS)
def test_receptors_change_in_the_scenarios_direction_and_return(
    settings, scenario, sign, lineage, marker
):
    before, nadir, back = (
        receptor(plan(settings, scenario, day), lineage, marker) for day in (-1, 21, 105)
    )
    change = logit(nadir) - logit(before)
    assert np.sign(round(change, 9)) == sign
    if sign:
        # 1.1 logits within the CD45RA parts; less in their mixture, for the logit is not linear
        assert 0.88 <= abs(change) <= 1.12
    assert back == pytest.approx(before, abs=0.3)


@pytest.mark.parametrize(
    ("scenario", "sign"), [("abstract", -1), ("no_change", 0), ("opposite", 1)]
)
def test_intensity_switched_memory_and_steroid_follow(settings, scenario, sign):
    def at(day):
        return blood(settings, scenario, 1, "MSC01", "patient", day, with_variation=False)

    assert at(-1).log_expression == {"CCR7": 0, "CCR4": 0, "CXCR4": 0}
    assert {np.sign(value) for value in at(21).log_expression.values()} == {sign}
    before, nadir = (switched(planned("B", at(day))) for day in (-1, 21))
    assert logit(nadir) - logit(before) == pytest.approx(sign * 0.95, abs=1e-4)
    for day in (21, 42, 70, 105):
        # "about four-fold", for months
        ratio = at(day).midpoint / at(-1).midpoint
        assert 3.0 ** abs(sign) <= ratio**sign <= 4.0 ** abs(sign)


@pytest.mark.parametrize("scenario", ["abstract", "opposite"])
def test_naive_and_memory_mix_does_not_change(settings, scenario):
    before, nadir = (plan(settings, scenario, day)["percent_of_parent"] for day in (-1, 21))
    for name in ("CD4", "CD8", "CD4/CD45RA+", "CD8/CD45RA+"):
        assert nadir[f"{LIVE}/T cells/{name}"] == before[f"{LIVE}/T cells/{name}"]


def test_ccr7_goes_with_cd45ra(settings):
    plans = plan(settings, "abstract", -1)
    for lineage in ("CD4", "CD8"):
        naive, memory = (receptor(plans, lineage, "CCR7", f"/CD45RA{sign}") for sign in "+-")
        assert naive > memory + 20


def test_nothing_happens_to_the_control_nor_without_an_effect(settings):
    for role, scenario in (
        ("control", "abstract"),
        ("control", "opposite"),
        ("patient", "no_change"),
    ):
        for panel in ("T", "B"):
            reference = plan(settings, scenario, -1, role, panel)
            assert all(
                plan(settings, scenario, day, role, panel) == reference for day in (7, 21, 105)
            )


def test_courses(settings):
    assert course(settings, "transient", 0) == course(settings, "lasting", -5) == 0
    assert course(settings, "transient", 21) == pytest.approx(1)
    assert max(range(200), key=lambda day: course(settings, "transient", day)) == 21
    assert course(settings, "transient", 105) < 0.01
    assert course(settings, "lasting", 150) > 0.75


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    day=st.integers(-400, 2000),
    seed=st.integers(0, 2**32),
    scenario=st.sampled_from(["abstract", "no_change", "opposite"]),
    role=st.sampled_from(["patient", "control"]),
)
def test_any_day_has_valid_parameters(settings, day, seed, scenario, role):
    sample = blood(settings, scenario, seed, "S1", role, day)
    for panel in ("T", "B"):
        assert sum(sample.abundance[panel].values()) == pytest.approx(1)
        fractions = [p for kind in sample.positive[panel].values() for p in kind.values()]
        assert all(0 <= p <= 1 for p in [*fractions, *sample.abundance[panel].values()])
    assert 0.5 < sample.plateau < 1
    assert sample.midpoint > 0
    assert sample.hill > 0


def test_day_to_day_variation_has_the_stated_size_and_shared_part(settings):
    """Over many days: SDs within 15 % (300 days: standard error 4 %), and a common batch part."""

    def series(role, subject):
        bloods = [blood(settings, "no_change", 5, subject, role, day) for day in range(1, 301)]
        ccr7 = [b.positive["T"]["T CD4 CD45RA+"]["CCR7"] for b in bloods]
        return (
            np.array([logit(100 * p) for p in ccr7]),
            np.array([b.log_intensity["CCR7"] for b in bloods]),
            np.log([b.midpoint for b in bloods]),
        )

    patient, control = series("patient", "MSC01"), series("control", "HC01")
    for index, (name, total) in enumerate(
        (("fraction", 0.0755), ("intensity", 0.0602), ("steroid midpoint", 0.1477))
    ):
        sd = settings["variation"][name]
        assert exp(np.mean(np.log([np.std(patient[index]), np.std(control[index])]))) == (
            pytest.approx(total, rel=0.15)
        )
        shared = sd["shared"] ** 2 / total**2
        correlation = np.corrcoef(patient[index], control[index])[0, 1]
        assert correlation == pytest.approx(shared, abs=0.2)
