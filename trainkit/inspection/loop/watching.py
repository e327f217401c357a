"""The user's training step, taken on copies with eyes on it: what it calls, in which order, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.loop.beside import Beside
from trainkit.inspection.loop.copies import Copies, copies_with
from trainkit.inspection.loop.following import following, kept_share
from trainkit.inspection.loop.graphs import reaches_others
from trainkit.inspection.loop.moving import Moves, Noting
from trainkit.inspection.recording import is_transformed
from trainkit.inspection.source import Line, own_line
from trainkit.inspection.subject import Stuck, Subject

FEWEST, STEPS, MOST = 3, 6, 20
"""Steps that are watched if they are slow, as a rule, and if not every optimizer has stepped by then."""
SECONDS = 1.5
"""Time after which no more are taken."""
FEW = 4
"""Samples in a batch where steps are slow: what they call, and in which order, hangs on no number of samples."""
STRAY = -1
"""Number of an optimizer that is none of the training's."""


@dataclass(slots=True)
class Event:
    """One call within a step.

    Attributes:
        kind: ``forward``, ``zero_grad``, ``backward``, ``step``, ``clip``, ``schedule``, ``made`` (an optimizer), or
            one of the scaler's: ``scale``, ``unscale``, ``scaled_step``, ``update``.
        which: Number of the optimizer; STRAY for another one, None where there is none.
        line: The user's line that called.
        norm: Norm of the gradients just then, over the optimizer's (or model's) parameters.
        training: Mode of the model at a forward pass.
        value: The loss of a backward, the limit of a clip, what a scaler makes of a loss, what a schedule is given.
        carried: At a step: share of the optimizer's gradients that hold what an earlier step has used already.
        foreign: At a step: whether the gradients hold those of a backward after which only another optimizer stepped.
        wasted: At a zero_grad: whether it clears gradients that no step has used.
        disjoint: At a clip: whether it gets parameters of which no optimizer has any.
    """

    kind: str
    which: int | None
    line: Line | None
    norm: float
    training: bool = True
    value: float | None = None
    carried: float = 0.0
    foreign: bool = False
    wasted: bool = False
    disjoint: bool = False


@dataclass(eq=False)
class Watched:
    """What some steps did.

    Attributes:
        steps: The events of each.
        moved: Whether each changed a parameter.
        values: What each gave.
        losses: What the loss gave within each.
        averages: Of modules that follow the model, such as a mean of its weights: name, its first parameter, and the
            share of itself that it keeps in a step.
        beside: Notes on what else went on.
        moves: Notes on how the weights moved.
        unheld: Names of weights that get a gradient, are in no optimizer, and stay as they were.
        starved: Names of weights whose optimizer steps and that no backward gave a gradient other than zero.
        error: What was raised, if anything.
    """

    steps: list[list[Event]] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    averages: list[tuple[str, str, float]] = field(default_factory=list)
    starved: set[str] = field(default_factory=set)
    unheld: set[str] = field(default_factory=set)
    beside: Beside | None = None
    moves: Moves | None = None
    error: Exception | None = None

    def events(self, *kinds: str) -> list[Event]:
        """Return the events of some kinds, in all steps."""
        return [event for step in self.steps for event in step if event.kind in kinds]


def watched(subject: Subject) -> Watched:
    """Return what some steps of the user's did.

    Raises:
        Stuck: If nothing can be copied.
    """
    return subject.once(_watched)


def _watched(subject: Subject) -> Watched:
    assert subject.train_step is not None
    with copies_with(subject, subject.train_step) as copies:
        return _Watch(subject, copies).run()


