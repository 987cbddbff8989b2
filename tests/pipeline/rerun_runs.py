"""One change each to a finished run: exactly the jobs that must run again are planned."""

import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from runs import Run, snakemake

BATCHES = [f"run{number}" for number in range(1, 10)]
CHAPTERS = [
    "what_is_new",
    "summary",
    "timeline",
    "t_cells",
    "b_cells",
    "steroid_sensitivity",
    "quality",
    "methods",
    "provenance",
]
ENVIRONMENTS = ["cytometry", "doseresponse", "figures", "report", "simulation"]


def jobs(rule: str, *wildcards: str) -> set[str]:
    return {f"{rule} {values}" for values in wildcards}


def counted(*batches: str) -> set[str]:
    return jobs("quantify_batch", *batches) | jobs("draw_pages", *batches)


REPORTED = {"compare_runs", "run_chapters", "compile_report", "write_crate", "all"}
# What the report says of the case and of its raw files stands in every chapter.
PUBLISHED = {"describe_case"} | REPORTED
UNDRAWN = ("what_is_new", "summary", "methods", "provenance")
DRAWN = {f"draw_{group}" for group in CHAPTERS if group not in UNDRAWN} | {"draw_supplement"}
JUDGED = {"compute_changes", "judge_claims"}
CHANGED_FIGURES = DRAWN - {"draw_timeline", "draw_quality", "draw_supplement"}
MEASURED = (
    {"cytometry_tables", "draw_quality", "draw_supplement"} | JUDGED | CHANGED_FIGURES | PUBLISHED
)
FITTED = {"fit_curves"} | JUDGED | CHANGED_FIGURES
THRESHOLDS = jobs("place_thresholds", "MSC01 T", "MSC01 B", "HC01 T", "HC01 B")
CODE = {"describe_code"} | REPORTED


def edited(path: str, *changes: tuple[str, str]) -> Callable[[Path], None]:
    """Replaces texts in a file, each of which must be there."""

    def edit(folder: Path) -> None:
        text = (folder / path).read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, f"{old!r} is not in {path}"
            text = text.replace(old, new, 1)
        write(folder / path, text.encode())

    return edit


def write(path: Path, content: bytes) -> None:
    """Write a file anew: the one that was there is a link to that of the finished run."""
    path.unlink()
    path.write_bytes(content)


def another_file(path: str) -> Callable[[Path], None]:
    """Other content of the same size, as after an export that was repeated."""

    def edit(folder: Path) -> None:
        content = (folder / path).read_bytes()
        write(folder / path, content[:-1] + bytes([content[-1] ^ 1]))

    return edit


def new_day(folder: Path) -> None:
    for name in ("acquisitions", "plates"):
        path = folder / f"resources/case/{name}.tsv"
        lines = path.read_text().splitlines(keepends=True)
        last = [line.replace("run9", "run10").replace("\t150\t", "\t180\t") for line in lines]
        write(path, "".join([*lines, *(line for line in last if "run10" in line)]).encode())


def removed_row(folder: Path) -> None:
    path = folder / "resources/case/acquisitions.tsv"
    lines = path.read_text().splitlines(keepends=True)
    write(path, "".join(line for line in lines if "HC01_run6_B" not in line).encode())


def moved_gate(folder: Path) -> None:
    """A gate of one acquisition, in a copy of the file that the pipeline wrote."""
    case = folder / "resources/case"
    shutil.copy(folder / "results/cytometry/run6/gates/MSC01_run6_T.xml", case / "moved.xml")
    (case / "gate_overrides.tsv").write_text(
        "acquisition\tpopulation\tgates\nMSC01_run6_T\tsinglets/lymphocytes/live\tmoved.xml\n"
    )
    edited(
        "config.yaml",
        ("panels: res", "gate_overrides: resources/case/gate_overrides.tsv\npanels: res"),
    )(folder)


def other_order(folder: Path) -> None:
    for name in ("acquisitions", "plates"):
        path = folder / f"resources/case/{name}.tsv"
        head, *rows = path.read_text().splitlines(keepends=True)
        random.Random(7).shuffle(rows)
        write(path, "".join([head, *rows]).encode())


def new_times(folder: Path) -> None:
    """As a checkout or a copy leaves them: all files from just now, in no order."""
    times = random.Random(7)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            write(path, path.read_bytes())
            then = path.stat().st_mtime_ns - times.randrange(10**11)
            os.utime(path, ns=(then, then))


@dataclass(frozen=True)
class Change:
    """A change to a finished run of the bundled case, and the jobs that run again.

    `row` is the row of the README's table that speaks of it. `simulated` are jobs that make raw files of
    the bundled case, which real data do not have.
    """

    row: str
    make: Callable[[Path], None]
    expected: set[str]
    simulated: frozenset[str] = frozenset()


