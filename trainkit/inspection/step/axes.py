"""Layers that run along another dimension than they are made for: features for positions, channels for time."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

SEEN_THROUGH = ("embedding", "dropout", "layer_norm", "relu", "gelu", "tanh", "mul", "add", "contiguous", "to", "float")
BETWEEN = (*SEEN_THROUGH, "batch_norm", "max_pool1d", "avg_pool1d", "silu", "leaky_relu", "elu")
POOLED = ("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d")
MEANS = ("mean", "amax", "max", "sum")
SEQUENTIAL = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


def along_features(subject: Subject) -> Iterator[Finding]:
    """Find convolutions that slide along the features of an embedding, and means over them."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        if view is None or not op.inputs or len(op.inputs[0].shape) != 3:
            continue
        if op.name == "conv1d" and op.inputs[1].shape[-1] > 1:
            made = _embedded(op.inputs[0], SEEN_THROUGH)
            if made is not None:
                yield _slides(view, op, made)
                return
        elif op.name in MEANS and op.own and _last(op) and _is_read_by_linear(view, op):
            made = _embedded(op.inputs[0], (*SEEN_THROUGH, "linear"))
            if made is not None:
                yield _pools(view, op, made)
                return


def _slides(view: View, op: Op, made: Op) -> Finding:
    place, line = view.place(op)
    samples, length, width = op.inputs[0].shape
    return found(
        "convolution-along-features",
        f"{place.partition(':')[0]}: {op.module}" if op.module and not op.own else place,
        f"is given (N, L, C) = {(samples, length, width)}, features last, from {made.module or 'embedding'}: "
        "Conv1d wants (N, C, L), takes positions for channels and slides along the features",
        at=line,
        evidence=f"embedding gives {tuple(made.outputs[0].shape)} (batch, time, features), and no transpose follows",
        effect="the kernel runs over features that have no order, and patterns in time are tied to their position",
        fix=f"x = x.transpose(1, 2) before it (permute to channels first), and nn.Conv1d({width}, ...)",
    )


def _pools(view: View, op: Op, made: Op) -> Finding:
    place, line = view.place(op)
    samples, length, width = op.inputs[0].shape
    return found(
        "features-averaged",
        place,
        f"takes the {op.name} over dim 2 of (batch, time, features) = {(samples, length, width)}: it pools the "
        "features of each token into one number, and keeps the time",
        severity="warning",
        at=line,
        evidence=f"{made.module or 'embedding'} gives features last; {tuple(op.outputs[0].shape)} is left",
        effect=f"of {width} numbers a token one is left, and the next layer reads positions as if they were features",
        fix=f"{op.name}(dim=1), to pool over time",
    )


def _embedded(fact: Fact, through: tuple[str, ...]) -> Op | None:
    """Return the embedding whose result, unchanged in its layout, a tensor is."""
    lead = fact.shape[:2]
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in through and fact.shape[:2] == lead:
        if fact.maker.name == "embedding":
            return fact.maker
        same = [item for item in fact.maker.inputs if item.shape[:2] == lead and len(item.shape) == 3]
        if not same:
            return None
        fact = same[0]
    return None


def _last(op: Op) -> bool:
    return op.setting("dim", 1) in (2, -1, (2,), (-1,), [2], [-1]) and not op.kwargs.get("keepdim")


def _is_read_by_linear(view: View, op: Op) -> bool:
    readers = view.readers.get(op.outputs[0].number, [])
    return len(op.outputs[0].shape) == 2 and bool(readers) and all(reader.name == "linear" for reader in readers)


