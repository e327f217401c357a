"""Dropout, batch statistics and noise in ``forward`` that do not ask whether the model trains."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import Evaluation, evaluation
from trainkit.inspection.reading.parts import MISSING, Part, forward_parts
from trainkit.inspection.recording import Op
from trainkit.inspection.source import Line, called, code_of, unparse, walk
from trainkit.inspection.subject import Subject, found

ALWAYS = {F.dropout: 2, F.dropout1d: 2, F.dropout2d: 2, F.dropout3d: 2}
"""Functions that are active unless told otherwise, with the position of ``training``."""
NEVER = {F.alpha_dropout: 2, F.feature_alpha_dropout: 2, F.rrelu: 3}
"""Functions that are inactive unless told otherwise."""
NAMES = {function.__name__ for function in (*ALWAYS, *NEVER)}
METHODS = (torch.dropout, torch.alpha_dropout, torch.feature_dropout)
MEANT = (
    "monte carlo",
    "monte-carlo",
    "monte_carlo",
    "mc_",
    "mc ",
    "mc-",
    "bayes",
    "uncertain",
    "stochastic at",
    "mcdropout",
)


def functional_modes(subject: Subject) -> Iterator[Finding]:
    """Find functional dropout and norm that are on, or off, whatever the mode."""
    seen = evaluation(subject)
    for part in forward_parts(subject):
        for call in part.calls():
            meaning = part.meaning(call)
            if meaning in METHODS and meaning is not MISSING:
                yield from _dropout(subject, seen, part, call, 2, True)
            elif meaning in ALWAYS:
                yield from _dropout(subject, seen, part, call, ALWAYS[meaning], True)
            elif meaning in NEVER:
                yield from _dropout(subject, seen, part, call, NEVER[meaning], False)
            elif meaning is F.scaled_dot_product_attention:
                yield from _attention(subject, seen, part, call)
            elif meaning is F.batch_norm:
                yield from _norm(subject, seen, part, call)
    if seen is not None:
        yield from _by_other_names(subject, seen)


def _by_other_names(subject: Subject, seen: Evaluation) -> Iterator[Finding]:
    """Yield what drops in ``eval()`` by a name that reading does not know, such as a ``functools.partial``."""
    parts = forward_parts(subject)
    read = {part.line(call) for part in parts for call in part.calls() if _known(part.meaning(call))}
    for op in seen.recording.ops:
        if not op.own or op.line is None or any(_at(op.line, line) for line in read):
            continue
        attends = op.name == "multi_head_attention_forward" and op.setting("dropout_p", 11, 0.0)
        if (attends and op.setting("training", 13, True)) or (_drops(op) and op.setting("p", 1, 0.5)):
            part = next((part for part in parts if inside(part, op.line)), None)
            if part is None or is_meant(part, MEANT):
                continue
            yield found(
                "functional-training",
                f"{part.place}: {op.name}",
                f"{op.line.text} applies {op.name} without training=self.training, in eval() too",
                at=op.line,
                evidence="active in a forward pass in eval()",
                effect="evaluation is noisy and worse than the model is: outputs of one input differ",
                fix="Pass training=self.training",
            )


def _known(meaning: object) -> bool:
    return meaning is not MISSING and meaning in (*ALWAYS, *NEVER, *METHODS)


def _argument(call: ast.Call, name: str, position: int) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[position] if len(call.args) > position else None


def _dropout(
    subject: Subject, seen: Evaluation | None, part: Part, call: ast.Call, position: int, default: bool
) -> Iterator[Finding]:
    training = _argument(call, "training", position) or _argument(call, "train", position)
    if any(keyword.arg is None for keyword in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args):
        return
    constant = isinstance(training, ast.Constant)
    value = bool(training.value) if isinstance(training, ast.Constant) else default
    p = _argument(call, "p", 1)
    if (isinstance(p, ast.Constant) and p.value == 0) or (p is not None and "training" in unparse(p)):
        return
    name, line = called(call), part.line(call)
    if training is not None and not constant:
        if seen is None or not _active(seen, line):
            return
        value = True
    if part.guarded(call):
        return
    if value and seen is not None and not _active(seen, line):
        return  # does not run in evaluation
    either = isinstance(training, ast.BoolOp) and isinstance(training.op, ast.Or)  # self.training or a switch beside it
    meant = either or (constant and value and is_meant(part, MEANT))
    shown = unparse(call)
    if value:
        how = f"with {unparse(training)}" if training is not None else "without training=self.training"
        message = f"{shown} is called {how}, so it drops in eval() too"
        effect = "evaluation is noisy and worse than the model is: outputs of one input differ"
    else:
        how = "training=False" if constant else "training left at its default, False"
        message = f"{shown} is called with {how}, so it never does anything, in training neither"
        effect = "the regularisation that is written here does not take place"
    yield found(
        "functional-training",
        f"{part.place}: {name}",
        message,
        severity="info" if meant else "error",
        at=line,
        evidence="" if seen is None or not value else "active in a forward pass in eval()",
        effect=effect,
        fix=f"Write {name}(..., training=self.training)",
    )


def _active(seen: Evaluation, line: Line) -> bool:
    return any(op.own and op.line is not None and _at(op.line, line) for op in seen.recording.ops if _drops(op))


def _at(one: Line, other: Line) -> bool:
    return one.file == other.file and 0 <= one.line - other.line <= 4


def _drops(op: Op) -> bool:
    if op.name not in NAMES | {"feature_dropout"}:
        return False
    position = 3 if op.name == "rrelu" else 2
    return bool(
        op.setting("training", position, op.setting("train", position, op.name in {f.__name__ for f in ALWAYS}))
    )


def _attention(subject: Subject, seen: Evaluation | None, part: Part, call: ast.Call) -> Iterator[Finding]:
    p = _argument(call, "dropout_p", 4)
    if p is None or "training" in unparse(p) or part.guarded(call):
        return
    if isinstance(p, ast.Constant) and not p.value:
        return
    line = part.line(call)
    if seen is not None:
        ops = seen.recording.of("scaled_dot_product_attention")
        if not any(op.line is not None and _at(op.line, line) and op.setting("dropout_p", 4, 0.0) for op in ops):
            return
    elif not isinstance(p, ast.Constant):
        return
    yield found(
        "functional-training",
        f"{part.place}: {called(call)}",
        f"scaled_dot_product_attention applies dropout_p={unparse(p)} in eval() too: it knows no training mode",
        at=line,
        effect="evaluation is noisy and worse than the model is: outputs of one input differ",
        fix=f"Write dropout_p={unparse(p)} if self.training else 0.0",
    )


def _norm(subject: Subject, seen: Evaluation | None, part: Part, call: ast.Call) -> Iterator[Finding]:
    training = _argument(call, "training", 5)
    if training is not None and not isinstance(training, ast.Constant):
        return
    if part.guarded(call) or any(keyword.arg is None for keyword in call.keywords):
        return
    running = _argument(call, "running_mean", 1)
    value = bool(training.value) if isinstance(training, ast.Constant) else False
    bare = running is None or (isinstance(running, ast.Constant) and running.value is None)
    if not value and not _untouched_statistics(subject, part, call):
        return
    how = f"training={value}" if training is not None else "without training=self.training, which then is False"
    effects = "running statistics that were never measured are used, so nothing is normalised"
    if value:
        effects = (
            "a prediction depends on the other samples of its batch, and the running statistics move in evaluation"
        )
    yield found(
        "functional-training",
        f"{part.place}: {called(call)}",
        f"{called(call)} is called {how if training is None else 'with ' + how}, in training and eval() alike",
        severity="info" if bare and value else "error",
        at=part.line(call),
        effect=effects,
        fix=f"Write {called(call)}(..., training=self.training)",
    )


def _untouched_statistics(subject: Subject, part: Part, call: ast.Call) -> bool:
    """Say whether the running statistics are 0 and 1 as at first, and trainable weights follow."""
    if subject.train_set is None or subject.trace.error is not None:
        return False
    line = part.line(call)
    for op in subject.trace.recording.of("batch_norm"):
        if op.line is not None and _at(op.line, line) and len(op.inputs) >= 3 and not op.setting("training", 5, False):
            mean, variance = op.inputs[1], op.inputs[2]
            if (mean.low, mean.high, variance.low, variance.high) == (0, 0, 1, 1):
                return any(fact.requires_grad for fact in op.inputs[3:]) or len(op.inputs) == 3
    return False


def is_meant(part: Part, words: tuple[str, ...]) -> bool:
    """Say whether names and texts of a class and function tell that chance is meant."""
    code = code_of(part.owner) if part.owner is not None else None
    node = code.node if code is not None else part.code.node
    texts = [inner.value for inner in walk(node) if isinstance(inner, ast.Constant) and isinstance(inner.value, str)]
    names = [getattr(node, "name", ""), part.function.__name__]
    names += [inner.attr for inner in walk(node) if isinstance(inner, ast.Attribute)]
    names += [inner.id for inner in walk(node) if isinstance(inner, ast.Name)]
    everything = " ".join([*texts, *names, part.owner.__name__ if part.owner is not None else ""]).lower()
    return any(word in everything for word in words)


def inside(part: Part, line: Line) -> bool:
    """Say whether a line is one of a function's."""
    node = part.code.node
    return part.code.file == line.file and getattr(node, "lineno", 0) <= line.line <= getattr(node, "end_lineno", 0)


def dimless_softmax(subject: Subject) -> Iterator[Finding]:
    """Find softmax without ``dim``, which takes the first axis of three."""
    if not subject.runs:
        return
    for op in subject.trace.recording.of("softmax", "log_softmax", "softmin"):
        if op.line is None or op.setting("dim", 1) is not None or not op.inputs:
            continue
        axes = len(op.inputs[0].shape)
        wrong = axes not in (1, 2, 4)
        axis = 0 if axes in (0, 1, 3) else 1
        yield found(
            "softmax-dim",
            f"{op.module or type(subject.model).__name__}: {op.name}",
            f"calls {op.name} without dim, which then is {axis} for {axes} axes",
            severity="error" if wrong else "info",
            at=op.line,
            evidence=f"input {list(op.inputs[0].shape)}",
            effect="it is normalised over the samples of the batch" if wrong else "deprecated: the axis is guessed",
            fix=f"Write {op.name}(x, dim=-1)",
        )


RULES = (functional_modes, dimless_softmax)
