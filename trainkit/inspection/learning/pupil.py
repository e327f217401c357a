"""A copy of a training that learns for some steps: at any rate, without one of its parts, or from a constant input."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.overrides import TorchFunctionMode

from trainkit.inspection.loop.copies import Copies, copies_with
from trainkit.inspection.step.trial import settings, steps_ahead
from trainkit.inspection.subject import Scratch, Subject
from trainkit.inspection.untouched import kept_generators

Part = Literal["", "dropout", "weight decay", "clipping", "optimizer"]
"""What a training can do without for a while; ``optimizer``: Adam in the place of the user's."""
MOST = 2000
"""Steps of a schedule that are looked at for its highest rate."""
BARELY = 0.05
"""Share of its size by which a loss has barely moved."""
TARGETS = ("labels", "label", "target", "targets")
"""Names under which a model takes targets, if it does."""
ADAM = 1e-3
"""Rate of the Adam that is taken where there is no optimizer, or in its place."""


@dataclass(frozen=True)
class Course:
    """What a copy learned.

    Attributes:
        before, after: Loss on the first batch at the start and at the end, both in training mode or both in evaluation
            mode, in which the end is less.
        losses: Of each step, before it.
        unheld, held: Mean loss at the start and at the end on batches that it is not trained on; NaN if there are none.
        reachable: Loss on the first batch that outputs in the range of those at the end could have; NaN if not asked
            for, or not known.
        floor: Loss on it that the best output has which is the same for each sample; NaN likewise.
    """

    before: float
    after: float
    losses: tuple[float, ...]
    unheld: float = math.nan
    held: float = math.nan
    reachable: float = math.nan
    floor: float = math.nan

    @property
    def fell(self) -> float:
        """By which share of its size the loss fell; minus infinity if it is not finite any more."""
        share = (self.before - self.after) / max(abs(self.before), 1e-8)
        return share if math.isfinite(share) else -math.inf

    @property
    def late(self) -> float:
        """Mean loss of the last quarter of the steps."""
        last = self.losses[-max(len(self.losses) // 4, 1) :]
        return sum(last) / len(last)


def is_idle(subject: Subject, course: Course) -> bool:
    """Say whether at the pace of a short training the whole one would move the loss by next to nothing."""
    return abs(course.fell) / max(len(course.losses), 1) * steps_ahead(subject) < BARELY


class Pupil:
    """A copy that takes steps.

    Args:
        subject: What is inspected; it stays as it is.
        copies: Of its parts.
        stack: Where hooks are taken off again.
        without: The part that is left out.
    """

    def __init__(self, subject: Subject, copies: Copies | Scratch, stack: ExitStack, without: Part = "") -> None:
        self.subject, self.copies, self.without = subject, copies, without
        self.model = copies.model
        if without == "optimizer" or not copies.optimizers:
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            copies.optimizers = [torch.optim.Adam(trained, lr=ADAM)]
        if without == "weight decay":
            for group in (group for optimizer in copies.optimizers for group in optimizer.param_groups):
                group.update({name: 0.0 for name in ("weight_decay",) if name in group})
        if without == "clipping":
            _unclipped(stack, copies)

    def step(self, batch: Any) -> float:
        """Take one step on a batch and return its loss before that."""
        subject, copies = self.subject, self.copies
        self.model.train()
        with Undropped() if self.without == "dropout" else nullcontext():
            if isinstance(copies, Copies):
                value = self.loss(batch) if subject.runs else math.nan
                given = copies.functions[0](self.model, copy.deepcopy(batch), copies.loss, copies.optimizer)
                return value if subject.runs else _number(given)
            for optimizer in copies.optimizers:
                optimizer.zero_grad()
            loss = subject.run(self.model, copies.loss, batch).loss
            assert isinstance(loss, Tensor)
            loss.backward()
            if subject.clip is not None and self.without != "clipping":
                gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
                subject.clip(gradients)
            for optimizer in copies.optimizers:
                optimizer.step()
            return float(loss.detach())

    def loss(self, batch: Any, *, training: bool = True) -> float:
        """Return the loss on a batch, with the same noise each time; NaN if it cannot be had."""
        kept = {name: value.clone() for name, value in self.model.named_buffers()}
        with kept_generators():
            self.model.train(training)
            try:
                value = _number(self.subject.run(self.model, self.copies.loss, batch).loss)
            except Exception:  # noqa: BLE001 - in evaluation a model may not give what its loss takes
                return math.nan
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                if name in kept and kept[name].shape == buffer.shape:
                    buffer.copy_(kept[name])
        return value


@contextmanager
def pupil(subject: Subject, without: Part = "", *, level: Level | None = None) -> Iterator[Pupil]:
    """Give a copy that learns; what is patched for it is put back.

    Args:
        subject: What is inspected.
        without: The part that is left out.
        level: What makes the model's inputs the same for each sample.

    Raises:
        Stuck: If the training cannot be copied.
    """
    own = subject.train_step if without != "optimizer" else None
    making: Any = copies_with(subject, own) if own is not None else subject.scratch()
    with making as copies, ExitStack() as stack:
        learner = Pupil(subject, copies, stack, without)
        if level is not None:
            hook = learner.model.register_forward_pre_hook(level, with_kwargs=True)
            stack.callback(hook.remove)
        yield learner


class Level:
    """A forward pre-hook that gives the model the same input for each sample: the mean, or the first token.

    Args:
        count: Samples in a batch; every dimension of that size is levelled.

    Attributes:
        whole: Whether each input was such; None before the first call.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.whole: bool | None = None

    def __call__(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return the inputs, levelled, but for targets that are passed by name."""
        named = {name: value if name in TARGETS else self._levelled(value) for name, value in kwargs.items()}
        return self._levelled(args), named

    def _levelled(self, thing: Any) -> Any:
        if isinstance(thing, Tensor):
            return self._level(thing)
        if type(thing) is dict:
            return {name: self._levelled(value) for name, value in thing.items()}
        if type(thing) in (list, tuple):
            return type(thing)(self._levelled(value) for value in thing)
        if thing is not None and not isinstance(thing, bool | str | int | float):
            self.whole = False
        return thing

    def _level(self, tensor: Tensor) -> Tensor:
        dims = [dim for dim, size in enumerate(tensor.shape) if size == self.count]
        if not dims:
            self.whole = False if tensor.numel() > 1 else self.whole
            return tensor
        self.whole = self.whole is not False
        first = tensor
        for dim in dims:
            first = first.mean(dim, keepdim=True) if tensor.is_floating_point() else first.narrow(dim, 0, 1)
        return first.expand_as(tensor).clone()


class Rates:
    """Sets the rates of a copy's optimizers for each step, whatever a schedule in ``train_step`` makes of them.

    Args:
        learner: The copy.
        peaks: The highest rate of each group, by optimizer; without them, the rates that they have.
        factor: Multiple of these; it may be changed between steps.
    """

    def __init__(self, learner: Pupil, peaks: Sequence[Sequence[float]], factor: float = 1.0) -> None:
        optimizers = learner.copies.optimizers
        self.factor, self.planned = factor, dict[int, list[Any]]()
        self.peaks = peaks or [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in optimizers]
        for number, optimizer in enumerate(optimizers):
            optimizer.register_step_pre_hook(lambda o, *_, n=number: self._set(o, n))
            optimizer.register_step_post_hook(lambda o, *_: self._put_back(o))

    def _set(self, optimizer: Optimizer, number: int) -> None:
        self.planned[id(optimizer)] = [group["lr"] for group in optimizer.param_groups]
        for group, peak in zip(optimizer.param_groups, self.peaks[number], strict=False):
            rate = peak * self.factor
            group["lr"] = torch.full_like(group["lr"], rate) if isinstance(group["lr"], Tensor) else rate

    def _put_back(self, optimizer: Optimizer) -> None:
        for group, rate in zip(optimizer.param_groups, self.planned[id(optimizer)], strict=True):
            group["lr"] = rate


def peaks_of(subject: Subject) -> list[list[float]]:
    """Return the highest rate that each group of each optimizer has over its schedule."""
    names = ("lr", "initial_lr", "max_lr")
    with subject.scratch() as scratch:
        rates = [
            [max(float(group[name]) for name in names if name in group) for group in optimizer.param_groups]
            for optimizer in scratch.optimizers
        ]
        ahead = steps_ahead(subject) if subject.interval == "step" else subject.epochs or 30
        for scheduler in scratch.schedulers:
            if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
                continue
            for _ in range(min(ahead, MOST)):
                try:
                    scheduler.step()
                except Exception:  # noqa: BLE001 - it ends before the training does: another rule's finding
                    break
                for number, optimizer in enumerate(scratch.optimizers):
                    now = [float(group["lr"]) for group in optimizer.param_groups]
                    rates[number] = [max(pair) for pair in zip(rates[number], now, strict=True)]
    return rates


def rate_of(subject: Subject) -> float:
    """Return the highest learning rate of a training; 0 without an optimizer."""
    return max((rate for rates in peaks_of(subject) for rate in rates), default=0.0)


def parts_of(subject: Subject) -> list[Part]:
    """Return the parts that a training could do without for a while."""
    decays = any(float(group.get("weight_decay") or 0) > 0 for _, group in settings(subject))
    found: list[Part] = ["dropout", *(("weight decay",) if decays else ())]
    return [*found, "clipping"] if subject.clip is not None or subject.train_step is not None else found


class Undropped(TorchFunctionMode):
    """Lets nothing be dropped meanwhile, by layers or by functions."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), dict(kwargs or {})
        if "dropout" in name and args and isinstance(args[0], Tensor):
            return args[0]
        if name == "scaled_dot_product_attention":
            kwargs["dropout_p"] = 0.0
            args = (*args[:4], *((0.0,) if len(args) > 4 else ()), *args[5:])
            kwargs = kwargs if len(args) < 5 else {key: value for key, value in kwargs.items() if key != "dropout_p"}
        return func(*args, **kwargs)


def _unclipped(stack: ExitStack, copies: Copies | Scratch) -> None:
    """Let nothing be clipped until the stack closes, also where the user's file imported the function by name."""
    worlds: list[dict[str, Any]] = [vars(nn.utils), vars(nn.utils.clip_grad)]
    for function in copies.functions if isinstance(copies, Copies) else ():
        inner = getattr(function, "__func__", getattr(function, "func", function))
        worlds += [inner.__globals__] if hasattr(inner, "__globals__") else []
    originals = {id(getattr(nn.utils, name)) for name in ("clip_grad_norm_", "clip_grad_value_")}
    for world in worlds:
        for name, value in [(name, value) for name, value in world.items() if id(value) in originals]:
            world[name] = lambda *_, **__: torch.zeros(())
            stack.callback(world.__setitem__, name, value)


def _number(value: Any) -> float:
    if isinstance(value, Tensor):
        return float(value.detach()) if value.numel() == 1 else math.nan
    return float(value) if isinstance(value, float | int) else math.nan
