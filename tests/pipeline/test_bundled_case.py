"""The bundled case from nothing to the report. Its other scenarios: scenario_runs.py."""

import json
import re

import pytest
from runs import snakemake

from immunotrace.figures import FIGURES

# The published tables and the columns that others compute on (design contract).
PUBLISHED = {
    "populations": "acquisition subject role day panel population parent count parent_count "
    "percent_of_parent percent_of_parent_low percent_of_parent_high gate_origin",
    "markers": "acquisition subject role day panel population marker percent_positive "
    "percent_positive_low percent_positive_high median_all median_positive threshold flag",
    "cytometry_qc": "acquisition events events_kept removed verdict",
    "wells": "plate well subject role day drug dose dose_unit well_role value readout flag",
    "plate_qc": "plate verdict",
    "curves": "curve subject role day drug dose_unit model top bottom hill_slope relative_ic50 "
    "relative_ic50_low relative_ic50_high absolute_ic50 absolute_ic50_low absolute_ic50_high "
    "imax_top_dose imax_plateau call reason",
    "contrasts": "curve reference ic50_kind ratio ratio_low ratio_high f p_value aicc_difference",
    "changes": "measurement subject population marker day baseline value change change_low "
    "change_high reference_change_low reference_change_high verdict",
    "claims": "claim verdict effect effect_low effect_high nadir_day return_day sentence",
    "composition": "acquisition subject role day panel population marker percent_positive "
    "percent_positive_adjusted percent_positive_adjusted_low percent_positive_adjusted_high",
    "detectable_changes": "measurement population marker panel drug design baseline_days later_days "
    "smallest_decrease_percent smallest_increase_percent power",
}
CLAIMS = ["C1", "C2", "C3", "C4", "C5", "C6"]


def test_the_abstract_pattern_supports_all_claims(abstract):
    assert abstract.verdicts() == dict.fromkeys(CLAIMS, "supported")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_have_their_columns(abstract, name):
    columns = abstract.table(name).columns.tolist()
    expected = PUBLISHED[name].split()
    if name == "plate_qc":
        assert set(expected) <= set(columns)
    else:
        assert columns[: len(expected)] == expected


def test_claims_say_what_their_tables_say(abstract):
    claims = abstract.table("claims").set_index("claim")
    changes = abstract.table("changes")
    for claim in ("C4", "C5"):
        row = claims.loc[claim]
        measured = changes[
            (changes["measurement"] == {"C4": "percent_of_parent", "C5": "absolute_ic50"}[claim])
            & (changes["role"] == "patient")
            & (changes["day"] == row["nadir_day"])
        ]
        if claim == "C4":
            measured = measured[measured["population"].str.endswith("/switched memory")]
        value = measured["value"].item() / measured["baseline"].item() - 1
        assert row["effect"] == pytest.approx(100 * value, abs=1e-6)


def test_one_curve_never_reaches_half_and_says_so(abstract):
    curves = abstract.table("curves")
    last = curves[(curves["role"] == "patient") & (curves["day"] == 150)].iloc[0]
    assert last["call"] == "censored"
    assert "> 250 ng/ml" in last["reason"]
    assert last[["absolute_ic50"]].isna().all()


def test_the_outlier_well_and_the_clog_are_found(abstract):
    truth = json.loads((abstract.folder / "results/simulated/truth/plates.json").read_text())
    wells = abstract.table("wells")
    flagged = wells[wells["flag"].str.contains("outlier", na=False)]
    planted = {
        (plate, well)
        for plate, part in truth["plates"].items()
        for well in part.get("outlier_wells", [])
    }
    assert planted
    assert planted <= set(zip(flagged["plate"], flagged["well"], strict=True))
    quality = abstract.table("cytometry_qc").set_index("acquisition")
    assert quality.loc["MSC01_run5_T", "events_kept"] < quality.loc["MSC01_run5_T", "events"]
    assert "time" in quality.loc["MSC01_run5_T", "removed"]


def test_the_report_and_every_figure_are_there(abstract):
    results = abstract.folder / "results"
    html = (results / "report/report.html").read_text(encoding="utf-8")
    assert "SIMULATED" in html.upper()
    assert (results / "report/report.pdf").read_bytes().startswith(b"%PDF")
    stems = {path.stem for path in (results / "figures").iterdir()}
    assert stems == {name for names in FIGURES.values() for name in names}
    for stem in stems:
        for ending in ("svg", "pdf", "png"):
            assert (results / "figures" / f"{stem}.{ending}").stat().st_size > 1000, stem
    for svg in (results / "figures").glob("*.svg"):
        assert re.search("simulated", svg.read_text(encoding="utf-8"), re.IGNORECASE), svg


def test_the_report_is_small_enough_to_send(abstract):
    report = abstract.folder / "results" / "report"
    for name in ("report.html", "report.pdf", "supplement.pdf"):
        assert 100_000 < (report / name).stat().st_size < 15_000_000, name


def test_snakemakes_own_report_holds_the_figures_with_captions(abstract):
    run = snakemake(abstract.folder, "--report", "own.html")
    assert run.code == 0, run.output
    page = (abstract.folder / "own.html").read_text(encoding="utf-8")
    for name in [name for group in FIGURES.values() for name in group]:
        assert f"results/figures/{name}.svg" in page
    for words in (
        "Simulated data",
        "Wilson 95 % intervals",
        "steroid sensitivity",
        "The report (PDF)",
    ):
        assert words in page
    assert "snakemake.config" not in page  # the captions' conditions are resolved
