"""The three data sets of a run."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch.utils.data import Dataset


class Splits(NamedTuple):
    """What a function behind ``data.datasets`` returns; ``val`` and ``test`` may be missing."""

    train: Dataset[Any]
    val: Dataset[Any] | None = None
    test: Dataset[Any] | None = None
