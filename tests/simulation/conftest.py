"""The simulator's settings and one simulated batch, shared by its tests."""

import json
from pathlib import Path

import pytest
from simulated_rows import CONTROL, PATIENT, SEED, tube

from simulation.batch import simulate_batch
from simulation.settings import read_settings


@pytest.fixture(scope="session")
def settings(repository) -> dict:
    return read_settings(repository / "resources" / "case" / "simulation.yaml")


@pytest.fixture(scope="session")
def plate_map(repository) -> Path:
    return repository / "resources" / "case" / "plate_map.tsv"


@pytest.fixture(scope="session")
def batch(settings, plate_map, tmp_path_factory) -> tuple[Path, dict]:
    """Folder and truth of a batch: tubes of the patient on day 21 (the clogged one too), plates."""
    folder = tmp_path_factory.mktemp("batch")
    rows = [
        tube(PATIENT, 21, "T", folder=folder),
        tube(PATIENT, 21, "T", "FMO:CCR4", folder),
        tube(PATIENT, 21, "B", folder=folder),
    ]
    plates = [
        PATIENT | {"plate": "grid", "day": 21, "format": "topcount_grid"},
        CONTROL | {"plate": "list", "day": 42, "format": "topcount_list"},
    ]
    for plate in plates:
        plate |= {"map": str(plate_map), "path": str(folder / f"{plate['plate']}.txt")}
    truth = folder / "truth.json"
    simulate_batch(settings, "abstract", SEED, rows, plates, truth)
    return folder, json.loads(truth.read_text())
