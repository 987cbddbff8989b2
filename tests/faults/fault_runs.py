"""Faults made on purpose in runs of the bundled case; `make fault-test` runs them.

Each test ends by telling what was done and what was found, as a row of docs/failures.md: the page must
hold that row.
"""

import csv
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "tests" / "pipeline"))
from runs import copy_repository  # noqa: E402

SEED = 2015
KILLS = ["Snakemake alone"] * 7 + ["Snakemake and its jobs"] * 6 + ["a job"] * 7
PLATES = "results/tables/curves.tsv"  # a target of few jobs


def command(*arguments: str) -> list[str]:
    """As a user gives it: with the profile that the repository brings."""
    return [sys.executable, "-m", "snakemake", "--cores", "all", *arguments]


ENVIRONMENT = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def told(fault: str, done: str, found: str) -> None:
    row = f"| {fault} | {done} | {found} |"
    print(f"\n{row}", flush=True)
    page = (REPOSITORY / "docs" / "failures.md").read_text(encoding="utf-8")
    assert row in page, "docs/failures.md lacks this row"


def visible(results: Path) -> dict[str, Path]:
    """The files that a reader of the results sees: none in hidden folders, where jobs write aside.

    The crate is left out, for it tells the run's own times.
    """
    found = {}
    for folder, folders, names in os.walk(results):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name != "ro-crate-metadata.json":
                path = Path(folder) / name
                found[path.relative_to(results).as_posix()] = path
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(results: Path) -> dict[str, str]:
    return {name: digest(path) for name, path in visible(results).items()}


class Watch(threading.Thread):
    """Looks at the results all the while: any file there that differs from the undisturbed run's."""

    def __init__(self, results: Path, expected: dict[str, str]):
        super().__init__(daemon=True)
        self.results, self.expected = results, expected
        self.wrong: set[str] = set()
        self.looks = self.versions = 0
        self._seen: set[tuple] = set()
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.1):
            self.look()

    def look(self) -> None:
        self.looks += 1
        for name, path in visible(self.results).items():
            try:
                state = path.stat()
                key = (name, state.st_ino, state.st_size, state.st_mtime_ns)
                if key in self._seen:
                    continue
                self._seen.add(key)
                self.versions += 1
                if digest(path) != self.expected.get(name):
                    self.wrong.add(name)
            except FileNotFoundError:
                continue

    def __exit__(self, *_) -> None:
        self._end.set()
        self.join()
        self.look()

    def __enter__(self) -> "Watch":
        self.start()
        return self


class Undisturbed(NamedTuple):
    """A run that nothing happened to: its folder, SHA-256 of each result by name, its time in seconds."""

    folder: Path
    files: dict[str, str]
    duration: float


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Undisturbed:
    folder = copy_repository(REPOSITORY, tmp_path_factory.mktemp("undisturbed") / "clone")
    start = time.monotonic()
    done = run(folder)
    assert done.returncode == 0, done.stdout
    return Undisturbed(folder, digests(folder / "results"), time.monotonic() - start)


def processes_of(run: subprocess.Popen) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """All processes below a run of Snakemake, and those among them that are jobs."""
    try:
        below = psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return [], []
    jobs = []
    for process in below:
        try:
            if any(".snakemake/scripts/" in part for part in process.cmdline()[1:2]):
                jobs.append(process)
        except psutil.NoSuchProcess:
            continue
    return below, jobs


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def end_of(processes: list[psutil.Process]) -> None:
    """What a killed Snakemake left may finish; what hangs is killed."""
    _, alive = psutil.wait_procs(processes, timeout=120)
    kill(alive)


