"""The pip lock and the conda environments hold the same versions, to the minor one.

Read from the repository's own files: that conda-forge has these versions, they cannot show.
"""

import re

import pytest
from environments import files_by_environment, read_environments

# Packages whose name on PyPI is not the one on conda-forge.
PYPI_NAMES = {"matplotlib-base": "matplotlib"}


@pytest.fixture(scope="module")
def locked(repository) -> dict[str, set[str]]:
    """The versions of each package in the pip lock: several where they depend on the Python."""
    versions: dict[str, set[str]] = {}
    text = (repository / "requirements" / "run.lock").read_text()
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


def test_same_minor_versions_in_both_worlds(repository, locked):
    different = []
    for environment in read_environments(repository).values():
        for name, pin in environment.conda.items():
            if name in ("python", "pip"):  # no packages of the lock
                continue
            versions = locked.get(PYPI_NAMES.get(name, name), {"none"})
            if {"=" + ".".join(version.split(".")[:2]) for version in versions} != {pin}:
                different.append(f"{environment.name}: {name} {pin}; run.lock: {versions}")
        for name, pin in environment.pip.items():
            versions = locked.get(name, {"none"})
            if {f"=={version}" for version in versions} != {pin}:
                different.append(f"{environment.name}: pip: {name} {pin}; run.lock: {versions}")
    assert not different, "\n".join(different)


def test_environments_are_of_one_kind(repository):
    for environment in read_environments(repository).values():
        assert environment.channels == ["conda-forge"], environment.name
        assert environment.conda["python"] == ">=3.11,<3.14", environment.name
        assert ("pip" in environment.conda) == bool(environment.pip), environment.name


def test_every_environment_and_script_is_used(repository):
    used = files_by_environment(repository)
    assert set(used) == set(read_environments(repository))
    files = {path for files in used.values() for path in files}
    assert sorted(files) == sorted(
        [*(repository / "scripts").glob("*.py"), *(repository / "notebooks").glob("*.ipynb")]
    )
