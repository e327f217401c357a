"""The user's own training step, run on copies with eyes on it: what it calls, in which order, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.source import Code, Line, code_of, own_line
from trainkit.inspection.subject import Scratch, Stuck, Subject, found

STEPS = 6
"""Steps that are watched."""


@dataclass(slots=True)
class Event:
    """One call within a step.

    Attributes:
        kind: ``zero_grad``, ``backward``, ``step``, ``clip`` or ``forward``.
        which: Number of the optimizer.
        line: The user's line that called.
        norm: Norm of the gradients just then, over the optimizer's (or model's) parameters.
        training: Mode of the model at a forward pass.
    """

    kind: str
    which: int
    line: Line | None
    norm: float
    training: bool = True


@dataclass(eq=False)
class Watched:
    """What some steps did.

    Attributes:
        steps: The events of each.
        moved: Whether each changed a parameter.
        values: What each gave.
        left: Norm of the gradients that each found when it began.
        error: What was raised, if anything.
    """

    steps: list[list[Event]] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    training: list[bool] = field(default_factory=list)
    error: Exception | None = None


class Watch:
    """Takes the user's steps on copies, and notes what is called."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._events: list[Event] = []

    @cached_property
    def watched(self) -> Watched:
        """Some steps over the first batches."""
        seen = Watched()
        step = self.subject.train_step
        assert step is not None
        with self.subject.scratch() as scratch, self._noting(scratch):
            scratch.model.train()
            for batch in self.subject.batches(STEPS):
                self._events = []
                before = [parameter.detach().clone() for parameter in scratch.model.parameters()]
                seen.left.append(_norm(scratch.model.parameters()))
                seen.training.append(scratch.model.training)
                try:
                    seen.values.append(step(scratch.model, batch, scratch.loss, scratch.optimizer))
                except Exception as error:  # noqa: BLE001 - the user's code may raise anything; a finding tells it
                    seen.error = error
                    break
                after = list(scratch.model.parameters())
                seen.moved.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
                seen.steps.append(self._events)
        return seen

    def _noting(self, scratch: Scratch) -> Any:
        """Wrap what a step calls, for the time of a ``with``."""
        from contextlib import ExitStack

        stack = ExitStack()
        model, optimizers = scratch.model, scratch.optimizers

        def note(kind: str, which: int, parameters: Any, training: bool = True) -> None:
            self._events.append(Event(kind, which, own_line(), _norm(parameters), training))

        for number, optimizer in enumerate(optimizers):
            held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            _wrapped(stack, optimizer, "zero_grad", lambda n=number, p=held: note("zero_grad", n, p))
            _wrapped(stack, optimizer, "step", lambda n=number, p=held: note("step", n, p))
        _wrapped(stack, model, "zero_grad", lambda: note("zero_grad", -1, list(model.parameters())))
        for name in ("clip_grad_norm_", "clip_grad_value_"):
            _wrapped(stack, nn.utils, name, lambda: note("clip", -1, list(model.parameters())))
            _wrapped(stack, nn.utils.clip_grad, name, lambda: note("clip", -1, list(model.parameters())))
        _wrapped(stack, Tensor, "backward", lambda: note("backward", -1, list(model.parameters())))
        handle = model.register_forward_pre_hook(lambda m, _: note("forward", -1, (), m.training))
        stack.callback(handle.remove)
        return stack


def _wrapped(stack: Any, owner: Any, name: str, before: Any) -> None:
    original = getattr(owner, name)
    own = name in vars(owner)

    def call(*args: Any, **kwargs: Any) -> Any:
        before()
        return original(*args, **kwargs)

    setattr(owner, name, call)
    stack.callback(lambda: setattr(owner, name, original) if own else delattr(owner, name))


def steps(subject: Subject) -> Iterator[Finding]:
    """Take some steps of the user's, and hold them against the order that training needs."""
    if subject.train_step is None or subject.train_set is None:
        return
    try:
        seen = Watch(subject).watched
    except Stuck:
        return
    code = code_of(subject.train_step)
    place = getattr(subject.train_step, "__name__", "train_step")
    at = code.line(code.node) if code is not None else None
    if seen.error is not None:
        message = f"raises on copies: {type(seen.error).__name__}: {' '.join(str(seen.error).split())[:200]}"
        yield found("step-fails", place, message, at=at, effect="nothing can be trained")
        return
    if not seen.steps:
        return
    for rule in (_stepping, _clearing, _clipping, _mode, _value):
        yield from rule(subject, seen, code, place, at)


def _stepping(subject: Subject, seen: Watched, code: Code | None, place: str, at: Line | None) -> Iterator[Finding]:
    events = [event for step in seen.steps for event in step]
    kinds = {event.kind for event in events}
    if not any(seen.moved) and "step" not in kinds:
        yield found(
            "step-missing",
            f"{place}: step",
            "never calls optimizer.step(): no parameter changes",
            at=at,
            evidence=f"{len(seen.steps)} steps on copies changed nothing",
            effect="nothing is trained",
            fix="optimizer.step() after loss.backward()",
        )
        return
    if "backward" not in kinds and not any(seen.moved):
        yield found("backward-missing", f"{place}: backward", "never calls backward()", at=at)
        return
    first = seen.steps[0]
    order = [event.kind for event in first if event.kind in ("backward", "step")]
    if order and order[0] == "step" and "backward" in order:
        step = next(event for event in first if event.kind == "step")
        yield found(
            "step-before-backward",
            f"{place}: step",
            "calls optimizer.step() before backward(): each step uses the gradients of the batch before",
            at=step.line or at,
            evidence=f"order: {', '.join(order)}",
            effect="updates lag one batch behind; with zero_grad between, there are none",
            fix="loss.backward(), then optimizer.step()",
        )


