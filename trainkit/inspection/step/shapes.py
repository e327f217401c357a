"""Shapes that fit by luck: broadcasting, softmax over the batch, classes in the wrong dimension, scrambled views."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import file_of
from trainkit.inspection.step.view import INPUT, SHAPING, TARGET, WEIGHT, View, dim_of, seen, shape_text
from trainkit.inspection.subject import Subject, found

PAIRED = frozenset(
    [
        "sub",
        "rsub",
        "add",
        "radd",
        "iadd",
        "mul",
        "rmul",
        "div",
        "true_divide",
        "rdiv",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "poisson_nll_loss",
        "squared_difference",
        "dist",
        "maximum",
        "minimum",
        "ne",
        "eq",
        "gt",
        "lt",
    ]
)
"""Operations on two tensors, element by element."""
WEIGHING = frozenset(["matmul", "bmm", "baddbmm", "einsum", "dropout", "scaled_dot_product_attention"])
"""Operations that take the mean with the weights that a softmax gave."""
COMPARED = frozenset(["sub", "rsub", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])


def broadcasting(subject: Subject) -> Iterator[Finding]:
    """Find tensors of two batches that broadcast to all pairs of samples, in the loss and in the model."""
    view = seen(subject)
    if view is None or view.size < 2:
        return
    for op in view.path:
        if op.name not in PAIRED or len(op.inputs) < 2:
            continue
        one, two = op.inputs[:2]
        if _unshaped(one) is _unshaped(two):
            continue  # all pairs within one batch are meant
        if any(not view.came(item) & {INPUT, TARGET} for item in (one, two)):
            continue  # of a weight alone, such as a table of transitions: it holds no samples
        if (INPUT in view.came(one) and INPUT in view.came(two)) or TARGET in view.came(one) | view.came(two):
            finding = _crossed(view, op, one, two)
            if finding is not None:
                yield finding
                return


def _unshaped(fact: Fact) -> Fact:
    """Return the tensor whose numbers these are, in another shape."""
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in (*SHAPING, "getitem"):
        fact = fact.maker.inputs[0]
    return fact


def _crossed(view: View, op: Op, one: Fact, two: Fact) -> Finding | None:
    shapes = (tuple(one.shape), tuple(two.shape))
    whole = _broadcast(*shapes)
    if whole is None or whole in shapes or len(shapes[0]) == len(shapes[1]):
        return _ragged(view, op, one, two)
    if whole.count(view.size) < 2 and not (len(whole) >= 2 and whole[-1] == whole[-2]):
        return None
    names = f"{shape_text(one)} and {shape_text(two)}"
    place, line = view.place(op, f"shapes {names}")
    long, short = (one, two) if len(one.shape) > len(two.shape) else (two, one)
    role = "prediction" if WEIGHT in view.came(long) else "target"
    return found(
        "broadcast",
        place,
        f"broadcast to {whole} in {op.name}: every sample meets every other",
        at=line or view.loss_line,
        evidence=f"shapes {names} give {whole}",
        effect="the best answer is then the mean of all targets, and nothing is learnt"
        if op.module is None
        else "samples of a batch are mixed",
        fix=f"Give both one shape: {role}.squeeze(-1) ({shape_text(long)} to {shape_text(short)}).",
    )


def _ragged(view: View, op: Op, one: Fact, two: Fact) -> Finding | None:
    """Find a prediction and a target of different widths."""
    if op.name not in COMPARED or one.shape == two.shape or not one.shape or not two.shape:
        return None
    prediction, target = (one, two) if WEIGHT in view.came(one) else (two, one)
    plain = WEIGHT in view.came(prediction) and WEIGHT not in view.came(target) and target in view.targets
    if not plain or prediction not in _as_given(view) or op.module is not None:
        return None
    whole = _broadcast(tuple(one.shape), tuple(two.shape))
    if whole is None or math.prod(prediction.shape) == math.prod(target.shape):
        return None
    both = whole not in (tuple(one.shape), tuple(two.shape))
    if not both and (op.name in ("sub", "rsub") or len(view.outputs) > 1):
        return None  # several guesses of one number, such as quantiles
    place, line = view.place(op, f"shapes {shape_text(prediction)} and {shape_text(target)}")
    return found(
        "broadcast",
        place,
        f"broadcast in {op.name}: prediction and target differ in shape",
        severity="error" if both else "warning",
        at=line or view.loss_line,
        evidence=f"prediction {shape_text(prediction)}, target {shape_text(target)}",
        effect="one number is held against several others, and its best value is their mean",
        fix="Give the model as many outputs as targets, or bring both to one shape.",
    )


def _as_given(view: View) -> set[Fact]:
    """Return the model's outputs, also in other shapes."""
    given = set(view.outputs)
    for op in view.path:
        if op.module is None and op.name in SHAPING and op.inputs and op.inputs[0] in given:
            given |= set(op.outputs)
    return given