CHANGES = {
    "new day": Change(
        "a new day's rows and files",
        new_day,
        jobs("ingest_batch", "run10")
        | counted("run10")
        | {"read_plates", "draw_timeline"}
        | FITTED
        | MEASURED,
        frozenset({"simulate_run10", "simulate_plates"}),
    ),
    "removed row": Change(
        "an FCS file, or its row",
        removed_row,
        jobs("ingest_batch", "run6") | counted("run6") | MEASURED,
        frozenset({"simulate_run6"}),
    ),
    "full stain of another day": Change(
        "an FCS file, or its row",
        another_file("results/simulated/run6/MSC01_T.fcs"),
        jobs("ingest_batch", "run6") | counted("run6") | MEASURED,
    ),
    "full stain of baseline, thresholds from FMO": Change(
        "an FCS file, or its row",
        another_file("results/simulated/run2/MSC01_T.fcs"),
        jobs("ingest_batch", "run2") | counted("run2") | MEASURED,
    ),
    "full stain of baseline, a threshold from its valley": Change(
        "an FMO control, or a full stain of baseline that gives a threshold (`valley`)",
        another_file("results/simulated/run2/MSC01_B.fcs"),
        jobs("ingest_batch", "run2")
        | jobs("place_thresholds", "MSC01 B")
        | counted(*BATCHES)
        | MEASURED,
    ),
    "FMO control": Change(
        "an FMO control, or a full stain of baseline that gives a threshold (`valley`)",
        another_file("results/simulated/run2/MSC01_T_FMO_CCR4.fcs"),
        jobs("ingest_batch", "run2")
        | jobs("place_thresholds", "MSC01 T")
        | counted(*BATCHES)
        | MEASURED,
    ),
    "plate export": Change(
        "a plate export or a plate map",
        another_file("results/simulated/run4/HC01_plate.txt"),
        {"read_plates", "draw_quality"} | FITTED | PUBLISHED,
    ),
    "gates": Change(
        "a file of gates",
        edited("resources/case/gates_B.yaml", ("logicle:", "# moved\nlogicle:")),
        jobs("place_thresholds", "MSC01 B", "HC01 B") | counted(*BATCHES) | MEASURED,
    ),
    "moved gate": Change(
        "a gate moved by hand",
        moved_gate,
        counted("run6") | MEASURED,
    ),
    "threshold": Change(
        "channels or thresholds of a panel",
        edited("resources/case/panels.yaml", ("threshold: valley}", "threshold: 500}")),
        jobs("place_thresholds", "MSC01 B", "HC01 B") | counted(*BATCHES) | MEASURED,
    ),
    "quantile of thresholds": Change(
        "`cytometry.fmo_quantile`",
        edited("config.yaml", ("fmo_quantile: 0.998", "fmo_quantile: 0.99")),
        THRESHOLDS | counted(*BATCHES) | MEASURED,
    ),
    "quality control": Change(
        "`cytometry.qc`",
        edited("config.yaml", ("window_z: 6", "window_z: 7")),
        jobs("ingest_batch", *BATCHES) | THRESHOLDS | counted(*BATCHES) | MEASURED,
    ),
    "level of dose response": Change(
        "`dose_response.model`, `.weights`, `.level`",
        edited(
            "config.yaml", ("level: 0.95              # of the int", "level: 0.9  # of the int")
        ),
        FITTED | PUBLISHED,
    ),
    "level of change": Change(
        "`longitudinal.level`",
        edited(
            "config.yaml", ("level: 0.95              # of the ref", "level: 0.9  # of the ref")
        ),
        JUDGED | CHANGED_FIGURES | PUBLISHED,
    ),
    "claim": Change(
        "a claim",
        edited("resources/case/claims.yaml", ("statement: ", "statement: In short, ")),
        {"judge_claims"} | REPORTED,
    ),
    "colour": Change(
        "the style of all figures, `immunotrace/figures/style.py`",
        edited("immunotrace/figures/style.py", ("#", "# another colour\n#")),
        DRAWN | jobs("draw_pages", *BATCHES) | CODE,
    ),
    "module": Change(
        "another module, here `immunotrace/plates/wells.py`",
        edited("immunotrace/plates/wells.py", ('"""', '"""Edited. ')),
        {"read_plates", "draw_quality"} | FITTED | CODE,
    ),
    "notebook": Change(
        "a chapter's notebook",
        edited("notebooks/t_cells.ipynb", ("# T cells", "# T cells, edited")),
        CODE,
    ),
    "environment": Change(
        "an environment, here `envs/figures.yaml`",
        edited("envs/figures.yaml", ("matplotlib-base =3.11", "matplotlib-base =3.12")),
        DRAWN | jobs("draw_pages", *BATCHES) | jobs("describe_software", "figures") | REPORTED,
    ),
    "order of rows": Change("the order of rows in a sheet, a comment", other_order, set()),
    "comments": Change(
        "the order of rows in a sheet, a comment",
        lambda folder: [
            edited(path, ("\n", "\n# a remark\n"))(folder)
            for path in ("config.yaml", "resources/case/panels.yaml", "envs/cytometry.yaml")
        ],
        set(),
    ),
    "times": Change("the times of all files (a new checkout, a copy)", new_times, set()),
    "place": Change("the place of the folder", lambda folder: None, set()),
}