def test_kills_at_random_moments(undisturbed, tmp_path):
    expected, duration = undisturbed.files, undisturbed.duration
    print(f"\nundisturbed: {len(expected)} files, {duration:.0f} s", flush=True)
    draw = random.Random(SEED)
    kinds = draw.sample(KILLS, len(KILLS))
    left: list[psutil.Process] = []
    finished = kills = looks = versions = 0
    while kills < len(kinds):
        folder = copy_repository(REPOSITORY, tmp_path / f"run{finished}")
        with Watch(folder / "results", expected) as watch:
            code = None
            while code != 0:
                log = open(folder / "run.log", "w")  # noqa: SIM115
                following = subprocess.Popen(
                    command(),
                    cwd=folder,
                    env=ENVIRONMENT,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                if kills < len(kinds):
                    moment = draw.uniform(0, duration / 5)
                    kind = kinds[kills]
                    if strike(following, kind, moment, left):
                        kills += 1
                        print(f"kill {kills}: {kind}, {moment:.1f} s after the start", end="")
                    code = following.wait()
                    watch.look()
                    print(
                        f"; exit {code}, {len(visible(folder / 'results'))} files there", flush=True
                    )
                else:
                    code = following.wait()
                    assert code == 0, (folder / "run.log").read_text()
                log.close()
                assert watch.wrong == set()
        finished += 1
        end_of(left)
        watch.look()
        assert watch.wrong == set()
        assert digests(folder / "results") == expected
        assert not list((folder / "results").glob(".unfinished-*"))
        assert "Nothing to be done" in run(folder, "-n", "--quiet", "host").stdout
        looks, versions = looks + watch.looks, versions + watch.versions
    print(f"{finished} runs brought to their end; {looks} looks at {versions} versions of files")
    counts = Counter(kinds)
    told(
        "SIGKILL, as by a reboot, a batch system or the kernel when memory is short",
        "In runs of the bundled case, at 20 random moments: "
        + ", ".join(f"{counts[kind]} of {kind}" for kind in dict.fromkeys(KILLS))
        + "; after each the same command again.",
        "No half-written file at any time in `results/`; each run goes on to the end; every file there "
        "(tables, figures, report, history) is the undisturbed run's, byte for byte; nothing is left to do.",
    )


def strike(following, kind: str, moment: float, left: list[psutil.Process]) -> bool:
    """Kill at a moment; False where the run, or its jobs, ended before it."""
    try:
        following.wait(timeout=moment)
        return False
    except subprocess.TimeoutExpired:
        pass
    if kind == "a job":
        while following.poll() is None:
            _, jobs = processes_of(following)
            if jobs:
                kill([random.Random(moment).choice(jobs)])
                return True
            time.sleep(0.02)
        return False
    below, _ = processes_of(following)
    following.send_signal(signal.SIGKILL)
    if kind == "Snakemake and its jobs":
        kill(below)
    left += below
    return True


@pytest.fixture
def mounted(tmp_path):
    """Makes folders that are file systems of their own in memory, of a size."""
    folders: list[Path] = []

    def mount(folder: Path, size: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode and "EVERY_TOOL" not in os.environ:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        folders.append(folder)
        return folder

    yield mount
    for folder in reversed(folders):
        subprocess.run(["umount", "-l", str(folder)], check=True)


def refused(run: subprocess.CompletedProcess) -> str:
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    return run.stdout


def test_full_disk(undisturbed, mounted, tmp_path):
    folder = mounted(tmp_path / "disk", "64m")
    copy_repository(REPOSITORY, folder / "clone")
    filler = folder / "filler"
    for free in (0, 150_000, 250_000):
        filler.unlink(missing_ok=True)
        state = os.statvfs(folder)
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - free)
        output = refused(run(folder / "clone", PLATES))
        print(f"\n{free} bytes free:\n{output}")
        assert "No space left on device" in output
        assert "Free space there" in output or free
        found = digests(folder / "clone" / "results")
        assert found.items() <= undisturbed.files.items()
    filler.unlink()
    after = run(folder / "clone", PLATES)
    assert after.returncode == 0, after.stdout
    found = digests(folder / "clone" / "results")
    assert PLATES.removeprefix("results/") in found
    assert found.items() <= undisturbed.files.items()
    told(
        "The disk is full",
        "A run on a disk with nothing, 150 kB and 250 kB left; then space is freed and the same command given.",
        "Each run ends with `No space left on device` and what to do; no half-written file is in `results/`; "
        "the last one goes on to the end with the undisturbed run's bytes.",
    )


def test_results_that_must_not_be_written(undisturbed, mounted, tmp_path):
    folder = copy_repository(REPOSITORY, tmp_path / "clone")
    results = mounted(folder / "results", "64m")
    subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
    output = refused(run(folder, PLATES))
    print(f"\n{output}")
    assert "Read-only file system" in output
    assert "Make that place writable" in output
    subprocess.run(["mount", "-o", "remount,rw", str(results)], check=True)
    after = run(folder, PLATES)
    assert after.returncode == 0, after.stdout
    assert digests(results).items() <= undisturbed.files.items()
    told(
        "`results/` must not be written to",
        "A run whose `results/` is read-only; then it is made writable and the same command given.",
        "The run ends with `Read-only file system` and what to do; the second one goes on to the end.",
    )


BAD_FILES = {
    "acquisition": ["MSC01_run2_T_FMO_CCR4", "MSC01_run5_T"],
    "plate": ["MSC01_run4"],
}


def patient_of(undisturbed: Undisturbed, folder: Path) -> Path:
    """A case of files that lie there: the patient's T cell panel and plates of the bundled one, copied."""
    sheets = folder / "resources" / "case"
    shutil.copytree(undisturbed.folder / "resources" / "case", sheets)
    shutil.copytree(undisturbed.folder / "results" / "simulated", folder / "raw")
    for sheet, wanted in (("acquisitions", "\tT\t"), ("plates", "")):
        lines = (sheets / f"{sheet}.tsv").read_text().splitlines(keepends=True)
        own = [line for line in lines if line.startswith("MSC01") and wanted in line]
        text = "".join([lines[0], *own]).replace("results/simulated", "raw")
        (sheets / f"{sheet}.tsv").write_text(text)
    # No claim about B cells, of which there is no stain.
    claims = (sheets / "claims.yaml").read_text()
    start, end = claims.index("  - claim: C4"), claims.index("  - claim: C5")
    (sheets / "claims.yaml").write_text(claims[:start] + claims[end:])
    (folder / "config.yaml").write_text(
        "case: {title: With bad files, patient: MSC01}\n"
        + "".join(f"{key}: resources/case/{key}.tsv\n" for key in ("acquisitions", "plates"))
        + "".join(f"{key}: resources/case/{key}.yaml\n" for key in ("panels", "claims"))
        + "timeline: raw/timeline.tsv\n"
    )
    return folder


def cut_short(folder: Path) -> None:
    """Each bad file loses its second half, as in a copy that was broken off."""
    for sheet, names in (("acquisitions", "acquisition"), ("plates", "plate")):
        path = folder / "resources" / "case" / f"{sheet}.tsv"
        with open(path, newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
        for row in rows:
            if row[names] in BAD_FILES[names]:
                raw = path.parent / row["fcs" if names == "acquisition" else "file"]
                raw.write_bytes(raw.read_bytes()[: raw.stat().st_size // 2])


def test_bad_raw_files(undisturbed, tmp_path):
    folder = patient_of(undisturbed, tmp_path / "case")
    cut_short(folder)
    snakefile = ("-s", str(REPOSITORY / "Snakefile"), "--keep-going")
    output = refused(run(folder, *snakefile))
    print(f"\n{output}")
    for name in [*BAD_FILES["acquisition"], *BAD_FILES["plate"]]:
        assert name in output
    assert (
        output.count("on_unreadable: exclude") == 4
    )  # a job each: two batches, thresholds, plates
    ingested = {path.parent.name for path in folder.glob("results/cytometry/*/qc.tsv")}
    assert ingested == {f"run{n}" for n in range(1, 10)} - {"run2", "run5"}
    with open(folder / "config.yaml", "a") as config:
        config.write(
            "cytometry: {on_unreadable: exclude}\ndose_response: {on_unreadable: exclude}\n"
        )
    after = run(folder, *snakefile)
    assert after.returncode == 0, after.stdout
    page = (folder / "results" / "report" / "report.html").read_text(encoding="utf-8")
    files, plates = " and ".join(BAD_FILES["acquisition"]), BAD_FILES["plate"][0]
    assert f"Cannot be read, and so left out of the analysis: {files}." in page
    assert f"Cannot be read, and so left out of the curves: {plates}." in page
    assert (
        f"3 files failed quality control or could not be read: {files[: files.index(' ')]}" in page
    )
    # All that does not hang on the bad files is as in a run without them.
    sheet = folder / "resources" / "case" / "acquisitions.tsv"
    bad = tuple(f"{name}\t" for names in BAD_FILES.values() for name in names)
    for name in ("acquisitions", "plates"):
        sheet = folder / "resources" / "case" / f"{name}.tsv"
        lines = sheet.read_text().splitlines(keepends=True)
        sheet.write_text("".join(line for line in lines if not line.startswith(bad)))
    tables = ["populations", "markers", "curves", "contrasts", "changes", "claims"]
    found = {name: (folder / "results" / "tables" / f"{name}.tsv").read_bytes() for name in tables}
    without = run(folder, *snakefile, *[f"results/tables/{name}.tsv" for name in tables])
    assert without.returncode == 0, without.stdout
    for name, content in found.items():
        assert (folder / "results" / "tables" / f"{name}.tsv").read_bytes() == content, name
    told(
        "Some raw files of many cannot be read",
        "Two FCS files (a full stain, an FMO control) and a plate export of a patient's course are cut in the "
        "middle; `--keep-going`, first with the default settings, then with `on_unreadable: exclude`.",
        "By default all jobs that do not need them are done, and each bad file is named with what to do; no "
        "report. With `exclude` all else is done, the report names the three on its first pages and in the "
        "chapter on quality, and every other number is that of a run without their rows.",
    )
