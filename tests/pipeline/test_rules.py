"""What every rule must say, and what linters would not tell."""

import json
import re

import pytest
import yaml

from immunotrace.report import CHAPTER_TABLES

# All but what comes after the crate, which tells how long each rule took, or stands beside the report.
UNTIMED = {"write_crate", "pack_results", "score_simulation"}


def rules(repository):
    text = "\n".join(path.read_text() for path in sorted((repository / "rules").glob("*.smk")))
    blocks = re.split(r"^ *rule ?(\w*):\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(blocks[::2], blocks[1::2], strict=True))


def test_every_rule_has_what_a_cluster_needs(repository):
    found = rules(repository)
    assert len(found) >= 14
    for name, body in found.items():
        sections = set(re.findall(r"^ +(\w+):", body, flags=re.MULTILINE))
        assert {"output", "log", "conda", "resources", "script"} <= sections, name
        assert name in UNTIMED or "benchmark" in sections, name
        assert "run" not in sections, name


def test_every_script_and_environment_is_used(repository):
    text = "".join(path.read_text() for path in (repository / "rules").glob("*.smk"))
    for folder in ("scripts", "envs"):
        for path in (repository / folder).iterdir():
            if path.suffix in (".py", ".yaml"):
                assert f"../{folder}/{path.name}" in text, path


@pytest.mark.parametrize(
    "name",
    ["config", "acquisitions", "plates", "plate_map", "timeline", "panels", "claims", "gates"],
)
def test_schemas_refuse_unknown_keys(repository, name):
    schema = yaml.safe_load((repository / "schemas" / f"{name}.schema.yaml").read_text())

    def objects(part):
        if isinstance(part, dict):
            if part.get("type") == "object":
                yield part
            for value in part.values():
                yield from objects(value)

    found = list(objects(schema))
    assert found
    for part in found:
        assert "additionalProperties" in part, part.get("description")
        assert part["additionalProperties"] is not True


def test_chapters_read_no_table_that_their_jobs_do_not_name(repository):
    """A table that a chapter reads and its job does not name would leave the chapter stale."""
    known = {name for names in CHAPTER_TABLES.values() for name in names}
    lineage = (repository / "immunotrace/report/lineage.py").read_text(encoding="utf-8")
    for chapter, declared in CHAPTER_TABLES.items():
        cells = json.loads((repository / "notebooks" / f"{chapter}.ipynb").read_text())["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        code += lineage if "read_chapter" in code else ""
        read = {name for name in known if re.search(rf'load_table\([^)]*"{name}"', code)}
        for names in re.findall(r"for name in \(([^)]*)\)(?=[^\n]*load_table|\s*for)", code):
            read |= known & set(re.findall(r'"(\w+)"', names))
        read |= {
            name
            for name in ("timeline", "software", "record", "what_is_new")
            if f"load_{name}(" in code
        }
        assert read == set(declared), chapter


def test_code_names_the_environment_of_its_rule(repository):
    for name, body in rules(repository).items():
        environment = re.search(r'"\.\./(envs/[\w{}]+\.yaml)"', body)[1]
        assert f'"{environment}"' in body.split("params:")[1].replace("{wc.", "{"), name
        script = re.search(r'"\.\./(scripts/\w+\.py)"', body)[1]
        assert f'"{script}"' in body or "code_files()" in body, name
