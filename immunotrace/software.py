"""The software of a run: versions of packages, one environment at a time, and the commit of the code.

Imports the standard library alone: it runs in every environment.
"""

import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path


def installed(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of those `packages` that the environment of this process holds."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> str | None:
    """The commit of a folder, with `+` behind it where files there differ from it; None outside a checkout."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def by_package(environments: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """One version a package; where environments differ, one entry each: `numpy (figures)`."""
    versions: dict[str, dict[str, str]] = {}
    for environment, packages in sorted(environments.items()):
        for name, version in packages.items():
            versions.setdefault(name, {})[environment] = version
    return {
        name if len(set(found.values())) == 1 else f"{name} ({environment})": version
        for name, found in sorted(versions.items())
        for environment, version in found.items()
    }
