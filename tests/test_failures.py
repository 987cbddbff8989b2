"""docs/failures.md names the tests of its rows, and every test that makes a fault has a row."""

import re


def test_each_row_names_tests_that_exist_and_each_fault_has_a_row(repository):
    page = (repository / "docs" / "failures.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`test_" in line]
    assert len(rows) > 8
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row.split("|")[-2])}
    files = {path: path.read_text(encoding="utf-8") for path in repository.glob("tests/**/*.py")}
    there = {name for text in files.values() for name in re.findall(r"^def (test_\w+)", text, re.M)}
    assert named <= there
    faults = files[repository / "tests" / "faults" / "fault_runs.py"]
    assert set(re.findall(r"^def (test_\w+)", faults, re.M)) <= named
