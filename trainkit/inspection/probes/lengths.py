"""Which positions of a batch are padding, and what counts them: the loss, its mean, the figures of an evaluation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Op, flat
from trainkit.inspection.source import Code, Line, called, code_of, tree, unparse, walk
from trainkit.inspection.step.slopes import sloped
from trainkit.inspection.step.view import SINKS, View, seen
from trainkit.inspection.subject import Subject, found, unpacked

ENDS = 0.3
"""Share of rows that must end in padding, where the data set pads."""
COUNTED = 1e-3
"""Share of the loss's gradient at padding from which the loss counts it."""
MOST = 64
"""Samples of a batch that are collated one by one."""


@dataclass(frozen=True, eq=False)
class Padding:
    """Padding of the targets of the recorded batch.

    Attributes:
        behind: Which positions (samples, time) are padding.
        value: What stands there.
        is_class: Whether real targets have that value too.
    """

    behind: Tensor
    value: float
    is_class: bool

    @property
    def share(self) -> float:
        """Share of all positions."""
        return float(self.behind.double().mean())


def padding(subject: Subject) -> Padding | None:
    """Return which targets of the recorded batch are padding; None if none are, or that cannot be told."""
    return subject.once(_padding)


def _padding(subject: Subject) -> Padding | None:
    _, target = unpacked(subject.batch)
    series = next((item for item in flat(target) if item.dim() >= 2), None)
    if series is None or (series.is_floating_point() and series.dim() > 3):
        return None
    behind = _by_collate(subject, series) if subject.collate is not None else None
    if behind is None:
        behind = _by_runs(subject, series)
    if behind is None or not bool(behind.any()) or bool(behind.all()):
        return None
    kinds = series[behind].unique()
    if len(kinds) != 1:
        return None
    value = float(kinds[0])
    return Padding(behind, value, bool((series[~behind] == kinds[0]).any()))


def _by_collate(subject: Subject, series: Tensor) -> Tensor | None:
    """Collate each sample alone: what a row has beyond that is padding, behind it or before it."""
    samples = subject.samples(subject.batch_size)
    if len(samples) != len(series) or len(samples) > MOST or subject.collate is None:
        return None
    behind = torch.zeros(series.shape[:2], dtype=torch.bool)
    width = series.shape[1]
    for row, sample in enumerate(samples):
        try:
            alone = next((x for x in flat(unpacked(subject.collated([sample]))[1]) if x.dim() == series.dim()), None)
        except Exception:  # noqa: BLE001 - a collate may need several samples
            return None
        if alone is None or alone.shape[0] != 1 or alone.shape[1] > width:
            return None
        size = alone.shape[1]
        if torch.equal(series[row, :size], alone[0]):
            behind[row, size:] = True
        elif torch.equal(series[row, width - size :], alone[0]):
            behind[row, : width - size] = True
        else:
            return None  # it sorts, or draws at random
    return behind


def _by_runs(subject: Subject, series: Tensor) -> Tensor | None:
    """Find runs of one value at the end of rows, where inputs and targets have such at the same places."""
    inputs, _ = unpacked(subject.batch)
    runs = _run(series)
    for given in flat(inputs):
        if given.dim() >= 2 and given.shape[:2] == series.shape[:2] and (other := _run(given)) is not None:
            return runs & other if runs is not None else None
    return None


def _run(series: Tensor) -> Tensor | None:
    """Return which positions are a run of one value that ends rows and stands nowhere else."""
    if series.shape[1] < 3 or len(series) < 8:
        return None
    if series.dim() == 3:
        pad = (series == 0).all(-1)
    elif series.dim() == 2:
        last, counts = series[:, -1].unique(return_counts=True)
        pad = series == last[counts.argmax()]
    else:
        return None
    behind = pad.flip(1).cumprod(1).flip(1).bool()
    lengths = (~behind).sum(1)
    ends = float(behind[:, -1].double().mean())
    inner = (pad & ~behind).double().mean()
    if ends < ENDS or float(inner) > 0.02 or len(lengths.unique()) < 3:
        return None
    return behind


def loss_on_padding(subject: Subject) -> Iterator[Finding]:
    """See whether the loss has a gradient at outputs that belong to padding."""
    taken = sloped(subject) if subject.train_set is not None and padding(subject) is not None else None
    pad = padding(subject)
    if taken is None or pad is None:
        return
    view, slopes = taken
    for fact in view.outputs:
        slope = slopes.get(fact.number)
        if slope is None or not (by_position := _by_position(slope, pad.behind.shape)) is not None:
            continue
        share = float(by_position[pad.behind].sum() / by_position.sum().clamp_min(1e-30))
        if share < COUNTED:
            return
        place, line = _judge(view)
        ignored = _ignored_class(subject, view, pad)
        yield found(
            "loss-on-padding",
            place,
            f"counts padded targets too: no ignore_index or mask leaves out the padding ({pad.value:g})"
            if ignored is None
            else f"has ignore_index={ignored}, a real class, and counts the padding, which is {pad.value:g}",
            severity="warning" if ignored is None else "error",
            at=line,
            evidence=f"{share:.0%} of the loss's gradient is at padding, which is {pad.share:.0%} of all positions"
            + (f"; {pad.value:g} is also a real class" if pad.is_class else ""),
            effect="the model learns to predict padding, and the loss looks lower than it is",
            fix="Pad targets with -100, or give ignore_index=PAD to the loss",
        )
        return


