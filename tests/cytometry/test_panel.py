"""A row of the acquisitions sheet as events: its data set, and the matrix that it names."""

import flowkit as fk
import numpy as np
import pytest
from cytometry_chain import SETTINGS, run_chain

from immunotrace.cytometry.panel import compensated_events, read_acquisition
from immunotrace.errors import InputError
from simulation.fcs import spillover_keyword, write_fcs

CHANNELS = ("FSC-A", "FITC-A", "PE-A")


def write(path, seed, keywords):
    events = np.random.default_rng(seed).uniform(10, 5_000, (200, 3)).astype("<f4")
    write_fcs(path, events, [(c, "") for c in CHANNELS], keywords, 262_144)
    return events


def test_the_matrix_of_the_sheet_replaces_that_of_the_file(tmp_path):
    own = {"$SPILLOVER": spillover_keyword(["FITC-A", "PE-A"], np.array([[1, 0.4], [0.3, 1]]))}
    events = write(tmp_path / "a.fcs", 1, own)
    (tmp_path / "m.csv").write_text(",FITC-A,PE-A\nFITC-A,1,0.2\nPE-A,0.05,1\n")
    row = {"fcs": str(tmp_path / "a.fcs"), "spillover": str(tmp_path / "m.csv")}
    fcs = read_acquisition(row)
    found = np.asarray(compensated_events(fcs, np.ones(200, bool), {"compensation": "fcs"}))
    expected = events.astype(float)
    expected[:, 1:] = np.linalg.solve(np.array([[1, 0.2], [0.05, 1]]).T, expected[:, 1:].T).T
    assert found == pytest.approx(expected, rel=1e-9)
    raw = compensated_events(fcs, np.ones(200, bool), {"compensation": "none"})
    assert np.array_equal(np.asarray(raw), events.astype(float))
    (tmp_path / "m.csv").write_text(",FITC-A,APC-A\nFITC-A,1,0.2\nAPC-A,0.05,1\n")
    with pytest.raises(InputError, match=r"m\.csv: names the channel 'APC-A'"):
        compensated_events(read_acquisition(row), np.ones(200, bool), {})


def test_written_gates_carry_the_matrix_that_was_used(tmp_path):
    """FlowKit alone, with the raw file and the written gates, comes to the counts of the tables."""
    rng = np.random.default_rng(3)
    n = 4_000
    positive = rng.random((n, 2)) < 0.5
    true = np.where(positive, 8_000, 80) * np.exp(0.3 * rng.standard_normal((n, 2)))
    scatter = 60_000 * np.exp(0.1 * rng.standard_normal(n))
    events = np.column_stack([scatter, true @ np.array([[1, 0.3], [0.1, 1]])])
    channels = [(c, "") for c in CHANNELS]
    write_fcs(tmp_path / "a.fcs", events, channels, {}, 262_144)  # without a matrix of its own
    (tmp_path / "m.csv").write_text(",FITC-A,PE-A\nFITC-A,1,0.3\nPE-A,0.1,1\n")
    (tmp_path / "gates.yaml").write_text(
        "cuts: {A: {method: valley}, B: {method: valley}}\n"
        "gates:\n  - {name: A+, method: cuts, above: [A]}\n"
        "  - {name: B+, parent: A+, method: cuts, above: [B]}\n"
    )
    row = {
        "acquisition": "a", "fcs": str(tmp_path / "a.fcs"), "spillover": str(tmp_path / "m.csv"),
        "subject": "S", "role": "patient", "day": 0, "panel": "T", "staining": "full", "batch": "b",
    }  # fmt: skip
    panel = {
        "gates": {"source": "template", "file": str(tmp_path / "gates.yaml")},
        "markers": {"A": {"channel": "FITC-A"}, "B": {"channel": "PE-A"}},
    }
    tables = run_chain([row], {"T": panel}, SETTINGS, tmp_path / "out")
    counts = tables["populations"].set_index("population")["count"]
    assert counts["A+"] == pytest.approx(positive[:, 0].sum(), abs=5)
    strategy = fk.parse_gating_xml(str(tmp_path / "out" / "b" / "gates" / "a.xml"))
    report = strategy.gate_sample(fk.Sample(tmp_path / "a.fcs")).report
    assert report["count"].tolist() == [counts["A+"], counts["A+/B+"]]


def test_a_data_set_by_its_number(tmp_path):
    """Two files one behind the other; $NEXTDATA of the first points to the second."""
    parts = []
    for seed in (1, 2):
        write(tmp_path / "part.fcs", seed, {"$NEXTDATA": "00000000"})
        parts.append((tmp_path / "part.fcs").read_bytes())
    begin = parts[0].index(b"$NEXTDATA/") + len(b"$NEXTDATA/")
    first = bytearray(parts[0])
    first[begin : begin + 8] = b"%08d" % len(first)
    path = tmp_path / "both.fcs"
    path.write_bytes(bytes(first) + parts[1])
    for number, seed in ((1, 1), (2, 2)):
        expected = write(tmp_path / "part.fcs", seed, {})
        assert np.array_equal(read_acquisition({"fcs": path, "dataset": number}).events, expected)
    with pytest.raises(InputError, match="column dataset of the acquisitions sheet"):
        read_acquisition({"fcs": path})
