"""A curve that a diagnostic keeps: as many points as fit, however long the run, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

MOST = 256
"""Points that a curve keeps; once there are more, neighbours become one."""


class Series:
    """Values over steps. Each point is the mean over ``stride`` values, which doubles whenever the points are full."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._stride = 1
        self._open: list[float] = []

    def __len__(self) -> int:
        return len(self.values)

    def add(self, step: int, value: float) -> None:
        """Note a value of a step."""
        self._open.append(value)
        if len(self._open) < self._stride:
            return
        self.steps.append(step)
        self.values.append(sum(self._open) / len(self._open))
        self._open = []
        if len(self.values) == MOST:
            self.steps = self.steps[1::2]
            self.values = [(one + other) / 2 for one, other in zip(self.values[::2], self.values[1::2], strict=True)]
            self._stride *= 2

    def state_dict(self) -> dict[str, Any]:
        """Return the points as plain lists."""
        return {"steps": self.steps[:], "values": self.values[:], "stride": self._stride, "open": self._open[:]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned."""
        self.steps, self.values = list(state_dict["steps"]), list(state_dict["values"])
        self._stride, self._open = state_dict["stride"], list(state_dict["open"])


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and of the last third of values, of which there is at least one."""
    third = max(len(values) // 3, 1)
    return median(values[:third]), median(values[-third:])


def rising(values: Sequence[float]) -> float:
    """Return the share of pairs of values of which the later one is larger: 0.5 without a trend.

    Kendall 1938, "A new measure of rank correlation": his tau is twice this, less one, where no values are equal.
    """
    pairs = [(one, other) for i, one in enumerate(values) for other in values[i + 1 :]]
    if not pairs:
        return 0.5
    return sum((other > one) + 0.5 * (other == one) for one, other in pairs) / len(pairs)


def smoothed(values: Sequence[float], width: int = 3) -> list[float]:
    """Return the running medians of so many values; as many as there are values, less ``width`` - 1."""
    return [median(values[i : i + width]) for i in range(max(len(values) - width + 1, 1))]
