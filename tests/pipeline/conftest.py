"""The bundled case in its scenarios, run once by whichever test asks first, in whichever process."""

import fcntl
import json
import os

import pytest
from runs import Run, copy_repository, snakemake


def run_scenario(repository, tmp_path_factory, scenario: str, *targets: str) -> Run:
    base = tmp_path_factory.getbasetemp()
    # Processes of one session of pytest-xdist have their folders side by side.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, record = shared / scenario / "clone", shared / f"{scenario}.json"
    with open(shared / f"{scenario}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            copy_repository(repository, folder)
            run = snakemake(folder, *targets, "--config", f"scenario={scenario}")
            record.write_text(json.dumps([run.code, run.output]))
    run = Run(folder, *json.loads(record.read_text()))
    assert run.code == 0, run.output
    return run


@pytest.fixture(scope="session")
def abstract(repository, tmp_path_factory) -> Run:
    """The bundled case as it comes, from nothing to the report."""
    return run_scenario(repository, tmp_path_factory, "abstract")


@pytest.fixture(scope="session")
def no_change(repository, tmp_path_factory) -> Run:
    return run_scenario(repository, tmp_path_factory, "no_change", "results/tables/claims.tsv")


@pytest.fixture(scope="session")
def opposite(repository, tmp_path_factory) -> Run:
    return run_scenario(repository, tmp_path_factory, "opposite", "results/tables/claims.tsv")
