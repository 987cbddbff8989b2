"""A case as the user describes it: configuration, sheets, panels and claims, checked before any job.

Only this module is imported while Snakemake plans, so it keeps to the standard library, PyYAML and
jsonschema.
"""

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from immunotrace.claim_checks import claim_problems
from immunotrace.cytometry.gate_names import gate_populations
from immunotrace.cytometry.template_file import check_template, population_paths
from immunotrace.errors import InputError
from immunotrace.plates.grids import wells_of
from immunotrace.privacy import dates, looks_identifying
from immunotrace.validation import (
    Sheet,
    YamlFile,
    duplicates,
    load_schema,
    load_yaml,
    meant_keys,
    merged,
    read_sheet,
    schema_problems,
    suggestion,
    with_defaults,
)

SIMULATED = "results/simulated"

_SLIP = 0.8  # so alike, of 1, are two codes of which one is a slip: MCS01 and MSC01


@dataclass(frozen=True)
class Case:
    """One study: settings with their defaults, and the rows of its sheets (empty where absent).

    `warnings` name the rows whose codes look as if they could tell who somebody is.

    Paths in the rows are relative to the working directory. The rows are in the order of their names,
    patients before controls: the order in the sheets means nothing. An acquisition with gates that were
    moved by hand has them as `gate_overrides`: a list of population and gates, a file.
    """

    settings: dict
    acquisitions: list[dict] = field(default_factory=list)
    panels: dict[str, dict] = field(default_factory=dict)
    plates: list[dict] = field(default_factory=list)
    timeline: str | None = None
    claims: list[dict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def simulated(self) -> bool:
        return "scenario" in self.settings

    @property
    def batches(self) -> list[str]:
        return sorted({row["batch"] for row in self.acquisitions})

    @property
    def days(self) -> list[int]:
        return sorted({row["day"] for row in [*self.acquisitions, *self.plates]})


def load_case(config: dict, config_files: list[str]) -> Case:
    """Read and check everything that `config` names.

    `config_files` are the files the configuration came from, for the line numbers in messages.
    Raises InputError with all problems, one a line.
    """
    problems: list[str] = []
    schema = load_schema("config")
    files = [file for path in config_files for file in [load_yaml(path)[0]] if file]
    for path in config_files:
        problems += load_yaml(path)[1]
    problems += schema_problems(config, schema, lambda key: _config_place(files, key))
    # What is wrong with one key keeps no other file from being read.
    sound = {
        key: value
        for key, value in config.items()
        if key in schema["properties"]
        and not schema_problems(value, schema["properties"][key], str)
    }
    settings = with_defaults(sound, schema)
    named = set(config) | meant_keys(config, schema["properties"])
    if not named & {"acquisitions", "plates"}:
        problems.append(
            f"{_config_place(files, ())}: neither `acquisitions` nor `plates` is named; expected the "
            "sheet of at least one of them."
        )
    if ("scenario" in named) != ("simulation" in named):
        problems.append(
            f"{_config_place(files, ('scenario',))}: `scenario` and `simulation` belong together; "
            "name both (the simulated case) or neither (real data)."
        )
    panels_file = None
    wrong_panels: list[str] = []
    if "acquisitions" in named and "panels" not in named:
        problems.append(
            f"{_config_place(files, ('acquisitions',))}: `acquisitions` needs `panels`, the file that "
            "says which marker is on which channel."
        )
    if "panels" in settings:
        panels_file, found = _load_checked(settings["panels"], "panels")
        problems += found
        panels_file = None if found else panels_file
        wrong_panels = _panel_problems(panels_file) if panels_file else []
        problems += wrong_panels
    simulated = "scenario" in config
    if simulated and "case" in settings and "control" not in settings["case"]:
        problems.append(
            f"{_config_place(files, ('case',))}: the simulated case needs `case.control`, the "
            "healthy subject that is simulated beside the patient."
        )
    acquisitions, found = _sheet(settings, "acquisitions")
    problems += found
    plates, found = _sheet(settings, "plates")
    problems += found
    roles: dict[str, str] = {}
    about = settings.get("case", {})
    subjects = [about[key] for key in ("patient", "control") if key in about]
    sheets = [acquisitions, plates]
    in_sheets = {row["subject"] for sheet in sheets for row in sheet.rows if "subject" in row}
    misspelt = {
        subject: near
        for subject in sorted(in_sheets - set(subjects))
        if (near := _meant(subject, [name for name in subjects if name in in_sheets]))
    }
    for sheet in sheets:
        problems += _misspelt(sheet, misspelt)
    problems += _acquisition_problems(acquisitions, panels_file, simulated, roles, misspelt)
    overrides, found = _sheet(settings, "gate_overrides")
    problems += found + _override_problems(overrides, acquisitions, panels_file)
    plate_maps, found = _plate_maps(plates)
    problems += found
    problems += _plate_problems(plates, plate_maps, simulated, roles, settings["dose_response"])
    named_sheets = [
        sheet
        for name, sheet in (("acquisitions", acquisitions), ("plates", plates))
        if name in named
    ]
    if "case" in settings:
        every = all(sheet.is_whole("subject", "role") for sheet in named_sheets)
        problems += _subject_problems(settings, files, roles, every)
    timeline_path = settings.get("timeline")
    timeline = None
    if timeline_path and not (simulated and _is_simulated(timeline_path)):
        events, found = _timeline(timeline_path)
        if subjects and all(sheet.is_whole("subject") for sheet in named_sheets):
            found += _strangers(events, (in_sheets - set(misspelt)) | set(subjects), subjects)
        timeline = None if found else events.rows
        problems += found
    claims_file = None
    if "claims" in settings:
        claims_file, found = _load_checked(settings["claims"], "claims")
        problems += found
        if claims_file and not found:
            panels = {} if wrong_panels else _panels(panels_file)
            patient = about.get("patient")
            problems += claim_problems(
                claims_file,
                named,
                patient if patient in roles else None,
                panels,
                _made_populations(panels),
                acquisitions,
                plates,
                timeline,
            )
    if problems:
        _stop(problems)
    moved = _moved_gates(overrides)
    return Case(
        # In one order, whether or not `--config` on the command line names some of them.
        settings=dict(sorted(settings.items())),
        acquisitions=[
            {
                **row,
                **{
                    column: _beside(acquisitions.path, row[column])
                    for column in ("fcs", "spillover")
                    if column in row
                },
                **moved.get(row["acquisition"], {}),
            }
            for row in _in_order(acquisitions.rows, "acquisition")
        ],
        panels=_panels(panels_file),
        plates=[
            {
                **row,
                "file": _beside(plates.path, row["file"]),
                "map": plate_maps[_beside(plates.path, row["map"])],
                "map_file": _beside(plates.path, row["map"]),
            }
            for row in _in_order(plates.rows, "plate")
        ],
        timeline=timeline_path,
        claims=claims_file.data["claims"] if claims_file else [],
        warnings=[
            *_dated(settings, files),
            *_identifying(acquisitions, "acquisition"),
            *_identifying(plates, "plate"),
            *_other_numbers(sheets, about),
        ],
    )


def _identifying(sheet: Sheet, name: str) -> list[str]:
    """A warning for the first row of each code that looks like a name, a date or a hospital number."""
    warnings, seen = [], set()
    for index, row in enumerate(sheet.rows):
        for column in ("subject", name, "batch"):
            code = row.get(column)
            found = code and looks_identifying(code, of_subject=column == "subject")
            if found and code not in seen:
                warnings.append(
                    f"{sheet.where(index, column)}: {code!r} looks like {found}. It will stand in tables, "
                    "figures and the report: use a code that tells nobody who it is."
                )
            seen.add(code)
    return warnings


def _dated(settings: dict, files: list[YamlFile]) -> list[str]:
    """A warning for the title and each text of `study` that holds a day of the calendar."""
    texts = {("case", "title"): settings["case"]["title"]}
    texts |= {("study", key): value for key, value in settings.get("study", {}).items()}
    return [
        f"{_config_place(files, key)}: {'.'.join(key)} holds a date. It will stand in the report, where days count "
        "from the first infusion: take it out if it is that of a birth, a sample or a visit."
        for key, value in texts.items()
        if dates(str(value))
    ]


def read_timeline(path: str) -> tuple[list[dict], list[str]]:
    """The rows of a timeline sheet and what is wrong with it."""
    sheet, problems = _timeline(path)
    return sheet.rows, problems


def _timeline(path: str) -> tuple[Sheet, list[str]]:
    sheet, problems = read_sheet(path, load_schema("timeline"))
    for index, row in enumerate(sheet.rows):
        if "end_day" in row and "day" in row and row["end_day"] < row["day"]:
            problems.append(
                f"{sheet.where(index, 'end_day')}: {row['end_day']} is before day {row['day']}; "
                "expected the same day or a later one."
            )
        if row.get("kind") == "score" and "value" not in row and sheet.is_read(index, "value"):
            problems.append(
                f"{sheet.where(index, 'value')}: empty; expected the value of the score."
            )
    return sheet, problems


def _meant(subject: str, names: list[str]) -> str:
    """The name that a subject's code is likely to be a slip of, or an empty string.

    Codes that differ in their number alone are of two subjects: MSC02 is no slip of MSC01.
    """

    for name in names:
        if _differ_in_number(subject, name):
            continue
        if SequenceMatcher(None, subject.lower(), name.lower()).ratio() >= _SLIP:
            return name
    return ""


def _differ_in_number(code: str, other: str) -> bool:
    def parts(code: str) -> tuple[str, list[int]]:
        letters = re.sub(r"[\d_.-]", "", code).lower()
        return letters, [int(digits) for digits in re.findall(r"\d+", code)]

    (letters, numbers), (its_letters, its_numbers) = parts(code), parts(other)
    return letters == its_letters and bool(numbers and its_numbers) and numbers != its_numbers


def _other_numbers(sheets: list[Sheet], about: dict) -> list[str]:
    """A warning for each other patient whose code is that of the case's patient but for the number."""
    return merged(
        f"{sheet.where(index, 'subject')}: {row['subject']!r} has the role patient, but the case is that of "
        f"{about['patient']!r}: no claim is answered from this row."
        for sheet in sheets
        for index, row in enumerate(sheet.rows)
        if row["role"] == "patient" and _differ_in_number(row["subject"], about["patient"])
    )


def _misspelt(sheet: Sheet, meant: dict[str, str]) -> list[str]:
    return [
        f"{sheet.where(index, 'subject')}: {row['subject']!r} is not the subject that the configuration "
        f"names, but nearly. Did you mean {meant[row['subject']]!r}? Another subject needs a code that is "
        "less alike."
        for index, row in enumerate(sheet.rows)
        if row.get("subject") in meant
    ]


def _strangers(timeline: Sheet, known: set[str], subjects: list[str]) -> list[str]:
    """Subjects of the timeline that no other sheet and no `case` names."""
    return [
        f"{timeline.where(index, 'subject')}: {row['subject']!r} is in no other sheet and is not the "
        f"subject of `case`; expected one of {', '.join(sorted(known))}."
        f"{suggestion(row['subject'], [*subjects, *sorted(known)])}"
        for index, row in enumerate(timeline.rows)
        if "subject" in row and row["subject"] not in known
    ]


def _stop(problems: list[str]) -> None:
    problems = merged(problems)
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"  {number}. {problem}" for number, problem in enumerate(problems, 1)]
    raise InputError("\n".join([f"{count} in the configuration and its sheets:", *lines]))


