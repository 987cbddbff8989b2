"""Runs of the whole pipeline on copies of the repository."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# A copy holds what a clone would hold: code and sheets, nothing generated.
GENERATED = shutil.ignore_patterns(
    "results", ".git", ".venv", ".snakemake", "logs", "__pycache__", ".*_cache", ".hypothesis"
)


@dataclass(frozen=True)
class Run:
    """A finished run of Snakemake in `folder`."""

    folder: Path
    code: int
    output: str

    def table(self, name: str):
        from immunotrace.tables import read_tsv

        return read_tsv(self.folder / "results" / "tables" / f"{name}.tsv")

    def verdicts(self) -> dict[str, str]:
        return self.table("claims").set_index("claim")["verdict"].to_dict()

    @property
    def jobs(self) -> list[str]:
        """Every job that ran, or in a dry run would: its rule, then the values of its wildcards."""
        found = []
        for line in map(str.strip, self.output.splitlines()):  # those of a group are indented
            if line.startswith(("rule ", "localrule ")):
                found.append(line.split()[1].rstrip(":"))
            elif line.startswith("wildcards: "):
                values = line.removeprefix("wildcards: ").split(", ")
                found[-1] = " ".join([found[-1], *(value.partition("=")[2] for value in values)])
        return found


def snakemake(folder: Path, *arguments: str, snakefile: Path | None = None) -> Run:
    """Run Snakemake of this Python's environment in a folder; its output is stdout and stderr.

    With Snakemake's own messages, which name each job.
    """
    command = [sys.executable, "-m", "snakemake", "--quiet", "host", "--cores", "all", *arguments]
    if snakefile:
        command += ["--snakefile", str(snakefile)]
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    return Run(folder, done.returncode, done.stdout)


def copy_repository(repository: Path, folder: Path) -> Path:
    shutil.copytree(repository, folder, ignore=GENERATED)
    return folder
