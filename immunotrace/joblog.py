"""Where a job's messages go: its log file, and one line on the terminal for a user's mistake."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from immunotrace.errors import InputError


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[None]:
    """Send stdout, stderr, warnings and logging of a job to `path` while the block runs.

    An InputError ends the process with exit code 1 and its message, without a traceback, both in
    the log and on the terminal; any other exception leaves its traceback in the log and goes on.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with (
        open(path, "w", buffering=1, encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        logging.basicConfig(
            stream=log, level=logging.INFO, format="%(levelname)s %(message)s", force=True
        )
        logging.captureWarnings(True)
        try:
            yield
        except InputError as error:
            log.write(f"error: {error}\n")
            terminal.write(f"\nerror: {error}\n")
            raise SystemExit(1) from None
        except Exception:
            traceback.print_exc(file=log)
            raise