def _config_place(files: list[YamlFile], key: tuple) -> str:
    """The place of a key in the last file that has it; the command line where none has."""
    for file in reversed(files):
        if tuple(key) in file.lines:
            return file.where(key)
    if files and (len(key) != 1):
        return files[-1].where(key)
    return "--config on the command line" if key else "configuration"


def _load_checked(path: str, schema: str) -> tuple[YamlFile | None, list[str]]:
    file, problems = load_yaml(path)
    if file is not None:
        named = _claim_key(file.data) if schema == "claims" else None
        problems += schema_problems(file.data, load_schema(schema), file.where, named)
    return file, problems


def _claim_key(data: object):
    """Words for a key of the claims file: by the name of its claim, where it has one."""

    def named(key: tuple) -> str:
        item = data
        for part in key[:2]:
            try:
                item = item[part]
            except (KeyError, IndexError, TypeError):
                item = None
        if len(key) < 2 or not isinstance(item, dict) or not isinstance(item.get("claim"), str):
            return repr(".".join(map(str, key)) or "the document")
        inner = ".".join(map(str, key[2:]))
        return (f"{inner!r} of " if inner else "") + f"claim {item['claim']!r}"

    return named


def _sheet(settings: dict, name: str) -> tuple[Sheet, list[str]]:
    if name not in settings:
        return Sheet("", [], []), []
    sheet, problems = read_sheet(settings[name], load_schema(name))
    if name == "gate_overrides":
        return sheet, problems
    return sheet, problems + duplicates(sheet, name.removesuffix("s"))


