"""The Logger: where a training's numbers and pictures go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from trainkit.state import Counters

Axis = Literal["step", "epoch"]


class Logger(Protocol):
    """Receives scalars, images and hyper-parameters. The five methods are all that the Trainer calls."""

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
