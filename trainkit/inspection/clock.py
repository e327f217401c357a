"""Time that a user's code takes, without the pauses in which Python collects garbage: those are the whole process's."""

from __future__ import annotations

import gc
from time import perf_counter, process_time
from typing import Any, Self


class Pauses:
    """Adds up how long Python collects garbage while it is entered: seconds of a collection in a large process.

    Attributes:
        cpu: CPU seconds of this process.
        wall: Seconds on the clock.
    """

    def __init__(self) -> None:
        self.cpu, self.wall = 0.0, 0.0
        self._begun = (0.0, 0.0)
        self._entered = 0

    def __enter__(self) -> Self:
        self._entered += 1
        if self._entered == 1:
            gc.callbacks.append(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        if self._entered == 0:
            gc.callbacks.remove(self._note)

    def _note(self, phase: str, _: dict[str, Any]) -> None:
        now = process_time(), perf_counter()
        if phase == "start":
            self._begun = now
        else:
            self.cpu, self.wall = self.cpu + now[0] - self._begun[0], self.wall + now[1] - self._begun[1]


PAUSES = Pauses()
"""Those of this process, while a check looks."""


def cpu_seconds() -> float:
    """Return CPU seconds of this process as ``process_time`` does, less its :data:`PAUSES`."""
    return process_time() - PAUSES.cpu


def wall_seconds() -> float:
    """Return seconds as ``perf_counter`` does, less the :data:`PAUSES`."""
    return perf_counter() - PAUSES.wall