def _beside(sheet_path: str, path: str) -> str:
    """A path that a sheet gives relative to itself, made relative to the working directory."""
    return os.path.relpath(os.path.join(os.path.dirname(sheet_path), path))


def _in_order(rows: list[dict], name: str) -> list[dict]:
    return sorted(rows, key=lambda row: (row["role"] != "patient", row[name]))


def _moved_gates(overrides: Sheet) -> dict[str, dict[str, list[dict]]]:
    """What the rows of the acquisitions get, by their names."""
    moved: dict[str, dict[str, list[dict]]] = defaultdict(lambda: {"gate_overrides": []})
    for row in sorted(overrides.rows, key=lambda row: row["population"]):
        part = {"population": row["population"], "gates": _beside(overrides.path, row["gates"])}
        moved[row["acquisition"]]["gate_overrides"].append(part)
    return moved


def _is_simulated(path: str) -> bool:
    return os.path.normpath(path).startswith(os.path.join(SIMULATED, ""))


def _missing_files(sheet: Sheet, column: str, simulated: bool) -> list[str]:
    problems = []
    for index, row in enumerate(sheet.rows):
        if column not in row:
            continue
        path = _beside(sheet.path, row[column])
        if not (simulated and _is_simulated(path)) and not os.path.isfile(path):
            problems.append(f"{sheet.where(index, column)}: {_no_file(row[column], path)}")
    return problems


def _no_file(name: str, path: str) -> str:
    looked = "" if path == os.path.normpath(name) else f" (looked for {path!r})"
    return f"no file {name!r} beside the sheet{looked}. Put it there, correct the path, or remove the row."


def _consistent_roles(sheet: Sheet, seen: dict[str, str]) -> list[str]:
    problems = []
    for index, row in enumerate(sheet.rows):
        if "subject" in row and row.get("role") in ("patient", "control"):
            role = seen.setdefault(row["subject"], row["role"])
            if role != row["role"]:
                problems.append(
                    f"{sheet.where(index, 'role')}: {row['role']!r}, but {row['subject']!r} is "
                    f"{role!r} in an earlier row; expected one role a subject."
                )
    return problems


def _acquisition_problems(
    sheet: Sheet,
    panels_file: YamlFile | None,
    simulated: bool,
    roles: dict[str, str],
    misspelt: dict[str, str],
) -> list[str]:
    problems = _consistent_roles(sheet, roles)
    problems += _missing_files(sheet, "fcs", simulated)
    problems += _missing_files(sheet, "spillover", simulated)
    problems += _duplicated_files(sheet)
    if panels_file is None:
        return problems
    panels = panels_file.data["panels"]
    stained = defaultdict(set)
    # Rows with a mistake, which may be the controls that another row seems to lack.
    unsure = set()
    for index, row in enumerate(sheet.rows):
        panel = panels.get(row.get("panel"))
        subject = misspelt.get(row.get("subject"), row.get("subject"))
        if panel is None or not sheet.is_read(index, "subject", "staining"):
            unsure.add((subject, row.get("panel") if panel else None))
        if panel is None:
            if "panel" in row:
                problems.append(
                    f"{sheet.where(index, 'panel')}: {row['panel']!r} is not in "
                    f"{panels_file.path}, which has {', '.join(map(str, panels))}."
                    f"{suggestion(row['panel'], panels)}"
                )
            continue
        if "spillover" in row and panel.get("compensation", "fcs") != "fcs":
            problems.append(
                f"{sheet.where(index, 'spillover')}: the panel {row['panel']!r} has `compensation: "
                f"{panel['compensation']}`, so no matrix of this sheet is used; remove it, or set "
                "`compensation: fcs`."
            )
        stained[subject, row["panel"]].add(row.get("staining"))
        markers = panel["markers"]
        left_out = row.get("staining", "").removeprefix("FMO:")
        if left_out != row.get("staining", "") and left_out not in markers:
            unsure.add((subject, row["panel"]))
            problems.append(
                f"{sheet.where(index, 'staining')}: the panel {row['panel']!r} has no marker "
                f"{left_out!r}; expected FMO: and one of {', '.join(markers)}."
                f"{suggestion(left_out, markers)}"
            )
    for (subject, name), stainings in stained.items():
        if any(who in (None, subject) and what in (None, name) for who, what in unsure):
            continue
        for marker, part in panels[name]["markers"].items():
            if part.get("threshold") == "fmo" and f"FMO:{marker}" not in stainings:
                problems.append(
                    f"{sheet.path}: no row with subject {subject!r}, panel {name!r} and staining "
                    f"'FMO:{marker}', while {panels_file.where(('panels', name, 'markers', marker))} "
                    "takes the threshold of that marker from its FMO control. Add the row, or set "
                    "the threshold to valley, none or a number."
                )
    return problems


