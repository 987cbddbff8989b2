"""What is told of the software: versions as installed, differences between environments, the commit."""

import platform
import subprocess
from importlib import metadata

from immunotrace.software import by_package, commit, installed


def test_installed_tells_the_version_of_what_is_there():
    found = installed(["numpy", "no-such-package-at-all"])
    assert found == {"python": platform.python_version(), "numpy": metadata.version("numpy")}


def test_one_version_a_package_and_one_an_environment_where_they_differ():
    found = by_package(
        {"report": {"python": "3.13", "pandas": "3.1"}, "figures": {"python": "3.12", "pandas": "3.1"}}
    )  # fmt: skip
    assert found == {"pandas": "3.1", "python (figures)": "3.12", "python (report)": "3.13"}


def test_the_commit_and_whether_files_differ_from_it(tmp_path):
    assert commit(tmp_path) is None

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True
        )

    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    clean = commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert commit(tmp_path) == clean + "+"
