"""Outputs that are there whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def written_aside(outputs: Sequence[str]) -> Iterator[Callable[[str], str]]:
    """Let a job write its outputs aside and move them to their places once all are written.

    Yields a function from an output's path to the one to write to, in a hidden folder at the top of
    the results: a move within a file system shows a whole file or none, whenever a job is killed.
    What an earlier try of the same job left there is removed, and so its process, should it live on,
    can move nothing any more. Nothing is moved where the block raises.
    """
    paths = [Path(path) for path in outputs]
    name = hashlib.sha256("\n".join(map(str, outputs)).encode()).hexdigest()[:16]
    tries = Path(paths[0].parts[0]) / f".unfinished-{name}"
    shutil.rmtree(tries, ignore_errors=True)
    tries.mkdir(parents=True)
    own = Path(tempfile.mkdtemp(dir=tries))

    def aside(path: str) -> str:
        if Path(path) not in paths:
            raise ValueError(f"{path} is none of the outputs {', '.join(map(str, paths))}")
        place = own / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return str(place)

    try:
        yield aside
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(own / path, path)
    finally:
        shutil.rmtree(tries, ignore_errors=True)
