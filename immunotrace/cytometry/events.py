"""Events of a file that are wanted, compensated where asked for, without a second copy of the file."""

from collections.abc import Iterator, Sequence

import numpy as np

from immunotrace.cytometry.spillover import Spillover, matrix_columns, spillover_inverse

BLOCK_BYTES = 1 << 21  # stays in the cache of a core
# On this many events at most gates and limits are placed. Of a mean the standard error is then 0.002
# standard deviations; more would cost time and memory and say the same.
ENOUGH = 250_000


class Events:
    """Rows of a table of events on the linear scale, worked on in blocks.

    `stored` is (n_events, n_channels), an array or what `read_fcs` returns; `keep`, a boolean for
    each, says which of them are meant. With `spillover` its channels are compensated. Can be used
    like the float64 array (n, channels) that it stands for: `events[:, 3]`, `events[mask]`,
    `events[rows, 3]`, `len(events)`; each computes what is asked for and keeps nothing.
    """

    def __init__(
        self,
        stored,
        keep: np.ndarray | None = None,
        channels: Sequence[str] = (),
        spillover: Spillover | None = None,
    ) -> None:
        """`channels` are the names of the columns; only a spillover matrix needs them.

        Raises InputError where the matrix names other channels or cannot be inverted.
        """
        self._stored = stored
        self._keep = None if keep is None or keep.all() else keep
        self._columns: list[int] = []
        if spillover is not None:
            self._columns = matrix_columns(spillover, channels)
            self._inverse = spillover_inverse(spillover)
        count = len(stored) if self._keep is None else int(np.count_nonzero(self._keep))
        self.shape = (count, stored.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def compensated(self, channels: Sequence[str], spillover: Spillover) -> "Events":
        """The same events with another matrix; `channels` and errors as above."""
        return Events(self._stored, self._keep, channels, spillover)

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows in order, (n, n_channels) in BLOCK_BYTES, not compensated."""
        width = self.shape[1] * self._stored.dtype.itemsize
        step = 8 * max(1, BLOCK_BYTES // (8 * width))
        for start in range(0, len(self._stored), step):
            block = self._stored[start : start + step]
            if self._keep is not None:
                rows = np.flatnonzero(self._keep[start : start + step])
                block = block.take(rows, axis=0)
            yield block

    def columns(
        self,
        wanted: Sequence[int],
        inside: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Columns as rows: float64 (len(wanted), n) of the events where `inside` (n,) is true.

        They go to `out`, of this shape, where it is given.
        """
        count = len(self) if inside is None else int(np.count_nonzero(inside))
        if out is None:
            out = np.empty((len(wanted), count))
        done = 0
        for block in self._blocks_inside(inside):
            self._linear(block, wanted, out[:, done : done + len(block)])
            done += len(block)
        return out

    def column_blocks(
        self, wanted: Sequence[int], inside: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """What `columns` returns, block by block: float64 (len(wanted), events of the block)."""
        for block in self._blocks_inside(inside):
            yield self._linear(block, wanted)

    def _blocks_inside(self, inside: np.ndarray | None) -> Iterator[np.ndarray]:
        seen = 0
        for block in self.blocks():
            if inside is None:
                yield block
            else:
                yield block.take(np.flatnonzero(inside[seen : seen + len(block)]), axis=0)
            seen += len(block)

    def _linear(
        self, block: np.ndarray, wanted: Sequence[int], out: np.ndarray | None = None
    ) -> np.ndarray:
        if out is None:
            out = np.empty((len(wanted), len(block)))
        mixed = [(at, self._columns.index(c)) for at, c in enumerate(wanted) if c in self._columns]
        if len(mixed) == len(wanted):  # most often: no copy
            positions = [position for _, position in mixed]
            return unmixed(block, self._columns, self._inverse[:, positions], out)
        for at, column in enumerate(wanted):
            if column not in self._columns:
                out[at] = block[:, column]
        if mixed:
            at, positions = (list(part) for part in zip(*mixed, strict=True))
            out[at] = unmixed(block, self._columns, self._inverse[:, positions])
        return out

    def __getitem__(self, key) -> np.ndarray:
        rows, column = key if isinstance(key, tuple) else (key, slice(None))
        numbers = range(self.shape[1])[column]
        wanted = [numbers] if isinstance(numbers, int) else list(numbers)
        if isinstance(rows, np.ndarray) and rows.dtype == bool:
            out = self.columns(wanted, rows)
        elif isinstance(rows, slice) and rows == slice(None):
            out = self.columns(wanted)
        else:
            numbered = rows if isinstance(rows, np.ndarray) else np.arange(len(self))[rows]
            if self._keep is not None:
                numbered = np.flatnonzero(self._keep)[numbered]
            out = self._linear(self._stored[np.atleast_1d(numbered)], wanted)
        return out[0] if isinstance(numbers, int) else out.T

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.columns(range(self.shape[1])).T, dtype)


def evenly(mask: np.ndarray, most: int = ENOUGH) -> np.ndarray:
    """The mask, or where it holds more than `most` events every second, third ... of them."""
    every = -(-int(np.count_nonzero(mask)) // most)
    if every <= 1:
        return mask
    out, seen = np.zeros(len(mask), bool), 0
    for start in range(0, len(mask), 1 << 16):
        rows = start + np.flatnonzero(mask[start : start + (1 << 16)])
        out[rows[-seen % every :: every]] = True
        seen += len(rows)
    return out


def unmixed(
    block: np.ndarray,
    columns: Sequence[int],
    inverse: np.ndarray,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Compensated values of a block: float64 (columns of `inverse`, rows).

    `columns` are those of the matrix in `block`; `inverse` is (len(columns), k), k columns of the
    inverse of the spillover matrix. They go to `out`, of their shape, where it is given.
    """
    first, last = min(columns), max(columns)
    if list(columns) == list(range(first, last + 1)):  # most often: no copy by way of numbers
        mixed = block[:, first : last + 1].astype(np.float64)
    else:
        mixed = block[:, columns].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity stay such
        return np.matmul(inverse.T, mixed.T, out=out)
