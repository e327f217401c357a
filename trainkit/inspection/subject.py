"""What is inspected: a model with all that trains it, tried on copies only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import IterableDataset, default_collate

from trainkit.findings import Finding, Severity
from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.recording import Fact, Recording, facts_of, recorded
from trainkit.inspection.source import Line, built_at, code_of, own_files
from trainkit.inspection.untouched import cloned, copied, copied_data, kept_generators, quiet

T = TypeVar("T")
SMALL = 16
"""Samples of a batch for the probes."""
SLOW = 0.01
"""Seconds from which samples are not read a second time."""
LONG = 1.0
"""CPU seconds of the recorded step from which probes do with as few samples as can tell."""


class Stuck(Exception):
    """The model, its data or its loss cannot be run; a finding of its own says why, and rules that need it rest."""


@dataclass(slots=True)
class Ran:
    """One forward pass and its loss."""

    outputs: Any
    target: Any
    loss: Tensor | None


@dataclass(slots=True)
class Scratch:
    """Copies that a rule may do with as it likes."""

    model: nn.Module
    loss: Any
    optimizers: list[Optimizer]
    schedulers: list[Any]

    @property
    def optimizer(self) -> Any:
        """The optimizer as the user's ``train_step`` takes it: one, or the list."""
        return self.optimizers[0] if len(self.optimizers) == 1 else self.optimizers


@dataclass(slots=True, eq=False)
class Trace:
    """One training step on a copy: forward, loss and backward, recorded; no optimizer step.

    Attributes:
        recording: All operations in order; those of the loss have no module.
        inputs, target, outputs: Tensors of the batch, and what the model gave.
        loss: The loss.
        gradients: Of each parameter by name, None where none came.
        error: What was raised, if anything.
        seconds: CPU time that it took, recorded.
    """

    recording: Recording
    inputs: tuple[Fact, ...] = ()
    target: tuple[Fact, ...] = ()
    outputs: tuple[Fact, ...] = ()
    loss: Fact | None = None
    gradients: dict[str, Tensor | None] = field(default_factory=dict)
    error: Exception | None = None
    seconds: float = 0.0


