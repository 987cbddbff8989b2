"""Acquisition QC on events whose faults are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cytometry_chain import SETTINGS, log_normal, make_fcs
from hypothesis import given, settings
from hypothesis import strategies as st

from immunotrace.cytometry.acquisition_qc import (
    QC_DEFAULTS,
    acquisition_qc,
    add_dead_cells,
    ingest_batch,
)
from immunotrace.cytometry.panel import read_kept, write_kept
from immunotrace.errors import InputError
from immunotrace.tables import read_tsv
from simulation.fcs import write_fcs

N = 20_000


@pytest.fixture
def columns():
    """A steady acquisition of single cells: 400 events a second."""
    rng = np.random.default_rng(7)
    area = 80_000 * np.exp(0.1 * rng.standard_normal(N))
    return {
        "Time": np.sort(rng.random(N)) * N / 400,
        "FSC-A": area,
        "FSC-H": area / 1.1 * np.exp(0.03 * rng.standard_normal(N)),
        "SSC-A": 25_000 * np.exp(0.2 * rng.standard_normal(N)),
        "FITC-A": np.where(
            rng.random(N) < 0.4, log_normal(rng, 8000, 0.4, N), log_normal(rng, 100, 0.4, N)
        ),
    }


def test_clean_file_keeps_everything(columns):
    result = acquisition_qc(make_fcs(columns))
    assert result.row["verdict"] == "pass"
    assert result.row["removed"] == ""
    assert result.row["notes"] == ""
    assert result.keep.all()


def test_margin_events_at_either_end(columns):
    high, low, pile = np.split(np.random.default_rng(1).permutation(N)[:250], [120, 150])
    columns["FITC-A"][high] = 262_143
    columns["FSC-A"][low] = 0.0
    columns["FITC-A"][pile] = -500.0  # the low end of fluorescence: told, kept
    result = acquisition_qc(make_fcs(columns))
    assert (result.row["margin_high"], result.row["margin_low"]) == (120, 30)
    assert result.row["margin_channels"] == "FSC-A low 30; FITC-A high 120; FITC-A low 100"
    assert result.row["removed"] == "margin 150"
    by_channel = {row["channel"]: row for row in result.channels}
    assert (by_channel["FSC-A"]["at_low"], by_channel["FSC-A"]["at_high"]) == (30, 0)
    assert (by_channel["FITC-A"]["at_low"], by_channel["FITC-A"]["at_high"]) == (100, 120)
    assert by_channel["FITC-A"]["percent_at_high"] == pytest.approx(100 * 120 / N)
    assert (by_channel["FITC-A"]["range_low"], by_channel["FITC-A"]["range_high"]) == (0, 262_143)
    assert sorted(np.flatnonzero(~result.keep)) == sorted([*high, *low])


def test_margin_of_amplified_and_of_wrong_ranges(columns):
    fcs = make_fcs(columns, {"$P5E": "4,1", "$P4G": "2"})
    fcs.events[:, 4] = np.clip(fcs.events[:, 4], 1, 9000)
    fcs.events[:70, 4] = 10 ** (4 * 1023 / 1024)
    fcs.events[:, 3] /= 2
    fcs.events[100:150, 3] = 262_143 / 2
    ranges = fcs.ranges.copy()
    ranges[4], ranges[2] = 1024, 4096
    result = acquisition_qc(replace(fcs, ranges=ranges))
    assert result.row["margin_high"] == 120
    assert "margin of FSC-H not possible" in result.row["notes"]


def test_clog_is_found_and_only_that(columns):
    """The flow stops for 8 s, and signals are low by half for 3 s afterwards."""
    time = columns["Time"]
    start = 20.0
    low = (time >= start) & (time < start + 3)
    for name in ("FSC-A", "SSC-A", "FITC-A"):
        columns[name][low] *= 0.5
    time[time >= start] += 8
    result = acquisition_qc(make_fcs(columns))
    assert not result.keep[low].any()
    window = 250
    # Besides the disturbed events no more than the windows cut by its edges and their neighbours.
    assert (~result.keep & ~low).sum() <= 4 * window
    assert result.row["time_removed"] == (~result.keep).sum()
    assert result.row["verdict"] == "warn"
    assert result.row["events_per_second"] == pytest.approx(400, rel=0.05)
    removed = [window for window in result.windows if window["removed"]]
    assert len(removed) == result.row["windows_removed"]
    assert removed[0]["start"] < start < removed[-1]["start"]
    assert sum(window["events"] for window in removed) == result.row["time_removed"]
    assert any("rate" in window["cause"] for window in removed)
    drift = {row["channel"]: row["drift"] for row in result.channels}
    # Halving is 0.69 on a scale of natural logarithms; FITC's mean noise adds to it.
    assert drift["SSC-A"] == pytest.approx(np.log(2), abs=0.1)
    assert result.row["worst_channel"] == max(drift, key=drift.get)


def test_slow_flow_alone_is_found(columns):
    time = columns["Time"]
    slow = (time >= 30) & (time < 33)
    time[:] = np.where(time < 30, time, np.where(slow, 30 + 5 * (time - 30), time + 12))
    result = acquisition_qc(make_fcs(columns))
    assert (~result.keep[slow]).mean() > 0.95
    assert result.keep[(time < 28) | (time > 48)].all()


@pytest.mark.parametrize("change", ["no time", "constant", "short", "no scatter", "wrapped"])
def test_impossible_checks_are_told_and_no_failure(columns, change):
    if change == "no time":
        del columns["Time"]
    elif change == "constant":
        columns["Time"][:] = 3.0
    elif change == "short":
        columns = {name: values[:4000] for name, values in columns.items()}
    elif change == "wrapped":  # two halves of the acquisition would be taken for the same time
        columns["Time"] %= 0.6 * columns["Time"].max()
    else:
        del columns["FSC-H"]
    result = acquisition_qc(make_fcs(columns))
    told = {
        "no time": "no Time channel",
        "constant": "Time does not advance",
        "short": "fewer than 5,000 events",
        "wrapped": "flow over time not possible: Time goes back by",
        "no scatter": "doublets not possible: no FSC-A and FSC-H",
    }
    assert told[change] in result.row["notes"]
    assert result.row["verdict"] == "pass"


def test_events_that_are_not_finite_go_always(columns):
    columns["FITC-A"][5] = np.nan
    columns["SSC-A"][9] = np.inf
    result = acquisition_qc(make_fcs(columns), {**QC_DEFAULTS, "remove": []})
    assert np.flatnonzero(~result.keep).tolist() == [5, 9]
    assert result.row["removed"] == "not finite 2"


def test_doublets_are_counted(columns):
    columns["FSC-A"][:2000] *= 1.9
    row = acquisition_qc(make_fcs(columns)).row
    assert row["doublet_percent"] == pytest.approx(10.0, abs=0.1)
    limit = {**QC_DEFAULTS, "warn_doublet_percent": 8.0}
    assert acquisition_qc(make_fcs(columns), limit).row["verdict"] == "warn"


def _write(folder, columns, name):
    path = folder / f"{name}.fcs"
    events = np.column_stack(list(columns.values()))
    write_fcs(path, events, [(c, "") for c in columns], {"$CYT": "test"}, 262_144)
    keys = {"subject": "S", "role": "patient", "day": 0, "panel": "T", "batch": "run1"}
    return {"acquisition": name, "fcs": str(path), "staining": "full", **keys}


def test_failed_files_are_excluded_or_stop_the_run(columns, tmp_path):
    bad = {name: values[:300] for name, values in columns.items()}
    rows = [_write(tmp_path, columns, "good"), _write(tmp_path, bad, "file")]
    table, kept = tmp_path / "qc.tsv", tmp_path / "kept.npz"
    more = tmp_path / "channels.tsv", tmp_path / "time.tsv"
    ingest_batch(rows, {**SETTINGS, "on_failed_qc": "exclude"}, table, kept, *more)
    channels, windows = (read_tsv(path) for path in more)
    assert list(channels["channel"]) == 2 * ["FSC-A", "FSC-H", "SSC-A", "FITC-A"]
    assert set(windows["acquisition"]) == {"good"}  # the other has too few events for windows
    assert windows["events"].sum() == N
    verdicts = pd.read_csv(table, sep="\t").set_index("acquisition")["verdict"]
    assert verdicts.to_dict() == {"good": "pass", "file": "fail"}
    assert list(read_kept(kept)) == ["good"]
    first = kept.read_bytes(), table.read_bytes()
    ingest_batch(rows, {**SETTINGS, "on_failed_qc": "exclude"}, table, kept, *more)
    assert (kept.read_bytes(), table.read_bytes()) == first
    with pytest.raises(InputError, match=r"1 acquisition\(s\) failed .*file .*300 events are left"):
        ingest_batch(rows, SETTINGS, table, kept, *more)


def test_an_unreadable_file_stops_the_run_or_is_left_out_by_name(columns, tmp_path):
    rows = [_write(tmp_path, columns, name) for name in ("good", "cut", "empty")]
    whole = Path(rows[1]["fcs"]).read_bytes()
    Path(rows[1]["fcs"]).write_bytes(whole[: len(whole) // 2])
    Path(rows[2]["fcs"]).write_bytes(b"")
    table, kept = tmp_path / "qc.tsv", tmp_path / "kept.npz"
    more = tmp_path / "channels.tsv", tmp_path / "time.tsv"
    # Both are told at once, and what else can be done.
    with pytest.raises(InputError, match=r"(?s)cut\.fcs: .*empty\.fcs: .*on_unreadable: exclude"):
        ingest_batch(rows, SETTINGS, table, kept, *more)
    ingest_batch(rows[:1], SETTINGS, table, kept, *more)
    alone = table.read_text().splitlines()
    ingest_batch(rows, {**SETTINGS, "on_unreadable": "exclude"}, table, kept, *more)
    checks = read_tsv(table).set_index("acquisition")
    assert table.read_text().splitlines()[:2] == alone
    assert checks["verdict"].to_dict() == {"good": "pass", "cut": "fail", "empty": "fail"}
    assert checks["events"].to_dict() == {"good": N, "cut": 0, "empty": 0}
    assert checks.loc[["cut", "empty"], "reason"].str.startswith("cannot be read: ").all()
    assert str(tmp_path) not in table.read_text()  # a folder may have a person's name
    assert list(read_kept(kept)) == ["good"]


def test_dead_cells_are_what_the_living_leave_of_their_parent(tmp_path):
    qc, populations = tmp_path / "qc.tsv", tmp_path / "populations.tsv"
    qc.write_text("acquisition\tpanel\tverdict\na\tT\tpass\nb\tB\tpass\nc\tT\tpass\n")
    populations.write_text(
        "acquisition\tpanel\tpopulation\tpercent_of_parent\n"
        "a\tT\tcells\t90\na\tT\tcells/live\t94.5\nb\tB\tcells/live\t80\n"
    )
    add_dead_cells(qc, populations, {"T": "cells/live"})
    checks = read_tsv(qc).set_index("acquisition")
    assert checks["dead_percent"].to_dict() == pytest.approx(
        {"a": 5.5, "b": np.nan, "c": np.nan}, nan_ok=True
    )


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text("abcAB_.-1", min_size=1, max_size=8), st.lists(st.booleans()), max_size=5
    )
)
def test_masks_come_back(tmp_path_factory, masks):
    path = tmp_path_factory.mktemp("kept") / "kept.npz"
    arrays = {name: np.array(mask, bool) for name, mask in masks.items()}
    write_kept(arrays, path)
    back = read_kept(path)
    assert list(back) == list(arrays)
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
