"""What rules that read look at besides: a pass in evaluation, and what training steps leave behind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from trainkit.inspection.passes import steady
from trainkit.inspection.reading.parts import forward_parts
from trainkit.inspection.recording import Fact, Recording, facts_of, flat, recorded
from trainkit.inspection.subject import Stuck, Subject
from trainkit.inspection.untouched import generators, kept_generators

OWN = ("_parameters", "_buffers", "_modules")
T = TypeVar("T")
MANY = 20_000
FEW = 6
"""Samples in a batch that is passed only to see what a model does."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(eq=False)
class Evaluation:
    """A forward pass in ``eval()``, recorded.

    Attributes:
        outputs: What the model gave.
        varies: Whether another seed gives other outputs.
    """

    recording: Recording
    outputs: tuple[Fact, ...]
    varies: bool


@dataclass(eq=False)
class State:
    """What a model holds beside the values of its weights.

    Attributes:
        hooks: By module path or parameter name.
        graphs: Nodes of the graphs of kept tensors, by module path and attribute.
        parameters: ``id`` by name.
    """

    hooks: dict[str, int]
    graphs: dict[tuple[str, str], int]
    parameters: dict[str, int]
    training: dict[str, bool]


@dataclass(eq=False)
class Behaviour:
    """Two training steps without an optimizer on one copy.

    Attributes:
        states: Before, after the first and after the second.
        second_error: What the second step raised, if the first did not.
        reseeded: Generators that a pass leaves in one state whatever they were in: ``torch``, ``numpy``, ``random``.
        evaluated: Whether each module trains after a pass in ``eval()``.
    """

    states: list[State] = field(default_factory=list)
    second_error: Exception | None = None
    reseeded: list[str] = field(default_factory=list)
    evaluated: dict[str, bool] = field(default_factory=dict)


def evaluation(subject: Subject) -> Evaluation | None:
    """Return a recorded pass in ``eval()``; None if there is no data or the model cannot be run."""
    return _tried(subject, _evaluate)


def behaviour(subject: Subject) -> Behaviour | None:
    """Return what two training steps leave behind; None if there is no data or the model cannot be run."""
    return _tried(subject, _behave)


def _tried(subject: Subject, what: Callable[[Subject], T]) -> T | None:
    if subject.train_set is None or not forward_parts(subject):
        return None
    try:
        return subject.once(what)
    except Stuck:
        return None


def few(subject: Subject) -> Any:
    """Return a batch of a few samples; of two where a step is slow, for what is left behind hangs on no number."""
    try:
        count = 2 if subject.is_slow else FEW
        return subject.collated(subject.samples(min(count, subject.batch_size)))
    except Exception as error:
        raise Stuck(f"gives no batch: {type(error).__name__}: {error}") from error


def _evaluate(subject: Subject) -> Evaluation:
    batch = few(subject)
    with subject.scratch() as scratch:
        _switch(scratch.model, False)
        recording, outputs, error = recorded(
            scratch.model, lambda: subject.forward(scratch.model, copy.deepcopy(batch)), gradients=False
        )
        if error is not None:
            raise Stuck(str(error))
        first = [tensor.detach().clone() for tensor in flat(outputs)]
        facts = facts_of(recording, outputs)
    if subject.runs and steady(subject).is_steady:
        return Evaluation(recording, facts, varies=False)
    with subject.scratch(seed=1) as scratch:
        _switch(scratch.model, False)
        second = list(flat(subject.forward(scratch.model, copy.deepcopy(batch))))
    return Evaluation(recording, facts, not _same(first, second))


def _switch(model: nn.Module, mode: bool) -> None:
    try:
        model.train() if mode else model.eval()
    except Exception as error:
        raise Stuck(str(error)) from error


def _same(first: list[Tensor], second: list[Tensor]) -> bool:
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(
        a.shape == b.shape and torch.allclose(a, b.detach(), equal_nan=True)
        if a.is_floating_point()
        else torch.equal(a, b)
        for a, b in pairs
    )


def _behave(subject: Subject) -> Behaviour:
    found = Behaviour()
    batch = few(subject)
    with subject.scratch() as scratch:
        model = scratch.model
        _switch(model, True)
        found.states.append(state_of(model))
        try:
            _step(subject, model, scratch.loss, copy.deepcopy(batch))
        except Exception as error:
            raise Stuck(str(error)) from error
        first = generators()
        found.states.append(state_of(model))
        with kept_generators(1):
            try:
                _step(subject, model, scratch.loss, copy.deepcopy(batch))
            except Exception as error:  # noqa: BLE001 - what the user's code raises is the evidence
                found.second_error = error
            second = generators()
        found.states.append(state_of(model))
        found.reseeded = [name for name in first if first[name] == second[name]]
        _switch(model, False)
        with suppress(Stuck):
            subject.forward(model, copy.deepcopy(batch))
            found.evaluated = {path: module.training for path, module in model.named_modules()}
    return found


def _step(subject: Subject, model: nn.Module, loss: Any, batch: Any) -> None:
    if not subject.runs:
        subject.forward(model, batch)
        return
    value = subject.run(model, loss, batch).loss
    if isinstance(value, Tensor) and value.requires_grad and value.numel() == 1:
        value.backward()


def state_of(model: nn.Module) -> State:
    """Return what a model holds now."""
    hooks = {
        path: sum(len(getattr(module, name, None) or ()) for name in HOOKS) for path, module in model.named_modules()
    }
    for name, parameter in model.named_parameters():
        hooks[name] = len(parameter._backward_hooks or ()) + len(
            getattr(parameter, "_post_accumulate_grad_hooks", None) or ()
        )
    graphs: dict[tuple[str, str], int] = {}
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute not in OWN and attribute not in HOOKS:
                graphs[path, attribute] = _nodes(value)
    parameters = {name: id(parameter) for name, parameter in model.named_parameters()}
    training = {path: module.training for path, module in model.named_modules()}
    return State(hooks, graphs, parameters, training)


def _nodes(value: Any) -> int:
    """Return how many operations the graphs of a value's tensors hold, up to some thousands."""
    waiting: list[Any] = [tensor.grad_fn for tensor in tensors_in(value) if tensor.grad_fn is not None]
    seen: set[Any] = set()
    while waiting and len(seen) < MANY:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return len(seen)


def tensors_in(thing: Any, depth: int = 3) -> Iterator[Tensor]:
    """Yield the tensors in nested containers."""
    if isinstance(thing, Tensor):
        yield thing
    elif depth and isinstance(thing, Mapping):
        for value in thing.values():
            yield from tensors_in(value, depth - 1)
    elif depth and isinstance(thing, list | tuple | set):
        for value in thing:
            yield from tensors_in(value, depth - 1)
