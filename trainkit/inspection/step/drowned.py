"""What an input says and a model loses at its door: drowned by an offset, or cut to its positive part."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import code_of, walk
from trainkit.inspection.step.view import INPUT, PASSING, WEIGHT, View, seen, tensor_of
from trainkit.inspection.subject import Subject, found

DROWNED = 30.0
"""Size of an offset, in sizes of what it is added to, from which it drowns that."""
GATE = 0.05
"""Weights of a gate or a LayerScale below which it is still closed."""
NEGATIVE = 0.2
"""Share of an input below 0 that a ReLU takes away."""
CUTTING = ("relu", "relu6")


def offsets(subject: Subject) -> Iterator[Finding]:
    """Find sums in which what came from the input is a small part, and a table or constant all the rest."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        if view is None or op.name not in ("add", "radd", "iadd") or len(op.inputs) != 2 or op.module is None:
            continue
        for live, fixed in (op.inputs, op.inputs[::-1]):
            if not {INPUT, WEIGHT} <= view.came(live) or INPUT in view.came(fixed) or len(fixed.shape) < 2:
                continue
            sizes = _size(live), _size(fixed, spread=True)
            if not sizes[0] or sizes[1] < DROWNED * sizes[0]:
                continue
            place, line = view.place(op)
            if any(_is_closed(item) for one in view.recording.ancestors(live) for item in one.inputs):
                continue  # scaled down by weights that are to grow
            made = view.recording.ancestors(fixed)
            name = fixed.name or next((item.name for one in made for item in one.inputs if item.name), "")
            if not name or (fixed.high or 0.0) <= 0 or (fixed.low or 0.0) >= 0:
                continue  # a mask or a penalty on distance, drawn noise
            yield found(
                "offset-drowns-input",
                place,
                f"adds {name} of a much larger scale to what came from the input: it drowns the embedding"
                " (positions must not dominate)",
                severity="warning",
                at=line,
                evidence=f"{name} has a size of {sizes[1]:.3g}, what it is added to of {sizes[0]:.3g}: "
                f"{sizes[1] / sizes[0]:.0f} times as large",
                effect="samples differ by a few percent only in what the next layers see; a norm after it keeps that",
                fix="Bring both to one scale: init.normal_(table, std=0.02), or multiply the embedding by sqrt(dim)",
            )
            return


def _is_closed(fact: Fact) -> bool:
    """Say whether a tensor is a learned scale that starts near 0, as a LayerScale or a gate does."""
    return bool(fact.name) and len(fact.shape) < 2 and max(abs(fact.low or 0.0), abs(fact.high or 0.0)) < GATE


def _size(fact: Fact, spread: bool = False) -> float:
    """Return the root mean square of a tensor, about its mean where a shift of all alike does not count."""
    values = tensor_of(fact)
    if values is None or not fact.finite:
        return 0.0
    values = values - values.mean() if spread else values
    return float(values.square().mean().sqrt())


def cut_inputs(subject: Subject) -> Iterator[Finding]:
    """Find a ReLU right on an input that has negative values, which nothing else reads."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        if view is None or op.name not in CUTTING or op.module is None or not op.inputs:
            continue
        fact = _input(op.inputs[0])
        if fact not in view.inputs or not fact.dtype.is_floating_point:
            continue
        readers = {id(item) for item in _live_readers(view, fact)}
        values = tensor_of(op.inputs[0])
        share = float((values < 0).float().mean()) if values is not None else 0.0
        if len(readers) > 1 or share < NEGATIVE:
            continue
        place, line = view.place(op)
        yield found(
            "relu-on-input",
            place,
            f"is a {op.name} right on the input: all negative values become 0 before any layer sees them, and their "
            "information is lost",
            severity="warning",
            at=line,
            evidence=f"{share:.0%} of the input's values are negative",
            effect="samples that differ below 0 look the same",
            fix="Put the activation after the first layer",
        )
        return


def _input(fact: Fact) -> Fact:
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in PASSING:
        fact = fact.maker.inputs[0]
    return fact


def _live_readers(view: View, fact: Fact) -> list[Op]:
    return [op for op in view.readers.get(fact.number, []) if op.outputs and op.number in view.on_path]


def gaps(subject: Subject) -> Iterator[Finding]:
    """Find transposed convolutions whose stride is larger than their kernel, and those that overlap unevenly."""
    for path, module in subject.model.named_modules():
        if not isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            continue
        pairs = list(zip(module.kernel_size, module.stride, strict=True))
        gap = any(kernel < stride for kernel, stride in pairs)
        if not gap and all(kernel % stride == 0 for kernel, stride in pairs):
            continue
        kind, (kernel, stride) = type(module).__name__, max(pairs, key=lambda pair: pair[1] - pair[0])
        yield found(
            "transposed-gaps",
            f"{path} ({kind})",
            f"has kernel_size={kernel} and stride={stride}: the outputs between are never written, gaps that hold only "
            "the bias (zero)"
            if gap
            else f"has kernel_size={kernel}, which stride={stride} does not divide: outputs overlap unevenly "
            "(checkerboard artifacts)",
            severity="warning" if gap else "info",
            at=subject.where_built(path),
            evidence=f"{kind}(kernel_size={module.kernel_size}, stride={module.stride})",
            effect="the same value stands at these positions whatever the input is" if gap else "a pattern of squares",
            fix=f"kernel_size={stride if gap else 2 * stride}, stride={stride}",
        )
        return


def written_over(subject: Subject) -> Iterator[Finding]:
    """Find an input of ``forward`` whose name is set to something else before anything reads it."""
    view = seen(subject)
    code = code_of(type(subject.model).forward) if view is not None else None
    if view is None or code is None or any(INPUT in view.came(fact) for op in view.path for fact in op.inputs):
        return
    arguments = {item.arg for item in getattr(code.node, "args").args[1:]}  # noqa: B009 - a lambda has them too
    for name in sorted(arguments):
        uses = [node for node in walk(code.node) if isinstance(node, ast.Name) and node.id == name]
        stores = sorted((node.lineno, node.col_offset) for node in uses if isinstance(node.ctx, ast.Store))
        if not stores:
            continue
        node = next(item for item in uses if (item.lineno, item.col_offset) == stores[0])
        if _replaces(code.node, node):
            continue
        yield found(
            "input-overwritten",
            f"{type(subject.model).__name__}.forward: {name}",
            f"the input {name} is overwritten (its name is used for something else, such as a loop's variable): "
            "nothing that is computed reads the input, it is ignored and never used",
            at=code.line(node),
            evidence=f"line {node.lineno} sets {name}; no operation on the way to the loss reads an input",
            effect="the output is the same for every sample",
            fix="Give the variable another name",
        )
        return


def _replaces(function: ast.AST, stored: ast.Name) -> bool:
    """Say whether an assignment makes the new value of a name of its old one: ``x = x.requires_grad_()``."""
    for item in walk(function):
        if isinstance(item, ast.Assign) and any(part is stored for target in item.targets for part in walk(target)):
            return any(isinstance(part, ast.Name) and part.id == stored.id for part in walk(item.value))
    return False


RULES = (offsets, cut_inputs, gaps, written_over)
