"""The cytometer: spillover, photon and electronic noise, saturation, time and clogs."""

import numpy as np

from simulation.cells import Cells

SCATTER_CHANNELS = ("FSC-A", "FSC-H", "SSC-A", "SSC-H")


def spillover_matrix(panel: dict) -> tuple[list[str], np.ndarray]:
    """Detectors' channel names and the matrix dye (row) x detector (column), diagonal 1."""
    dyes = [stain["dye"] for stain in panel["markers"].values()]
    matrix = np.eye(len(dyes))
    for dye, into in panel["spillover"].items():
        for detector, share in into.items():
            matrix[dyes.index(dye), dyes.index(detector)] = share
    return [f"{dye}-A" for dye in dyes], matrix


def channels(panel: dict) -> list[tuple[str, str]]:
    """$PnN and $PnS (empty for time and scatter) of a panel's files, in order."""
    stained = [(f"{stain['dye']}-A", marker) for marker, stain in panel["markers"].items()]
    return [("Time", ""), *((name, "") for name in SCATTER_CHANNELS), *stained]


def measure(
    settings: dict,
    panel: dict,
    cells: Cells,
    stained: np.ndarray,
    clog: dict | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, dict]:
    """What the instrument writes, and what happened on the way.

    `stained` (booleans, one a marker) says which dyes are in the tube. Returns float32 events x
    channels (order of `channels`, sorted by time), a mask of the events that a clog did not touch,
    and the truth about time, clog and saturation.
    """
    instrument = settings["instrument"]
    events = len(cells.kind)
    seconds, signal_left = _event_times(instrument, events, clog, rng)
    _, spill = spillover_matrix(panel)
    light = cells.own_light.copy()
    # Column by column rather than by a matrix product: the sum's order, and so the bytes, are then
    # the same whatever linear algebra numpy was built with.
    for dye, detector in zip(*np.nonzero(spill), strict=True):
        if stained[dye]:
            light[:, detector] += spill[dye, detector] * cells.dyes[:, dye]
    scatter = np.column_stack(
        [cells.area[:, 0], cells.height[:, 0], cells.area[:, 1], cells.height[:, 1]]
    )
    truth = {"seconds": round(float(seconds[-1]), 2), "clog": None}
    if clog is not None:
        light *= (1 - clog["fluorescence_loss"] * (1 - signal_left))[:, None]
        scatter *= (1 - clog["scatter_loss"] * (1 - signal_left))[:, None]
        end = clog["start"] + clog["duration"]
        shifted = signal_left < 0.9
        truth["clog"] = {
            "start_seconds": clog["start"],
            "end_seconds": end,
            "signals_low_until_seconds": round(float(seconds[shifted].max(initial=end)), 2),
            "events_during": int(((seconds >= clog["start"]) & (seconds < end)).sum()),
            "events_with_low_signal": int(shifted.sum()),
        }
    values = np.empty((events, 1 + scatter.shape[1] + light.shape[1]), dtype=np.float32)
    values[:, 0] = np.floor(seconds / instrument["timestep"])
    values[:, 1:5] = _detect(instrument, "scatter", scatter, rng)
    values[:, 5:] = _detect(instrument, "fluorescence", light, rng)
    top = instrument["range"] - 1
    truth["events_saturated"] = int((values[:, 1:] >= top).any(axis=1).sum())
    np.minimum(values[:, 1:], top, out=values[:, 1:])
    return values, signal_left >= 0.9, truth


def _detect(instrument: dict, kind: str, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photon noise (Poisson) and electronic noise (normal), in the units of `light`."""
    per_unit = instrument["photoelectrons_per_unit"][kind]
    # Rounded, so that a last digit of exp() that differs between processors changes no count.
    expected = np.rint(light * (per_unit * 1024)) / 1024
    noise = instrument["electronic_noise"][kind] * rng.standard_normal(light.shape)
    return rng.poisson(expected) / per_unit + noise


def _event_times(
    instrument: dict, events: int, clog: dict | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted times in seconds, and for each the fraction (0..1) of the lost signal that is back."""
    place = np.sort(rng.random(events)) * events / instrument["events_per_second"]
    if clog is None:
        return place, np.ones(events)
    # `place` is the time that an undisturbed flow would have needed.
    start, duration = clog["start"], clog["duration"]
    passed = duration * clog["rate"]
    last = place[-1] + 1
    seconds = np.interp(
        place,
        [0, start, start + passed, start + passed + last],
        [0, start, start + duration, start + duration + last],
    )
    after = np.maximum(seconds - (start + duration), 0)
    return seconds, np.where(seconds < start, 1.0, 1 - np.exp(-after / clog["recovery"]))
