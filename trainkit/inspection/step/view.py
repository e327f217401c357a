"""The recorded step as the rules read it: what came from inputs, weights and targets, and where each thing stands."""

from __future__ import annotations

import ast
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.recording import Fact, Op, Recording, facts_of, recorded
from trainkit.inspection.source import Line, file_of, fits, tree, walk
from trainkit.inspection.subject import Subject, unpacked

SHAPING = frozenset(
    [
        "reshape",
        "view",
        "view_as",
        "reshape_as",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "contiguous",
        "permute",
        "transpose",
        "t",
        "T",
        "mT",
        "swapaxes",
        "swapdims",
        "movedim",
        "moveaxis",
        "ravel",
    ]
)
"""Operations that give the same numbers in another shape."""
PASSING = SHAPING | frozenset(
    [
        "getitem",
        "select",
        "narrow",
        "index_select",
        "masked_select",
        "gather",
        "take_along_dim",
        "chunk",
        "split",
        "unbind",
        "unfold",
        "expand",
        "expand_as",
        "to",
        "float",
        "double",
        "half",
        "bfloat16",
        "type",
        "type_as",
        "cpu",
        "cuda",
        "clone",
        "identity",
        "alias",
        "requires_grad",
        "nan_to_num",
        "repeat",
        "flip",
        "detach",
        "data",
    ]
)
"""Operations that leave each number what it is."""
INPUT, TARGET, WEIGHT = "input", "target", "weight"
SINKS = frozenset(
    [
        "cross_entropy",
        "nll_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "kl_div",
        "poisson_nll_loss",
        "gaussian_nll_loss",
        "hinge_embedding_loss",
        "soft_margin_loss",
        "margin_ranking_loss",
        "cosine_embedding_loss",
        "multilabel_soft_margin_loss",
        "multi_margin_loss",
    ]
)
"""Functions of torch that are losses: prediction first, then target."""


FEWEST = 3
"""Samples that a smaller batch than the one that was recorded has at least."""


