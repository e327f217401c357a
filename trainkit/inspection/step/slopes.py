"""The recorded step once more, with the gradient that reached each tensor: for rules that ask for its sign."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.recording import Fact, Op, Recorder, facts_of
from trainkit.inspection.step.view import PASSING, View
from trainkit.inspection.subject import Subject, unpacked


class Sloped(Recorder):
    """Keeps the gradient of each tensor by the number of its fact."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.slopes: dict[int, Tensor] = {}

    def _new(self, tensor: Tensor, maker: Op | None) -> Fact:
        fact = super()._new(tensor, maker)
        if fact.requires_grad and maker is not None and torch.is_grad_enabled():
            with torch._C.DisableTorchFunction():
                if not torch._C._functorch.is_functorch_wrapped_tensor(tensor):
                    tensor.register_hook(partial(_kept, self.slopes, fact.number))
        return fact


def _kept(slopes: dict[int, Tensor], number: int, gradient: Tensor | None) -> None:
    if gradient is None:
        return  # of an output of several that nothing reads
    with torch._C.DisableTorchFunction():
        known = slopes.get(number)
        slopes[number] = gradient.detach().clone() if known is None else known + gradient.detach()


def sloped(subject: Subject) -> tuple[View, dict[int, Tensor]] | None:
    """Return a step with all gradients, in which no optimizer moves a weight; None if none can be taken."""
    return subject.once(_sloped)


def _sloped(subject: Subject) -> tuple[View, dict[int, Tensor]] | None:
    if subject.train_step is not None:
        with copies_with(subject, subject.train_step) as copies:
            for group in (group for optimizer in copies.optimizers for group in optimizer.param_groups):
                group["lr"] = 0.0
            copies.model.train()
            step = copies.functions[0]
            model, loss, optimizer = copies.model, copies.loss, copies.optimizer
            return _taken(subject, model, lambda: step(model, subject.batch, loss, optimizer))
    with subject.scratch() as scratch:
        scratch.model.train()

        def run() -> Any:
            loss = subject.run(scratch.model, scratch.loss, subject.batch).loss
            assert isinstance(loss, Tensor)
            loss.backward()

        return _taken(subject, scratch.model, run)


def _taken(subject: Subject, model: nn.Module, run: Any) -> tuple[View, dict[int, Tensor]] | None:
    with Sloped(model) as recorder:
        recording = recorder.recording
        try:
            run()
        except Exception:  # noqa: BLE001 - the user's own code; other rules tell what fails
            return None
        recorded_slopes = recorder.slopes
    ends = [op for op in recording.ops if op.name == "backward"]
    losses = tuple(op.inputs[0] for op in ends if op.inputs)
    if ends:
        del recording.ops[ends[-1].number :]
    inputs, target = unpacked(subject.batch)
    facts = facts_of(recording, inputs), facts_of(recording, target)
    calls = [call for call in recording.calls if not call.path]
    return View(subject, recording, losses, *facts, calls[-1].outputs if calls else (), {}), recorded_slopes


def behind(fact: Fact, passing: frozenset[str] = PASSING) -> tuple[Fact, int]:
    """Return the tensor whose numbers a tensor holds, and 1, or -1 if they are turned in sign."""
    sign, names = 1, passing | {"broadcast_tensors", "neg", "negative"}
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in names:
        op = fact.maker
        sign = -sign if op.name.startswith("neg") else sign
        fact = op.inputs[op.outputs.index(fact)] if op.name == "broadcast_tensors" else op.inputs[0]
    return fact, sign
