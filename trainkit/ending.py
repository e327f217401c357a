"""Why and when a run ends."""

from __future__ import annotations

from typing import Any

from trainkit.errors import ConfigError, TrainingError
from trainkit.settings import Settings
from trainkit.signals import Interrupt
from trainkit.state import Counters
from trainkit.timing import duration


class Ending:
    """The ends of a run: those of the settings, a callback's wish, and a signal.

    ``status`` is ``completed`` by the settings, ``stopped`` by a callback, ``preempted`` by a signal or ``failed``;
    ``reason`` says it in words and is empty as long as the run goes on.
    """

    def __init__(self, settings: Settings, interrupt: Interrupt) -> None:
        self._settings, self._interrupt = settings, interrupt
        self._max_seconds = duration(settings.max_time).value if settings.max_time else float("inf")
        self._wish = ""
        self.reopen()

    def reopen(self) -> None:
        """Begin a fit: nothing has ended it yet."""
        self.status, self.reason = "completed", ""

    def wish(self, reason: str) -> None:
        """End the run at the next chance that ``min_epochs`` leaves."""
        self._wish = self._wish or reason

    def fail(self, error: BaseException) -> None:
        """Note the error that ended the run."""
        if isinstance(error, KeyboardInterrupt):
            self.status, self.reason = "preempted", str(error) or "SIGINT"
        else:
            name = "" if isinstance(error, ConfigError | TrainingError) else f"{type(error).__name__}: "
            self.status, self.reason = "failed", f"{name}{error}"

    def reached(self, counters: Counters, seconds: float) -> bool:
        """Say whether the run is over, and note why."""
        limits = self._settings
        if self._interrupt.received:
            self.status, self.reason = "preempted", self._interrupt.received.name
        elif self.reason:
            pass  # the first reason stays
        elif self._wish and counters.epoch >= limits.min_epochs:
            self.status, self.reason, self._wish = "stopped", self._wish, ""
        elif limits.max_steps is not None and counters.step >= limits.max_steps:
            self.reason = f"max_steps={limits.max_steps} reached"
        elif limits.max_epochs is not None and counters.epoch >= limits.max_epochs:
            self.reason = f"max_epochs={limits.max_epochs} reached"
        elif seconds >= self._max_seconds:
            self.reason = f"max_time={limits.max_time} reached"
        return bool(self.reason)

    def state_dict(self) -> dict[str, Any]:
        """Return the wish that waits for ``min_epochs``; one that was granted does not stop a resumed run again."""
        return {"wish": self._wish}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._wish = state_dict["wish"]
