"""The figures of the user's own evaluation: of which samples, over which dimension, and averaged how."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import IterableDataset, Subset, TensorDataset

from trainkit.findings import Finding
from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.loop.copies import Copies, copies_with
from trainkit.inspection.loop.thresholds import compared, decided, squashed
from trainkit.inspection.loop.treatment import treated
from trainkit.inspection.passes import in_eval
from trainkit.inspection.recording import Fact, Op, Recording, recorded
from trainkit.inspection.source import Code, Line, called, code_of, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators

SECONDS = 0.6
"""Time that evaluations of parts may take."""
ALIKE = 1e-5
"""Relative difference of two figures below which they are one."""
READERS = ("eq", "ne", "sub", "mul", "add", "rsub", "lt", "gt", "le", "ge", "isclose")


@dataclass
class Evaluated:
    """One evaluation in ``eval()``.

    Attributes:
        sizes: Of the batches that the model got.
    """

    subject: Subject
    copies: Copies
    code: Code | None
    place: str
    recording: Recording
    value: float | None
    sizes: list[int]

    def of(self, indices: list[int]) -> float | None:
        """Return the figure of some samples."""
        with kept_generators():
            return number(self.copies.functions[0](in_eval(self.copies.model), part(self.subject.val_set, indices)))

    def line(self, *names: str) -> Line | None:
        """Return the line of its first call of one of some names, else its first."""
        made = next(self.code.calls(*names), None) if self.code is not None and names else None
        return None if self.code is None else self.code.line(made if made is not None else self.code.node)


def evaluated(subject: Subject) -> Iterator[Finding]:
    """Evaluate the validation set, then parts of it."""
    data = subject.val_set
    if subject.evaluate is None or data is None or isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        return
    with copies_with(subject, subject.evaluate) as copies:
        model, evaluate = in_eval(copies.model), copies.functions[0]
        start = cpu_seconds()
        recording, value, error = recorded(model, lambda: evaluate(model, copied_data(data)), gradients=False)
        cost = cpu_seconds() - start
        calls = [call for call in recording.calls if call.path == "" and call.inputs and call.inputs[0].shape]
        sizes = [call.inputs[0].shape[0] for call in calls]
        place = getattr(subject.evaluate, "__name__", "evaluate")
        run = Evaluated(subject, copies, code_of(subject.evaluate), place, recording, number(value), sizes)
        yield from _dimensions(run)
        yield from decided(run)
        yield from compared(run)
        yield from squashed(run)
        yield from treated(run)
        if error is None and run.value is not None and cost < SECONDS:
            yield from _of_parts(run)


def _of_parts(run: Evaluated) -> list[Finding]:
    try:
        return list(_samples(run))
    except Exception:  # noqa: BLE001 - a part of the data may not be what the user's code takes
        return []


def number(value: Any) -> float | None:
    """Return a figure as a number; of several the first."""
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    elif isinstance(value, list | tuple):
        value = value[0] if value else None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def part(data: Any, indices: list[int]) -> Any:
    """Return some samples of a copy of a data set, as a data set of its class if that is simple."""
    held = copied_data(data)
    if type(held) is TensorDataset:
        return TensorDataset(*(tensor[indices] for tensor in held.tensors))
    return Subset(held, indices)


def _dimensions(run: Evaluated) -> Iterator[Finding]:
    """Look at what reads the model's outputs: a maximum over the batch, shapes that broadcast."""
    size = max(run.sizes, default=0)
    outputs = {id(fact) for call in run.recording.calls if call.path == "" for fact in call.outputs}
    for op in run.recording.ops:
        if op.module is not None or size < 2:
            continue
        near = any(id(fact) in outputs for fact in op.inputs)
        if op.name in ("argmax", "max", "softmax") and near and _over_batch(op):
            yield found(
                "argmax-over-batch",
                f"{run.place}: {op.name}",
                f"takes {op.name} over the samples of the batch (dim 0 or none), not over the classes",
                at=op.line or run.line(),
                evidence=f"{op.name} of {list(op.inputs[0].shape)} -> {[list(fact.shape) for fact in op.outputs[:1]]}",
                effect="the figure has nothing to do with the model's answers",
                fix=f"{op.name}(dim=1), or dim=-1",
            )
            return
        if op.name in READERS and _broadcasts(op) and _is_one_sided(run, op):
            shapes = " and ".join(str(tuple(fact.shape)) for fact in op.inputs[:2])
            yield found(
                "broadcast-in-evaluation",
                f"{run.place}: {op.name}",
                f"shapes {shapes} broadcast to {tuple(op.outputs[0].shape)}: every sample is held against every other",
                at=op.line or run.line(),
                evidence=f"{op.name} of {shapes}",
                effect="the figure is not the model's",
                fix="Give both one shape: output.squeeze(1), or target[:, None]",
            )
            return


