"""Callbacks: observers of a training."""

from typing import Any

from trainkit.callbacks.callback import Callback as Callback
from trainkit.callbacks.early_stopping import EarlyStopping as EarlyStopping


def __getattr__(name: str) -> Any:
    if name == "Progress":  # rich is imported only for those who want to see it
        from trainkit.callbacks.progress import Progress

        return Progress
    if name == "FreezeTable":
        from trainkit.callbacks.freeze_table import FreezeTable

        return FreezeTable
    if name == "Predictions":
        from trainkit.callbacks.predictions import Predictions

        return Predictions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
