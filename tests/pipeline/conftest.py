"""The bundled case in its scenarios, run once a session."""

import pytest
from runs import Run, copy_repository, snakemake


def run_scenario(repository, tmp_path_factory, scenario: str, *targets: str) -> Run:
    folder = copy_repository(repository, tmp_path_factory.mktemp(scenario) / "clone")
    run = snakemake(folder, *targets, "--config", f"scenario={scenario}")
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