@dataclass(eq=False)
class Subject:
    """A model and what trains it, as the user gave them; rules read it, and try things on copies.

    Attributes:
        model: The user's own; nothing may change it.
        objective: ``objective(model, loss, batch) -> Ran``.
        optimizers: Over the parameters of ``model``.
        make_optimizer: The user's function that made them, if they gave one.
        batch_size: Samples in a batch.
        interval: Whether the schedulers step once a ``step`` or once an ``epoch``.
    """

    model: nn.Module
    loss: Any = None
    train_set: Any = None
    val_set: Any = None
    optimizers: list[Optimizer] = field(default_factory=list)
    schedulers: list[Any] = field(default_factory=list)
    make_optimizer: Callable[..., Any] | None = None
    make_scheduler: Callable[..., Any] | None = None
    interval: Literal["step", "epoch"] = "epoch"
    collate: Callable[[list[Any]], Any] | None = None
    batch_size: int = 32
    shuffle: bool = True
    num_workers: int = 0
    drop_last: bool = False
    epochs: int | None = None
    train_step: Callable[..., Any] | None = None
    evaluate: Callable[..., Any] | None = None
    objective: Callable[[nn.Module, Any, Any], Ran] | None = None
    held: frozenset[str] = frozenset()
    """Paths of modules that training keeps in eval mode, as a freeze plan does."""
    planned: bool = False
    """Whether a freeze plan keeps frozen parameters still, which the optimizer therefore may hold."""
    caller: str | None = None
    """File from which the check was called."""
    clip: Callable[[list[Tensor]], Any] | None = None
    """Limits the gradients before a step, where the training does."""
    deep: bool = False
    given: nn.Module | None = None
    """The very model that the user gave, where ``model`` is a copy."""

    _known: dict[Callable[[Subject], Any], Any] = field(default_factory=dict, init=False, repr=False)
    reading: float = field(default=0.0, init=False)
    """Seconds that reading a sample took the last time."""
    _read: list[Any] = field(default_factory=list, init=False, repr=False)

    def once(self, function: Callable[[Subject], T]) -> T:
        """Return what a function gives for this subject, which it is asked once.

        Raises:
            Stuck: What it raised when it was asked.
        """
        if function not in self._known:
            try:
                self._known[function] = function(self)
            except Stuck as stuck:
                self._known[function] = stuck
        known: T = self._known[function]
        if isinstance(known, Stuck):
            raise Stuck(*known.args) from known
        return known

    def let_go(self) -> None:
        """Forget what was recorded and read: its tensors hang in cycles, and would wait for the garbage collector."""
        for thing in (self.__dict__.pop("trace", None), *self._known.values()):
            recording = getattr(thing, "recording", None)
            if isinstance(recording, Recording):
                recording.let_go()
        self._known.clear()
        self._read.clear()

    # -------------------------------------------------------------------- trying

    @contextmanager
    def scratch(self, seed: int | None = 0) -> Iterator[Scratch]:
        """Give copies of model, loss, optimizers and schedulers; generators are put back, warnings unsaid."""
        with kept_generators(seed), quiet():
            try:
                model, loss, optimizers, schedulers = copied(self.model, self.loss, self.optimizers, self.schedulers)
            except Exception as error:
                raise Stuck(f"cannot be copied: {error}") from error
            for path in self.held:
                module = model.get_submodule(path)
                module.train = partial(_held, module)
            yield Scratch(model, loss, optimizers, schedulers)

    def run(self, model: nn.Module, loss: Any, batch: Any) -> Ran:
        """Run the model and the loss on a batch; what the user's code raises, this raises."""
        if self.objective is not None:
            return self.objective(model, loss, batch)
        inputs, target = unpacked(batch)
        outputs = model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)
        value = loss(outputs, target) if loss is not None else _own_loss(outputs)
        return Ran(outputs, target, value)

    def rerun(self, scratch: Scratch, batch: Any) -> tuple[Recording, Any, Exception | None]:
        """Return the operations of a forward pass and loss of a copy (no values), what it gave, and what it raised."""
        model, loss = scratch.model, scratch.loss
        return recorded(model, lambda: self.run(model, loss, batch), values=False, gradients=False)

    def forward(self, model: nn.Module, batch: Any) -> Any:
        """Return the model's output for a batch, without the loss.

        Raises:
            Stuck: If it cannot be run.
        """
        try:
            return self.run(model, self.loss if self.objective is not None else _no_loss, batch).outputs
        except Exception as error:
            raise Stuck(str(error)) from error

    @property
    def runs(self) -> bool:
        """Whether a step of forward, loss and backward works; a user's own ``train_step`` may be the only way."""
        return self.train_set is not None and self.trace.error is None

    @property
    def is_slow(self) -> bool:
        """Whether a step takes so long that a probe is to do with as few samples as can tell."""
        return self.runs and self.trace.seconds > LONG

    # -------------------------------------------------------------------- data

    def indices(self, count: int, start: int = 0) -> list[int]:
        """Return the data-set indices of the first training samples, in the order of training."""
        total = len(self.train_set)
        if not self.shuffle:
            return list(range(start, min(start + count, total)))
        order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
        return order[start : start + count].tolist()

    def samples(self, count: int, start: int = 0) -> list[Any]:
        """Return training samples from a copy of the data set, in the order of training.

        Those that take long to read are read once, and given as copies.
        """
        if start == 0 and count <= len(self._read):
            again: list[Any] = cloned(self._read[:count], {})
            return again
        with kept_generators(), quiet():
            begin = cpu_seconds()
            data = copied_data(self.train_set)
            if isinstance(data, IterableDataset):
                samples = list(itertools.islice(iter(data), start, start + count))
            else:
                samples = [data[index] for index in self.indices(count, start)]
            took = cpu_seconds() - begin
            self.reading = took / max(len(samples), 1)
            if start == 0 and took > SLOW:
                self._read = cloned(samples, {})
            return samples

    def collated(self, samples: Sequence[Any]) -> Any:
        """Return samples as a batch."""
        with kept_generators(None), quiet():
            return (self.collate or default_collate)(list(samples))

    def batches(self, count: int) -> Iterator[Any]:
        """Yield the first training batches."""
        for number in range(count):
            samples = self.samples(self.batch_size, number * self.batch_size)
            if not samples:
                return
            yield self.collated(samples)

    @cached_property
    def batch(self) -> Any:
        """The first training batch.

        Raises:
            Stuck: If there is none.
        """
        try:
            return next(self.batches(1))
        except Exception as error:
            raise Stuck(f"gives no batch: {type(error).__name__}: {error}") from error

    @cached_property
    def small_batch(self) -> Any:
        """A training batch of a few samples, for probes."""
        try:
            return self.collated(self.samples(min(SMALL, self.batch_size)))
        except Exception as error:
            raise Stuck(f"gives no batch: {type(error).__name__}: {error}") from error

    # -------------------------------------------------------------------- evidence that rules share

    @cached_property
    def trace(self) -> Trace:
        """One training step on the first batch, recorded."""
        with self.scratch() as scratch:
            model = scratch.model
            model.train()  # an override may return nothing
            batch = self.batch
            for optimizer in scratch.optimizers:
                optimizer.zero_grad()

            def step() -> Ran:
                ran = self.run(model, scratch.loss, batch)
                if isinstance(ran.loss, Tensor) and ran.loss.requires_grad and ran.loss.numel() == 1:
                    ran.loss.backward()
                return ran

            start = cpu_seconds()
            recording, ran, error = recorded(model, step)
            trace = Trace(recording, error=error, seconds=cpu_seconds() - start)
            inputs, target = unpacked(batch)
            trace.inputs, trace.target = facts_of(recording, inputs), facts_of(recording, target)
            if ran is not None:
                trace.outputs = facts_of(recording, ran.outputs)
                trace.loss = recording.fact(ran.loss)
            trace.gradients = {
                name: None if parameter.grad is None else parameter.grad.detach()
                for name, parameter in model.named_parameters()
            }
            return trace

    @cached_property
    def files(self) -> list[str]:
        """The user's files in which something of this training is written."""
        classes = [type(module) for module in self.model.modules()]
        things = [*classes, self.loss, self.train_set, self.val_set, self.collate, self.make_optimizer]
        things += [self.make_scheduler, self.train_step, self.evaluate]
        found = own_files(thing for thing in things if thing is not None)
        return list(dict.fromkeys([*found, *([self.caller] if self.caller else [])]))

    def where_built(self, path: str) -> Line | None:
        """Return the line that built the module at a path."""
        return built_at(self.model, path, self.files)

    def where_made(self, thing: Any) -> Line | None:
        """Return the first line of a class or function of the user's."""
        code = code_of(thing)
        return code.line(code.node) if code is not None else None