def _broadcast(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...] | None:
    count = max(len(one), len(two))
    first, second = (1,) * (count - len(one)) + one, (1,) * (count - len(two)) + two
    if any(a != b and 1 not in (a, b) for a, b in zip(first, second, strict=True)):
        return None
    return tuple(max(a, b) if 0 not in (a, b) else 0 for a, b in zip(first, second, strict=True))


def _attends_to_one(view: View, op: Op) -> bool:
    """Say whether an attention has one key: a library's where pictures are small, or one of one token to itself."""
    shape = op.inputs[0].shape
    weighs = any(user.name in WEIGHING for user in view.recording.users(op.outputs[0]))
    foreign = not op.own and op.module is not None and file_of(type(view.model.get_submodule(op.module))) is None
    return weighs and len(shape) > 2 and (foreign or shape[-2:] == (1, 1))


def softmax_dimension(subject: Subject) -> Iterator[Finding]:
    """Find a softmax over the batch, over one element, or over the queries of an attention."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("softmax", "log_softmax") or not op.inputs or WEIGHT not in view.came(op.inputs[0]):
            continue
        fact = op.inputs[0]
        dim = dim_of(op)
        if dim is None or dim >= len(fact.shape):
            continue
        place, line = view.place(op)
        if fact.shape[dim] == 1 and _attends_to_one(view, op):
            continue
        if fact.shape[dim] == 1:
            yield found(
                "softmax-of-one",
                place,
                f"runs over dim {dim}, which has one element: a softmax over one is always 1",
                at=line,
                evidence=f"input {shape_text(fact)}",
                effect="the output is constant and gives no gradient",
                fix="Use torch.sigmoid for one score, or a dim with several elements.",
            )
        elif (follows := view.following(op, fact)) is not None and follows == (dim,) and _is_batch(view, op):
            yield found(
                "softmax-over-batch",
                place,
                f"runs over the batch (dim {dim}): samples compete with each other instead of classes",
                at=line,
                evidence=f"input {shape_text(fact)}, a batch of {view.size}"
                + ("" if op.setting("dim", 1) is not None else "; dim is not given, and torch takes 0 here"),
                effect="the output of a sample depends on which others are in its batch",
                fix=f"Use {op.name}(..., dim=-1).",
            )
        elif (wrong := _queries(view, op, dim)) is not None:
            yield found(
                "softmax-over-wrong-dim",
                place,
                f"normalises dim {dim} of the attention scores, and the product with the values sums over dim {wrong}",
                at=line,
                evidence=f"scores {shape_text(fact)}",
                effect="the weights that one query gives to the keys do not sum to 1",
                fix="Use softmax(scores, dim=-1).",
            )


def _is_batch(view: View, op: Op) -> bool:
    """Say whether a dimension that grows with the batch holds samples that are judged one by one."""
    fact = op.inputs[0]
    return (
        len(fact.shape) >= 2 and bool(view.outputs) and any((one.shape or (0,))[0] == view.size for one in view.outputs)
    )


def _queries(view: View, op: Op, dim: int) -> int | None:
    """Return the dimension of attention scores that is summed over, if that is another than the softmax's."""
    count = len(op.inputs[0].shape)
    fact = op.inputs[0]
    while fact.maker is not None and fact.maker.name in ("div", "mul", "add", "masked_fill", "true_divide", "where"):
        fact = fact.maker.inputs[0] if fact.maker.name != "where" else fact.maker.inputs[1]
    if fact.maker is None or fact.maker.name not in ("matmul", "bmm", "baddbmm") or count < 3 or dim == count - 1:
        return None
    given = op.outputs[0]
    for reader in view.readers.get(given.number, []):
        if reader.name in ("dropout", "to", "type_as", "float") and reader.outputs:
            given = reader.outputs[0]
    for reader in view.readers.get(given.number, []):
        if reader.name in ("matmul", "bmm") and reader.inputs[0] is given:
            return count - 1
    return None


def class_dimension(subject: Subject) -> Iterator[Finding]:
    """Find a cross entropy that reads classes from a dimension where the last layer did not put them."""
    view = seen(subject)
    if view is None:
        return
    for op in view.sinks("cross_entropy", "nll_loss"):
        fact = op.inputs[0]
        dim = 1
        if len(fact.shape) < 2:
            continue
        if len(fact.shape) > 2 and (made := _features(fact, dim)) is not None:
            layer, is_dim, should = made
            if is_dim != should and _size(layer, is_dim) == _size(layer, should):
                place, line = view.place(op, op.name)
                shape = shape_text(layer.outputs[0])
                yield found(
                    "class-dimension",
                    place,
                    f"takes dim 1 of {shape_text(fact)} for the classes, which {layer.name} put in dim {should}",
                    at=line or view.loss_line,
                    evidence=f"{layer.name} gives {shape}; both dimensions have {fact.shape[1]} elements by luck",
                    effect="classes and positions are swapped",
                    fix="Use cross_entropy(output.transpose(1, 2), target), or flatten(0, 1) both.",
                )


