"""Plates: counts, exports, and the curve behind them."""

import csv
import re
from collections import Counter

import numpy as np
import pytest
from simulated_rows import CONTROL, PATIENT, SEED

from simulation.biology import blood
from simulation.plates import draw_counts, read_plate_map
from simulation.randomness import generator

SCENARIOS = ["abstract", "no_change", "opposite"]


def test_plate_map_holds_a_dose_series_in_triplicate_with_controls(plate_map):
    rows = read_plate_map(plate_map)
    assert Counter(row["well_role"] for row in rows) == {
        "sample": 30, "control": 6, "unstimulated": 6, "blank": 6,
    }  # fmt: skip
    doses = Counter(row["dose"] for row in rows if row["well_role"] == "sample")
    assert set(doses.values()) == {3}
    series = sorted(doses)
    assert len(series) == 10
    assert series[-1] == 250
    assert np.diff(np.log(series)) == pytest.approx(np.log(2.5), abs=0.001)
    assert len({row["well"] for row in rows}) == len(rows)
    with open(plate_map, newline="") as stream:
        assert next(csv.reader(stream, delimiter="\t")) == ["well", "well_role", "dose"]


def test_grid_export_reads_back_as_the_counts(batch):
    folder, truth = batch
    text = (folder / "grid.txt").read_bytes().decode("ascii")
    assert text.count("\r\n") == text.count("\n")
    counts, times = re.split(r"\r\n\r\n", text.strip("\r\n"))
    for grid in (counts, times):
        head, *lines = (line.split("\t") for line in grid.split("\r\n"))
        assert head[0].strip() == ""
        assert head[1:] == [str(n) for n in range(1, 13)]
        assert [line[0] for line in lines] == [f"{row:<4}" for row in "ABCDEFGH"]
    read = {
        f"{line.split()[0]}{column}": int(cell)
        for line in counts.split("\r\n")[1:]
        for column, cell in enumerate(line.split("\t")[1:], start=1)
    }
    assert read == truth["plates"]["grid"]["counts"]
    clocks = [cell for line in times.split("\r\n")[1:] for cell in line.split("\t")[1:]]
    assert len(clocks) == 96
    assert clocks == sorted(clocks)
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", clock) for clock in clocks)


def test_list_export_reads_back_as_the_counts(batch):
    folder, truth = batch
    head, *lines = (folder / "list.txt").read_bytes().decode("ascii").split("\r\n")[:-1]
    assert head == "index ,count ,time"
    fields = [line.split(" ,") for line in lines]
    assert [int(index) for index, _, _ in fields] == list(range(1, 97))
    # index runs along the rows: 1 is A1, 13 is B1
    expected = truth["plates"]["list"]["counts"]
    assert [int(count) for _, count, _ in fields] == list(expected.values())
    assert list(expected)[12] == "B1"


def draw(settings, plate_map, scenario, who, day, seed=SEED):
    sample = blood(settings, scenario, seed, who["subject"], who["role"], day)
    rng = generator(seed, "plate", who["subject"], day)
    return draw_counts(settings, sample, read_plate_map(plate_map), who["subject"], day, rng)


def test_counts_have_the_stated_levels_noise_and_edge(settings, plate_map):
    """Over 80 plates, so that a mean of ratios is known to 1 %."""
    plates = [draw(settings, plate_map, "no_change", CONTROL, day)[0] for day in range(200, 280)]

    def values(wells):
        return np.array([[counts[well] for well in wells] for counts in plates], float)

    controls, edge = values(["B11", "C11"]), values(["B12", "C12", "A11"])
    assert np.exp(np.log(controls).mean()) == pytest.approx(40_000, rel=0.08)
    assert edge.mean() / controls.mean() == pytest.approx(0.92, abs=0.025)
    cv = np.std(np.log(controls[:, 0] / controls[:, 1])) / np.sqrt(2)
    assert cv == pytest.approx(0.10, abs=0.03)
    assert values(["D3", "D4"]).mean() == pytest.approx(400, rel=0.05)
    assert values(["D9", "D10"]).mean() == pytest.approx(40, rel=0.05)
    unused = values(["F5", "G7"])
    assert 25 < unused.mean() < 40


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_counts_follow_the_curve_of_the_truth(settings, plate_map, scenario):
    """Interior wells, averaged over many seeds, against the response that the truth's curve gives."""
    wells = {row["well"]: row["dose"] for row in read_plate_map(plate_map)}
    ratios = []
    for seed in range(60):
        counts, truth = draw(settings, plate_map, scenario, PATIENT, 42, seed)
        dose, top = wells["B4"], truth["stimulated_above_blank_cpm"]
        plateau, midpoint = truth["plateau_inhibition_percent"] / 100, truth["relative_ic50"]
        response = 1 - plateau / (1 + (midpoint / dose) ** truth["hill_slope"])
        ratios.append((counts["B4"] - 40) / top / response)
        half = truth["absolute_ic50"]
        at_half = 1 - plateau / (1 + (midpoint / half) ** truth["hill_slope"])
        assert at_half == pytest.approx(0.5, abs=1e-6)
        assert half < 100, "fewer than two doses lie above the absolute IC50"
    # a CV of 10 % over 60 plates: standard error 1.3 %
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_steroid_sensitivity_changes_in_the_patient_only(settings, plate_map):
    def half(scenario, who, day):
        return draw(settings, plate_map, scenario, who, day)[1]["absolute_ic50"]

    for day in (21, 70):
        none, low, high = (
            half(name, PATIENT, day) for name in ("no_change", "abstract", "opposite")
        )
        assert 3 < none / low < 4.2
        assert 3 < high / none < 4.2
        assert len({half(scenario, CONTROL, day) for scenario in SCENARIOS}) == 1


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_one_plate_never_reaches_half_inhibition(settings, plate_map, scenario):
    days = [-28, -14, -1, 7, 21, 42, 70, 105, 150]
    truths = {
        (who["subject"], day): draw(settings, plate_map, scenario, who, day)[1]
        for who in (PATIENT, CONTROL)
        for day in days
    }
    flat = [key for key, truth in truths.items() if not truth["reaches_half_inhibition"]]
    assert flat == [("MSC01", 150)]
    assert truths[flat[0]]["absolute_ic50"] is None
    assert truths[flat[0]]["plateau_inhibition_percent"] == 35


def test_one_well_of_one_plate_is_an_outlier(settings, plate_map):
    counts, truth = draw(settings, plate_map, "abstract", CONTROL, 42)
    assert truth["outlier_wells"] == ["C9"]
    assert counts["C9"] < 0.5 * counts["B9"]
    assert draw(settings, plate_map, "abstract", CONTROL, 21)[1]["outlier_wells"] == []
