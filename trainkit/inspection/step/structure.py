"""How the layers follow each other: linear after linear, dropout on the answer, results that nobody takes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.bounds import ACTIVATIONS
from trainkit.inspection.step.view import PASSING, WEIGHT, View, dim_of, seen, source
from trainkit.inspection.subject import Subject, found

LINEAR = frozenset(["linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
SWAPPING = frozenset(["permute", "transpose", "t", "T", "mT", "swapaxes", "swapdims", "movedim", "moveaxis"])
DROPOUTS = frozenset(["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"])
KEEPING = (PASSING - SWAPPING - {"gather", "getitem", "index_select", "masked_select"}) | DROPOUTS
AFFINE = (
    LINEAR
    | PASSING
    | DROPOUTS
    | frozenset(
        [
            "add",
            "sub",
            "mul",
            "div",
            "neg",
            "radd",
            "rmul",
            "rsub",
            "mean",
            "sum",
            "avg_pool1d",
            "avg_pool2d",
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "addmm",
            "cat",
            "stack",
            "pad",
            "true_divide",
        ]
    )
)
HIGH = 0.9
FEWEST, MANY = 3, 4
"""Layers without an activation among them that say something, and that are surely a slip."""
STRAIGHT = frozenset(["batch_norm", "max_pool1d", "max_pool2d", "max_pool3d"])
"""What stands between layers and is no activation."""


def linear_after_linear(subject: Subject) -> Iterator[Finding]:
    """Find linear layers without anything between them that bends."""
    view = seen(subject)
    if view is None:
        return
    pairs = list(_pairs(view))
    if not pairs:
        yield from _never_bent(view)
        return
    whole = _whole_is_affine(view)
    near = [pair for pair in pairs if _parent(pair[0]) == _parent(pair[1])]
    if not whole and not near:
        return
    first, second = pairs[0] if whole else near[0]
    _, line = view.place(first)
    kinds = f"{_kind(view, second)} after {_kind(view, first)}"
    parent = "model" if whole else _parent(first) or "model"
    idle = _idle_activation(view, first)
    names = f"{first.module} and {second.module}"
    sizes = f"{_sizes(first)} and {_sizes(second)}"
    yield found(
        "linear-after-linear",
        f"{parent}: {kinds}",
        f"without an activation between {names}: together they are one linear layer",
        severity="error" if whole or idle else "warning",
        at=line,
        evidence=f"{sizes}" + (f"; {idle} is built and never called" if idle else ""),
        effect="the whole model is linear: it cannot learn what is not (such as XOR)"
        if whole
        else "the second layer adds nothing that one could not do",
        fix=f"Put an activation such as nn.ReLU() between {names}.",
    )


def _never_bent(view: View) -> Iterator[Finding]:
    """Find a model of several layers with batch norms and pools between them, and no activation at all."""
    layers = [op for op in view.path if op.name in LINEAR and len(op.inputs) > 1 and op.inputs[1].requires_grad]
    layers = [op for op in layers if op.module is not None]
    if len(layers) < FEWEST or not view.outputs or len({op.inputs[1].name for op in layers}) < len(layers):
        return
    inner = [op for op in view.recording.ancestors(view.outputs[0]) if any("input" in view.came(f) for f in op.inputs)]
    if any(op.name not in AFFINE | STRAIGHT for op in inner) or not any(op.name in STRAIGHT for op in inner):
        return
    shapes = [op.inputs[1].shape for op in layers]
    if any(one[0] < min(one[1], two[0]) for one, two in pairwise(shapes)):
        return  # narrow in the middle by design, as a principal component analysis
    first, second = layers[:2]
    place, line = view.place(first)
    between = ", ".join(sorted({op.name for op in inner if op.name in STRAIGHT}))
    yield found(
        "linear-after-linear",
        f"model: {_kind(view, second)} after {_kind(view, first)}",
        f"without an activation anywhere: {len(layers)} layers with only {between} between them",
        severity="warning" if len(layers) < MANY and "max_pool" in between else "error",
        at=line,
        evidence=f"no operation of the model bends but {between}",
        effect="normalised or not, layers without one add up to a linear layer: what is not linear cannot be learnt",
        fix=f"Put an activation such as nn.ReLU() behind each norm: {place} -> BatchNorm -> ReLU.",
    )


def _kind(view: View, op: Op) -> str:
    return type(view.model.get_submodule(op.module)).__name__ if op.module and not op.own else op.name.capitalize()


def _sizes(op: Op) -> str:
    weight = op.inputs[1].shape
    return f"{op.name} {weight[1]} to {weight[0]}"


def _parent(op: Op) -> str:
    return (op.module or "").rpartition(".")[0]


def _pairs(view: View) -> Iterator[tuple[Op, Op]]:
    for op in view.path:
        if op.name not in LINEAR or len(op.inputs) < 2 or op.module is None or not op.inputs[1].requires_grad:
            continue
        after = _next(view, op.outputs[0])
        if after is None or after.module == op.module or len(after.inputs) < 2 or after.module is None:
            continue
        inner, outer = _widths(op), _widths(after)
        adapter = op.inputs[1].high == op.inputs[1].low == 0 or after.inputs[1].high == after.inputs[1].low == 0
        by_design = adapter or inner[1] < min(inner[0], outer[1]) or _separable(op) or _separable(after)
        if not by_design and op.inputs[1].name != after.inputs[1].name:
            yield op, after


def _next(view: View, fact: Fact) -> Op | None:
    """Return the linear layer that reads a tensor and nothing else does, through what does not bend."""
    while fact not in view.outputs:
        readers = [op for op in view.readers.get(fact.number, []) if op.outputs]
        if len(readers) != 1:
            return None
        (reader,) = readers
        if reader.name in LINEAR:
            return reader if reader.inputs[0] is fact else None
        live = [item for item in reader.inputs if view.came(item)]
        plain = reader.name in ("add", "mul", "sub", "div") and len(live) == 1
        if reader.name not in KEEPING and not plain:
            return None
        fact = reader.outputs[0]
    return None


def _widths(op: Op) -> tuple[int, int]:
    """Return the numbers that come in and go out of a layer at one place."""
    weight = op.inputs[1].shape
    into, out = (weight[0], weight[1]) if "transpose" in op.name else (weight[1], weight[0])
    area = 1
    for size in weight[2:]:
        area *= size
    return into * area, out


def _separable(op: Op) -> bool:
    """Say whether a convolution is one part of a larger one: by channel, or along one direction."""
    groups = op.setting("groups", 6, 1)
    kernel = op.inputs[1].shape[2:]
    return (isinstance(groups, int) and groups > 1 and "conv" in op.name) or len(set(kernel)) > 1


def _whole_is_affine(view: View) -> bool:
    for fact in view.outputs[:1]:
        made = view.recording.ancestors(fact)
        for op in made:
            live = sum(1 for item in op.inputs if "input" in view.came(item))
            product = op.name in ("mul", "div", "true_divide") and live > 1
            if (op.name not in AFFINE or product) and live:
                return False
        return bool(made)
    return False


def _idle_activation(view: View, op: Op) -> str:
    """Return an activation that stands beside a layer and is never called."""
    called_paths = {call.path for call in view.recording.calls}
    parent = _parent(op)
    for path, module in view.model.named_modules():
        kind = type(module).__module__
        if path.rpartition(".")[0] == parent and kind == "torch.nn.modules.activation" and path not in called_paths:
            return f"{path} ({type(module).__name__})" if not isinstance(module, nn.MultiheadAttention) else ""
    return ""


def dropout_where_it_harms(subject: Subject) -> Iterator[Finding]:
    """Find dropout on the model's answer, and dropout of almost everything."""
    view = seen(subject)
    if view is None:
        return
    last = {id(op) for fact in view.outputs for op in [source(fact)[0]] if op is not None}
    for op in view.path:
        share = op.setting("p", 1, 0.5)
        if op.name not in DROPOUTS or not isinstance(share, int | float) or not op.setting("training", 2, True):
            continue
        place, line = view.place(op)
        made = source(op.inputs[0])[0]
        if id(op) in last and 0 < share < 1 and made is not None and made.name in LINEAR:
            yield found(
                "dropout-on-output",
                place,
                "is the last operation: answers are set to 0 at random before the loss",
                severity="warning",
                at=line,
                evidence=f"p={share:g} on output {tuple(op.outputs[0].shape)}",
                effect="the loss punishes answers that the model did not give",
                fix="Put the dropout before the last layer.",
            )
        elif HIGH <= share < 1:
            yield found(
                "dropout-too-high",
                place,
                f"drops {share:.0%} of all values; p is the share that is dropped, not the one that is kept",
                severity="warning",
                at=line,
                evidence=f"p={share:g}",
                effect="hardly anything goes through",
                fix=f"Use p={1 - share:.2g} if {share:g} is to be kept.",
            )


def repeated_activation(subject: Subject) -> Iterator[Finding]:
    """Find a sigmoid, tanh or softmax of another one."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("sigmoid", "softmax", "tanh") or not op.inputs or WEIGHT not in view.came(op.inputs[0]):
            continue
        made, _ = source(op.inputs[0])
        if made is None or made.name not in ("sigmoid", "softmax") or made.name not in ACTIVATIONS:
            continue
        in_loss = op.module is None and op.name == made.name == "sigmoid" and made.module is not None
        if op.name == "tanh" or (op.module is None and not in_loss) or (op.name == "softmax" and dim_of(op) is None):
            continue
        place, line = view.place(op)
        place = f"loss: {op.function}: sigmoid" if in_loss and view.subject.train_step is None else place
        yield found(
            "activation-twice",
            place,
            f"is {op.name} of a {made.name}"
            + (f": the loss takes logits, and {view.place(made)[0]} gives probabilities already" if in_loss else ""),
            at=line,
            evidence=f"its input lies in {made.outputs[0].low:.3g}..{made.outputs[0].high:.3g}",
            effect="the result is confined to the middle of its range and gradients are small",
            fix="Apply it once.",
        )


RULES = (linear_after_linear, dropout_where_it_harms, repeated_activation)
