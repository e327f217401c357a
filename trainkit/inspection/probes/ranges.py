"""Inputs: their range, their scale, and whether training and validation were treated alike."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.labels import Table, table
from trainkit.inspection.source import Line, code_of, tree
from trainkit.inspection.subject import Subject, found

LARGE, VERY_LARGE = 10.0, 30.0
"""Root mean square of what the first layer reads, from which it is a warning, and an error; it is made for about 1."""
WEIGHTED = ("linear", "conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "addmm", "matmul", "mm")
APART = 3.0
"""Ratio of scales, or shift in standard deviations, from which two data sets were not treated alike."""


def scale(subject: Subject) -> Iterator[Finding]:
    """Look at what the first layer with weights reads, whatever normalises before it."""
    if not subject.runs or not subject.trace.inputs:
        return
    inputs = {id(fact) for fact in subject.trace.inputs}
    for op in subject.trace.recording.ops:
        if op.module is None or op.name not in WEIGHTED or not op.inputs:
            continue
        read = op.inputs[0]
        rms = _rms(read.tensor)
        came = {id(fact) for other in subject.trace.recording.ancestors(read) for fact in other.inputs} | {id(read)}
        if rms is None or not came & inputs or any(_has_weights(other) for other in _before(subject, read)):
            return
        if rms > LARGE:
            grave = rms > VERY_LARGE
            yield found(
                "inputs-not-normalised",
                "train_set: input range",
                f"inputs reach the first layer ({op.module}) in {read.low:.4g}..{read.high:.4g}: not normalised",
                severity="error" if grave else "warning",
                at=_scaling(subject),
                evidence=f"root mean square {rms:.3g}; layers are initialised for about 1",
                effect="activations and gradients are as many times too large, and one rate suits no layer",
                fix="x / 255 for pixels, or (x - mean) / std of the training set",
            )
        elif 0 < rms < 1e-2:
            yield found(
                "inputs-not-normalised",
                "train_set: input range",
                f"inputs reach the first layer in {read.low:.4g}..{read.high:.4g}: normalised or divided twice?",
                severity="error" if rms < 4e-3 else "warning",
                at=_scaling(subject),
                evidence=f"root mean square {rms:.3g}; layers are initialised for about 1",
                effect="the first layer hardly sees its input",
                fix="Scale once: ToTensor() divides pixels by 255 already",
            )
        return


def features(subject: Subject) -> Iterator[Finding]:
    """Hold the scales of tabular features against each other, where nothing normalises them."""
    rows = table(subject.train_set)
    if rows is None or rows.inputs is None or len(rows.shape) != 1 or not 2 <= rows.inputs.shape[1] <= 512:
        return
    if not subject.runs or len(rows.indices) < 32 or not _is_raw(subject):
        return
    spread = rows.inputs.std(0)
    real = spread[spread > 0]
    if len(real) < 2 or real.max() < LARGE or real.max() / real.median() < 30:
        return
    column = int(spread.argmax())
    yield found(
        "features-unlike",
        "train_set: input range",
        f"feature {column} is not normalised: its standard deviation is {float(spread[column]):.3g}, the median of all "
        f"{float(real.median()):.3g}",
        severity="error" if real.max() > VERY_LARGE * 3 else "warning",
        at=_scaling(subject),
        evidence=f"{int((spread > LARGE).sum())} of {len(spread)} features above {LARGE:g}",
        effect="the large feature decides alone, and the rate that suits it is too small for the others",
        fix="(x - mean) / std by feature, with the training set's figures",
    )


def alike(subject: Subject) -> Iterator[Finding]:
    """Hold the scale of the validation inputs against the training ones."""
    train, val = table(subject.train_set), table(subject.val_set)
    if not _comparable(train, val):
        return
    assert train is not None
    assert val is not None
    assert train.inputs is not None
    assert val.inputs is not None
    one, other = train.inputs, val.inputs
    ratio = float(other.std() / one.std().clamp_min(1e-12))
    shift = float((other.mean() - one.mean()).abs() / one.std().clamp_min(1e-12))
    if 1 / APART < ratio < APART and shift < APART:
        return
    yield found(
        "splits-treated-differently",
        "val_set: input range",
        "is not normalised as the training set is",
        at=subject.where_made(subject.val_set) or _scaling(subject),
        evidence=f"mean {float(one.mean()):.3g} and standard deviation {float(one.std()):.3g} in training, "
        f"{float(other.mean()):.3g} and {float(other.std()):.3g} in validation",
        effect="the figures are those of inputs that the model never saw the like of",
        fix="One transform, with the training set's mean and std, for both",
    )


def finite(subject: Subject) -> Iterator[Finding]:
    """Look for NaN and infinity in inputs and targets."""
    for name, data in (("train_set", subject.train_set), ("val_set", subject.val_set)):
        rows = table(data)
        if rows is None:
            continue
        for part, values in (("input", rows.inputs), ("target", rows.targets)):
            if values is None or not values.is_floating_point():
                continue
            bad = (~values.isfinite()).reshape(len(values), -1).any(1)
            if bad.any():
                first = int(rows.indices[bad][0])
                yield found(
                    "not-finite",
                    f"{name}[{first}]: {part}",
                    "holds NaN or infinity",
                    at=subject.where_made(data),
                    evidence=f"{int(bad.sum())} of {len(bad)} samples that were looked at",
                    effect="one such batch makes all weights NaN",
                    fix="Drop or fill these samples before training",
                )


def duplicates(subject: Subject) -> Iterator[Finding]:
    """Look for validation samples that training shows too."""
    train, val = table(subject.train_set), table(subject.val_set)
    if subject.train_set is subject.val_set and subject.train_set is not None:
        at = None
        yield found(
            "leak-between-splits",
            "val_set",
            "is the training set itself: duplicates in every sample",
            severity="warning",
            at=at,
            evidence="one object",
            effect="validation cannot show over-fitting",
            fix="Hold samples back: torch.utils.data.random_split",
        )
        return
    if train is None or val is None or train.shape != val.shape or len(val.indices) < 20:
        return
    ours, theirs = _keys(train), _keys(val)
    if ours is None or theirs is None:
        return
    natural = 1 - len(set(ours)) / len(ours)
    share = sum(key in set(ours) for key in theirs) / len(theirs)
    seen = len(train.indices) / train.total
    if share <= 0.01 or share < 3 * natural + 0.01:
        return
    yield found(
        "leak-between-splits",
        "val_set: duplicates",
        "holds samples of the training set: a leak between the splits",
        severity="error" if share >= 0.05 else "warning",
        at=subject.where_made(subject.val_set),
        evidence=f"{share:.0%} of the validation samples stand in training too"
        + ("" if seen == 1 else f" (of which {seen:.0%} were looked at)"),
        effect="validation is better than the model, and does not show over-fitting",
        fix="Split once, by index, and remove duplicates before",
    )


def leaked(subject: Subject) -> Iterator[Finding]:
    """Look for a feature that is the target itself."""
    rows = table(subject.train_set)
    if rows is None or rows.inputs is None or rows.targets is None or len(rows.indices) < 64:
        return
    target = rows.targets.double()
    target = target[:, 0] if target.dim() == 2 and target.shape[1] == 1 else target
    if target.dim() != 1 or not 2 <= rows.inputs.shape[1] <= 2048 or len(rows.shape) != 1:
        return
    same = (rows.inputs - target[:, None]).abs().amax(0) <= 1e-6 * target.abs().max().clamp_min(1e-12)
    same &= rows.inputs.std(0) > 0
    if same.any():
        column = int(same.nonzero()[0])
        yield found(
            "target-in-inputs",
            f"train_set: input {column}",
            "is the target itself: a leak",
            at=subject.where_made(subject.train_set),
            evidence=f"feature {column} equals the target in all {len(target)} samples that were looked at",
            effect="training and validation look perfect, and nothing was learned",
            fix="Take this column out of the inputs",
        )


def few(subject: Subject) -> Iterator[Finding]:
    """Hold the batch size against the data set."""
    data = subject.train_set
    if data is None or not hasattr(data, "__len__"):
        return
    if subject.drop_last and len(data) < subject.batch_size:
        yield found(
            "no-full-batch",
            "batch_size",
            f"is {subject.batch_size}, and with drop_last the training set's {len(data)} samples give no batch",
            effect="nothing is trained",
            fix=f"batch_size={max(len(data) // 2, 1)}, or drop_last=False",
        )


def _comparable(train: Table | None, val: Table | None) -> bool:
    if train is None or val is None or train.inputs is None or val.inputs is None:
        return False
    if train.inputs.shape[1] != val.inputs.shape[1] or min(len(train.indices), len(val.indices)) < 30:
        return False
    return bool(train.inputs.isfinite().all() and val.inputs.isfinite().all())


def _keys(rows: Table) -> list[bytes] | None:
    values = rows.inputs if rows.inputs is not None else rows.raw
    if values is None or values.shape[1] < 2:
        return None
    return [row.numpy().tobytes() for row in values]


def _rms(tensor: Tensor | None) -> float | None:
    if tensor is None or not tensor.is_floating_point() or tensor.numel() == 0:
        return None
    value = float(tensor.double().square().mean().sqrt())
    return value if value < float("inf") else None


def _has_weights(op: Any) -> bool:
    return any(fact.name and len(fact.shape) > 1 for fact in op.inputs)


def _before(subject: Subject, fact: Any) -> list[Any]:
    return subject.trace.recording.ancestors(fact)


def _is_raw(subject: Subject) -> bool:
    """Say whether the first operation on the inputs is a layer with weights."""
    inputs = {id(fact) for fact in subject.trace.inputs}
    first = next((op for op in subject.trace.recording.ops if any(id(fact) in inputs for fact in op.inputs)), None)
    return first is not None and first.name in WEIGHTED


def _scaling(subject: Subject) -> Line | None:
    """Return the line at which the data are scaled or read, as far as the user's source shows it."""
    code = code_of(subject.train_set)
    if code is not None:
        method = code.methods().get("__getitem__")
        if method is not None:
            return method.line(method.node)
    for file in subject.files:
        whole = tree(file)
        for node in ast.walk(whole) if whole is not None else ():
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
                factor = getattr(node.right, "value", None)
                if isinstance(factor, int | float) and factor >= LARGE:
                    return Line(file, node.lineno)
    return None


RULES = (few, finite, scale, features, alike, duplicates, leaked)