class _Watch:
    """Takes steps, and notes what is called."""

    def __init__(self, subject: Subject, copies: Copies) -> None:
        self.subject, self.copies, self.seen = subject, copies, Watched()
        self.seen.beside = self.beside = Beside(copies)
        self.seen.moves = self.moves = Moves(copies.model)
        self.events: list[Event] = []
        self.losses: list[float] = []
        self.owner = {id(p): n for n, optimizer in enumerate(copies.optimizers) for p in _parameters(optimizer)}
        self.used: set[int] = set()
        self.carried: set[int] = set()
        self.fresh: dict[int, tuple[float, bool]] = {}
        self.foreign: set[int] = set()
        self.graded: set[int] = set()
        self.slow = False
        self.trained = list(copies.model.parameters())

    def run(self) -> Watched:
        """Take steps over the first batches."""
        copies, seen, start = self.copies, self.seen, cpu_seconds()
        copies.model.train()
        with ExitStack() as stack:
            self._note_calls(stack)
            for number, batch in enumerate(self._batches()):
                late = cpu_seconds() - start > SECONDS
                if (number >= STEPS and (late or self._all_stepped())) or (number >= FEWEST and late):
                    break
                self.events, self.losses = [], []
                before = [parameter.detach().clone() for parameter in self.trained]
                followers = self._followers() if 1 <= number <= FEWEST else []
                self.beside.begin(batch)
                self.moves.begin(following(copies))
                begin = cpu_seconds()
                try:
                    with Noting(self.moves):
                        seen.values.append(copies.functions[0](copies.model, batch, self._loss, copies.optimizer))
                except Exception as error:  # noqa: BLE001 - the user's code may raise anything; a finding tells it
                    if self.slow:  # it may need a whole batch
                        break
                    seen.error = error
                    seen.steps.append(self.events)
                    break
                self.slow |= cpu_seconds() - begin > SECONDS / STEPS
                self.beside.end()
                self.moves.end()
                after = list(copies.model.parameters())
                seen.moved.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=False)))
                seen.steps.append(self.events)
                seen.losses.append(self.losses)
                seen.averages += [kept for each in followers if (kept := kept_share(*each)) is not None]
        stepping, first = {event.which for event in seen.events("step")}, dict(self.subject.model.named_parameters())
        held = {id(p) for optimizer in copies.optimizers for p in _parameters(optimizer)}
        for name, parameter in copies.model.named_parameters():
            fed = id(parameter) in self.graded or not parameter.requires_grad
            if not fed and self.owner.get(id(parameter)) in stepping:
                seen.starved.add(name)
            if id(parameter) in self.graded and id(parameter) not in held and torch.equal(parameter, first[name]):
                seen.unheld.add(name)
        return seen

    def _followers(self) -> list[tuple[str, str, Tensor, Tensor, tuple[Tensor, Tensor]]]:
        """Return tensors that no optimizer holds and that have a trained one of the same name: an average's."""
        others = self.copies.networks | dict(self.copies.model.named_children())
        found: list[tuple[str, str, Tensor, Tensor, tuple[Tensor, Tensor]]] = []
        for name, other in others.items():
            theirs = dict(other.named_parameters())
            if other is self.copies.model or not theirs or any(id(p) in self.owner for p in theirs.values()):
                continue
            for source in (self.copies.model, *self.copies.model.children()):
                ours = dict(source.named_parameters())
                if source is other or not set(theirs) <= set(ours) or len(theirs) != len(ours):
                    continue
                key = max(theirs, key=lambda item: theirs[item].numel())
                if id(ours[key]) in self.owner and theirs[key].shape == ours[key].shape:
                    both = (ours[key], ours[key].detach().clone())
                    found.append((name, key, theirs[key], theirs[key].detach().clone(), both))
        return found

    def _batches(self) -> Iterator[Any]:
        """Yield the first training batches in turns; after a slow step those not yet read are small."""
        known: list[Any] = []
        read, count = 0, self.subject.batch_size
        for number in range(MOST):
            if len(known) == number < STEPS:
                count = min(count, FEW) if self.slow else count
                samples = self.subject.samples(count, read)
                read += len(samples)
                known += [self.subject.collated(samples)] if samples else []
            if not known:
                raise Stuck("no batch")
            yield known[number % len(known)]

    def _all_stepped(self) -> bool:
        return {e.which for e in self.seen.events("step")} >= set(range(len(self.copies.optimizers)))

    def _loss(self, *args: Any, **kwargs: Any) -> Any:
        value = self.copies.loss(*args, **kwargs)
        self.beside.loss(args, value)
        if isinstance(value, Tensor) and value.numel() == 1 and not is_transformed(value):
            self.losses.append(float(value.detach()))
        return value

    def _note_calls(self, stack: ExitStack) -> None:
        """Wrap what a step calls, until the stack closes."""
        before = register_optimizer_step_pre_hook(lambda optimizer, *_: self._stepping(optimizer))
        after = register_optimizer_step_post_hook(lambda optimizer, *_: self._stepped(optimizer))
        for handle in (before, after):
            stack.callback(handle.remove)
        for kind in {Optimizer, *(type(optimizer) for optimizer in self.copies.optimizers)}:
            if "zero_grad" in vars(kind):
                _wrapped(stack, kind, "zero_grad", lambda o, *_, **__: self._clearing(_parameters(o), self._number(o)))
        _wrapped(stack, Optimizer, "__init__", lambda o, *_, **__: self._note("made", STRAY, ()))
        _wrapped(stack, nn.Module, "zero_grad", lambda m, *_, **__: self._clearing(list(m.parameters()), None))
        _wrapped(stack, Tensor, "backward", self._before_backward, self._after_backward)
        _wrapped(stack, torch.autograd, "grad", lambda losses, *_, **__: self.beside.differentiated(losses))
        for kind in dict.fromkeys(_kinds(LRScheduler)):
            if "step" not in vars(kind):
                continue
            _wrapped(stack, kind, "step", lambda s, *given, **__: self._scheduling(s, given))
        names = {"scale": "scale", "unscale_": "unscale", "step": "scaled_step", "update": "update"}
        for name, kind_of in names.items():
            _wrapped(stack, torch.amp.GradScaler, name, lambda g, *given, k=kind_of, **__: self._scaling(g, k, given))
        self._note_clips(stack)
        forward = self.copies.model.register_forward_pre_hook(lambda module, args: self._entered(module, args))
        stack.callback(forward.remove)

    def _entered(self, model: nn.Module, args: Any) -> None:
        self._note("forward", None, (), model.training)
        self.beside.forward(args)

    def _note_clips(self, stack: ExitStack) -> None:
        """Wrap the functions that clip, also those that the user's file imported by name."""
        function = self.copies.functions[0]
        worlds = [vars(nn.utils), vars(nn.utils.clip_grad)]
        inner = getattr(function, "__func__", getattr(function, "func", function))
        worlds += [inner.__globals__] if hasattr(inner, "__globals__") else []
        originals = {id(getattr(nn.utils, name)) for name in ("clip_grad_norm_", "clip_grad_value_")}
        for world in worlds:
            for name, value in list(world.items()):
                if id(value) in originals:
                    world[name] = self._clipping_with(value)
                    stack.callback(world.__setitem__, name, value)

    def _clipping_with(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clip(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            held = [parameters] if isinstance(parameters, Tensor) else list(parameters)
            self._note("clip", None, held)
            limit: Any = args[0] if args else kwargs.get("max_norm", kwargs.get("clip_value"))
            self.events[-1].value = float(limit)
            self.events[-1].disjoint = bool(self.owner) and not any(id(p) in self.owner for p in held)
            self.moves.clipping(held, original.__name__)
            return original(held, *args, **kwargs)

        return clip

    def _note(self, kind: str, which: int | None, parameters: Any, training: bool = True) -> None:
        self.events.append(Event(kind, which, own_line(), norm(parameters), training))

    def _scheduling(self, scheduler: Any, given: tuple[Any, ...]) -> None:
        if not getattr(scheduler, "_is_initial", False):
            self._note("schedule", self._number(scheduler.optimizer), ())
            if given and given[0] is not None and not isinstance(scheduler, ReduceLROnPlateau):
                self.events[-1].value = float(given[0])

    def _scaling(self, scaler: Any, kind: str, given: tuple[Any, ...]) -> None:
        self._note(kind, None, ())
        if kind == "scale" and isinstance(given[0], Tensor) and given[0].numel() == 1 and scaler.is_enabled():
            self.events[-1].value = float(given[0].detach()) * scaler.get_scale()

    def _number(self, optimizer: Any) -> int:
        return next((n for n, own in enumerate(self.copies.optimizers) if own is optimizer), STRAY)

    def _sweep(self) -> None:
        """Forget what is known of gradients that were cleared, in whatever way."""
        for parameter in self._known():
            if parameter.grad is None or not bool(parameter.grad.any()):
                self.fresh.pop(id(parameter), None)
                for marked in (self.used, self.carried, self.foreign):
                    marked.discard(id(parameter))

    def _known(self) -> list[Tensor]:
        outer = [p for optimizer in self.copies.optimizers for p in _parameters(optimizer)]
        return list({id(p): p for p in (*self.trained, *outer)}.values())

    def _before_backward(self, loss: Tensor, *_: Any, **__: Any) -> None:
        self._sweep()
        self.beside.differentiated(loss)
        self._note("backward", None, self.trained)
        self.moves.backward(loss)
        self.events[-1].value = float(loss.detach()) if loss.numel() == 1 else None
        self.kept = {id(p): None if p.grad is None else p.grad.detach().clone() for p in self._known()}
        self.leaves_beside = reaches_others(loss, {id(p) for p in self._known()})

    def _after_backward(self) -> None:
        self.moves.differentiated()
        for parameter in self._known():
            before, now = self.kept[id(parameter)], parameter.grad
            if now is None or (before is not None and torch.equal(before, now)):
                continue
            if bool(now.any()):
                self.graded.add(id(parameter))
            if id(parameter) in self.used:
                self.carried.add(id(parameter))
            elif self.fresh.get(id(parameter), (0.0, False))[1]:
                self.foreign.add(id(parameter))
            elif not self.leaves_beside and id(parameter) not in self.fresh:
                self.fresh[id(parameter)] = (_sum(parameter), False)
        self.kept = {}

    def _stepping(self, optimizer: Any) -> None:
        self._sweep()
        self.moves.stepping()
        held = _parameters(optimizer)
        self._note("step", self._number(optimizer), held)
        event = self.events[-1]
        graded = [p for p in held if p.grad is not None]
        self.graded |= {id(p) for p in graded if p.grad is not None and bool(p.grad.any())}
        event.carried = sum(id(p) in self.carried for p in graded) / max(len(graded), 1)
        event.foreign = any(id(p) in self.foreign for p in graded)
        for parameter in graded:
            self.used.add(id(parameter))
            self.fresh.pop(id(parameter), None)
            self.foreign.discard(id(parameter))
        self.fresh = {key: (value, True) for key, (value, _) in self.fresh.items()}

    def _stepped(self, optimizer: Any) -> None:
        """Put a step behind the backward passes of its closure."""
        self.beside.after(optimizer)
        self.moves.stepped()
        last = max(number for number, event in enumerate(self.events) if event.kind == "step")
        if any(event.kind == "backward" for event in self.events[last:]):
            event = self.events.pop(last)
            event.norm = norm(_parameters(optimizer))
            kinds = [inner.kind for inner in self.events[last:]]
            event.carried = max(event.carried, float(kinds.count("backward") > 1 and "zero_grad" not in kinds))
            self.events.append(event)

    def _clearing(self, held: list[Tensor], which: int | None) -> None:
        self._sweep()
        self._note("zero_grad", which, held)
        self.moves.cleared()
        fresh = [p for p in held if id(p) in self.fresh and not self.fresh[id(p)][1]]
        self.events[-1].wasted = bool(fresh) and all(_sum(p) == self.fresh[id(p)][0] for p in fresh)


def _parameters(optimizer: Any) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _sum(parameter: Tensor) -> float:
    return float(parameter.detach().double().sum())


def _kinds(kind: type) -> list[type]:
    below: list[type] = kind.__subclasses__()
    return [kind, *(inner for other in below for inner in _kinds(other))]


def norm(parameters: Any) -> float:
    """Return the norm of all gradients of some parameters."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(sum(gradient.detach().float().square().sum() for gradient in gradients)) ** 0.5 if gradients else 0.0


def _wrapped(stack: ExitStack, owner: Any, name: str, before: Any, after: Any = None) -> None:
    original = getattr(owner, name)
    inside: set[int] = set()

    def call(*args: Any, **kwargs: Any) -> Any:
        key = id(args[0]) if args else 0
        if key in inside:  # torch comes back to it by way of the mode that notes operations
            return original(*args, **kwargs)
        before(*args, **kwargs)
        inside.add(key)
        try:
            result = original(*args, **kwargs)
        finally:
            inside.discard(key)
        if after is not None:
            after()
        return result

    setattr(owner, name, call)
    stack.callback(setattr, owner, name, original)
