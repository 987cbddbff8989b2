"""The simulator's FCS files, read by FlowIO, and what their bytes depend on."""

import flowio
import numpy as np
import pytest
from simulated_rows import CONTROL, PATIENT, SEED, tube

from simulation.batch import draw_tube, simulate_batch
from simulation.fcs import write_fcs

CHANNELS = {
    "T": [
        ("Time", ""), ("FSC-A", ""), ("FSC-H", ""), ("SSC-A", ""), ("SSC-H", ""),
        ("BV510-A", "Viability"), ("BUV395-A", "CD3"), ("BV786-A", "CD4"), ("BV605-A", "CD8"),
        ("FITC-A", "CD45RA"), ("PE-A", "CCR7"), ("BV421-A", "CCR4"), ("APC-A", "CXCR4"),
    ],
    "B": [
        ("Time", ""), ("FSC-A", ""), ("FSC-H", ""), ("SSC-A", ""), ("SSC-H", ""),
        ("BV510-A", "Viability"), ("BUV395-A", "CD19"), ("BV421-A", "CD27"), ("FITC-A", "IgD"),
        ("PE-A", "IgM"),
    ],
}  # fmt: skip


def read(path) -> tuple[dict, np.ndarray]:
    data = flowio.FlowData(str(path))
    return data.text, np.reshape(data.events, (-1, data.channel_count))


@pytest.mark.parametrize("panel", ["T", "B"])
def test_flowio_reads_channels_and_the_values_that_were_drawn(panel, batch, settings):
    row = tube(PATIENT, 21, panel, folder=batch[0])
    text, events = read(row["path"])
    names = [(text[f"p{i}n"], text.get(f"p{i}s", "")) for i in range(1, len(CHANNELS[panel]) + 1)]
    assert names == CHANNELS[panel]
    _, _, drawn, _ = draw_tube(settings, "abstract", SEED, row)
    assert np.array_equal(events.astype(np.float32), drawn)
    assert len(events) >= 30_000
    assert events[:, 1:].max() == 262143, "no event is saturated, or one lies above the range"
    assert (np.diff(events[:, 0]) >= 0).all()


def test_keywords_say_simulated_and_claim_no_date(batch):
    row = tube(PATIENT, 21, "T", folder=batch[0])
    text, events = read(row["path"])
    assert text["proj"] == "immunotrace simulated case"
    assert text["com"] == "SIMULATED DATA - not a patient"
    assert text["cyt"] == text["src"] == "simulated"
    assert "date" not in text
    assert text["fil"] == "MSC01_21_T_full.fcs"
    assert int(text["tot"]) == len(events)
    minutes, seconds = (float(part) for part in text["etim"].split(":")[1:])
    # the last tick is the end of the acquisition, rounded down to a tick
    assert 60 * minutes + seconds == pytest.approx(
        events[-1, 0] * float(text["timestep"]), abs=0.011
    )


def test_spillover_is_the_settings_matrix(batch, settings):
    text, _ = read(tube(PATIENT, 21, "B", folder=batch[0])["path"])
    size, *rest = text["spillover"].split(",")
    names, numbers = rest[: int(size)], np.array(rest[int(size) :], float)
    assert names == [name for name, stain in CHANNELS["B"] if stain]
    matrix = numbers.reshape(int(size), int(size))
    assert (np.diag(matrix) == 1).all()
    # FITC into PE, and not the reverse
    assert matrix[names.index("FITC-A"), names.index("PE-A")] == 0.13
    assert matrix[names.index("PE-A"), names.index("FITC-A")] == 0.01
    listed = sum(len(into) for into in settings["panels"]["B"]["spillover"].values())
    assert np.count_nonzero(matrix) == len(names) + listed


def test_a_file_depends_on_nothing_but_its_own_row(batch, settings, tmp_path):
    """Made alone, again, elsewhere: the same bytes. Another seed or subject: others."""
    made = tube(PATIENT, 21, "B", folder=batch[0])
    again = tube(PATIENT, 21, "B", folder=tmp_path)
    simulate_batch(settings, "abstract", SEED, [again], [], tmp_path / "truth.json")
    with open(made["path"], "rb") as one, open(again["path"], "rb") as other:
        assert one.read() == other.read()
    for seed, who in ((SEED + 1, PATIENT), (SEED, CONTROL)):
        _, _, values, _ = draw_tube(settings, "abstract", seed, tube(who, 21, "B"))
        assert not np.array_equal(values[:100], read(made["path"])[1][:100].astype(np.float32))


@pytest.mark.parametrize(("day", "same"), [(-1, True), (0, True), (21, False)])
def test_scenarios_agree_until_the_first_infusion(settings, day, same):
    row = tube(PATIENT, day, "B")
    values = [draw_tube(settings, name, SEED, row)[2] for name in ("abstract", "opposite")]
    assert np.array_equal(*values) == same


def test_control_is_the_same_in_all_scenarios(settings):
    row = tube(CONTROL, 21, "T", "FMO:CCR7")
    values = [draw_tube(settings, name, SEED, row)[2] for name in ("abstract", "opposite")]
    assert np.array_equal(*values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"staining": "isotype"}, "staining 'isotype'"),
        ({"staining": "FMO:CD99"}, "marker of panel B 'CD99'"),
        ({"panel": "NK"}, "panel 'NK'"),
        ({"role": "sibling"}, "role 'sibling'"),
    ],
)
def test_what_cannot_be_simulated_is_named(settings, change, message):
    with pytest.raises(ValueError, match=message):
        draw_tube(settings, "abstract", SEED, tube(PATIENT, 7, "B") | change)


def test_unknown_scenario_is_named(settings):
    with pytest.raises(ValueError, match="scenario 'miracle'; there are abstract, no_change"):
        draw_tube(settings, "miracle", SEED, tube(PATIENT, 7, "B"))


@pytest.mark.parametrize("value", ["", "a/b", "µ"])
def test_writer_refuses_keyword_values_that_would_break_the_text_segment(tmp_path, value):
    with pytest.raises(ValueError, match=r"\$COM"):
        write_fcs(tmp_path / "x.fcs", np.zeros((1, 1)), [("Time", "")], {"$COM": value}, 1024)