def along_channels(subject: Subject) -> Iterator[Finding]:
    """Find recurrent layers and attention that are given the result of a Conv1d without a transpose."""
    view = seen(subject)
    for call in view.recording.calls if view is not None else ():
        if not isinstance(call.module, SEQUENTIAL) or not call.inputs or len(call.inputs[0].shape) != 3:
            continue
        made = _convolved(call.inputs[0])
        if made is None or view is None:
            continue
        kind, shape = type(call.module).__name__, call.inputs[0].shape
        parent, _, name = call.path.rpartition(".")
        owner = type(view.model.get_submodule(parent)).__name__
        yield found(
            "sequence-along-channels",
            f"{owner}.forward: {name or call.path}",
            f"gives {kind} the result of a Conv1d, (N, C, L) = {tuple(shape)}, without a transpose: it runs along the "
            "channels as if they were time steps, and takes the time for features",
            at=call.line or subject.where_built(call.path),
            evidence=f"{made.module or 'conv1d'} gives {tuple(made.outputs[0].shape)}; {kind} wants (N, L, C) with "
            "batch_first=True",
            effect="nothing is read in the order of time, and the model fits one length only",
            fix=f"self.{name}(x.transpose(1, 2)), of size {made.outputs[0].shape[1]}",
        )
        return


def _convolved(fact: Fact) -> Op | None:
    while fact.maker is not None and fact.maker.inputs and (fact.maker.name in BETWEEN or fact.maker.name == "conv1d"):
        if fact.maker.name == "conv1d":
            groups = fact.maker.setting("groups", 6, 1)
            return fact.maker if groups == 1 else None  # each channel its own series: channels are the tokens
        if fact.maker.name in ("layer_norm", "linear", "embedding"):
            return None
        same = [item for item in fact.maker.inputs if len(item.shape) == 3]
        if not same:
            return None
        fact = same[0]
    return None


def wrong_norms(subject: Subject) -> Iterator[Finding]:
    """Find norms and pools whose channels are not where the layer before put its features."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        if view is None or not op.inputs or op.module is None or op.own:
            continue
        shape, size = op.inputs[0].shape, len(op.inputs[0].shape)
        kind = type(view.model.get_submodule(op.module)).__name__
        place, line = f"{op.module} ({kind})", subject.where_built(op.module) or op.line
        rows = op.name == "layer_norm" and size == 4 and len(op.setting("normalized_shape", 1, ())) == 1
        if rows and _features(op.inputs[0]) == 1:
            yield found(
                "norm-along-width",
                place,
                f"is given a picture (N, C, H, W) = {tuple(shape)} with the channels in dim 1, and normalises the last "
                "one: each row of pixels over its width, not the channels",
                severity="warning",
                at=line,
                evidence=f"normalized_shape={op.setting('normalized_shape', 1)}; channels: {shape[1]}",
                effect="differences between channels stay, and it fits pictures of one width only",
                fix=f"x.permute(0, 2, 3, 1) before and back after it with nn.LayerNorm({shape[1]}), "
                f"or nn.GroupNorm(1, {shape[1]})",
            )
            return
        pool = op.name in POOLED and size == 3 and shape[2] > 1
        if (pool or (op.name == "batch_norm" and size == 3)) and _features(op.inputs[0]) == 2:
            yield found(
                "pool-along-features" if pool else "norm-along-time",
                place,
                f"is given (batch, time, features) = {tuple(shape)}; {kind} wants (N, C, L) and "
                + ("pools the features of each step" if pool else "takes each time step for a channel")
                + ": transpose first",
                severity="warning",
                at=line,
                evidence="the layer before puts its features in the last dimension",
                effect="neighbouring features, which have no order, are pooled, and the time is kept"
                if pool
                else "statistics are of each step over all features, and sequences have one length only",
                fix=f"self.{op.module.rpartition('.')[2]}(x.transpose(1, 2)).transpose(1, 2)",
            )
            return


def _features(fact: Fact) -> int | None:
    """Return the dimension of a tensor in which the layer before put its features; None if that is not known."""
    size = len(fact.shape)
    while fact.maker is not None and fact.maker.inputs and len(fact.shape) == size:
        name = fact.maker.name
        if name in ("conv1d", "conv2d", "conv3d", "batch_norm"):
            return 1
        if name in ("linear", "embedding", "lstm", "gru"):
            return size - 1
        if name not in BETWEEN:
            return None
        same = [item for item in fact.maker.inputs if len(item.shape) == size and item.maker is not None]
        if not same:
            return None
        fact = same[0]
    return None


RULES = (along_features, along_channels, wrong_norms)
