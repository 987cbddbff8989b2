"""The README's worked example is a case that passes all checks, and its links lead somewhere."""

import re

import pytest
import yaml

from immunotrace.case import load_case
from immunotrace.validation import load_schema


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def example_files(readme: str) -> dict[str, str]:
    """The files of the example by name: YAML blocks as they stand, tables as TSV."""
    section = readme.split("## Your own files")[1].split("\n## ")[0]
    files = {}
    for part in re.split(r"\*\*my_case/", section)[1:]:
        name = part.split("**")[0]
        if name.endswith(".yaml"):
            files[name] = re.search(r"```yaml\n(.*?)```", part, re.DOTALL)[1]
        else:
            rows = [line.strip("|") for line in part.splitlines() if line.startswith("|")]
            cells = [[cell.strip() for cell in row.split("|")] for row in rows]
            files[name] = "".join("\t".join(row) + "\n" for row in [cells[0], *cells[2:]])
    return files


def test_the_worked_example_passes_all_checks(readme, tmp_path, monkeypatch):
    files = example_files(readme)
    assert len(files) == 7
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        for path in re.findall(r"[\w/-]+\.(?:fcs|txt|wsp)", text):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text("raw")
    monkeypatch.chdir(tmp_path)
    case = load_case(yaml.safe_load(files["config.yaml"]), ["config.yaml"])
    assert (len(case.acquisitions), len(case.plates), len(case.claims)) == (6, 2, 6)


def test_the_claims_of_the_example_use_every_key_that_there_is(readme):
    # Each passes the checks above; together they show all a claim may have, and the text names it.
    claims = yaml.safe_load(example_files(readme)["claims.yaml"])["claims"]
    schema = load_schema("claims")["properties"]["claims"]["items"]["properties"]
    assert {key for claim in claims for key in claim} == set(schema)
    section = readme.split("**my_case/claims.yaml**")[1].split("```yaml")[0]
    for name in ("kind", "course", "measurement", "direction"):
        for value in schema[name]["enum"]:
            assert f"`{value}`" in section, value
    assert {claim["kind"] for claim in claims} == set(schema["kind"]["enum"])
    assert {claim.get("course") for claim in claims} >= set(schema["course"]["enum"])


def test_files_and_folders_that_it_names_exist(readme, repository):
    for path in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (repository / path).exists(), path
    layout = readme.split("## Where things are")[1].split("###")[0]
    for path in re.findall(r"`([\w./]+)`", layout.replace("results/", "")):
        assert (repository / path).exists() or path in (
            "report/",
            "figures/",
            "tables/",
            "logs/",
            "history/",
            "share.zip",
        )


def test_every_key_of_a_gate_template_is_explained(repository):
    told = (repository / "docs" / "gates.md").read_text(encoding="utf-8")
    schema = load_schema("gates")
    cut = schema["properties"]["cuts"]["additionalProperties"]
    gate = schema["properties"]["gates"]["items"]
    for part in (schema, cut, gate):
        assert [key for key in part["properties"] if f"`{key}`" not in told] == []
    words = [*cut["properties"]["method"]["enum"], *gate["properties"]["method"]["enum"]]
    assert [word for word in words if f"`{word}`" not in told] == []
