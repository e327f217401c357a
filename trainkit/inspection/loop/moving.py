"""How the weights move in the user's steps, and what is done by hand to them, to the gradients and to the averages."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainkit.inspection.loop.graphs import holds
from trainkit.inspection.recording import flat, is_transformed
from trainkit.inspection.source import Line, own_line
from trainkit.inspection.untouched import generators

TAKEN = 4096
"""Values of each weight that are followed."""
NUMBERS = ("item", "tolist", "__float__", "__int__")
"""Ways in which a loss becomes a number."""


@dataclass(eq=False)
class Move:
    """One step, in the first values of each weight that is trained.

    Attributes:
        first, last: Weights at the first backward, and at the end.
        slope, used: Gradients after the backward before the first step of an optimizer, and at that step.
        optimized: What the steps of optimizers moved.
        stepped: Weights after the last of these.
        climbed: What was moved by hand between the first backward and the next one.
        passes: Backward passes before the first step of an optimizer.
    """

    first: Tensor | None = None
    last: Tensor | None = None
    slope: Tensor | None = None
    used: Tensor | None = None
    optimized: Tensor | None = None
    climbed: Tensor | None = None
    stepped: Tensor | None = None
    passes: int = 0

    @property
    def factor(self) -> float | None:
        """What all gradients were multiplied by between the backward passes and the step; None if by no one number."""
        if self.slope is None or self.used is None or not bool(self.slope.any()):
            return None
        factor = float(self.used @ self.slope) / float(self.slope.square().sum())
        apart = float((self.used - factor * self.slope).norm()) / max(float(self.used.norm()), 1e-30)
        return factor if apart < 1e-3 else None

    @property
    def by_hand(self) -> Tensor | None:
        """How the weights moved beside the optimizer's steps."""
        if self.first is None or self.last is None or self.optimized is None:
            return None
        return self.last - self.first - self.optimized


@dataclass(slots=True)
class Clip:
    """One call that limits gradients.

    Attributes:
        held: The names of the weights that it is given; empty where none is, be it an iterator that is used up.
        largest: Largest value of these gradients.
        rest: Norm of the gradients of all other weights.
    """

    line: Line | None
    function: str
    held: frozenset[str]
    largest: float
    rest: float


@dataclass(slots=True)
class Write:
    """One write in place into a tensor that follows the model: its name, where, and after which calls of the step."""

    name: str
    line: Line | None
    after: str


