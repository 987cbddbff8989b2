"""A run as an RO-Crate: results/ with ro-crate-metadata.json in it, which tells what made each file.

After RO-Crate 1.1 and the profiles Process, Workflow and Provenance Run Crate 0.5 and Workflow RO-Crate 1.0
(Leo et al. 2024, PLoS One 19:e0309210). Raw files are no part of the crate: they go by their names in
the sheets, with size and SHA-256. A run's day is not told, for it may be near that of a sample: the year is.
The crate holds the time that each rule took, so two runs never have the same one; all else in it is the
same for the same input.
"""

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

from immunotrace.provenance import STEPS, Step

_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_FORMATS = {
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".ipynb": "application/x-ipynb+json",
    ".xml": "application/xml",
}
_TYPES = {bool: "Boolean", int: "Integer", float: "Float"}
_MAIN = "crate/Snakefile"


def describe_run(
    case: dict,
    settings: dict,
    software: dict,
    results: Path,
    files: Iterable[str],
    workflow: Mapping[str, Path],
    benchmarks: Mapping[str, tuple[float, float]],
    year: int,
) -> dict:
    """The crate's metadata as JSON-LD.

    `case` and `software` are what `describe_case` and `load_software` return; `settings` those of the
    run's record: configuration, panels and claims; `files` what the run made,
    below `results`; `workflow` the places in `results` of the workflow's own files, with the files;
    `benchmarks` what `read_benchmarks` returns; `year` that of the run.
    """
    study = case["settings"].get("study", {})
    made = [_file(Path(path), results, Path(path)) for path in sorted(files)]
    sources = [_file(Path(place), results, path) for place, path in sorted(workflow.items())]
    inputs = [_input(entry) for entry in case["inputs"]]
    parameters = _parameters(case, settings, inputs)
    packages, environments = _environments(software)
    steps, helpers = _steps(case, made, inputs, benchmarks)
    values = [entity for entity in parameters if entity["@type"] == "PropertyValue"]
    formal = [entity for entity in parameters if entity["@type"] == "FormalParameter"]
    commit = software["commit"]
    main = next(entity for entity in sources if entity["@id"] == _MAIN)
    main |= {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "immunotrace",
        "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
        "programmingLanguage": {"@id": "#snakemake"},
        "input": _ids(formal),
        "hasPart": _ids(e for e in steps if e["@type"] == "SoftwareSourceCode"),
        "step": _ids(e for e in steps if e["@type"] == "HowToStep"),
    }
    for entity in [main, *steps]:
        if commit and "SoftwareSourceCode" in entity["@type"]:
            state = "changed since that commit" if commit.endswith("+") else "as committed"
            entity |= {"version": commit.rstrip("+"), "creativeWorkStatus": state}
    agent = study.get("organisation")
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of immunotrace: {case['title']}",
        "description": "From raw files to the report.",
        "instrument": {"@id": _MAIN},
        "object": _ids([*inputs, *values]),
        "result": _ids(made),
        **({"agent": {"@id": "#organisation"}} if agent else {}),
    }
    actions = [run, *(e for e in steps if e["@type"] == "CreateAction")]
    simulated = " All data are SIMULATED; no number is a patient's." if case["simulated"] else ""
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": case["title"],
        "description": f"Report, figures and tables of one patient's immune monitoring.{simulated}",
        "datePublished": str(year),
        "license": study.get("licence", "not given: ask those who made the crate"),
        "conformsTo": [{"@id": profile} for profile in _PROFILES],
        "mainEntity": {"@id": _MAIN},
        "hasPart": _ids([*sources, *made, *inputs]),
        "mentions": _ids(actions),
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [
            {"@id": "https://w3id.org/ro/crate/1.1"},
            {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"},
        ],
    }
    language = {
        "@id": "#snakemake",
        "@type": ["ComputerLanguage", "SoftwareApplication"],
        "name": "Snakemake",
        "softwareVersion": software["snakemake"],
        "url": "https://snakemake.github.io",
    }
    profiles = [
        {"@id": url, "@type": "CreativeWork", "name": name, "version": url.rsplit("/", 1)[1]}
        for url, name in _PROFILES.items()
    ]
    organisation = [{"@id": "#organisation", "@type": "Organization", "name": agent}]
    return {
        "@context": [
            "https://w3id.org/ro/crate/1.1/context",
            {name: f"{_TERMS}{name}" for name in ("sha256", "resourceUsage")},
        ],
        "@graph": [
            *(descriptor, root, *profiles, language, *(organisation if agent else []), *sources),
            *(run, *steps, *helpers, *made, *inputs, *parameters, *environments, *packages),
        ],
    }


