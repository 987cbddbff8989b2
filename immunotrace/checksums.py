"""Snakemake's checksums of files, each file read once in a run.

After a job Snakemake 9 reads all its inputs anew for each output (snakemake.persistence, `finished`): a raw
file eleven times on the way to the tables, by the one process that also starts all jobs.
"""

import functools
import os
from collections.abc import Awaitable, Callable


def once_a_file(checksum: Callable[..., Awaitable]) -> Callable[..., Awaitable]:
    """`checksum`, a method of Snakemake's files, that computes once for each state of a file.

    A state is the place on disk, the size and the times of content and of inode: a file that was replaced or
    written to has another.
    """
    known: dict[tuple, object] = {}

    @functools.wraps(checksum)
    async def remembered(file, *arguments, **options):
        try:
            on_disk = os.stat(file)
        except OSError:  # missing, or in a storage elsewhere
            return await checksum(file, *arguments, **options)
        times = on_disk.st_mtime_ns, on_disk.st_ctime_ns
        state = (on_disk.st_dev, on_disk.st_ino, on_disk.st_size, *times)
        key = (str(file), state, arguments, tuple(sorted(options.items())))
        if key not in known:
            known[key] = await checksum(file, *arguments, **options)
        return known[key]

    return remembered


def read_files_once() -> None:
    """Let Snakemake in this process read no file twice for its checksum."""
    from snakemake.io import _IOFile

    if not hasattr(_IOFile.checksum, "__wrapped__"):
        _IOFile.checksum = once_a_file(_IOFile.checksum)
