"""Objectives: what a batch means for the loss. Training and validation share one, so that they cannot drift apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainkit.errors import ConfigError


@dataclass(slots=True)
class Output:
    """What an objective returns for one batch."""

    loss: Tensor
    """The mean over ``count`` targets, a scalar."""
    count: int | Tensor
    """Number of targets that the loss is the mean of; windows, epochs and processes are averaged by it."""
    predictions: Any = None
    """For metrics, usually (batch, classes, ...) scores or the shape of the targets."""
    targets: Any = None


class Objective(Protocol):
    """Any function of this form is an objective."""

    def __call__(self, model: nn.Module, batch: Any, /) -> Output: ...


CLASSIFICATION = (nn.CrossEntropyLoss, nn.NLLLoss)
BINARY = (nn.BCEWithLogitsLoss,)
UNUSED = -100
"""The ``ignore_index`` that torch's losses have unless somebody chooses one."""
REGRESSION = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


@dataclass(slots=True)
class Supervised:
    """The objective of pairs ``(inputs, targets)``; see :func:`supervised`."""

    loss: Callable[[Any, Any], Tensor]
    count: Callable[[Any], int | Tensor]
    kind: str | None
    """``classification``, ``binary``, ``regression``, or None for an unknown loss; chooses the default metrics."""

    @property
    def ignore_index(self) -> int:
        """Class index of the targets that do not count."""
        return int(getattr(self.loss, "ignore_index", UNUSED))

    def __call__(self, model: nn.Module, batch: Any) -> Output:
        if not isinstance(batch, tuple | list) or len(batch) != 2:  # a dict or a tensor of two would come apart as well
            raise ConfigError(
                f"supervised() wants batches of (inputs, targets), not {type(batch).__name__}; "
                "for other batches write an objective(model, batch) -> Output(loss, count)"
            )
        inputs, targets = batch
        if type(inputs) in (tuple, list):
            predictions = model(*inputs)
        elif type(inputs) is dict:
            predictions = model(**inputs)
        else:
            predictions = model(inputs)
        return Output(self.loss(predictions, targets), self.count(targets), predictions, targets)

    def to(self, device: torch.device) -> None:
        """Move what the loss holds, such as class weights."""
        if isinstance(self.loss, nn.Module):
            self.loss.to(device)


def supervised(loss: Callable[[Any, Any], Tensor]) -> Supervised:
    """Turn a plain loss into an objective for batches ``(inputs, targets)``.

    The model is called as ``model(inputs)``; a tuple or list of inputs as ``model(*inputs)``, a dict as
    ``model(**inputs)``.

    Args:
        loss: ``loss(predictions, targets)``, the mean over the targets. Of torch's losses the number of targets
            is known (padding by ``ignore_index``, class weights, elements of a regression); of any other function it
            is the number of samples. Class indices of one dimension are taken for samples, all of which count, unless
            an ``ignore_index`` other than -100 was chosen.

    Raises:
        ConfigError: If the loss has a reduction other than ``mean``: accumulation could not weight it.
    """
    reduction = getattr(loss, "reduction", "mean")
    if reduction != "mean":
        raise ConfigError(f"the loss {type(loss).__name__} has reduction={reduction!r}; an objective needs 'mean'")
    kinds = {"classification": CLASSIFICATION, "binary": BINARY, "regression": REGRESSION}
    kind = next((name for name, types in kinds.items() if isinstance(loss, types)), None)
    return Supervised(loss, _counter(loss, kind), kind)


def _counter(loss: Any, kind: str | None) -> Callable[[Any], int | Tensor]:
    """Return the function that says of how many targets ``loss`` is the mean."""
    if kind in ("binary", "regression"):
        return torch.numel
    if kind is None:
        return lambda targets: targets.shape[0] if isinstance(targets, Tensor) else len(targets)
    ignored, weighted = loss.ignore_index, loss.weight is not None

    def count(targets: Tensor) -> Any:
        if targets.is_floating_point():  # class probabilities (batch, classes, ...)
            return targets.numel() // targets.shape[1]
        if not weighted and targets.ndim == 1 and ignored == UNUSED:
            return targets.shape[0]
        kept = targets != ignored
        if not weighted:
            return kept.sum()
        weight = loss.weight  # looked up here, for it may have been moved to the device
        return (weight[torch.where(kept, targets, 0)] * kept).sum()

    return count


@dataclass(slots=True)
class Penalised:
    """An objective plus penalties on the weights; see :func:`penalised`."""

    objective: Objective
    l1: float
    l2: float

    @property
    def kind(self) -> str | None:
        return getattr(self.objective, "kind", None)

    @property
    def ignore_index(self) -> int:
        return int(getattr(self.objective, "ignore_index", UNUSED))

    def __call__(self, model: nn.Module, batch: Any) -> Output:
        output = self.objective(model, batch)
        weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
        if not model.training or not weights:
            return output
        penalty = output.loss.new_zeros(())
        if self.l1:
            penalty = penalty + self.l1 * torch.stack([w.abs().sum() for w in weights]).sum()
        if self.l2:
            penalty = penalty + 0.5 * self.l2 * torch.stack([w.square().sum() for w in weights]).sum()
        return replace(output, loss=output.loss + penalty)

    def to(self, device: torch.device) -> None:
        """Move what the objective holds."""
        if hasattr(self.objective, "to"):
            self.objective.to(device)


def penalised(objective: Objective, l1: float = 0.0, l2: float = 0.0) -> Penalised:
    """Add ``l1 * sum |w|`` and ``l2 / 2 * sum w^2`` to the training loss, over weights of two or more dimensions.

    Validation stays without them. For adaptive optimizers prefer ``optimizer.weight_decay`` of AdamW to ``l2``
    (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization").
    """
    if l1 < 0 or l2 < 0:
        raise ConfigError(f"penalties must not be negative: l1={l1}, l2={l2}")
    return Penalised(objective, l1, l2)
