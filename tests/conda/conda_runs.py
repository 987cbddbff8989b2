"""The bundled case in its conda environments; run by `make conda-test`, not by `make test`.

With conda on the PATH its environments come from conda-forge; without it, from a local channel
through a stand-in (channel.py, standin.py: what they cannot prove is said there). Snakemake itself
runs in a Python that holds nothing else: it lends its libraries to every script, so whatever is in
its Python would hide that an environment lacks it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from environments import files_by_environment, read_environment, read_environments

HERE = Path(__file__).resolve().parent
MADE = Path(sys.prefix).parent  # by the Makefile: tools (this Python), snakemake, channel, wheels
FILES = ("Snakefile", "config.yaml")
ON_DEMAND = ("pack_results.py", "score_simulation.py")  # their imports are checked all the same
FOLDERS = ("envs", "immunotrace", "notebooks", "profiles", "resources", "rules", "schemas")
FOLDERS += ("requirements", "scripts", "simulation")
# Appended to each environment, so that every start of its Python leaves a line.
TRACE = (
    "import os, sys; open(os.environ.get('CONDA_TEST_TRACE', os.devnull), 'a')"
    ".write(sys.prefix + '\\t' + ' '.join(sys.orig_argv) + '\\n')\n"
)


class Clone:
    """A copy of the repository, and runs of Snakemake with --use-conda in it."""

    def __init__(self, repository: Path, folder: Path):
        self.folder = folder
        folder.mkdir()
        for name in FILES:
            shutil.copy(repository / name, folder)
        for name in FOLDERS:
            shutil.copytree(repository / name, folder / name)
        self.trace = folder.parent / "trace.txt"
        self.variables = os.environ | {"CONDA_TEST_TRACE": str(self.trace)}
        if not shutil.which("conda"):
            self.variables |= {
                "PATH": f"{HERE / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "CONDA_TEST_PYTHON": sys.executable,
                "CONDA_CHANNEL_ALIAS": (MADE / "channel").as_uri() + "/",
                "CONDA_PKGS_DIRS": str(MADE / "packages"),
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(MADE / "wheels"),
            }

    def run(self, *command: str | Path) -> subprocess.CompletedProcess:
        """Run a command in the clone; stdout and stderr are together in the result's `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        program = MADE / "snakemake" / "bin" / "snakemake"
        return self.run(program, "--use-conda", "--cores", "all", *arguments)

    def prefix(self, environment: str) -> Path:
        """Where Snakemake has put an environment: beside a copy of its file."""
        text = (self.folder / "envs" / f"{environment}.yaml").read_bytes()
        copies = (self.folder / ".snakemake" / "conda").glob("*.yaml")
        (copy,) = [path for path in copies if path.read_bytes() == text]
        return copy.with_suffix("")


def check(clone: Clone, file: Path, prefix: Path) -> subprocess.CompletedProcess:
    """What an environment, made at `prefix` from `file`, lacks for what the rules run in it."""
    pip = " ".join(f"{name}{version}" for name, version in read_environment(file).pip.items())
    files = files_by_environment(clone.folder)[file.stem]
    program = prefix / "bin" / "python"
    return clone.run(program, "-I", HERE / "check_environment.py", clone.folder, pip, *files)


@pytest.fixture(scope="session")
def clone(repository, tmp_path_factory) -> Clone:
    """A clone with its environments made, each by its own file."""
    clone = Clone(repository, tmp_path_factory.mktemp("conda") / "clone")
    source = shutil.which("conda") or "a local channel and a stand-in for conda"
    start = time.monotonic()
    made = clone.snakemake("--conda-create-envs-only")
    assert made.returncode == 0, made.stdout
    print(f"\nEnvironments made in {time.monotonic() - start:.0f} s by {source}:")
    for name in read_environments(repository):
        packages = len(list((clone.prefix(name) / "conda-meta").glob("*.json")))
        print(f"  {name}: {packages} packages")
        (site,) = clone.prefix(name).glob("lib/python3*/site-packages")
        (site / "conda_test_trace.pth").write_text(TRACE)
    return clone


def test_the_bundled_case_runs_in_its_environments(clone):
    start = time.monotonic()
    run = clone.snakemake()
    assert run.returncode == 0, run.stdout
    report = clone.folder / "results" / "report"
    assert (report / "report.html").stat().st_size > 10_000
    assert (report / "report.pdf").read_bytes().startswith(b"%PDF")
    names = {clone.prefix(name): name for name in read_environments(clone.folder)}
    started = [line.split("\t") for line in clone.trace.read_text().splitlines()]
    ran = {
        (names[Path(prefix)], Path(command.split()[-1]).name.split(".", 1)[-1])
        for prefix, command in started
        if "/.snakemake/scripts/" in command
    }
    files = files_by_environment(clone.folder)
    assert ran == {
        (name, path.name)
        for name in files
        for path in files[name]
        if path.suffix == ".py" and path.name not in ON_DEMAND
    }
    chapters = list((report / "chapters").glob("*.ipynb"))
    assert chapters
    print(
        f"\nThe bundled case ran in {time.monotonic() - start:.0f} s: {len(ran)} scripts and"
        f" {len(chapters)} notebooks, each by the Python of its environment."
    )


@pytest.mark.parametrize("name", read_environments(HERE.parents[1]))
def test_an_environment_holds_what_its_stage_imports(clone, name):
    found = check(clone, clone.folder / "envs" / f"{name}.yaml", clone.prefix(name))
    assert found.returncode == 0, found.stdout
    print(f"\n{name}: {found.stdout.strip()}")


@pytest.mark.parametrize(
    ("name", "lines", "fault"),
    [
        ("simulation", "  - pyyaml =6.0\n", "No module named 'yaml'"),  # Snakemake's Python has it
        ("doseresponse", "  - scipy =1.17\n", "No module named 'scipy'"),
        ("cytometry", "  - bokeh =3.9\n", "not in the pip section: bokeh=="),
        ("report", "  - pip:\n      - typst ==0.15.2\n", "No module named 'typst'"),
    ],
)
def test_the_check_names_a_package_taken_out(clone, tmp_path, name, lines, fault):
    text = (clone.folder / "envs" / f"{name}.yaml").read_text()
    assert lines in text
    file = tmp_path / f"{name}.yaml"
    file.write_text(text.replace(lines, ""))
    prefix = tmp_path / "prefix"
    made = clone.run("conda", "env", "create", "--quiet", "--file", file, "--prefix", prefix)
    assert made.returncode == 0, made.stdout
    found = check(clone, file, prefix)
    assert found.returncode == 1
    assert fault in found.stdout


def test_a_version_that_does_not_exist_ends_the_run(clone, tmp_path):
    other = Clone(clone.folder, tmp_path / "other")
    file = other.folder / "envs" / "simulation.yaml"
    file.write_text(file.read_text().replace("numpy =2.4", "numpy =2.999"))
    run = other.snakemake("results/simulated/timeline.tsv")
    assert run.returncode != 0
    assert "Could not create conda environment" in run.stdout
    assert "numpy" in run.stdout
    assert not (other.folder / "results").exists()