def _duplicated_files(sheet: Sheet) -> list[str]:
    """A file may stand in several rows, each with another data set of it."""
    first: dict[tuple, int] = {}
    problems = []
    for index, row in enumerate(sheet.rows):
        key = row.get("fcs"), row.get("dataset", 1)
        if key[0] is not None and key in first:
            problems.append(
                f"{sheet.where(index, 'fcs')}: {row['fcs']!r} stands already on line "
                f"{sheet.lines[first[key]]}; expected a file of its own in each row, or another "
                "`dataset` of it."
            )
        first.setdefault(key, index)
    return problems


def _override_problems(
    sheet: Sheet, acquisitions: Sheet, panels_file: YamlFile | None
) -> list[str]:
    problems = []
    panel_of = {row.get("acquisition"): row.get("panel") for row in acquisitions.rows}
    gates_of = {name: panel["gates"] for name, panel in _panels(panels_file).items()}
    known_in = {name: _gated_populations(gates) for name, gates in gates_of.items() if sheet.rows}
    there_in: dict[str, tuple[list[str], list[str]]] = {}
    first: dict[tuple, int] = {}
    for index, row in enumerate(sheet.rows):
        acquisition, population = row.get("acquisition"), row.get("population")
        known_row = acquisition is None or acquisition in panel_of
        if not known_row and acquisitions.is_whole("acquisition"):
            problems.append(
                f"{sheet.where(index, 'acquisition')}: {acquisition!r} is not in the acquisitions "
                f"sheet.{suggestion(acquisition, panel_of)}"
            )
        panel = panel_of.get(acquisition)
        known = known_in.get(panel)
        if known is not None and population is not None and population not in known:
            problems.append(
                f"{sheet.where(index, 'population')}: {population!r} is no gate of "
                f"{gates_of[panel]['file']}, which has {', '.join(known)}.{suggestion(population, known)}"
            )
        if (acquisition, population) in first:
            problems.append(
                f"{sheet.where(index, 'population')}: {population!r} of {acquisition!r} stands already "
                f"on line {sheet.lines[first[acquisition, population]]}; expected one row a gate."
            )
        first.setdefault((acquisition, population), index)
        if "gates" not in row:
            continue
        path = _beside(sheet.path, row["gates"])
        if os.path.normpath(path).startswith(os.path.join("results", "")):
            problems.append(
                f"{sheet.where(index, 'gates')}: {path} is written by the pipeline, which would replace "
                "it; copy it beside this sheet and name the copy."
            )
            continue
        if not os.path.isfile(path):
            problems.append(f"{sheet.where(index, 'gates')}: {_no_file(row['gates'], path)}")
            continue
        if path not in there_in:
            there_in[path] = gate_populations(path)
            problems += there_in[path][1]
        there, found = there_in[path]
        if not found and population is not None and population not in there:
            problems.append(
                f"{sheet.where(index, 'gates')}: {path} has no gate for {population!r}; it has "
                f"{', '.join(there) or 'none that can be moved'}.{suggestion(population, there)}"
            )
    return problems


