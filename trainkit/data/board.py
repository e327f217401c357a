"""The board on which workers note what they are at, for the main process to read when one of them dies or hangs."""

from __future__ import annotations

import os
import tempfile
import weakref
from multiprocessing import reduction
from multiprocessing.sharedctypes import RawArray
from time import monotonic_ns
from typing import Any, NamedTuple

IDLE, COLLATING = -1, -2
"""In place of the index of a sample."""
_FIELDS = 5


class Note(NamedTuple):
    """What a worker noted last."""

    worker: int
    pid: int
    """0 if it has not begun yet."""
    epoch: int
    sample: int
    """The index of the sample that it fetches, ``IDLE`` or ``COLLATING``."""
    since: int
    """When it began that, by ``time.monotonic_ns``."""
    peak: int
    """The most memory that it has held, in bytes."""


class Board:
    """A shared table with a row for each worker, and a nameless file for the last words of any of them."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._table = RawArray("q", workers * _FIELDS)
        self._take(_nameless_file())

    def _take(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a worker that is no fork; only ``multiprocessing`` may send it, while it starts one."""
        return {"workers": self.workers, "table": self._table, "descriptor": reduction.DupFd(self.descriptor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.workers, self._table = state["workers"], state["table"]
        self._take(state["descriptor"].detach())

    def arrive(self, worker: int) -> None:
        """Note, in a worker, that it has begun."""
        self._table[worker * _FIELDS : (worker + 1) * _FIELDS] = [os.getpid(), 0, IDLE, monotonic_ns(), 0]

    def note(self, worker: int, epoch: int, sample: int, peak: int | None = None) -> None:
        """Note, in a worker, what it is at from now on."""
        row = worker * _FIELDS
        self._table[row + 1], self._table[row + 2], self._table[row + 3] = epoch, sample, monotonic_ns()
        if peak is not None:
            self._table[row + 4] = peak

    def read(self) -> list[Note]:
        """Return the notes of all workers."""
        values = list(self._table)
        return [Note(w, *values[w * _FIELDS : (w + 1) * _FIELDS]) for w in range(self.workers)]

    def last_words(self) -> str:
        """Return what workers wrote into the file."""
        size = os.fstat(self.descriptor).st_size
        return os.pread(self.descriptor, min(size, 2**20), 0).decode(errors="replace")

    def wipe(self) -> None:
        """Empty the file."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)  # of all processes: they share the place at which they write


def _nameless_file() -> int:
    """Return the descriptor of a file that is gone when nobody holds it any more."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("trainkit-workers")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
