"""Where a job's messages go: its log file, whose last lines the run shows where a job fails."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from immunotrace.errors import InputError
from immunotrace.place import advice
from immunotrace.privacy import FileNames


class _Renaming:
    """A text file in which raw files go by other names."""

    def __init__(self, file: TextIO, names: FileNames):
        self._file, self._names = file, names

    def write(self, text: str) -> int:
        return self._file.write(self._names.replaced(text))

    def __getattr__(self, name: str):
        return getattr(self._file, name)


@contextlib.contextmanager
def job_log(path: str | Path, names: Mapping[str, str] | None = None) -> Iterator[None]:
    """Send stdout, stderr, warnings and logging of a job to `path` while the block runs.

    An InputError, a full disk or a place that must not be written to ends the process with exit code 1
    and its message in the log (on the terminal where the log cannot be written), without a traceback;
    any other exception leaves its traceback in the log and goes on. `names` maps paths of raw files to
    what they are called in the log, for a folder may have a person's name.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with (
        open(path, "w", buffering=1, encoding="utf-8") as file,
        contextlib.redirect_stdout(log := _Renaming(file, FileNames(names or {}))),
        contextlib.redirect_stderr(log),
    ):
        logging.basicConfig(
            stream=log, level=logging.INFO, format="%(levelname)s %(message)s", force=True
        )
        logging.captureWarnings(True)
        try:
            yield
        except Exception as error:
            message = _message(error)
            if message is None:
                traceback.print_exc(file=log)
                raise
            try:
                log.write(f"error: {message}\n")
            except OSError:  # the disk may be full for the log, too
                terminal.write(f"\nerror: {message}\n")
            raise SystemExit(1) from None


def _message(error: Exception) -> str | None:
    """What a user can do something about, in words; None where that is not known."""
    if isinstance(error, InputError):
        return str(error)
    return advice(error) if isinstance(error, OSError) else None