def _gated_populations(gates: dict) -> list[str] | None:
    """The populations that a panel's gates make, None where only FlowJo's workspace can tell."""
    if not os.path.isfile(gates["file"]):
        return None
    if gates["source"] == "template":
        template, problems = check_template(gates["file"])
        return None if problems else population_paths(template)
    if gates["source"] == "gatingml":
        populations, problems = gate_populations(gates["file"])
        return None if problems else populations
    return None


def _panel_problems(file: YamlFile) -> list[str]:
    problems = []
    for name, panel in file.data["panels"].items():
        key = ("panels", name)
        gates = _beside(file.path, panel["gates"]["file"])
        populations = None
        if not os.path.isfile(gates):
            problems.append(
                f"{file.where((*key, 'gates', 'file'))}: no file {panel['gates']['file']!r} beside "
                "it. Put it there or correct the path."
            )
        elif panel["gates"]["source"] == "template":
            template, found = check_template(gates)
            problems += found
            if not found:
                populations = population_paths(template)
                problems += [
                    f"{gates}: the cut {marker!r} is of no marker of panel {name!r}."
                    f"{suggestion(marker, panel['markers'])}"
                    for marker in template["cuts"]
                    if marker not in panel["markers"]
                ]
        if populations is not None and panel.get("live", populations[0]) not in populations:
            problems.append(
                f"{file.where((*key, 'live'))}: {panel['live']!r} is none of the populations of panel "
                f"{name!r}.{suggestion(panel['live'], populations)}"
            )
        quantify = panel.get("quantify", {})
        for part, known in (("markers", list(panel["markers"])), ("populations", populations)):
            problems += [
                f"{file.where((*key, 'quantify', part, index))}: {value!r} is none of the {part} "
                f"of panel {name!r}.{suggestion(value, known)}"
                for index, value in enumerate(quantify.get(part, []))
                if known is not None and value not in known
            ]
    return problems