def _over_batch(op: Op) -> bool:
    shape = op.inputs[0].shape
    if len(shape) != 2 or shape[0] < 2 or shape[1] < 2:
        return False
    dim = op.setting("dim", 1, op.kwargs.get("axis"))
    if dim is None:
        return op.name == "argmax"
    return dim in (0, -2)


def _broadcasts(op: Op) -> bool:
    if len(op.inputs) < 2 or not op.outputs:
        return False
    one, other = op.inputs[0].shape, op.inputs[1].shape
    shapes = {len(one), len(other)}
    if shapes != {1, 2}:
        return False
    column, row = (one, other) if len(one) == 2 else (other, one)
    return column[1] == 1 and column[0] == row[0] > 1 and tuple(op.outputs[0].shape) == (row[0], row[0])


def _is_one_sided(run: Evaluated, op: Op) -> bool:
    """Say whether one side alone comes from the model: a table of all pairs is made of two sides of one kind."""
    return len({_is_answered(run, fact) for fact in op.inputs[:2]}) > 1


def _is_answered(run: Evaluated, fact: Fact) -> bool:
    return any(made.module is not None for made in run.recording.ancestors(fact))


def _samples(run: Evaluated) -> Iterator[Finding]:
    """Compare the figure of all samples with those of parts."""
    total, whole = len(run.subject.val_set), run.value
    assert whole is not None
    if total < 8 or whole != whole:
        return
    halves = [run.of(list(range(start, total, 2))) for start in (0, 1)] + [run.of(list(range(max(total // 3, 2))))]
    if all(value is not None and _same(value, whole) for value in halves):
        if whole not in (0.0, 1.0, 100.0) and sum(run.sizes) > 0:
            yield _ignores(run, whole)
        return
    if _in_order(run, total):
        yield from _averaged(run, whole)
    elif 0 < sum(run.sizes) < 0.9 * total and len(run.sizes) >= 1 and total > 2 * run.sizes[0]:
        yield _partial(run, total)


def _ignores(run: Evaluated, whole: float) -> Finding:
    stranger = _stranger(run)
    return found(
        "evaluates-other-data",
        f"{run.place}: val_set",
        "does not look at the val_set that it is given: it evaluates other data, such as the training set",
        severity="error" if stranger is not None else "info",  # such as all states of a game
        at=stranger or run.line(),
        evidence=f"{whole:.4g} for all of val_set, for each half and for a third",
        effect="the figure does not show over-fitting",
        fix=f"Evaluate the argument: {_second(run)}",
    )


def _second(run: Evaluated) -> str:
    args = getattr(getattr(run.code, "node", None), "args", None)
    return args.args[1].arg if args is not None and len(args.args) > 1 else "val_set"


def _stranger(run: Evaluated) -> Line | None:
    """Return the line that iterates over something else than the argument."""
    name = _second(run)
    for node in walk(run.code.node) if run.code is not None else ():
        loader = isinstance(node, ast.Call) and called(node).rpartition(".")[2] == "DataLoader" and node.args
        source = node.args[0] if loader and isinstance(node, ast.Call) else getattr(node, "iter", None)
        if not isinstance(node, ast.For | ast.Call) or not isinstance(source, ast.Name | ast.Attribute):
            continue
        if run.code is not None and name not in {inner.id for inner in walk(source) if isinstance(inner, ast.Name)}:
            return run.code.line(node)
    return None


def _partial(run: Evaluated, total: int) -> Finding:
    inside, always = None, False
    for node in walk(run.code.node) if run.code is not None else ():
        if isinstance(node, ast.For):
            inside = next((inner for inner in walk(node) if isinstance(inner, ast.Return | ast.Break)), inside)
            always = always or any(inner is inside for inner in _unconditional(node.body))
    at = run.code.line(inside) if run.code is not None and inside is not None else run.line()
    return found(
        "evaluates-a-part",
        f"{run.place}: {'return' if isinstance(inside, ast.Return) else 'val_set'}",
        f"looks at {sum(run.sizes)} of {total} samples: it ends before the last batch",
        severity="error" if always else "warning" if isinstance(inside, ast.Return) else "info",
        at=at,
        evidence=f"{len(run.sizes)} batches of {run.sizes[0]}",
        effect="the figure hangs on the few samples at the beginning",
        fix="return after the loop",
    )


def _unconditional(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a loop's body that run at each turn."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.With):
            yield from _unconditional(statement.body)


def _in_order(run: Evaluated, total: int) -> bool:
    return sum(run.sizes) == total and len(run.sizes) >= 1


def _averaged(run: Evaluated, whole: float) -> Iterator[Finding]:
    """Hold the figure against those of its batches, alone."""
    starts = [sum(run.sizes[:number]) for number in range(len(run.sizes))]
    pairs = list(zip(starts, run.sizes, strict=True))
    begin = cpu_seconds()
    if 2 <= len(pairs) <= 64:
        parts = []
        for start, size in pairs:
            parts.append(run.of(list(range(start, start + size))))
            if cpu_seconds() - begin > SECONDS:
                return
        if any(value is None for value in parts):
            return
        figures = [float(value) for value in parts if value is not None]
        fair = sum(value * size for value, size in zip(figures, run.sizes, strict=True)) / sum(run.sizes)
        plain = sum(figures) / len(figures)
        spread = max(figures) - min(figures)
        if _same(figures[-1], whole) and spread > 1e-3 * abs(whole) and not _same(fair, whole):
            yield _last_only(run, whole, fair)
            return
        if _same(plain, whole) and not _same(fair, whole) and len(set(run.sizes)) > 1:
            yield _unweighted(run, whole, fair)
            return
    yield from _scaled(run, begin)


def _last_only(run: Evaluated, whole: float, fair: float) -> Finding:
    return found(
        "evaluates-last-batch",
        f"{run.place}: mean",
        "gives the figure of the last batch: each batch overwrites the one before",
        at=run.line(),
        evidence=f"{whole:.4g}, as the last {run.sizes[-1]} samples alone; all together have {fair:.4g}",
        effect="the figure hangs on a few samples",
        fix="Add up over batches, and divide by the number of samples at the end",
    )


def _unweighted(run: Evaluated, whole: float, fair: float) -> Finding:
    return found(
        "average-of-batches",
        f"{run.place}: mean",
        "averages over batches of unequal size: the last, smaller batch weighs as much as a full one",
        severity="warning" if 2 * run.sizes[-1] <= run.sizes[0] else "info",
        at=_averaging(run),
        evidence=f"{whole:.5g} as the mean of {len(run.sizes)} batches ({run.sizes[0]} and at last {run.sizes[-1]} "
        f"samples), {fair:.5g} over samples",
        effect="the figure is off, and changes with the batch size",
        fix="total += value * len(x), then total / len(val_set)",
    )


def _averaging(run: Evaluated) -> Line | None:
    """Return the line that divides by the number of batches, or takes the mean of their figures."""
    returns = [node for node in walk(run.code.node) if isinstance(node, ast.Return)] if run.code is not None else []
    return run.code.line(returns[-1]) if returns and run.code is not None else run.line()


def _scaled(run: Evaluated, begin: float) -> Iterator[Finding]:
    """Compare the figure of two full batches with the mean of their samples', alone."""
    size = run.sizes[0]
    if size < 4 or size > 256 or len(run.sizes) < 3 or run.sizes[1] != size:
        return
    alone = []
    for index in range(2 * size):
        alone.append(run.of([index]))
        if cpu_seconds() - begin > 2 * SECONDS or alone[-1] is None:
            return
    both = run.of(list(range(2 * size)))
    mean = sum(value for value in alone if value is not None) / len(alone)
    if both is None or mean == 0:
        return
    ratio = both / mean
    for factor, why in ((1 / size, "divides by the batch size once more"), (float(size), "lacks a division")):
        if abs(ratio / factor - 1) < 1e-3:
            if factor < 1 and _is_mean(run, both, 2 * size):
                yield _as_full(run, size)
                return
            yield found(
                "figure-off-by-batch-size",
                f"{run.place}: mean",
                f"{why}: the figure is {'1/' if factor < 1 else ''}{size} of the mean over samples",
                severity="warning",
                at=_averaging(run),
                evidence=f"{both:.4g} for {2 * size} samples whose mean is {mean:.4g}, in batches of {size}",
                effect="the figure changes with the batch size, and cannot be compared",
                fix="total += value * len(x), then total / len(val_set)",
            )
            return


def _is_mean(run: Evaluated, value: float, count: int) -> bool:
    """Say whether a figure is the training loss of the first samples: then single ones, alone, are what is off."""
    subject = run.subject
    with subject.scratch() as scratch, suppress(Exception), torch.no_grad():
        data = copied_data(subject.val_set)
        ran = subject.run(in_eval(scratch.model), scratch.loss, subject.collated([data[at] for at in range(count)]))
        return ran.loss is not None and abs(float(ran.loss) - value) <= 1e-3 * abs(value)
    return False


def _as_full(run: Evaluated, size: int) -> Finding:
    loops = [node for node in walk(run.code.node) if isinstance(node, ast.For)] if run.code is not None else []
    added = [node for loop in loops for node in walk(loop) if isinstance(node, ast.AugAssign)]
    last = len(run.subject.val_set) % size
    return found(
        "average-of-batches",
        f"{run.place}: mean",
        f"multiplies each batch's mean by the nominal batch size, {size}: the last, smaller batch weighs as much as a "
        "full one",
        severity="warning" if last > 0 else "info",
        at=run.code.line(added[0]) if added and run.code is not None else _averaging(run),
        evidence=f"the last batch has {last} samples; 1 sample alone gets {size} times its loss",
        effect="the figure is too large, and changes with the batch size",
        fix="total += value * len(x), then total / len(val_set)",
    )


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= ALIKE * max(abs(one), abs(other), 1e-12)


RULES = (evaluated,)
