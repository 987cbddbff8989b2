"""The environment files, and what the rules run in each of them, read from the repository's text."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Environment:
    """An environment file: conda's and pip's requirements as {name: version with its operator}."""

    name: str
    channels: list[str]
    conda: dict[str, str]
    pip: dict[str, str]


def read_environments(repository: Path) -> dict[str, Environment]:
    return {
        path.stem: read_environment(path) for path in sorted((repository / "envs").glob("*.yaml"))
    }


def read_environment(path: Path) -> Environment:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = document["dependencies"]
    sections = [
        [entry for entry in entries if isinstance(entry, str)],
        [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]],
    ]
    conda, pip = (
        dict((*line.split(maxsplit=1), "")[:2] for line in section) for section in sections
    )
    return Environment(path.stem, document["channels"], conda, pip)


def files_by_environment(repository: Path) -> dict[str, list[Path]]:
    """The scripts and notebooks that the rules run in each environment, by its name."""
    files: dict[str, set[Path]] = {}
    for path in (repository / "rules").glob("*.smk"):
        for rule in re.split(r"^\s*rule\b.*:$", path.read_text(), flags=re.MULTILINE)[1:]:
            (named,) = re.findall(r'conda:\s+"../envs/([\w{}]+)\.yaml"', rule)
            every = [path.stem for path in (repository / "envs").glob("*.yaml")]
            for environment in every if named == "{environment}" else [named]:
                run = files.setdefault(environment, set())
                for script in re.findall(r'script:\s+"../(scripts/\w+\.py)"', rule):
                    run.add(repository / script)
                if "notebooks=" in rule:
                    run.update((repository / "notebooks").glob("*.ipynb"))
    return {name: sorted(run) for name, run in files.items()}