def _plate_maps(plates: Sheet) -> tuple[dict[str, list[dict]], list[str]]:
    maps: dict[str, list[dict]] = {}
    problems: list[str] = []
    for row in plates.rows:
        path = _beside(plates.path, row["map"]) if "map" in row else None
        if path is None or path in maps:
            continue
        sheet, found = read_sheet(path, load_schema("plate_map"))
        problems += found
        wells: dict[str, int] = {}
        maps[path] = []
        for index, well in enumerate(sheet.rows):
            try:
                names = wells_of(well.get("well", ""))
            except ValueError as error:
                if not found:  # the schema says what is wrong with a cell of another form
                    problems.append(f"{sheet.where(index, 'well')}: {error}.")
                continue
            twice = [name for name in names if wells.setdefault(name, index) != index]
            if twice:
                problems.append(
                    f"{sheet.where(index, 'well')}: {', '.join(map(repr, twice))} stands already on line "
                    f"{sheet.lines[wells[twice[0]]]}; expected each well once."
                )
            maps[path] += [{**well, "well": name} for name in names]
            has_dose = "dose" in well
            if sheet.is_read(index, "well_role", "dose") and has_dose != (
                well["well_role"] == "sample"
            ):
                problems.append(
                    f"{sheet.where(index, 'dose')}: expected a dose in a well of role sample, and "
                    "in no other (stimulated wells without drug have the role control)."
                )
        roles = {well.get("well_role") for well in sheet.rows}
        if sheet.is_whole("well_role") and not {"sample", "control"} <= roles:
            problems.append(
                f"{path}: expected wells of the roles sample and control; there are "
                f"{', '.join(sorted(map(str, roles)))}."
            )
    return maps, problems


def _plate_problems(
    sheet: Sheet,
    maps: dict[str, list[dict]],
    simulated: bool,
    roles: dict[str, str],
    settings: dict,
) -> list[str]:
    problems = _missing_files(sheet, "file", simulated)
    units: dict[str, str] = {}
    # Of one grid several rows may read their own samples, and share its other wells.
    sampled: dict[tuple, int] = {}
    for index, row in enumerate(sheet.rows):
        wells = maps.get(_beside(sheet.path, row["map"]), []) if {"file", "map"} <= set(row) else []
        for well in (entry["well"] for entry in wells if entry.get("well_role") == "sample"):
            first = sampled.setdefault((row["file"], row.get("grid"), well), index)
            if first != index:
                problems.append(
                    f"{sheet.where(index, 'file')}: {row['file']!r} gives its well {well} to the row on line "
                    f"{sheet.lines[first]} already; expected a file of its own, a `grid` of its own in the "
                    "file, or a map with other samples."
                )
                break
        if not {"drug", "dose_unit"} <= set(row):
            continue
        unit = units.setdefault(row["drug"], row["dose_unit"])
        if row.get("dose_unit") != unit and "dose_unit" not in settings:
            problems.append(
                f"{sheet.where(index, 'dose_unit')}: {row.get('dose_unit')!r}, but {row.get('drug')!r} "
                f"is in {unit!r} in an earlier row. Give one unit a drug, or name the unit that all "
                "doses are to be converted to in dose_response.dose_unit."
            )
    return problems + _consistent_roles(sheet, roles)


def _subject_problems(
    settings: dict, files: list[YamlFile], roles: dict[str, str], every: bool
) -> list[str]:
    """`every`: whether `roles` are those of all rows, none of them unreadable."""
    problems = []
    for key, role in (("patient", "patient"), ("control", "control")):
        subject = settings["case"].get(key)
        if subject is not None and (every or subject in roles) and roles.get(subject) != role:
            known = [name for name, value in roles.items() if value == role]
            problems.append(
                f"{_config_place(files, ('case', key))}: case.{key} is {subject!r}, which no row of "
                f"the sheets has with the role {role}; subjects of that role: "
                f"{', '.join(known) or 'none'}.{suggestion(subject, known)}"
            )
    return problems


def _made_populations(panels: dict[str, dict]) -> dict[str, list[str] | None]:
    """The populations of each panel, where a template makes them; other gates say at run time."""
    return {
        name: _gated_populations(panel["gates"]) if panel["gates"]["source"] == "template" else None
        for name, panel in panels.items()
    }


def _panels(file: YamlFile | None) -> dict[str, dict]:
    """The panels with the paths of their gates relative to the working directory."""
    if file is None:
        return {}
    panels = {}
    for name, panel in file.data["panels"].items():
        gates = {**panel["gates"], "file": _beside(file.path, panel["gates"]["file"])}
        panels[name] = {**panel, "gates": gates}
    return panels
