"""Inputs: their range, their scale, and whether training and validation were treated alike."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.probes.origins import is_scaling, made_at, method_of, origin
from trainkit.inspection.probes.tables import table
from trainkit.inspection.recording import Fact, Op, Recording
from trainkit.inspection.source import Line, called, tree, unparse, walk
from trainkit.inspection.step.view import seen
from trainkit.inspection.subject import Subject, found

FAR, VERY_FAR = 22.0, 30.0
"""Root mean square of what the first layer reads, from which it is a warning, and an error; it is made for about 1."""
LARGE = 10.0
"""Spread of a feature, or a factor in the source, from which it is a large one."""
WEIGHTED = ("linear", "conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "addmm", "matmul", "mm")
FLAT = 1e-2
"""Standard deviation of all that the first layer reads, relative to its size, below which it reads a constant."""
ODD = 0.25
"""Distance of mean from 0 and of standard deviation from 1 within which inputs count as normalised already."""


def scale(subject: Subject) -> Iterator[Finding]:
    """Look at what the first layer with weights reads, whatever normalises before it."""
    if not subject.runs or not subject.trace.inputs:
        return
    view = seen(subject) if subject.train_step is not None else None  # which may prepare inputs itself
    recording = view.recording if view is not None else subject.trace.recording
    inputs = {id(fact) for fact in (view.inputs if view is not None else subject.trace.inputs)}
    for op in recording.ops:
        if op.module is None or op.name not in WEIGHTED or not op.inputs:
            continue
        read = op.inputs[0]
        rms = _rms(read.tensor)
        before = recording.ancestors(read)
        came = {id(fact) for other in before for fact in other.inputs} | {id(read)}
        if rms is None or not came & inputs or any(_has_weights(other) for other in before):
            return
        if rms > FAR:
            grave = rms > VERY_FAR
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
        elif 0 < (spread := _spread(read.tensor)) < FLAT * rms and not _is_normed(recording, op):
            yield found(
                "inputs-not-normalised",
                "train_set: input range",
                f"inputs reach the first layer in {read.low:.4g}..{read.high:.4g}, nearly constant: normalised or "
                "divided (by 255) twice?",
                at=_dividing(subject) or _scaling(subject),
                evidence=f"standard deviation {spread:.2g} around {rms:.3g}; layers are initialised for a deviation of "
                "about 1",
                effect="what tells samples apart is lost beside the constant part",
                fix="Scale once: ToTensor() divides pixels by 255 already",
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
    rows = table(subject, "train_set")
    if rows is None or rows.inputs is None or len(rows.shape) != 1 or not 2 <= rows.inputs.shape[1] <= 512:
        return
    if not subject.runs or len(rows.indices) < 32 or not _is_raw(subject) or not bool(rows.inputs.isfinite().all()):
        return
    low, high = rows.inputs.quantile(torch.tensor([0.02, 0.98]), 0)
    spread = rows.inputs.clamp(low, high).std(0)
    real = spread[spread > 0]
    if len(real) < 2 or real.max() < LARGE or real.max() / real.median() < 30:
        return
    column = int(spread.argmax())
    yield found(
        "features-unlike",
        "train_set: input range",
        f"feature {column} is not normalised: its standard deviation is {float(spread[column]):.3g}, the median of all "
        f"{float(real.median()):.3g}",
        severity="error" if real.max() > 90 else "warning",
        at=_scaling(subject),
        evidence=f"{int((spread > LARGE).sum())} of {len(spread)} features above {LARGE:g}",
        effect="the large feature decides alone, and the rate that suits it is too small for the others",
        fix="(x - mean) / std by feature, with the training set's figures",
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


def _rms(tensor: Tensor | None) -> float | None:
    """Return the root mean square of all but the few largest values."""
    if tensor is None or not tensor.is_floating_point() or tensor.numel() == 0:
        return None
    flat = tensor.double().flatten()
    sizes = flat[:: max(len(flat) // 100_000, 1)].abs().sort().values
    value = float(sizes[: max(int(0.995 * len(sizes)), 1)].square().mean().sqrt())
    return value if value < float("inf") else None


def _spread(tensor: Tensor | None) -> float:
    """Return the standard deviation over samples and positions, 0 of a single sample."""
    if tensor is None or tensor.dim() < 2 or len(tensor) < 2 or not bool(tensor.isfinite().all()):
        return 0.0
    return float(tensor.double().std())


def _is_normed(recording: Recording, first: Op) -> bool:
    """Say whether a norm takes what the first layer gives, and so undoes its scale."""
    users = [op for fact in first.outputs for op in recording.users(fact)]
    return any("norm" in op.name for op in users)


def _has_weights(op: Any) -> bool:
    return any(fact.name and len(fact.shape) > 1 for fact in op.inputs)


def _is_raw(subject: Subject) -> bool:
    """Say whether the first operation on the inputs is a layer with weights."""
    inputs = {id(fact) for fact in subject.trace.inputs}
    first = next((op for op in subject.trace.recording.ops if any(id(fact) in inputs for fact in op.inputs)), None)
    return first is not None and first.name in WEIGHTED


def twice(subject: Subject) -> Iterator[Finding]:
    """Compare inputs as they come with what the first layer with weights reads: normalised data need no more of it."""
    if not subject.runs or not subject.trace.inputs:
        return
    recording = subject.trace.recording
    first = subject.trace.inputs[0]
    for op in recording.ops:
        if op.module is None or op.name not in WEIGHTED or not op.inputs:
            continue
        read = op.inputs[0]
        before = recording.ancestors(read)
        steps = [other for other in before if other.own and other.name in ("sub", "div", "mul", "normalize")]
        steps = [other for other in steps if sum(_is_given(recording, fact, first) for fact in other.inputs) == 1]
        if all(other.name == "mul" for other in steps):
            return  # made sharper, not normalised
        if any(_has_weights(other) for other in before) or read.tensor is None or first.tensor is None:
            return
        if not any(first in other.inputs for other in before) or first.tensor.numel() != read.tensor.numel():
            return
        given, seen = _moments(first.tensor), _moments(read.tensor)
        if not _is_normal(given, ODD) or (abs(seen[0]) < 1 and 0.4 < seen[1] < 2.5):
            return
        yield found(
            "normalised-twice",
            "train_set: input range",
            "is normalised already, and the model normalises again: inputs are normalised twice",
            at=steps[-1].line,
            evidence=f"mean {given[0]:.3g} and deviation {given[1]:.3g} become {seen[0]:.3g} and {seen[1]:.3g}",
            effect="the first layer reads values far from those that it is made for",
            fix="Normalise once, in the data set or in the model",
        )
        return


def applied_twice(subject: Subject) -> Iterator[Finding]:
    """Read whether one function that normalises is applied twice to the training inputs, where they look like it."""
    rows = table(subject, "train_set")
    values = None if rows is None else rows.inputs
    made, method = origin(subject, "train_set"), method_of(subject.train_set, "__getitem__")
    if values is None or not bool(values.isfinite().all()) or _is_normal(_moments(values), ODD):
        return
    sources = [(method.file, method.node)] if method is not None else []
    sources += [(made.file, part) for part in made.parts] if made is not None else []
    if method is not None and (whole := tree(method.file)) is not None:
        read = {node.id for node in walk(method.node) if isinstance(node, ast.Name)}
        sources += [
            (method.file, node) for node in whole.body if isinstance(node, ast.Assign) and _sets_one(node, read)
        ]
    for file, part in sources:
        for node in walk(part):
            name = _repeated(node) if isinstance(node, ast.Call) else ""
            if not name:
                continue
            mean, deviation = _moments(values)
            yield found(
                "normalised-twice",
                "train_set: input range",
                f"is normalised twice: {name} is applied to what {name} gave",
                severity="warning",
                at=Line(file, getattr(node, "lineno", 1)),
                evidence=f"inputs have mean {mean:.3g} and standard deviation {deviation:.3g}; normalised once they "
                "would have about 0 and 1",
                effect="the first layer reads values far from those that it is made for",
                fix=f"Apply {name} once",
            )
            return


def _sets_one(node: ast.Assign, names: set[str]) -> bool:
    return any(isinstance(target, ast.Name) and target.id in names for target in node.targets)


def _repeated(call: ast.Call) -> str:
    """Return the name of a function that normalises and stands twice: ``f(f(x))``, or twice in a list of steps."""
    steps = [item for argument in call.args for item in getattr(argument, "elts", [argument])]
    names = [unparse(item) for item in steps if isinstance(item, ast.Name | ast.Attribute | ast.Call)]
    twice_there = [name for name in names if names.count(name) > 1 and _is_scaler(name)]
    inner = [unparse(item.func) for item in call.args if isinstance(item, ast.Call)]
    nested = [name for name in inner if name == unparse(call.func) and _is_scaler(name)]
    return (twice_there + nested)[0] if twice_there or nested else ""


def _is_scaler(name: str) -> bool:
    return any(word in name.lower() for word in ("normal", "standard", "whiten", "zscore", "z_score", "rescale"))


def _is_given(recording: Recording, fact: Fact, first: Fact) -> bool:
    """Say whether a tensor comes from the inputs."""
    return fact is first or any(first in op.inputs for op in recording.ancestors(fact))


def _moments(tensor: Tensor) -> tuple[float, float]:
    wide = tensor.double()
    return float(wide.mean()), float(wide.std())


def _is_normal(moments: tuple[float, float], most: float) -> bool:
    return abs(moments[0]) < most and abs(moments[1] - 1) < most


def constant(subject: Subject) -> Iterator[Finding]:
    """Look for inputs without any content: all values of nearly all samples are one."""
    rows = table(subject, "train_set")
    values = None if rows is None else rows.values
    if rows is None or values is None or not rows.alone or len(values) < 32 or values.shape[1] < 4:
        return
    flat = (values == values[:, :1]).all(1)
    share = float(flat.double().mean())
    if share < 0.5:
        return
    yield found(
        "constant-inputs",
        "train_set: inputs",
        f"are constant: {share:.0%} of the samples hold one value everywhere",
        severity="error" if share > 0.9 and len(values.unique()) < 3 else "warning",
        at=_scaling(subject) or made_at(subject, "train_set"),
        evidence=f"{int(flat.sum())} of {len(flat)} samples; the first is {float(values[0, 0]):.4g} throughout",
        effect="there is nothing to learn from them",
        fix="Look at how inputs are read: an integer division, a cast to integers, a wrong path",
    )


def constant_column(subject: Subject) -> Iterator[Finding]:
    """Look for columns of a table that hold one value in every sample, beside others that vary."""
    rows = table(subject, "train_set")
    values = None if rows is None else rows.inputs
    if rows is None or values is None or len(values) < 64 or not rows.alone or rows.samples[0].inputs[0].dim() != 1:
        return
    still = (values == values[:1]).all(0)
    columns = still.nonzero().flatten().tolist()
    if not columns or len(columns) > max(3, len(still) // 10) or len(columns) == len(still):
        return
    yield found(
        "constant-column",
        f"train_set: column {columns[0]}",
        f"is constant: the feature has one value, {float(values[0, columns[0]]):.4g}, in every sample",
        severity="info",
        at=made_at(subject, "train_set"),
        evidence=f"{len(columns)} of {len(still)} columns have no variance over {len(values)} samples",
        effect="it tells the model nothing, and standardised it would divide by 0",
        fix="Leave the column out, or look at how it is read: a wrong index, a failed sensor, a join without a match",
    )


def _scaling(subject: Subject) -> Line | None:
    """Return the line at which the training inputs get their range: a factor, a missing division, or their making."""
    made, method = origin(subject, "train_set"), method_of(subject.train_set, "__getitem__")
    sources = [(method.file, method.node)] if method is not None else []
    sources += [(made.file, part) for part in made.parts] if made is not None else []
    for wanted in (_is_factor, _is_wide_draw, _is_cast, is_scaling):
        for file, part in sources:
            for node in walk(part):
                if hasattr(node, "lineno") and wanted(node):
                    return Line(file, node.lineno)
    if method is not None:
        return method.line(method.node)
    return made_at(subject, "train_set")


def _dividing(subject: Subject) -> Line | None:
    """Return the line of the user's by which inputs are divided by a large number."""
    made, method = origin(subject, "train_set"), method_of(subject.train_set, "__getitem__")
    sources = [(method.file, method.node)] if method is not None else []
    sources += [(made.file, part) for part in made.parts] if made is not None else []
    for file, part in sources:
        for node in walk(part):
            if _is_factor(node) and isinstance(getattr(node, "op", None), ast.Div):
                return Line(file, getattr(node, "lineno", 1))
    return None


def _is_factor(node: ast.AST) -> bool:
    """Say whether a node multiplies by a large number, or divides by one."""
    if not isinstance(node, ast.BinOp | ast.AugAssign) or not isinstance(node.op, ast.Mult | ast.Div):
        return False
    sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
    values = [getattr(side, "value", None) for side in sides]
    return any(isinstance(value, int | float) and abs(value) >= LARGE for value in values)


def _is_wide_draw(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or called(node).rpartition(".")[2] not in ("randint", "integers", "uniform"):
        return False
    return any(isinstance(item, ast.Constant) and item.value in (255, 256) for item in node.args)


def _is_cast(node: ast.AST) -> bool:
    """Say whether a node turns something into floats, as pixels are before they are divided."""
    if not isinstance(node, ast.Call):
        return False
    name = called(node).rpartition(".")[2]
    return name in ("float", "from_numpy", "pil_to_tensor") or (name in ("to", "astype") and "float" in unparse(node))


RULES = (few, scale, twice, applied_twice, constant, constant_column, features)
