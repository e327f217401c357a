"""Stopping on a signal: the first one asks for a stop at the end of the step, the second stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

Item = TypeVar("Item")

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SAVING = getattr(signal, "SIGUSR1", None)
EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 143}
"""What a run that was stopped by a signal exits with; a hang-up counts as a SIGTERM."""


class Interrupted(BaseException):
    """A signal came while the loop was waiting for a batch. No ``except Exception`` of a data set may swallow it."""


_held_back: list[bool] = []
"""For each section entered: whether a signal came in it."""


@contextmanager
def held_back() -> Iterator[None]:
    """Let a signal that ends the wait for a batch wait itself, until the workers are started.

    Processes that are started meanwhile begin with these signals blocked, and unblock them when they are ready.
    """
    _held_back.append(False)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        came = _held_back.pop()
    if came:
        _raise_when_allowed()


def _raise_when_allowed() -> None:
    if not _held_back:
        raise Interrupted
    _held_back[-1] = True


class Interrupt:
    """While entered, notes the signals that stop a run in ``received`` instead of dying of them.

    The second one raises ``KeyboardInterrupt`` where the program stands, and so does the first one when the grace is
    over. SIGUSR1 calls ``save``. Outside the main thread, where Python allows no handlers, nothing is caught; a SIGHUP
    that is ignored (``nohup``) stays so.

    Args:
        grace: Seconds that a step and its checkpoint may still take after the first signal.
    """

    def __init__(self, grace: float = 25.0) -> None:
        self.received: signal.Signals | None = None
        self.save: Callable[[], None] = lambda: None
        self._grace = grace
        self._timer: threading.Timer | None = None
        self._waiting, self._process = False, os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        self.received, self._process = None, os.getpid()
        if threading.current_thread() is threading.main_thread():
            caught = [number for number in STOPPING if number != getattr(signal, "SIGHUP", None) or _heard(number)]
            self._before = {number: signal.signal(number, self._note) for number in caught}
            if SAVING is not None:
                self._before[SAVING] = signal.signal(SAVING, lambda number, frame: self.save())
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._timer is not None:
            self._timer.cancel()
        self._before, self.received, self._timer = {}, None, None

    def waits(self, iterator: Iterator[Item]) -> Iterator[Item]:
        """Yield the items of ``iterator``, and end early if a signal comes, also while it makes one wait."""
        return _Waiting(self, iterator)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a worker that has just been forked; the main process decides
        if self.received is not None:
            raise KeyboardInterrupt(signal.Signals(number).name)
        self.received = signal.Signals(number)
        self._timer = threading.Timer(self._grace, signal.pthread_kill, (threading.get_ident(), number))
        self._timer.daemon = True
        self._timer.start()
        if self._waiting:
            self._waiting = False
            _raise_when_allowed()


class _Waiting(Iterator[Item]):
    """See :meth:`Interrupt.waits`."""

    def __init__(self, interrupt: Interrupt, iterator: Iterator[Item]) -> None:
        self._interrupt, self._iterator = interrupt, iterator

    def __next__(self) -> Item:
        interrupt = self._interrupt
        interrupt._waiting = True
        try:
            if interrupt.received is None:
                return next(self._iterator)
        except Interrupted:
            pass  # what was being fetched is dropped: no step has seen it
        finally:
            interrupt._waiting = False
        raise StopIteration


def _heard(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN
