"""The numbers of the simulated case."""

from pathlib import Path

import yaml


def read_settings(path: str | Path) -> dict:
    """The simulation's settings, as nested mappings (see the comments in the file)."""
    with open(path, encoding="utf-8") as stream:
        return yaml.safe_load(stream)


def choose(mapping: dict, key: str, what: str):
    """`mapping[key]`; a missing key raises ValueError that names it and what there is."""
    if key not in mapping:
        raise ValueError(f"simulation: no {what} {key!r}; there are {', '.join(map(str, mapping))}")
    return mapping[key]