def _size(op: Op, dim: int) -> int:
    return op.outputs[0].shape[dim]


KEEPING = ("log_softmax", "contiguous", "float", "to", "dropout", "relu", "gelu", "silu", "tanh", "batch_norm")
"""Operations after which each dimension is what it was."""


def _features(fact: Fact, dim: int) -> tuple[Op, int, int] | None:
    """Return the layer that a tensor comes from, where a dimension was then, and where that layer puts its features."""
    while fact.maker is not None and fact.maker.inputs:
        op = fact.maker
        count = len(op.outputs[0].shape)
        if op.name == "linear":
            return op, dim, count - 1
        if op.name in ("conv1d", "conv2d", "conv3d"):
            return op, dim, 1
        if op.name in ("transpose", "swapaxes", "swapdims"):
            first, second = (int(item) % count for item in op.args[1:3])
            dim = {first: second, second: first}.get(dim, dim)
        elif op.name == "permute":
            order = op.args[1] if isinstance(op.args[1], list | tuple) else op.args[1:]
            dim = int(order[dim]) % count
        elif op.name not in KEEPING:
            return None
        fact = op.inputs[0]
    return None


def scrambled(subject: Subject) -> Iterator[Finding]:
    """Find a view or reshape that stands where dimensions should be swapped."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("view", "reshape") or not op.inputs or not op.own:
            continue
        fact, given = op.inputs[0], op.outputs[0]
        if (fact.maker is not None and fact.maker.name in ("cat", "pad")) or not view.came(fact) & {INPUT, WEIGHT}:
            continue
        other = view.twin(op)
        if other is not None and not _swaps(view, op, other.inputs[0], other.outputs[0]):
            continue
        if not _swaps(view, op, fact, given) or (other is None and isinstance(view.smaller, View)):
            continue
        place, line = view.place(op)
        yield found(
            "view-for-transpose",
            place,
            f"changes {shape_text(fact)} to {shape_text(given)} by {op.name}, which keeps the order of the elements: "
            "dimensions are not swapped, their contents are scrambled",
            at=line,
            evidence=f"{shape_text(fact)} to {shape_text(given)}",
            effect="features of different positions (or samples) are mixed",
            fix="Use transpose(...) or permute(...) to swap dimensions, then reshape.",
        )
        return


def _swaps(view: View, op: Op, fact: Fact, given: Fact) -> bool:
    """Say whether a view's shape is the input's with dimensions in another order, some perhaps split or merged."""
    before = [size for size in fact.shape if size > 1]
    after = [size for size in given.shape if size > 1]
    if before == after or not before or not after:
        return False
    if Counter(before) == Counter(after):
        return True
    if len(after) == len(before) + 1:  # (B, T, H * D) to (B, H, T, D)
        split = _split(before, after)
        return split is not None and len(set(before)) == len(before) and split
    if len(before) == 4 and len(after) < 4 and _channels_last(view, op, before, after):
        return True
    if len(after) == len(before) - 1 and len(before) == 4:  # (B, H, T, D) to (B, T, H * D)
        lead, heads, length, width = before
        return after == [lead, length, heads * width] and heads != length
    if len(after) == len(before) - 1 and len(before) == 3:  # (N, C, T) to (N * T, C)
        judged = any(reader.name in ("cross_entropy", "nll_loss", "log_softmax") for reader in _readers(view, op))
        made = fact.maker is not None and fact.maker.name == "conv1d"
        return (judged or made) and after == [before[0] * before[2], before[1]] and before[1] != before[2]
    return False


def _channels_last(view: View, op: Op, before: list[int], after: list[int]) -> bool:
    """Say whether (N, C, H, W) is viewed as (N * H * W, C) or (N, H * W, C), which no merging of neighbours gives."""
    samples, channels, height, width = before
    rows = [[samples * height * width, channels], [samples, height * width, channels]]
    if after not in rows or width == channels or height * width == channels:
        return False
    made = _features(op.inputs[0], 1)
    judged = any(reader.name in ("cross_entropy", "nll_loss", "log_softmax") for reader in _readers(view, op))
    return judged or (made is not None and made[1] == made[2])


def _readers(view: View, op: Op) -> list[Op]:
    """Return what reads a view, here or in the pass with one sample less."""
    return view.readers.get(op.outputs[0].number, [])


def _split(before: list[int], after: list[int]) -> bool | None:
    """Say whether the last size was split in two and the one before it moved between the parts."""
    lead = before[:-2]
    if len(before) < 3 or after[: len(lead)] != lead:
        return None
    moved, last = before[-2:]
    heads, middle, width = after[len(lead) :]
    return middle == moved and heads * width == last and heads != moved


RULES = (broadcasting, softmax_dimension, class_dimension, scrambled)
