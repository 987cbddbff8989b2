"""What every rule must say, and what linters would not tell."""

import re

import pytest
import yaml

# Joining tables and describing the case is no work worth a benchmark.
LIGHT = {
    "simulate_timeline",
    "cytometry_tables",
    "judge_claims",
    "describe_case",
    "describe_software",
}


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
        assert name in LIGHT or "benchmark" in sections, name
        assert "run:" not in body, name


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
