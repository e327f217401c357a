"""The Logger: where a training's numbers and pictures go."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trainkit.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from trainkit.state import Counters

log = logging.getLogger("trainkit")

Axis = Literal["step", "epoch"]


class Logger(Protocol):
    """Receives scalars, images and hyper-parameters. The five methods are all that the Trainer calls.

    One that has a ``text(name, text, counters)`` gets tables in Markdown too, one that has a ``histogram(name, low,
    high, counts, counters)`` the histograms of ``diagnostics=full``.
    """

    def log(self, values: dict[str, float], counters: Counters, axis: Axis) -> None:
        """Take scalars by name, that belong to a step or to an epoch."""

    def image(self, name: str, image: Any, counters: Counters) -> None:
        """Take a picture: a uint8 array or tensor of shape (height, width, 3)."""

    def hyperparameters(self, parameters: dict[str, Any], metrics: dict[str, float]) -> None:
        """Take the flat hyper-parameters of the run with its final metrics."""

    def rewind(self, counters: Counters) -> None:
        """Forget what was logged after ``counters``: the run goes on from there."""

    def close(self) -> None:
        """Write out what is held back."""


class Loggers(list[Logger]):
    """The loggers of a run; what is sent here goes to each of them.

    One that fails, on a full disk say, is switched off with a warning: an observer must not cost the training.

    Args:
        loggers: Called in this order.
        warnings: Takes the warning, which is logged too.
    """

    def __init__(self, loggers: Iterable[Logger], warnings: list[str]) -> None:
        super().__init__(loggers)
        self._warnings = warnings

    def log(self, values: dict[str, float], counters: Counters, axis: Axis) -> None:
        self._each("log", values, counters, axis)

    def image(self, name: str, image: Any, counters: Counters) -> None:
        self._each("image", name, image, counters)

    def text(self, name: str, text: str, counters: Counters) -> None:
        """Send a text in Markdown to those that take such."""
        self._each("text", name, text, counters, among=[logger for logger in self if hasattr(logger, "text")])

    def histogram(self, name: str, low: float, high: float, counts: Sequence[float], counters: Counters) -> None:
        """Send a histogram to those that take such: how many values lie in each of some equal parts of a range."""
        takers = [logger for logger in self if hasattr(logger, "histogram")]
        self._each("histogram", name, low, high, counts, counters, among=takers)

    def hyperparameters(self, parameters: dict[str, Any], metrics: dict[str, float]) -> None:
        self._each("hyperparameters", parameters, metrics)

    def rewind(self, counters: Counters) -> None:
        self._each("rewind", counters)

    def close(self) -> None:
        self._each("close")

    def _each(self, method: str, *arguments: Any, among: Iterable[Logger] | None = None) -> None:
        for logger in tuple(self) if among is None else among:
            try:
                getattr(logger, method)(*arguments)
            except (ConfigError, TrainingError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
                self.remove(logger)
                told = f"the logger {type(logger).__name__} failed and is switched off: {type(error).__name__}: {error}"
                self._warnings.append(told)
                log.warning(told)
