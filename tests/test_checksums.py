"""Snakemake's checksums of files, remembered."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from snakemake.io import _IOFile

from immunotrace.checksums import once_a_file


@pytest.fixture
def read():
    """A checksum as Snakemake's, and the files that it has read."""
    files = []

    async def checksum(file, threshold=None):
        files.append(Path(file).name)
        if not Path(file).exists():
            return None
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()

    remembered = once_a_file(checksum)
    return lambda *arguments: asyncio.run(remembered(*arguments)), files


def test_a_file_is_read_once_and_again_when_it_changed(tmp_path, read):
    checksum, files = read
    file, other = tmp_path / "a", tmp_path / "b"
    for path in (file, other):
        path.write_bytes(b"one")
    first = checksum(str(file), 10)
    assert [checksum(str(file), 10), checksum(str(other), 10)] == [first, first]
    assert files == ["a", "b"]
    # Another file of the same size and time at its place.
    times = file.stat()
    other.write_bytes(b"two")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, file)
    assert checksum(str(file), 10) != first
    # The same file written to, its size and time as before.
    with file.open("r+b") as handle:
        handle.write(b"six")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checksum(str(file), 10) == hashlib.sha256(b"six").hexdigest()
    assert checksum(str(file), 2) == checksum(str(file), 2)
    assert files == ["a", "b", "a", "a", "a"]  # the last for another threshold


def test_a_file_that_is_not_there_is_asked_for_again(tmp_path, read):
    checksum, files = read
    assert checksum(str(tmp_path / "none")) is None
    (tmp_path / "none").write_bytes(b"one")
    assert checksum(str(tmp_path / "none")) == hashlib.sha256(b"one").hexdigest()
    assert files == ["none", "none"]


def test_snakemake_has_the_method_that_is_replaced():
    assert asyncio.iscoroutinefunction(_IOFile.checksum)