@dataclass(eq=False)
class View:
    """A recorded step with what can be asked of it.

    Attributes:
        losses: What ``backward`` was called on, or the loss.
        outputs: What the model gave.
        origins: What each fact came from, by number.
    """

    subject: Subject
    recording: Recording
    losses: tuple[Fact, ...]
    inputs: tuple[Fact, ...]
    targets: tuple[Fact, ...]
    outputs: tuple[Fact, ...]
    gradients: dict[str, Tensor | None]
    origins: dict[int, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seeds = {fact.number: frozenset({INPUT}) for fact in self.inputs}
        seeds |= {fact.number: frozenset({TARGET}) for fact in self.targets if fact.number not in seeds}
        self.origins.update(seeds)
        for op in self.recording.ops:
            came: frozenset[str] = frozenset()
            for fact in op.inputs:
                if fact.number not in self.origins:
                    self.origins[fact.number] = frozenset({WEIGHT}) if fact.name else frozenset()
                came |= self.origins[fact.number]
            for fact in op.outputs:
                self.origins[fact.number] = came

    def came(self, fact: Fact) -> frozenset[str]:
        """Return what a tensor came from: inputs, target, weights."""
        return self.origins.get(fact.number, frozenset())

    @cached_property
    def slopes(self) -> dict[str, float]:
        """Norm of each parameter's gradient, where it has one."""
        found = {name: g for name, g in self.gradients.items() if g is not None}
        return {name: float(torch.linalg.vector_norm(g.float())) for name, g in found.items()}

    @cached_property
    def readers(self) -> dict[int, list[Op]]:
        """The operations that read each fact, by its number."""
        found: dict[int, list[Op]] = defaultdict(list)
        for op in self.recording.ops:
            for number in {fact.number for fact in op.inputs}:
                found[number].append(op)
        return found

    @cached_property
    def path(self) -> list[Op]:
        """The operations that the losses came from, the first first."""
        found = {op.number: op for loss in self.losses for op in self.recording.ancestors(loss)}
        return [found[number] for number in sorted(found)]

    @cached_property
    def on_path(self) -> frozenset[int]:
        """Numbers of the operations that the losses came from."""
        return frozenset(op.number for op in self.path)

    def sinks(self, *names: str) -> list[Op]:
        """Return the losses of torch's among what the losses came from, that judge something with weights in it."""
        wanted = names or tuple(SINKS)
        return [
            op for op in self.path if op.name in wanted and len(op.inputs) > 1 and WEIGHT in self.came(op.inputs[0])
        ]

    @property
    def model(self) -> nn.Module:
        """The user's model."""
        return self.subject.model

    @cached_property
    def size(self) -> int:
        """Samples in the batch; 0 if that is not known."""
        facts = [fact for fact in (*self.inputs, *self.targets) if fact.shape]
        return facts[0].shape[0] if facts else 0

    @cached_property
    def smaller(self) -> View | Exception | None:
        """The same forward pass with fewer samples; what it raised; None where that says nothing.

        A few samples are enough if all else stays as it was; if not, it is one sample less.
        """
        if self.size < 3 or self.subject.train_step is not None:
            return None
        count = fewer(self.size)
        few = self._of(count) if count < self.size - 1 else None
        return few if isinstance(few, View) and self._is_alike(few) else self._of(self.size - 1)

    def _of(self, count: int) -> View | Exception | None:
        subject = self.subject
        try:
            batch = subject.collated(subject.samples(count))
        except Exception:  # noqa: BLE001 - data that cannot be batched otherwise: nothing to compare with
            return None
        with subject.scratch() as scratch:
            model = scratch.model
            model.train()
            recording, ran, error = subject.rerun(scratch, batch)
        if error is not None:
            return error
        inputs, target = unpacked(batch)
        return View(
            subject,
            recording,
            (),
            facts_of(recording, inputs),
            facts_of(recording, target),
            facts_of(recording, ran.outputs),
            {},
        )

    def _is_alike(self, other: View) -> bool:
        """Say whether a pass differs in the number of samples alone: not in lengths, operations or how often each."""
        mine, theirs = ([fact.shape for fact in (*view.inputs, *view.targets)] for view in (self, other))
        if theirs != [tuple(other.size if size == self.size else size for size in shape) for shape in mine]:
            return False
        forward = [op.name for op in self.recording.ops[: len(other.recording.ops)]]
        return forward == [op.name for op in other.recording.ops]

    def following(self, op: Op, fact: Fact) -> tuple[int, ...] | None:
        """Return the dimensions of a tensor that grow with the batch; None if that cannot be told."""
        other = self.twin(op)
        if other is None:
            return None
        facts = [*op.inputs, *op.outputs]
        twin = [*other.inputs, *other.outputs][facts.index(fact)]
        if len(twin.shape) != len(fact.shape):
            return None
        return tuple(at for at, (one, two) in enumerate(zip(fact.shape, twin.shape, strict=True)) if one != two)

    def twin(self, op: Op) -> Op | None:
        """Return the same operation in the pass with one sample less."""
        if not isinstance(self.smaller, View) or op.number >= len(self.smaller.recording.ops):
            return None
        other = self.smaller.recording.ops[op.number]
        same = other.name == op.name and len(other.inputs) == len(op.inputs) and len(other.outputs) == len(op.outputs)
        return other if same else None

    # -------------------------------------------------------------------- where things stand

    def place(self, op: Op, what: str = "") -> tuple[str, Line | None]:
        """Return the name and the line of an operation as the user wrote it."""
        what = what or op.name
        if op.module is None:
            inside = op.function if self.subject.train_step is not None and op.function else ""
            owner = "train_step" if inside == getattr(self.subject.train_step, "__name__", "") != "" else "loss"
            return f"{owner}: {what}", op.line if op.line is not None else self.loss_line
        module = self.model.get_submodule(op.module)
        if op.own:
            return f"{type(module).__name__}.{op.function}: {what}", op.line
        parent_path, _, name = op.module.rpartition(".")
        parent = self.model.get_submodule(parent_path)
        called = op.line is not None and f".{name}(" in op.line.text
        if op.module and file_of(type(parent)) is not None and called:
            return f"{type(parent).__name__}.{op.function}: {what}", op.line
        built = self.subject.where_built(op.module) if op.module else None
        return f"{op.module or 'model'} ({type(module).__name__})", built or op.line

    def module_named(self, op: Op) -> str:
        """Return the path and class of the module of torch's that ran an operation; empty for a function call."""
        if op.module is None or op.own:
            return ""
        return f"{op.module or 'model'} ({type(self.model.get_submodule(op.module)).__name__})"

    @cached_property
    def loss_line(self) -> Line | None:
        """The line that builds the loss."""
        loss = self.subject.loss
        if not isinstance(loss, nn.Module):
            return self.subject.where_made(loss) if loss is not None else None
        for file in self.subject.files:
            whole = tree(file)
            calls = [node for node in walk(whole) if isinstance(node, ast.Call)] if whole is not None else []
            for call in calls:
                if fits(call, loss):
                    return Line(file, call.lineno)
        return self.subject.where_made(loss)


def fewer(size: int) -> int:
    """Return a number of samples that has no factor in common with a batch's, nor has one sample less.

    What takes the samples in pairs, triples or eighths of such a batch fails on both.
    """
    return next((count for count in range(FEWEST, size) if math.gcd(count, size) == 1), size - 1)


def seen(subject: Subject) -> View | None:
    """Return the recorded step of a subject; None if none could be taken."""
    return subject.once(_view)


def _view(subject: Subject) -> View | None:
    if subject.train_set is None:
        return None
    if subject.train_step is not None:
        return _of_own_step(subject)
    trace = subject.trace
    if trace.loss is None:
        return None
    return View(subject, trace.recording, (trace.loss,), trace.inputs, trace.target, trace.outputs, trace.gradients)


def _of_own_step(subject: Subject) -> View | None:
    """Record the user's own ``train_step`` up to its last ``backward``."""
    assert subject.train_step is not None
    with copies_with(subject, subject.train_step) as copies:
        model, batch, step = copies.model, subject.batch, copies.functions[0]
        model.train()
        recording, value, error = recorded(model, lambda: step(model, batch, copies.loss, copies.optimizer))
        ends = [op for op in recording.ops if op.name == "backward"]
        if error is not None:
            return None
        losses = tuple(op.inputs[0] for op in ends if op.inputs) or facts_of(recording, value)
        if ends:
            del recording.ops[ends[-1].number :]
        calls = [call for call in recording.calls if not call.path]
        outputs = calls[-1].outputs if calls else ()
        inputs, target = unpacked(batch)
        gradients = {name: None if p.grad is None else p.grad.detach() for name, p in model.named_parameters()}
        return View(
            subject,
            recording,
            losses,
            facts_of(recording, inputs),
            facts_of(recording, target),
            outputs,
            gradients,
        )


def source(fact: Fact, passing: frozenset[str] = PASSING) -> tuple[Op | None, list[Op]]:
    """Return the operation that computed a tensor's numbers, and those after it that only moved them, last first."""
    passed: list[Op] = []
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in passing:
        passed.append(fact.maker)
        fact = fact.maker.inputs[0]
    return fact.maker, passed


def tensor_of(fact: Fact) -> Tensor | None:
    """Return the values of a tensor as floats, if they are still held."""
    if fact.tensor is None or fact.tensor.is_sparse or fact.tensor.is_complex() or fact.tensor.numel() == 0:
        return None
    with torch.no_grad():
        return fact.tensor.float()


def dim_of(op: Op, position: int = 1) -> int | None:
    """Return the dimension over which a softmax runs, counted from the front."""
    dim = op.setting("dim", position)
    count = len(op.inputs[0].shape)
    if not isinstance(dim, int):
        dim = 0 if count in (0, 1, 3) else 1  # what torch takes if it is not told
    return dim % count if count else None


def shape_text(fact: Fact) -> str:
    """Return a shape as people write it: ``(50, 1)``."""
    return str(tuple(fact.shape))


def several(facts: tuple[Any, ...]) -> Iterator[Fact]:
    """Yield those of an operation's arguments that are tensors."""
    return (item for item in facts if isinstance(item, Fact))
