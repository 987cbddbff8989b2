"""A place that cannot be written to is told in a sentence, with what to do."""

import errno
import os

from immunotrace.place import advice, not_writable


def test_a_folder_that_takes_files_is_no_problem_and_stays_empty(tmp_path):
    assert not_writable([tmp_path / "missing", tmp_path]) is None
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert not_writable([tmp_path]) == (
        f"No space left on device: {tmp_path}. Free space there, then give the same command again; "
        "finished results are kept."
    )


def test_other_errors_are_not_explained():
    assert advice(OSError(errno.EIO, "Input/output error")) is None