def read_benchmarks(folder: str | Path) -> dict[str, tuple[float, float]]:
    """Seconds and largest memory (MB) of each job that Snakemake has measured, by rule or rule/wildcards."""
    found = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        with open(path, encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"), None)
        if row and re.fullmatch(r"[0-9.]+", row["s"]):
            memory = row["max_rss"]
            name = path.relative_to(folder).with_suffix("").as_posix()
            found[name] = (
                float(row["s"]),
                float(memory) if re.fullmatch(r"[0-9.]+", memory) else 0.0,
            )
    return found


def _ids(entities: Iterable[dict]) -> dict | list[dict]:
    """References; one alone is no list, as RO-Crate has it."""
    found = [{"@id": entity["@id"]} for entity in entities]
    return found[0] if len(found) == 1 else found


def _file(place: Path, results: Path, path: Path) -> dict:
    """A file of the crate at `place`, whose content is that of `path`."""
    content = path.read_bytes()
    return {
        "@id": quote(place.relative_to(results).as_posix()),
        "@type": "File",
        "name": place.name,
        "encodingFormat": _FORMATS.get(path.suffix, "text/plain"),
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _input(entry: dict) -> dict:
    told = {k: v for k, v in entry.items() if k not in ("kind", "name", "bytes", "sha256")}
    about = "; ".join(f"{key} {value}" for key, value in told.items())
    return {
        "@id": f"#{_slug(entry['kind'])}/{quote(entry['name'])}",
        "@type": "File",
        "name": entry["name"],
        "description": f"{entry['kind']}, not in this crate{f': {about}' if about else ''}",
        "contentSize": str(entry["bytes"]),
        "sha256": entry["sha256"],
        "exampleOfWork": {"@id": f"#input/{_slug(entry['kind'])}"},
    }


def _slug(text: str) -> str:
    return text.replace(" ", "_")


def _parameters(case: dict, settings: dict, inputs: list[dict]) -> list[dict]:
    """A formal parameter for each kind of input and each setting, and the settings' values."""
    kinds: dict[str, list[dict]] = {}
    for entry, entity in zip(case["inputs"], inputs, strict=True):
        kinds.setdefault(entry["kind"], []).append(entity)
    found = [
        {
            "@id": f"#input/{_slug(kind)}",
            "@type": "FormalParameter",
            "name": kind,
            "additionalType": "File",
            "workExample": _ids(entities),
        }
        for kind, entities in kinds.items()
    ]
    for key, value in settings.items():
        plain = value if type(value) in _TYPES else _text(value)
        found += [
            {
                "@id": f"#setting/{quote(key)}",
                "@type": "FormalParameter",
                "name": key,
                "additionalType": _TYPES.get(type(plain), "Text"),
                "workExample": {"@id": f"#value/{quote(key)}"},
            },
            {
                "@id": f"#value/{quote(key)}",
                "@type": "PropertyValue",
                "name": key,
                "value": plain,
                "exampleOfWork": {"@id": f"#setting/{quote(key)}"},
            },
        ]
    return found


def _text(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _environments(software: dict) -> tuple[list[dict], list[dict]]:
    """The packages of each environment, and the environments."""
    packages = {
        (name, version): {
            "@id": f"#software/{name}-{version}",
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
        }
        for held in software["environments"].values()
        for name, version in sorted(held.items())
    }
    environments = [
        {
            "@id": f"#environment/{environment}",
            "@type": "SoftwareApplication",
            "name": f"environment {environment}",
            "softwareRequirements": _ids(packages[item] for item in sorted(held.items())),
        }
        for environment, held in sorted(software["environments"].items())
    ]
    return [packages[key] for key in sorted(packages)], environments


def _ran(step: Step, case: dict, made: list[dict]) -> bool:
    """Whether a step is part of the case: what is published of it is there."""
    if step.environment not in (*case["environments"], "each"):
        return False
    kept = [part for part in step.makes if part.startswith(("tables/", "figures/", "report/"))]
    return not kept or any(fnmatchcase(e["@id"], part) for part in kept for e in made)


def _steps(
    case: dict, made: list[dict], inputs: list[dict], benchmarks: Mapping[str, tuple[float, float]]
) -> tuple[list[dict], list[dict]]:
    """Scripts, steps and actions; and what they refer to: times, memory, files between the steps."""
    kinds = [entry["kind"] for entry in case["inputs"]]
    known = {kind for step in STEPS for kind in (*step.reads, *step.makes) if "/" not in kind}
    found: list[dict] = []
    helpers: dict[str, dict] = {}

    def entities(parts: tuple[str, ...]) -> list[dict]:
        there: list[dict] = []
        for part in parts:
            if part in known:
                there += [e for kind, e in zip(kinds, inputs, strict=True) if kind == part]
                continue
            files = [entity for entity in made if fnmatchcase(entity["@id"], part)]
            if not files and part.startswith(("cytometry/", "doseresponse/")):
                between = {
                    "@id": f"#between/{part}",
                    "@type": "CreativeWork",
                    "name": part,
                    "description": "made and used in the run, not in this crate",
                }
                files = [helpers.setdefault(between["@id"], between)]
            there += files
        return there

    for step in STEPS:
        if not _ran(step, case, made):
            continue
        name = step.rule.removesuffix("_*")
        script = {
            "@id": f"#script/{name}",
            "@type": "SoftwareSourceCode",
            "name": f"scripts/{step.script}",
        }
        if step.environment != "each":
            script["softwareRequirements"] = {"@id": f"#environment/{step.environment}"}
        times = [used for job, used in sorted(benchmarks.items()) if _is_of(job, step.rule)]
        usage = []
        if times:
            seconds, memory = (
                round(sum(t for t, _ in times), 2),
                round(max(m for _, m in times), 2),
            )
            usage = [
                _usage(name, "seconds", seconds, "SEC", f"of {len(times)} jobs in all"),
                _usage(name, "memory", memory, "MegaBYTE", "the largest of the jobs"),
            ]
        helpers |= {entity["@id"]: entity for entity in usage}
        found += [
            script,
            {
                "@id": f"#step/{name}",
                "@type": "HowToStep",
                "name": step.rule,
                "position": str(len(found) // 3 + 1),
                "workExample": {"@id": script["@id"]},
            },
            {
                "@id": f"#action/{name}",
                "@type": "CreateAction",
                "name": f"rule {step.rule}",
                "description": f"{len(times)} jobs were measured"
                if times
                else "no job was measured",
                "instrument": {"@id": script["@id"]},
                "object": _ids(entities(step.reads)),
                "result": _ids(entities(step.makes)),
                **({"resourceUsage": _ids(usage)} if usage else {}),
            },
        ]
    return found, list(helpers.values())


def _usage(step: str, what: str, value: float, unit: str, about: str) -> dict:
    return {
        "@id": f"#usage/{step}/{what}",
        "@type": "PropertyValue",
        "name": what,
        "propertyID": f"{_TERMS}{what}",
        "value": str(value),
        "unitCode": f"http://qudt.org/vocab/unit/{unit}",
        "description": about,
    }


def _is_of(job: str, rule: str) -> bool:
    """Whether a benchmark is of a rule; one script's rules have a folder of their own."""
    name = job.replace("draw_figures/", "draw_").replace("simulate/", "simulate_").split("/")[0]
    return fnmatchcase(name, rule) and (rule == name or name != "simulate_timeline")
