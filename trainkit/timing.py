"""Durations such as ``"10ep"``, ``"500st"`` or ``"30min"``, and the one rule that says when something is due."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trainkit.errors import ConfigError

UNITS = {"ep": "ep", "st": "st", "s": "s", "sec": "s", "min": "s", "h": "s", "d": "s"}
SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


AXES = {"ep": 0, "st": 1, "s": 2}
"""Which field of a :class:`Moment` counts a unit."""


class Moment(NamedTuple):
    """A point of a run on its three axes."""

    epochs: float
    """Epochs trained, with the fraction of the present one."""
    steps: int
    """Optimizer steps taken."""
    seconds: float
    """Seconds spent training."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of training: ``value`` in epochs (``ep``), optimizer steps (``st``) or seconds (``s``)."""

    value: float
    unit: str

    def count(self, moment: Moment) -> int:
        """Return how many whole durations fit between the start of the run and ``moment``."""
        return int(moment[AXES[self.unit]] / self.value + 1e-9)

    def steps(self, steps_per_epoch: int | None) -> int:
        """Return the duration in optimizer steps.

        Raises:
            ConfigError: For a time, or for epochs of unknown length.
        """
        if self.unit == "st":
            return round(self.value)
        if self.unit == "s" or steps_per_epoch is None:
            raise ConfigError(f"a duration of {self} cannot be told in steps here; give it in steps, such as '500st'")
        return round(self.value * steps_per_epoch)

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"


def duration(text: str) -> Duration:
    """Read a duration: ``"10ep"``, ``"0.5ep"``, ``"500st"``, ``"90s"``, ``"30min"``, ``"2h"``, or ``"DD:HH:MM:SS"``.

    Raises:
        ConfigError: If the text is none of these or not positive.
    """
    if match := re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]+)\s*", str(text)):
        value, unit = float(match[1]), match[2]
        if unit in UNITS and value > 0:
            return Duration(value * SECONDS.get(unit, 1.0), UNITS[unit])
    elif re.fullmatch(r"\d+(:\d+){1,3}", str(text)):
        parts = [int(part) for part in text.split(":")]
        seconds = sum(part * size for part, size in zip(reversed(parts), (1, 60, 3600, 86400), strict=False))
        if seconds > 0:
            return Duration(float(seconds), "s")
    raise ConfigError(f"{text!r} is no duration; write such as '10ep', '500st', '0.5ep', '90s', '30min', '2h'")


class Every:
    """Says when something that happens every so often is due."""

    def __init__(self, every: Duration | None) -> None:
        self._every = every
        self._done = 0

    def start(self, moment: Moment) -> None:
        """Count from ``moment``: what was due up to it is done."""
        self._done = self._every.count(moment) if self._every else 0

    def is_due(self, moment: Moment) -> bool:
        """Say whether another whole duration has passed since it was due last, and note it as done."""
        if self._every is None:
            return False
        count = self._every.count(moment)
        due, self._done = count > self._done, count
        return due


class Position(Protocol):
    """Where the loop stands, as :class:`trainkit.state.Counters` says it."""

    epoch: int
    batch: int
    step: int
    validated: int
    total_batches: int


class Cadence:
    """Says when a validation is due, from the position alone, so that a resume says the same.

    Args:
        interval: Batches (int), a share of an epoch (float; 1.0 is its end), or a duration in steps or epochs.
        batches: Batches of an epoch, None if unknown.
        window: Batches of one optimizer step.
        every_n_epochs: Only in every n-th epoch; 0 never.

    Raises:
        ConfigError: If the interval needs the length of the epoch and it is unknown, or is a time.
    """

    def __init__(self, interval: int | float | str, batches: int | None, window: int, every_n_epochs: int) -> None:
        self._steps = self._batches = 0
        self._window = window
        if isinstance(interval, str):
            length = duration(interval)
            if length.unit == "s":
                raise ConfigError(f"trainer.val_check_interval={interval}: must be in steps or epochs, such as 500st")
            if length.unit == "st":
                self._steps = max(1, round(length.value))
            interval = length.value
        elif isinstance(interval, int):
            self._batches = interval
            if batches is not None and interval > batches:
                raise ConfigError(
                    f"trainer.val_check_interval={interval}: an epoch has {batches} batches; 1.0 is its end"
                )
        self._after_epoch = not self._steps and not self._batches and interval >= 1.0
        if self._after_epoch and interval % 1:
            raise ConfigError(f"trainer.val_check_interval={interval:g} epochs: must be whole epochs, or less than one")
        self._every_n_epochs = every_n_epochs * (int(interval) if self._after_epoch else 1)
        if not (self._after_epoch or self._steps or self._batches):
            if batches is None:
                raise ConfigError(
                    f"trainer.val_check_interval={interval}: the loader has no length; give a number of batches"
                )
            self._batches = max(1, int(batches * interval))

    def is_due(self, position: Position) -> bool:
        """Say whether the last window crossed a multiple of the interval."""
        if self._steps:
            crossed = position.step > 0 and position.step % self._steps == 0
        elif self._batches:
            before = (position.batch - 1) // self._window * self._window
            crossed = position.batch > 0 and position.batch // self._batches > before // self._batches
        else:
            return False
        return crossed and self._is_open(position)

    def is_due_after_epoch(self, position: Position) -> bool:
        """Say whether a validation is due now that all batches of the epoch were trained on."""
        return self._after_epoch and self._is_open(position)

    def _is_open(self, position: Position) -> bool:
        fresh = position.validated != position.total_batches
        return fresh and self._every_n_epochs > 0 and (position.epoch + 1) % self._every_n_epochs == 0
