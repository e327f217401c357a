"""What a step shows of itself: its batches, predictions, loss, gradients and updates."""

from __future__ import annotations

import pdb
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainkit.autopsy.numbers import Numbers
from trainkit.autopsy.report import Autopsy
from trainkit.autopsy.step import tensors_in
from trainkit.callbacks.digests import digest
from trainkit.objectives import Objective, Output

SHOWN = 64
"""Samples of a batch of which the predictions are kept."""


@dataclass(slots=True)
class Prediction:
    """What was predicted of a sample."""

    sample: int
    """Its index in the data set; the row of the batch where that is not known."""
    target: Any
    predicted: Any
    probability: float | None = None
    """Of the predicted class."""


@dataclass(slots=True)
class BatchSeen:
    """A batch of the step, and what the model made of it."""

    number: int
    """In its epoch, counted from 0."""
    key: int | None
    samples: list[int]
    tensors: list[Numbers]
    digests: dict[str, str]
    loss: float | None = None
    count: float | None = None
    outputs: list[Numbers] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)


@dataclass(slots=True)
class Layer:
    """A parameter in the step."""

    name: str
    shape: list[int]
    weight: float
    """Norm of it before the step."""
    gradient: float | None = None
    """Norm of its gradient before clipping; None if it got none."""
    zeros: float | None = None
    """Share of zeros in the gradient."""
    update: float | None = None
    """Norm of what the step changed, over that of the weights."""
    digest: str = ""
    """Of the gradient's bits."""


@dataclass(slots=True)
class Seen:
    """A step, rebuilt."""

    step: int
    epoch: int
    """Counted from 0, as ``batch`` is."""
    batch: int
    batches: list[BatchSeen] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    norm: float | None = None
    """Of all gradients together, before clipping."""
    clip: str = ""
    attempt: int = 1
    """1, unless a loss scaler or ``on_nonfinite`` left out steps before it."""
    failed: str = ""
    """What was not finite."""
    autopsy: Autopsy | None = None
    agrees: list[int] = field(default_factory=list)
    """Steps at which the replay has, bit for bit, what the run logged."""
    differs: str = ""
    """Where it has something else, and what."""


class Watched:
    """An objective that lets others see what it is given and gives; under ``debug`` in a debugger."""

    def __init__(self, objective: Objective, batches: list[BatchSeen], debug: bool = False) -> None:
        self._objective, self._batches, self._debug, self._called = objective, batches, debug, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def __call__(self, model: nn.Module, batch: Any) -> Output:
        if self._debug:
            call = self._objective if hasattr(self._objective, "__code__") else self._objective.__call__
            output: Any = pdb.Pdb().runcall(call, model, batch)
        else:
            output = self._objective(model, batch)
        if self._called < len(self._batches):
            _note(self._batches[self._called], output)
        self._called += 1
        return cast(Output, output)


def batches_seen(batches: list[Any], first: int, keys: list[int | None], samples: list[list[int]]) -> list[BatchSeen]:
    """Return what batches hold, before a model may have changed them."""
    seen = []
    for place, batch in enumerate(batches):
        tensors = tensors_in(batch)
        numbers = [Numbers.of(tensor, name) for name, tensor in tensors.items()]
        digests = {name: digest(tensor) for name, tensor in tensors.items()}
        indices = samples[place] if place < len(samples) else []
        seen.append(BatchSeen(first + place, keys[place] if place < len(keys) else None, indices, numbers, digests))
    return seen


def layers_seen(
    model: nn.Module, gradients: dict[str, Tensor], before: dict[str, Tensor] | None = None
) -> tuple[list[Layer], float]:
    """Return each parameter with its gradient and update, and the norm of all gradients.

    Args:
        model: After the step.
        gradients: By the parameter's name, before clipping.
        before: The weights before the step; None if nothing was updated.
    """
    layers, squares = [], 0.0
    for name, parameter in model.named_parameters():
        old = parameter.detach() if before is None else before[name]
        layer = Layer(name, list(parameter.shape), _norm(old))
        if (gradient := gradients.get(name)) is not None:
            layer.gradient, layer.digest = _norm(gradient), digest(gradient)
            dense = gradient.to_dense() if gradient.layout is not torch.strided else gradient
            layer.zeros = float((dense == 0).float().mean()) if dense.numel() else None
            squares += layer.gradient**2
        if before is not None:
            layer.update = _norm(parameter.detach() - old) / max(layer.weight, 1e-12)
        layers.append(layer)
    return layers, squares**0.5


def _norm(tensor: Tensor) -> float:
    dense = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    wide = dense.double() if dense.is_floating_point() and dense.device.type != "mps" else dense
    return float(torch.linalg.vector_norm(wide))


def _note(seen: BatchSeen, output: Output) -> None:
    """Note the output for a batch, without its graph."""
    seen.loss = float(output.loss.detach())
    seen.count = float(output.count)
    outputs = tensors_in(output.predictions, "predictions")
    seen.outputs = [Numbers.of(tensor, name) for name, tensor in outputs.items()]
    predictions, targets = output.predictions, output.targets
    if not isinstance(predictions, Tensor) or not predictions.ndim or not len(predictions):
        return
    same = isinstance(targets, Tensor) and targets.ndim > 0 and len(targets) == len(predictions)
    names = seen.samples if len(seen.samples) == len(predictions) else list(range(len(predictions)))
    classes = same and not targets.is_floating_point() and predictions.ndim == 2 and targets.ndim == 1
    for row in range(min(len(predictions), SHOWN)):
        scores = predictions[row].detach().float()
        target = _plain(targets[row]) if same else None
        if classes and len(scores) > 1:
            chosen = int(scores.argmax())
            found = Prediction(names[row], target, chosen, float(scores.softmax(0)[chosen]))
        else:
            found = Prediction(names[row], target, _plain(scores))
        seen.predictions.append(found)


def _plain(tensor: Tensor) -> Any:
    """Return the numbers of a small tensor, the statistics of a large one."""
    return tensor.detach().cpu().tolist() if tensor.numel() <= 8 else str(Numbers.of(tensor))
