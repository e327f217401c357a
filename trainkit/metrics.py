"""Metrics that accumulate on the device and are read once; any of ``torchmetrics`` serves as well.

torchmetrics takes seconds to import, so it is imported only where a config names one of its classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor


class Metric(Protocol):
    """What the Trainer asks of a metric; ``torchmetrics.Metric`` has the same three methods."""

    def update(self, predictions: Any, targets: Any, /) -> Any:
        """Take in one batch."""

    def compute(self) -> Any:
        """Return the value, a scalar, or several by name."""

    def reset(self) -> Any:
        """Forget everything."""


class Classification:
    """Accuracy, and precision, recall and F1 averaged over classes, from one confusion matrix on the device.

    Args:
        names: Which of ``accuracy``, ``precision``, ``recall``, ``f1`` to return. A class that is neither a target nor
            predicted counts as 0 in the averages, as in scikit-learn when it is given all labels.
        ignore_index: Targets of this value do not count.
    """

    def __init__(self, names: tuple[str, ...] = ("accuracy",), ignore_index: int = -100) -> None:
        self.names, self.ignore_index = tuple(names), ignore_index
        self.confusion: Tensor | None = None
        """(classes, classes) counts, row = target, column = prediction."""

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take in scores (batch, classes, ...) and class indices (batch, ...), or class probabilities."""
        classes = predictions.shape[1]
        if targets.is_floating_point():
            targets = targets.argmax(1)
        kept = targets != self.ignore_index
        pairs = torch.where(kept, targets * classes + predictions.argmax(1), classes * classes).flatten()
        counts = pairs.new_zeros(classes * classes + 1).scatter_add_(0, pairs, torch.ones_like(pairs))  # bincount syncs
        counts = counts[:-1].view(classes, classes)
        self.confusion = counts if self.confusion is None else self.confusion + counts

    def compute(self) -> dict[str, Tensor]:
        if self.confusion is None:
            return {}
        counts = self.confusion.cpu().double()  # host-device sync
        hits, actual, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        precision, recall = hits / predicted.clamp(min=1), hits / actual.clamp(min=1)
        values = {
            "accuracy": hits.sum() / counts.sum().clamp(min=1),
            "precision": precision.mean(),
            "recall": recall.mean(),
            "f1": (2 * hits / (actual + predicted).clamp(min=1)).mean(),
        }
        return {name: values[name] for name in self.names}

    def reset(self) -> None:
        self.confusion = None


class BinaryAccuracy:
    """The share of right answers of a yes-or-no model: scores (logits) above 0 mean yes."""

    def __init__(self) -> None:
        self._right: Tensor | int = 0
        self._count = 0

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take in logits and targets between 0 and 1, of one shape."""
        self._right = self._right + ((predictions > 0) == (targets > 0.5)).sum()
        self._count += targets.numel()

    def compute(self) -> float | Tensor:
        return self._right / max(self._count, 1)

    def reset(self) -> None:
        self._right, self._count = 0, 0


class Regression:
    """Mean absolute error, root mean squared error and R2, over all elements, from sums kept on the device."""

    def __init__(self, names: tuple[str, ...] = ("mae", "rmse", "r2")) -> None:
        self.names = tuple(names)
        self._sums: Tensor | None = None
        self._count = 0

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take in predictions and targets of one shape."""
        wide = torch.float32 if targets.device.type == "mps" else torch.float64
        error, targets = (predictions - targets).to(wide), targets.to(wide)
        sums = torch.stack([error.abs().sum(), error.square().sum(), targets.sum(), targets.square().sum()])
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += targets.numel()

    def compute(self) -> dict[str, Tensor]:
        if self._sums is None:
            return {}
        absolute, squared, total, total_squares = (self._sums / self._count).unbind()
        values = {
            "mae": absolute,
            "rmse": squared.sqrt(),
            "r2": 1 - squared / (total_squares - total.square()).clamp(min=1e-12),
        }
        return {name: values[name] for name in self.names}

    def reset(self) -> None:
        self._sums, self._count = None, 0


def default_metrics(kind: str | None, ignore_index: int = -100) -> dict[str, Metric]:
    """Return the metrics of an objective's kind, over targets other than ``ignore_index``; none for an unknown one."""
    if kind == "classification":
        return {"classification": Classification(ignore_index=ignore_index)}
    if kind == "binary":
        return {"accuracy": BinaryAccuracy()}
    if kind == "regression":
        return {"regression": Regression()}
    return {}


def read(metrics: Mapping[str, Metric], prefix: str) -> dict[str, float]:
    """Return the values of all metrics as ``prefix/name``; a metric of several values gives each its own name."""
    values: dict[str, float] = {}
    for name, metric in metrics.items():
        result = metric.compute()
        for key, value in result.items() if isinstance(result, Mapping) else [(name, result)]:
            values[f"{prefix}/{key}"] = float(value)
    return values