def unpacked(batch: Any) -> tuple[Any, Any]:
    """Return inputs and target of a batch: ``(inputs, target)``; a tuple of inputs is passed as several.

    A dictionary of inputs is passed by name. A mapping as batch is passed by name whole, and its ``labels`` or
    ``target`` are the target.
    """
    if isinstance(batch, Mapping):
        return batch, batch.get("labels", batch.get("target"))
    if isinstance(batch, list | tuple) and len(batch) == 2:
        inputs, target = batch
        if isinstance(inputs, dict):
            return inputs, target
        return (tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)), target
    if isinstance(batch, list | tuple) and len(batch) > 2:
        return tuple(batch[:-1]), batch[-1]
    only = batch[0] if isinstance(batch, list | tuple) else batch
    return (only,), None


def _own_loss(outputs: Any) -> Any:
    """Return the loss of a model that computes it itself."""
    return outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)


def found(
    rule: str,
    place: str,
    message: str,
    *,
    severity: Severity = "error",
    at: Line | None = None,
    evidence: str = "",
    effect: str = "",
    fix: str = "",
) -> Finding:
    """Return a finding at a line of the user's, whose file is shown from the current folder."""
    file = None if at is None else _shown(at.file)
    return Finding(
        rule=rule,
        severity=severity,
        place=place,
        message=message,
        file=file,
        line=None if at is None else at.line,
        evidence=evidence,
        effect=effect,
        fix=fix,
    )


def _shown(file: str) -> str:
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file


def _held(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stay in eval mode, whatever is asked for."""
    for child in module.children():
        child.train(mode)
    module.training = False
    return module


def _no_loss(outputs: Any, target: Any) -> None:
    return None
