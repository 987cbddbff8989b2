"""Standardisation to the baseline's mix: a hand-computed example, and composition told from expression."""

import numpy as np
import pandas as pd
import pytest

from immunotrace.longitudinal.composition import standardised
from immunotrace.longitudinal.measurements import measurements

PARTS = ("CD45RA+", "CD45RA-")


def tables(days):
    """Populations and markers of one subject; `days`: day -> ((cells, positive), (cells, positive))."""
    populations, markers = [], []
    for day, parts in days.items():
        about = {
            "acquisition": f"a{day}",
            "subject": "P",
            "role": "patient",
            "day": day,
            "panel": "T",
        }
        total = sum(cells for cells, _ in parts)
        whole = [("T/CD4", total, sum(positive for _, positive in parts))]
        split = [(f"T/CD4/{name}", *part) for name, part in zip(PARTS, parts, strict=True)]
        for path, cells, positive in whole + split:
            populations.append(
                {**about, "population": path, "parent": "", "count": cells, "parent_count": total}
            )
            markers.append(
                {**about, "population": path, "marker": "CCR7", "count": cells,
                 "count_positive": positive, "percent_positive": 100 * positive / cells,
                 "median_all": 100.0 * positive / cells + 1, "flag": ""}
            )  # fmt: skip
    return pd.DataFrame(populations), pd.DataFrame(markers)


def test_a_shift_of_the_mix_is_no_change_of_expression():
    # 80 % of naive and 40 % of memory cells are positive on both days; naive cells halve.
    before = ((6000, 4800), (4000, 1600))
    after = ((3000, 2400), (7000, 2800))
    table = standardised(*tables({-1: before, 21: after})).set_index("day")
    assert table["percent_positive"].tolist() == [64, 52]
    # half an event is added on both sides: 0.01 of a percent of thousands of cells
    assert table["percent_positive_adjusted"].tolist() == pytest.approx([64, 64], abs=0.02)
    assert table.loc[21, "mix_percent"] == 30
    assert table.loc[21, "baseline_mix_percent"] == 60
    assert table["median_all_adjusted"].nunique() == 1


def test_a_loss_of_expression_stays():
    before = ((6000, 4800), (4000, 1600))
    after = ((6000, 2400), (4000, 800))
    table = standardised(*tables({-1: before, 21: after})).set_index("day")
    assert table.loc[21, "percent_positive_adjusted"] == pytest.approx(32, abs=0.02)


def test_the_interval_holds_its_level():
    # 95 % intervals of 1,000 samples, within 3 standard errors; weights are taken as they are.
    rng = np.random.default_rng(5)
    truth = 100 * (0.5 * 0.7 + 0.5 * 0.2)
    days = {-1: ((10**6, 7 * 10**5), (10**6, 2 * 10**5))}
    for day in range(1, 1001):
        days[day] = (300, rng.binomial(300, 0.7)), (200, rng.binomial(200, 0.2))
    table = standardised(*tables(days)).query("day > 0")
    low, high = (table[f"percent_positive_adjusted_{end}"] for end in ("low", "high"))
    inside = (low <= truth) & (truth <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 1000))


def test_without_the_parts_or_a_baseline_there_is_nothing_to_say():
    before = ((6000, 4800), (4000, 1600))
    populations, markers = tables({-1: before})
    assert standardised(populations, markers, ("naive", "memory")).empty
    assert standardised(*tables({7: before})).empty
    assert standardised(None, None).empty


def test_a_part_whose_median_has_no_logarithm_is_a_bound():
    before = ((6000, 4800), (4000, 1600))
    populations, markers = tables({-7: before, -1: before, 21: before})
    memory = markers["population"].str.endswith("CD45RA-")
    markers.loc[memory & (markers["day"] == 21), "median_all"] = -3.0
    table = standardised(populations, markers).set_index("day")
    assert table["median_all_adjusted"].notna().all()
    assert table["median_all_adjusted_bound"].to_dict() == {-7: "", -1: "", 21: "<"}
    values = measurements(populations, markers, None, table.reset_index())
    held = values[values["measurement"] == "median_all_adjusted"].set_index("day")
    assert held["bound"].to_dict() == {-7: "", -1: "", 21: "<"}
    # and of the part itself, below the smallest that is positive
    part = values[(values["measurement"] == "median_all") & values["population"].str.endswith("-")]
    assert part.set_index("day").loc[21, ["value", "bound"]].tolist() == [41.0, "<"]