@dataclass(eq=False)
class Moves:
    """Notes on some steps.

    Attributes:
        steps: How the weights moved in each.
        again: Lines of backward passes through a loss that had gone backward already, its gradient still there.
        autocast: Lines of backward passes under autocast.
        shown: Losses that became numbers, with these.
        writes: Into networks that follow the model.
        clips: Of each step.
        places: Names of the tensors that follow the model, by where they lie in memory.
        kept: What these were when they were first seen.
        draws: Whether a step draws from torch's generator.
    """

    model: nn.Module
    weights: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    steps: list[Move] = field(default_factory=list)
    again: list[Line | None] = field(default_factory=list)
    autocast: list[Line | None] = field(default_factory=list)
    shown: list[tuple[float, Any, Line | None]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    clips: list[list[Clip]] = field(default_factory=list)
    places: dict[int, str] = field(default_factory=dict)
    kept: dict[str, list[Tensor]] = field(default_factory=dict)
    draws: bool = False
    _states: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    _roots: list[Any] = field(default_factory=list)
    _before: Tensor | None = None
    _last: str = ""

    def __post_init__(self) -> None:
        self.weights = [p for p in self.model.parameters() if p.requires_grad and p.is_floating_point()]
        self.sizes = [min(p.numel(), TAKEN) for p in self.weights]

    def _taken(self, tensors: Iterable[Tensor | None]) -> Tensor:
        parts = [
            torch.zeros(size) if tensor is None else _dense(tensor.detach()).flatten()[:size].float().cpu()
            for tensor, size in zip(tensors, self.sizes, strict=True)
        ]
        return torch.cat(parts) if parts else torch.zeros(0)

    def _now(self) -> Tensor:
        return self._taken(self.weights).clone()

    def _gradients(self) -> Tensor:
        return self._taken(p.grad for p in self.weights).clone()

    def begin(self, followers: Iterable[tuple[str, Tensor]]) -> None:
        """Note the state of the generators before a step, each moved on a little, and where followers lie."""
        torch.rand(1), np.random.rand(), random.random()
        self._states.append((generators(), {}))
        self.steps.append(Move())
        self.clips.append([])
        self._roots, self._last = [], ""
        near = [(name, tensor) for name, tensor in followers if tensor.numel()]
        self.places = {tensor.data_ptr(): name for name, tensor in near}
        for name in {name for name, _ in near} - set(self.kept):
            self.kept[name] = [tensor.detach().clone() for other, tensor in near if other == name]

    def end(self) -> None:
        """Note the weights and generators after a step."""
        move = self.steps[-1]
        move.last = self._now()
        before, _ = self._states[-1]
        self._states[-1] = (before, generators())
        seeded = torch.Generator().manual_seed(torch.initial_seed()).get_state()
        self.draws |= not torch.equal(seeded, torch.get_rng_state())

    def cleared(self) -> None:
        """Note that gradients were cleared."""
        self._roots = []

    def backward(self, loss: Tensor) -> None:
        """Note a backward pass that begins."""
        move = self.steps[-1]
        if move.first is None:
            move.first = self._now()
        elif move.climbed is None and move.optimized is None:
            move.climbed = self._now() - move.first
            if move.slope is not None and float(move.climbed @ move.slope) < 0:
                move.climbed = torch.zeros_like(move.climbed)  # a step by hand, down the loss
        if any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")):
            self.autocast.append(own_line())
        if self._roots and holds(loss.grad_fn, self._roots):
            self.again.append(own_line())
        self._roots.append(loss.grad_fn)

    def differentiated(self) -> None:
        """Note the gradients after a backward pass."""
        self._last = "backward"
        move = self.steps[-1]
        if move.used is None:
            move.slope, move.passes = self._gradients(), move.passes + 1

    def stepping(self) -> None:
        """Note weights and gradients before a step of an optimizer."""
        move = self.steps[-1]
        self._before = self._now()
        if move.used is None:
            move.used = self._gradients()
            move.first = self._before if move.first is None else move.first

    def stepped(self) -> None:
        """Note weights after a step of an optimizer."""
        self._roots, self._last = [], "step"
        move = self.steps[-1]
        now = self._now()
        moved = now - self._before if self._before is not None else torch.zeros_like(now)
        move.optimized = moved if move.optimized is None else move.optimized + moved
        move.stepped = now

    def clipping(self, held: list[Tensor], function: str) -> None:
        """Note a limit of gradients that is about to be set."""
        given = {id(tensor) for tensor in held}
        graded = {name: (id(p) in given, p.grad) for name, p in self.model.named_parameters() if p.grad is not None}
        graded = {name: (held_so, _dense(grad)) for name, (held_so, grad) in graded.items()}
        inside = {name: grad for name, (is_held, grad) in graded.items() if is_held}
        largest = max((float(grad.abs().max()) for grad in inside.values()), default=0.0)
        rest = sum([float(grad.norm()) ** 2 for is_held, grad in graded.values() if not is_held]) ** 0.5
        self.clips[-1].append(Clip(own_line(), function, frozenset(inside), largest, rest))

    def operated(self, name: str, args: Any, result: Any) -> None:
        """Note an operation: a loss that becomes a number, a write into what follows the model."""
        tensor = next(flat(args), None)
        if tensor is None or is_transformed(tensor):
            return
        if name in NUMBERS and tensor.requires_grad and isinstance(result, float | int):
            self.shown.append((float(result), tensor.grad_fn, own_line()))
        elif name.endswith("_") and not name.endswith("__") and self.places:
            held = list(flat(args[0])) if isinstance(args[0], list | tuple) else [tensor]
            for each in held:
                if each.layout == torch.strided and each.numel() and each.data_ptr() in self.places:
                    self.writes.append(Write(self.places[each.data_ptr()], own_line(), self._last))

    @property
    def seeded(self) -> list[str]:
        """Generators that each step leaves in one and the same state, though it found them in another one."""
        found = []
        for name in ("torch", "numpy", "random"):
            pairs = [(before[name], after.get(name)) for before, after in self._states if after]
            after = [second for _, second in pairs]
            if len(pairs) < 3 or any(after[0] != other for other in after[1:]):
                continue
            if all(first != second for first, second in pairs):
                found.append(name)
        return found


class Noting(TorchFunctionMode):
    """Tells the notes of each operation."""

    def __init__(self, moves: Moves) -> None:
        super().__init__()
        self._moves = moves

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if (name.endswith("_") or name in NUMBERS) and args:
            with torch._C.DisableTorchFunction():
                self._moves.operated(name, args, result)
        return result


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout == torch.strided else tensor.to_dense()