def _clearing(subject: Subject, seen: Watched, code: Code | None, place: str, at: Line | None) -> Iterator[Finding]:
    """Tell of gradients that add up over steps, or are cleared before they are used."""
    for events in seen.steps:
        for number, event in enumerate(events):
            if event.kind != "step" or event.norm > 0:
                continue
            cleared = [e for e in events[:number] if e.kind == "zero_grad" and e.which in (-1, event.which)]
            used = [e for e in events[:number] if e.kind == "backward"]
            if cleared and used and events.index(cleared[-1]) > events.index(used[-1]) and cleared[-1].norm > 0:
                yield found(
                    "gradients-thrown-away",
                    f"{place}: zero_grad",
                    "clears the gradients between backward() and step(): the step has none",
                    at=cleared[-1].line or at,
                    evidence=f"gradient norm {cleared[-1].norm:.3g} before zero_grad, 0 at the step",
                    effect="nothing is trained but by momentum and weight decay",
                    fix="zero_grad() before backward()",
                )
                return
    stepping = [i for i, events in enumerate(seen.steps) if any(event.kind == "step" for event in events)]
    carried = [i for i in stepping if _carried(seen.steps, i)]
    if len(carried) >= 2 and len(stepping) >= 3 and all(i in carried for i in stepping[1:]):
        clears = any(event.kind == "zero_grad" for events in seen.steps for event in events)
        wrong = next((e for events in seen.steps for e in events if e.kind == "zero_grad"), None)
        yield found(
            "gradients-accumulate",
            f"{place}: zero_grad",
            "zero_grad() does not clear what the step uses: gradients of all steps add up"
            if clears
            else "has no zero_grad(): the gradients of all steps accumulate",
            at=(wrong.line if wrong is not None else None) or at,
            evidence=f"each of {len(stepping)} steps began with the gradients of those before, norms "
            f"{', '.join(f'{value:.3g}' for value in seen.left[1:5])}",
            effect="updates follow the sum of all batches so far, ever larger",
            fix="optimizer.zero_grad() before loss.backward()",
        )


def _carried(steps: list[list[Event]], index: int) -> bool:
    """Say whether a step's gradients hold those that an earlier step has used already."""
    for event in steps[index]:
        if event.kind == "zero_grad":
            return False
        if event.kind == "backward":
            before = steps[index - 1] if index else []
            stepped = any(other.kind == "step" for other in before)
            return event.norm > 0 and stepped and not _cleared_after_step(before)
    return False


def _cleared_after_step(events: list[Event]) -> bool:
    last = max(number for number, event in enumerate(events) if event.kind == "step")
    return any(event.kind == "zero_grad" for event in events[last:])


def _clipping(subject: Subject, seen: Watched, code: Code | None, place: str, at: Line | None) -> Iterator[Finding]:
    for events in seen.steps[:2]:
        kinds = [event.kind for event in events]
        if "clip" not in kinds or "backward" not in kinds or "step" not in kinds:
            continue
        clip = kinds.index("clip")
        backward = len(kinds) - 1 - kinds[::-1].index("backward")
        step = kinds.index("step")
        where = "before backward()" if clip < kinds.index("backward") else "after step()" if clip > step else ""
        if where and (clip > step or events[clip].norm == 0 or clip < backward):
            yield found(
                "clip-in-vain",
                f"{place}: clip",
                f"clips the gradients {where}: the step uses them unclipped",
                at=events[clip].line or at,
                evidence=f"order: {', '.join(kind for kind in kinds if kind != 'forward')}",
                effect="one bad batch can throw the weights away",
                fix="Clip between backward() and step()",
            )
            return


def _mode(subject: Subject, seen: Watched, code: Code | None, place: str, at: Line | None) -> Iterator[Finding]:
    moded = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    if not any(isinstance(module, moded) for module in subject.model.modules()):
        return
    forwards = [event for events in seen.steps for event in events if event.kind == "forward"]
    if forwards and not any(event.training for event in forwards):
        yield found(
            "trains-in-eval",
            f"{place}: eval",
            "runs the model in eval(): dropout is off, and batch norm does not follow the data",
            at=forwards[0].line or at,
            evidence=f"{len(forwards)} forward passes, none in train()",
            effect="training without regularisation and with the statistics of initialisation",
            fix="model.train() at the beginning of the step or epoch",
        )


def _value(subject: Subject, seen: Watched, code: Code | None, place: str, at: Line | None) -> Iterator[Finding]:
    """Tell of a loss whose graph grows from step to step."""
    sizes = [_graph(value) for value in seen.values if isinstance(value, Tensor)]
    if len(sizes) >= 4 and sizes[-1] > 1.5 * sizes[1] > 0 and sizes[-1] > sizes[-2] > sizes[1]:
        yield found(
            "graph-grows",
            f"{place}: loss",
            "keeps the graphs of all steps: the loss hangs on the steps before",
            at=at,
            evidence=f"{sizes[0]} operations behind the first loss, {sizes[-1]} behind the one of step {len(sizes)}",
            effect="memory grows until it is used up, and backward runs through old steps",
            fix="Keep loss.detach() or loss.item()",
        )


def _graph(value: Tensor) -> int:
    seen: set[Any] = set()
    waiting: list[Any] = [value.grad_fn]
    while waiting and len(seen) < 20_000:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return len(seen)


def _norm(parameters: Any) -> float:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(sum(gradient.detach().float().square().sum() for gradient in gradients)) ** 0.5 if gradients else 0.0


RULES = (steps,)
