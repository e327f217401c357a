"""A step taken once more: its forward and backward passes, and all that they are a function of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from trainkit.device import map_tensors
from trainkit.keys import Streams
from trainkit.objectives import Objective, Output
from trainkit.precision import Precision


@dataclass(slots=True)
class Step:
    """The batches of one optimizer step, and what they are taken through.

    Args:
        model: With the weights of before the step.
        batches: On the device.
        keys: Of the randomness of each batch; None leaves the generators as they are.
        samples: The indices in the data set of each batch's samples, where they are known.
        hold: Puts what is frozen into eval mode, after ``model.train()``.
    """

    model: nn.Module
    objective: Objective
    precision: Precision
    streams: Streams
    batches: list[Any]
    keys: list[int | None]
    samples: list[list[int]] = field(default_factory=list)
    hold: Callable[[], None] = lambda: None

    def forward_pass(self, number: int) -> Output:
        """Return what the objective gives for a batch, drawn by its key."""
        key = self.keys[number] if number < len(self.keys) else None
        if key is not None:
            self.streams.seed(key)
        with self.precision.autocast():
            return self.objective(self.model, self.batches[number])

    def backward_pass(self, output: Output, first: Any) -> None:
        """Add the gradients of a batch, weighted as a step weights them: by its targets against those of the first."""
        (output.loss if len(self.batches) == 1 else output.loss * (output.count / first)).backward()

    def divide(self, counts: list[Any]) -> None:
        """Turn the sums of a window's gradients into their means."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if len(counts) > 1 and gradients:
            torch._foreach_div_(gradients, sum(counts) / counts[0])

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Leave buffers, gradients, modes and generators, at the end, as they are; there are no gradients within."""
        model = self.model
        gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
        modes = [(module, module.training) for module in model.modules()]
        for parameter, _ in gradients:
            parameter.grad = None
        try:
            with ExitStack() as stack:
                for context in (kept_buffers(model), self.streams.kept(), torch.compiler.set_stance("force_eager")):
                    stack.enter_context(context)
                stack.enter_context(torch.autograd.set_detect_anomaly(False))  # it would raise before a trace sees
                model.train()
                self.hold()
                yield
        finally:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for module, mode in modes:
                module.training = mode


@contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Leave the buffers of a model, at the end, as they are now."""
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not is_lazy(buffer)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, kept in buffers:
                module._buffers[name] = buffer
                buffer.copy_(kept)


def tensors_in(nested: Any, path: str = "batch") -> dict[str, Tensor]:
    """Return the tensors of a batch of any nesting by their path, such as ``batch[0]`` or ``batch['x']``."""
    if isinstance(nested, Tensor):
        return {path: nested}
    if isinstance(nested, Mapping):
        items: Any = nested.items()
    elif isinstance(nested, tuple | list):
        items = enumerate(nested)
    else:
        found: list[Tensor] = []
        map_tensors(nested, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
        return {f"{path}.{number}": tensor for number, tensor in enumerate(found)}
    tensors: dict[str, Tensor] = {}
    for key, item in items:
        tensors |= tensors_in(item, f"{path}[{key!r}]")
    return tensors


def modules_beside(objective: Any, depth: int = 3) -> dict[str, nn.Module]:
    """Return the modules that an objective holds, such as its loss, by a name of theirs."""
    if isinstance(objective, nn.Module):
        return {"objective": objective}
    names = [*getattr(objective, "__dict__", ()), *getattr(type(objective), "__slots__", ())] if depth else []
    found: dict[str, nn.Module] = {}
    for name in names:
        inner = getattr(objective, name, None)
        if isinstance(inner, nn.Module):
            found[f"objective.{name}"] = inner
        elif name == "objective":
            found |= modules_beside(inner, depth - 1)
    return found
