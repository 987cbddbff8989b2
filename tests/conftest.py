"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

# The same examples in every run: a test that fails does so for everybody.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of public reference data; the test is skipped where it is absent."""
    folder = Path(
        os.environ.get("IMMUNOTRACE_REFERENCE", REPOSITORY.parent / "shared" / "reference")
    )
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder} (set IMMUNOTRACE_REFERENCE to their folder)")
    return folder
