"""The bundled case's gates and thresholds against the simulated truth."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from cytometry_chain import SETTINGS, read_sheets, run_chain

from simulation.batch import simulate_batch
from simulation.settings import read_settings

BASELINE = ("run1", "run2", "run3")  # the days with FMO controls
BATCHES = ("run1", "run5")  # whose full stains are judged; the second has the clog
SEED = 2015  # that of the bundled case


@pytest.fixture(scope="module", params=["abstract", "no_change", "opposite"])
def simulated(request, repository, tmp_path_factory):
    """Tables of both batches and the truth: {acquisition: ...}."""
    out = tmp_path_factory.mktemp(request.param)
    case = repository / "resources" / "case"
    rows, panels = read_sheets(case)
    settings = read_settings(case / "simulation.yaml")
    truth = {}
    chosen = []
    for batch in sorted({*BASELINE, *BATCHES}):
        own = [
            {**row, "fcs": str(out / "raw" / batch / Path(row["fcs"]).name)}
            for row in rows
            if row["batch"] == batch and (batch in BATCHES or row["staining"] != "full")
        ]
        made = [{**row, "path": row["fcs"]} for row in own]
        simulate_batch(settings, request.param, SEED, made, [], out / f"{batch}.json")
        truth |= json.loads((out / f"{batch}.json").read_text(encoding="utf-8"))["acquisitions"]
        chosen += own
    return run_chain(chosen, panels, SETTINGS, out), truth


def near(measured: float, true: float) -> bool:
    """Within one percentage point or 5 % of the truth."""
    return abs(measured - true) <= max(1.0, 0.05 * true)


def test_populations(simulated):
    tables, truth = simulated
    table = tables["populations"]
    assert len(table) == 2 * 2 * (18 + 8)
    wrong = [
        (row.acquisition, row.population, row.percent_of_parent, true)
        for row in table.itertuples()
        for true in [truth[row.acquisition]["populations"][row.population]["percent_of_parent"]]
        if not near(row.percent_of_parent, true)
    ]
    assert wrong == []
    assert set(table["gate_origin"]) == {"placed"}


@pytest.mark.parametrize("scenario", ["abstract", "opposite"])
def test_b_cell_subsets_without_fmo_controls(scenario, repository, tmp_path):
    """Quadrants in place of thresholds: the same bar for every population of the B panel."""
    case = repository / "resources" / "case"
    rows, panels = read_sheets(case)
    template = yaml.safe_load((case / "gates_B.yaml").read_text(encoding="utf-8"))
    pair = {"method": "quadrants", "population": template["threshold_populations"][0]}
    template["cuts"]["CD27"] = {**pair, "with": "IgD"}
    template["cuts"]["IgD"] = {**pair, "with": "CD27", "single_peak": "positive"}
    (tmp_path / "gates.yaml").write_text(yaml.safe_dump(template), encoding="utf-8")
    panel = {
        **panels["B"],
        "gates": {"source": "template", "file": str(tmp_path / "gates.yaml")},
        "markers": {
            marker: {**entry, "threshold": "none"}
            for marker, entry in panels["B"]["markers"].items()
        },
    }
    own = [
        {**row, "fcs": str(tmp_path / f"{row['acquisition']}.fcs")}
        for row in rows
        if (row["batch"], row["panel"], row["staining"]) == ("run5", "B", "full")
    ]
    made = [{**row, "path": row["fcs"]} for row in own]
    simulate_batch(
        read_settings(case / "simulation.yaml"), scenario, SEED, made, [], tmp_path / "truth.json"
    )
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["acquisitions"]
    table = run_chain(own, {"B": panel}, SETTINGS, tmp_path / "out")["populations"]
    assert len(table) == 2 * 8
    for row in table.itertuples():
        true = truth[row.acquisition]["populations"][row.population]["percent_of_parent"]
        assert near(row.percent_of_parent, true), (row.acquisition, row.population)


def test_markers(simulated):
    tables, truth = simulated
    table = tables["markers"]
    assert len(table) == 2 * 2 * (6 * 3 + 4 * 1)
    wrong = [
        (row.acquisition, row.population, row.marker, row.percent_positive, true)
        for row in table.itertuples()
        for true in [
            truth[row.acquisition]["markers"][row.population][row.marker]["percent_positive"]
        ]
        if not near(row.percent_positive, true)
        # A few cells on the border of two B-cell subsets change sides, and IgM differs across it.
        and abs(row.percent_positive - true) * row.count > 100 * 5
    ]
    assert wrong == []


def test_medians_of_positive_cells(simulated):
    """The truth is free of noise and of dim cells below the threshold: within a tenth."""
    tables, truth = simulated
    table = tables["markers"]
    enough = table[table["count_positive"] >= 200]
    assert len(enough) > len(table) / 2
    for row in enough.itertuples():
        true = truth[row.acquisition]["markers"][row.population][row.marker]["median_positive"]
        assert row.median_positive == pytest.approx(true, rel=0.1)


def test_the_clog_goes_and_nothing_else(simulated):
    tables, truth = simulated
    qc = tables["qc"].set_index("acquisition")
    clogged = [name for name, entry in truth.items() if entry["clog"]]
    assert clogged == ["MSC01_run5_T"]
    assert (qc["time_removed"] > 0).sum() == 1
    assert (qc["verdict"].drop("MSC01_run5_T") == "pass").all()
    assert qc.loc["MSC01_run5_T", "time_removed"] > truth["MSC01_run5_T"]["clog"]["events_during"]
    for name, entry in truth.items():
        assert qc.loc[name, "margin_high"] == entry["events_saturated"]
        doublets = 100 * entry["doublets"] / entry["events"]
        assert qc.loc[name, "doublet_percent"] == pytest.approx(doublets, abs=1.0)


def test_rows_name_their_sheet_rows(simulated, repository):
    tables, _ = simulated
    with open(
        repository / "resources" / "case" / "acquisitions.tsv", encoding="utf-8", newline=""
    ) as handle:
        sheet = {row["acquisition"]: row for row in csv.DictReader(handle, delimiter="\t")}
    for row in tables["qc"].itertuples():
        line = sheet[row.acquisition]
        assert (row.subject, str(row.day), row.staining) == (
            line["subject"],
            line["day"],
            line["staining"],
        )
