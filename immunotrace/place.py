"""The place of the results: whether it can be written to, and what to do where it cannot."""

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

_ADVICE = {
    errno.ENOSPC: "Free space there",
    errno.EDQUOT: "Free space there, or ask for a larger quota",
    errno.EROFS: "Make that place writable, or run in a folder that is (--directory)",
    errno.EACCES: "Make that place writable for you, or run in a folder that is (--directory)",
}
_LEAST = 1 << 16  # bytes that a run's own notes need, however small its jobs


def advice(error: OSError, where: str | Path | None = None) -> str | None:
    """A sentence on an error that the place, not the analysis, is the cause of; None for others."""
    if error.errno not in _ADVICE:
        return None
    where = where or error.filename
    return (
        f"{error.strerror}{f': {where}' if where else ''}. {_ADVICE[error.errno]}, then give the same "
        "command again; finished results are kept."
    )


def not_writable(folders: Iterable[str | Path]) -> str | None:
    """A sentence on the first of these folders that takes no small file; one that is missing is passed over."""
    for folder in filter(os.path.isdir, folders):
        try:
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                file.write(bytes(_LEAST))
                os.fsync(file.fileno())
        except OSError as error:
            return advice(error, Path(folder).resolve()) or str(error)
    return None