def _ignored_class(subject: Subject, view: View, pad: Padding) -> int | None:
    """Return a class of real targets that the loss ignores in place of the padding."""
    _, target = unpacked(subject.batch)
    series = next((item for item in flat(target) if item.dim() >= 2), None)
    sinks = [op for op in view.path if op.name in ("cross_entropy", "nll_loss")]
    numbers = [number for op in sinks if isinstance(number := op.setting("ignore_index", 4, -100), int)]
    for number in numbers:
        other = number >= 0 and number != pad.value and series is not None
        if other and series is not None and bool((series[~pad.behind] == number).any()):
            return number
    return None


def _by_position(slope: Tensor, shape: torch.Size) -> Tensor | None:
    """Return the size of a gradient at each position (samples, time), whatever the order of its dimensions."""
    size = slope.abs().double()
    rows, width = shape
    if size.dim() >= 2 and size.shape[:2] == shape:
        return size.reshape(rows, width, -1).sum(-1)
    if size.dim() == 3 and size.shape[0] == rows and size.shape[2] == width:
        return size.sum(1)
    if size.dim() == 3 and size.shape[:2] == (width, rows):
        return size.sum(-1).T
    if size.dim() == 2 and size.shape[0] == rows * width:
        return size.sum(-1).reshape(rows, width)
    return None


def _judge(view: View) -> tuple[str, Line | None]:
    """Return where the loss is computed: in a function of the user's, or where a loss of torch's is built."""
    sinks = view.sinks() or [op for op in view.path if op.module is None and op.name in SINKS]
    if sinks:
        place, line = view.place(sinks[-1], "padding")
        return place, line or view.loss_line
    return "loss: padding", view.loss_line or view.subject.where_made(view.subject.loss)


def mean_with_padding(subject: Subject) -> Iterator[Finding]:
    """Find a mean over all positions of a loss that a mask has set to 0 at the padding."""
    view, pad = (seen(subject), padding(subject)) if subject.train_set is not None else (None, None)
    if view is None or pad is None:
        return
    for op in view.path:
        if op.name != "mean" or not op.inputs or op.setting("dim", 1) is not None:
            continue
        masked = op.inputs[0].tensor
        if masked is None or masked.numel() != pad.behind.numel() or not masked.is_floating_point():
            continue
        rows = masked if masked.shape == pad.behind.shape else None
        rows = masked.reshape(pad.behind.shape) if rows is None and masked.dim() == 1 else rows
        if rows is None or bool(rows[pad.behind].any()) or float((rows[~pad.behind] != 0).double().mean()) < 0.9:
            continue
        if op.inputs[0].maker is None or op.inputs[0].maker.name not in ("mul", "rmul", "masked_fill", "where"):
            continue
        if any(reader.name in ("div", "truediv", "mul", "rmul") for reader in _readers(view, op)):
            continue
        place, line = view.place(op, "mean")
        yield found(
            "mean-counts-padding",
            place,
            "is taken over all positions of a masked loss: the padding adds 0 to the sum, and counts in its divisor",
            severity="warning",
            at=line,
            evidence=f"{pad.share:.0%} of the positions are padding: the average is {1 - pad.share:.2f} times that of "
            "the tokens",
            effect="a batch with more padding has a smaller loss and gradient; losses of batches cannot be compared",
            fix="(loss * mask).sum() / mask.sum()",
        )
        return


def _readers(view: View, op: Op) -> Iterator[Op]:
    return (reader for fact in op.outputs for reader in view.readers.get(fact.number, []))


def accuracy_on_padding(subject: Subject) -> Iterator[Finding]:
    """Find a share of right answers in ``evaluate`` that counts padded positions, by its source."""
    pad = padding(subject) if subject.train_set is not None and subject.evaluate is not None else None
    code = code_of(subject.evaluate) if pad is not None else None
    if code is None or pad is None or pad.value < 0:
        return
    body = unparse(code.node).lower()
    if any(word in body for word in ("ignore", "length", "mask", "pad_id", "!= pad", "valid", "!=", ".ne(", "> 0")):
        return
    for node in walk(code.node):
        if not _is_comparison(node) or _is_selected(code, node):
            continue
        yield found(
            "accuracy-counts-padding",
            f"{code.name}: accuracy",
            f"counts padded positions: targets of {pad.value:g} are padding, and no mask leaves them out",
            severity="warning",
            at=code.line(node),
            evidence=f"{pad.share:.0%} of the positions of a batch are padding",
            effect="the figure says how well padding is told, which is easy or means nothing",
            fix="real = target != PAD; (prediction == target)[real].float().mean()",
        )
        return


