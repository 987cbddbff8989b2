"""Gate templates as files: what they may say, and what is wrong with one.

Read while Snakemake plans, so it keeps to what immunotrace.validation needs.
"""

from pathlib import Path
from typing import Any

from immunotrace.errors import InputError
from immunotrace.validation import YamlFile, load_schema, load_yaml, schema_problems, suggestion

DEFAULT_LOGICLE = {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0}

_KEYS_OF_METHOD = {
    "singlets": {"name", "parent", "method", "channels", "width"},
    "scatter": {"name", "parent", "method", "channels", "minimum", "coverage"},
    "cuts": {"name", "parent", "method", "above", "below"},
}


def read_template(path: str | Path) -> dict[str, Any]:
    """Read a gate template, with its defaults. Raises InputError with all that is wrong with it."""
    template, problems = check_template(str(path))
    if problems:
        raise InputError("\n".join(problems))
    return template


def check_template(path: str) -> tuple[dict[str, Any], list[str]]:
    """A gate template with its defaults, and what is wrong with it, a sentence each."""
    file, problems = load_yaml(path)
    if file is None:
        return {}, problems
    problems += schema_problems(file.data, load_schema("gates"), file.where)
    if problems:
        return {}, problems
    template = {"logicle": DEFAULT_LOGICLE, "cuts": {}, "threshold_populations": [], **file.data}
    template["gates"] = [{"parent": "", **gate} for gate in template["gates"]]
    return template, _gate_problems(file, template) + _cut_problems(file, template)


def population_paths(template: dict[str, Any]) -> list[str]:
    """The paths of the populations that a template makes, parents first."""
    return [path_of(gate) for gate in template.get("gates", [])]


def _markers_above(template: dict[str, Any], population: str) -> set[str]:
    """The markers whose cuts make a population or one that it stands on, directly or through cuts."""
    gates = {path_of(gate): gate for gate in template["gates"]}
    markers: set[str] = set()
    waiting = [population]
    while waiting:
        gate = gates.get(waiting.pop())
        if gate is None:
            continue
        waiting.append(gate["parent"])
        for marker in {*gate.get("above", []), *gate.get("below", [])} - markers:
            markers.add(marker)
            waiting.append(template["cuts"].get(marker, {}).get("population", ""))
    return markers


def path_of(gate: dict[str, Any]) -> str:
    return f"{gate['parent']}/{gate['name']}" if gate["parent"] else gate["name"]


def _gate_problems(file: YamlFile, template: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    known = {""}
    for index, gate in enumerate(template["gates"]):
        where, path = file.where(("gates", index)), path_of(gate)
        allowed = _KEYS_OF_METHOD[gate["method"]]
        problems += [
            f"{where}: a gate of method {gate['method']!r} has no {key!r}; it may have "
            f"{', '.join(sorted(allowed))}."
            for key in gate
            if key not in allowed
        ]
        if gate["parent"] not in known:
            problems.append(
                f"{where}: the parent {gate['parent']!r} of {gate['name']!r} is no gate above it."
                f"{suggestion(gate['parent'], known)}"
            )
        if path in known:
            problems.append(f"{where}: the gate {path!r} is there already; give it another name.")
        known.add(path)
        markers = [*gate.get("above", []), *gate.get("below", [])]
        problems += [
            f"{where}: there is no cut for {marker!r} under `cuts`."
            f"{suggestion(marker, template['cuts'])}"
            for marker in markers
            if marker not in template["cuts"]
        ]
        if gate["method"] == "cuts" and not markers:
            problems.append(f"{where}: {gate['name']!r} needs a marker in `above` or `below`.")
        if gate["method"] != "cuts" and "channels" not in gate:
            problems.append(f"{where}: {gate['name']!r} needs `channels`, two of them.")
    return problems


def _cut_problems(file: YamlFile, template: dict[str, Any]) -> list[str]:
    known = ["", *population_paths(template)]
    circular = [
        f"{file.where(('cuts', marker))}: the cut of {marker!r} is sought in a population that this "
        "cut itself makes; name one above it."
        for marker, cut in template["cuts"].items()
        if marker in _markers_above(template, cut.get("population", ""))
    ]
    pairs = [
        f"{file.where(('cuts', marker))}: {marker!r} has the method quadrants; expected `with`, "
        "another marker of the same method and population, which names this one."
        for marker, cut in template["cuts"].items()
        if cut["method"] == "quadrants"
        and (
            cut.get("with") == marker
            or _paired(template["cuts"].get(cut.get("with"), {})) != (marker, cut.get("population"))
        )
    ]
    pairs += [
        f"{file.where(('cuts', marker))}: only the method quadrants has `with`; remove it."
        for marker, cut in template["cuts"].items()
        if cut["method"] != "quadrants" and "with" in cut
    ]
    named = [
        (("cuts", marker, "population"), cut.get("population", ""))
        for marker, cut in template["cuts"].items()
    ]
    named += [
        (("threshold_populations", index), population)
        for index, population in enumerate(template["threshold_populations"])
    ]
    return [*circular, *pairs] + [
        f"{file.where(key)}: no gate makes the population {population!r}."
        f"{suggestion(population, known)}"
        for key, population in named
        if population not in known
    ]


def _paired(cut: dict[str, Any]) -> tuple[str | None, str | None]:
    return cut.get("with") if cut.get("method") == "quadrants" else None, cut.get("population")