def copy_of(run: Run, folder: Path) -> Path:
    """The finished run elsewhere; its files are links, so edit them with `write`."""
    return shutil.copytree(
        run.folder, folder, copy_function=os.link, ignore=shutil.ignore_patterns("log", "locks")
    )


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_reruns_what_it_must_and_no_more(abstract, tmp_path, name):
    change = CHANGES[name]
    folder = copy_of(abstract, tmp_path / "moved")
    change.make(folder)
    run = snakemake(folder, "-n")
    assert run.code == 0, run.output
    assert sorted(run.jobs) == sorted(change.expected | change.simulated)


@pytest.mark.parametrize("name", ["new day", "full stain of another day", "FMO control"])
def test_jobs_that_share_a_slurm_job_rerun_alone(abstract, tmp_path, repository, name):
    """The profile puts several batches into one Slurm job; one that changed takes none of them with it."""
    change = CHANGES[name]
    folder = copy_of(abstract, tmp_path / "moved")
    change.make(folder)
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    chunks = [
        [f"--{key}", *(f"{name}={value}" for name, value in profile[key].items())]
        for key in ("groups", "group-components")
    ]
    run = snakemake(folder, "-n", *chunks[0], *chunks[1])
    assert run.code == 0, run.output
    assert "Group job quantify" in run.output
    assert sorted(run.jobs) == sorted(change.expected | change.simulated)


def test_a_second_run_does_nothing(abstract):
    again = snakemake(abstract.folder)
    assert again.code == 0
    assert "Nothing to be done" in again.output
    assert again.jobs == []


def test_what_is_planned_is_what_runs_and_then_there_is_nothing_to_do(abstract, tmp_path):
    change = CHANGES["claim"]
    folder = shutil.copytree(abstract.folder, tmp_path / "moved")
    new_times(folder)
    change.make(folder)
    results = sorted(path for path in (folder / "results").rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in results}
    run = snakemake(folder)
    assert run.code == 0, run.output
    assert sorted(run.jobs) == sorted(change.expected)
    record = folder / "results/history/0002.json"
    now = {path for path in (folder / "results").rglob("*") if path.is_file()}
    assert now == {*results, record}
    differ = {
        path.relative_to(folder / "results")
        for path in results
        if path.read_bytes() != before[path]
    }
    report = {
        Path("report/report.html"),
        Path("report/report.pdf"),
        Path("report/chapters/summary.ipynb"),
        Path("report/chapters/what_is_new.ipynb"),
        Path("report/what_is_new.json"),
        Path("report/record.json"),
        Path("ro-crate-metadata.json"),
    }
    assert differ == report | {Path("tables/claims.tsv")}
    assert snakemake(folder, "-n").jobs == []


def readme_table(repository: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The rows of the table, and the words that stand for several rules."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    section = text.split("## You change X, these rerun")[1].split("\n## ")[0]
    words = dict(re.findall(r"^- (\*\*\w+\*\*): (.*)$", section, re.MULTILINE))
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", section, re.MULTILINE)[1:]
    return dict(rows), words


EVERY = {"ingest_batch": BATCHES, "quantify_batch": BATCHES, "place_thresholds": THRESHOLDS}
EVERY["draw_pages"] = BATCHES
EVERY["describe_software"] = ENVIRONMENTS


@pytest.mark.parametrize("name", CHANGES)
def test_the_readme_says_what_reruns(repository, name):
    change = CHANGES[name]
    rows, words = readme_table(repository)
    text = rows[change.row]
    for word, rules in words.items():
        text = text.replace(word, rules)
    said = {rule: bool(part) for rule, part in re.findall(r"`(\w+)`( \()?", text)}
    counts = {}
    for job in change.expected - {"all"}:
        rule = job.split()[0]
        counts[rule] = counts.get(rule, 0) + 1
    assert said == {rule: rule in EVERY and n < len(EVERY[rule]) for rule, n in counts.items()}
    assert text == "nothing" or said


def test_every_row_of_the_readme_is_tested(repository):
    assert set(readme_table(repository)[0]) == {change.row for change in CHANGES.values()}