def _is_comparison(node: ast.AST) -> bool:
    """Say whether a node asks which predictions equal their targets."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "eq":
        return len(node.args) == 1 and not isinstance(node.args[0], ast.Constant)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
        return False
    text = unparse(node)
    return not isinstance(node.comparators[0], ast.Constant) and not ("shape" in text or "size" in text)


def _is_selected(code: Code, node: ast.AST) -> bool:
    """Say whether only some of the positions of a comparison count: it is indexed or multiplied, or its sides are."""
    nodes = walk(code.node)
    loops = {item.id for loop in nodes if isinstance(loop, ast.For) for item in walk(loop.target) if _is_name(item)}
    sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
    if sides and all(isinstance(side, ast.Subscript) and _picks(side.slice, loops) for side in sides):
        return True
    named = [item for item in nodes if isinstance(item, ast.Assign) and node in walk(item.value)]
    names = {item.id for each in named if not _is_reduced(each.value, node) for item in each.targets if _is_name(item)}
    for item in nodes:
        over: list[ast.expr] = []
        if isinstance(item, ast.BinOp) and isinstance(item.op, ast.Mult | ast.BitAnd):
            over = [item.left, item.right]
        elif isinstance(item, ast.Subscript) and _picks(item.slice, loops):
            over = [item.value]
        for side in over:
            hits = [inner for inner in walk(side) if inner is node or (_is_name(inner) and inner.id in names)]
            if any(not _is_reduced(side, hit) for hit in hits):
                return True
    return False


def _is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name)


def _picks(index: ast.expr, loops: set[str]) -> bool:
    """Say whether an index may be a mask or a list of positions: no number, slice or variable of a loop."""
    plain = isinstance(index, ast.Constant | ast.Slice | ast.Tuple | ast.UnaryOp)
    return not plain and not (isinstance(index, ast.Name) and index.id in loops)


def _is_reduced(whole: ast.AST, node: ast.AST) -> bool:
    """Say whether an expression sums what a node in it gives."""
    calls = (item for item in walk(whole) if isinstance(item, ast.Call) and item is not node and node in walk(item))
    return any(called(item).rpartition(".")[2] in ("sum", "mean", "item", "count_nonzero") for item in calls)


def end_ignored(subject: Subject) -> Iterator[Finding]:
    """See whether the token that ends each row is that of the padding, which the loss leaves out."""
    pad = padding(subject) if subject.train_set is not None and subject.collate is not None else None
    taken = sloped(subject) if pad is not None and pad.is_class else None
    if pad is None or taken is None:
        return
    _, target = unpacked(subject.batch)
    series = next(item for item in flat(target) if item.dim() >= 2)
    if series.dim() != 2:
        return
    last = (~pad.behind).int().cumsum(1).argmax(1)
    ends = series[torch.arange(len(series)), last] == pad.value
    inner = (~pad.behind) & (series == pad.value)
    if not bool(ends.all()) or int(inner.sum()) != len(series):
        return
    view, slopes = taken
    for fact in view.outputs:
        slope = slopes.get(fact.number)
        size = _by_position(slope, pad.behind.shape) if slope is not None else None
        if size is None or bool(size[torch.arange(len(series)), last].any()) or not bool(size.any()):
            continue
        place, line = _judge(view)
        yield found(
            "end-ignored",
            place.replace("padding", "end token"),
            f"ignores the token that ends each sequence (EOS): it is {pad.value:g}, the same id as the padding, which "
            "ignore_index leaves out",
            severity="warning",
            at=_end_line(subject) or line,
            evidence=f"all {len(series)} rows end in {pad.value:g}, and the loss has no gradient there",
            effect="the model never learns to stop: what it generates has no end",
            fix="Give the padding an id of its own (or labels of -100 for padding alone), and keep EOS in the loss",
        )
        return


def _end_line(subject: Subject) -> Line | None:
    """Return the constant that names the end token."""
    for file in subject.files:
        whole = tree(file)
        for node in whole.body if whole is not None else ():
            if isinstance(node, ast.Assign) and unparse(node.targets[0]).lower().startswith(("eos", "end")):
                return Line(file, node.lineno)
    return None


RULES = (loss_on_padding, mean_with_padding, accuracy_on_padding, end_ignored)
