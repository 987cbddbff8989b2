"""The benchmark of claims, small: error rates, power and coverage over simulated cases."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.claims import operating
from benchmarks.claims.cases import Design, draw_cases
from immunotrace.doseresponse.curves import fit_curves

CASES = range(1, 41)


@pytest.fixture(scope="module")
def null():
    return operating.run(operating.SCENARIOS["null"], CASES)


@pytest.fixture(scope="module")
def abstract():
    return operating.run(operating.SCENARIOS["abstract"], CASES)


def most(rate: float) -> float:
    """The rate of events in 40 cases that a true rate leads to, and 3 standard errors."""
    return 100 * (rate + 3 * np.sqrt(rate * (1 - rate) / len(CASES)))


def test_without_effects_hardly_any_claim_is_supported(null):
    supported = operating.share(null[0], "supported")
    assert all(supported[claim] <= most(0.05) for claim in operating.CLAIMS)
    assert supported["any"] <= most(0.10)


def test_the_bundled_effects_are_seen(abstract):
    supported = operating.share(abstract[0], "supported")
    # 90 %, less 3 standard errors of 40 cases
    assert all(supported[claim] >= 100 - most(0.10) for claim in operating.CLAIMS)


@pytest.mark.parametrize("scenario", ["null", "abstract"])
def test_intervals_of_change_hold_their_level(scenario, request):
    covered = request.getfixturevalue(scenario)[1]
    # Medians of a marker that part of the cells carry vary more once it fell: the table says how much.
    covered = covered[covered["measurement"] != "median_all"]
    by_case = covered.groupby(["measurement", "case"])["covered"].mean()
    for _, rates in by_case.groupby("measurement"):
        # 93 to 97 %, and 3 standard errors: of cases, for the days of one case are correlated
        error = 3 * rates.std() / np.sqrt(len(rates))
        assert 0.93 - error <= rates.mean() <= 0.97 + error


def rarely_supported(verdicts, claims=operating.CLAIMS):
    supported = operating.share(verdicts, "supported")
    cases = verdicts["case"].nunique()
    bound = 100 * (0.05 + 3 * np.sqrt(0.05 * 0.95 / cases))
    return all(supported[claim] <= bound for claim in claims)


def test_claims_of_other_kinds_fire_where_they_should(null, abstract):
    assert rarely_supported(null[0], ["median", "C2 lasting", "C5 lasting"])
    assert operating.share(null[0], "contradicted")["C2 none"] <= most(0.05)
    assert operating.share(null[0], "supported")["C2 none"] >= 100 - most(0.10)
    assert operating.share(abstract[0], "contradicted")["C2 none"] >= 100 - most(0.10)
    assert operating.share(abstract[0], "supported")["median"] >= 100 - most(0.10)
    assert rarely_supported(abstract[0], ["C2 lasting", "C2 none"])


def test_a_run_that_lifts_both_subjects_shows_no_return():
    # The fall lasts; the runs of the days of return bring the markers back, in patient and control.
    verdicts, _ = operating.run(
        operating.SCENARIOS["lasting fall, batch +0.8 on days 70 to 150"], range(1, 21)
    )
    assert rarely_supported(verdicts, ["C1", "C2", "C3", "C4", "median"])
    told = verdicts[verdicts["claim"] == "C2"]["sentence"].str.contains("the control had moved")
    assert told.mean() > 0.5  # the rest leaves the return open for another reason


def test_a_run_that_moves_both_subjects_supports_no_claim():
    verdicts, _ = operating.run(operating.SCENARIOS["batch -0.8 on days 7 to 42"], range(1, 21))
    assert rarely_supported(verdicts)
    named = verdicts[verdicts["claim"] == "C1"]["control_moved"].str.contains("decrease")
    assert named.mean() > 0.9


def test_a_shift_of_the_mix_supports_no_claim_about_expression():
    # CCR4 is on memory cells: where naive cells rise by 1.2 logit, it falls by a third in CD4 and CD8.
    verdicts, _ = operating.run(operating.SCENARIOS["composition: naive cells rise"], range(1, 21))
    assert rarely_supported(verdicts)
    ccr4 = verdicts[verdicts["claim"] == "C1"]["sentence"]
    # In about half of the cases one of the lineages would have supported it as measured.
    assert ccr4.str.contains("the mix of cells changed").mean() > 0.2


def test_the_benchmark_fits_plates_as_the_pipeline_does():
    settings, plate_map, _ = operating._case()
    _, _, plates, _ = draw_cases(Design(sign=-1), settings, plate_map, range(1, 2))
    curves, contrasts = operating.fit_plates(plates)
    wells = pd.concat(
        pd.DataFrame(
            {
                **plate,
                "plate": f"{plate['subject']} {plate['day']}",
                "well": [str(i) for i in range(len(plate["dose"]))],
                "well_role": np.where(plate["dose"] > 0, "sample", "control"),
                "dose_unit": "ng/ml",
                "used": True,
                "flag": None,
            }
        )
        for plate in plates
    )
    wells = wells.assign(value=wells["response"])
    tables = fit_curves(wells, {"level": 0.95})
    expected, ratios = tables["curves"], tables["contrasts"]
    assert curves["call"].tolist() == expected["call"].tolist()
    for name in ("absolute_ic50", "log10_absolute_ic50_se"):
        np.testing.assert_allclose(curves[name], expected[name], rtol=1e-6)
    keys = ["subject", "day"]
    both = contrasts.merge(
        ratios[ratios["ic50_kind"] == "absolute"], on=keys, suffixes=("", "_all")
    )
    assert len(both) == len(contrasts) > 8
    for name in ("ratio", "ratio_low", "ratio_high"):
        # intervals are found to a tolerance of their own
        np.testing.assert_allclose(both[name], both[f"{name}_all"], rtol=1e-4)
