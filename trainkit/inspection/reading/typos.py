"""Statements that Python takes without a word and that do nothing: misspelt attributes, calls without brackets."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.reading import settings
from trainkit.inspection.reading.parts import assigned
from trainkit.inspection.source import Line, called, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

REAL = ("requires_grad", "training", "weight", "bias", "grad", "data", "param_groups")
METHODS = ("eval", "train", "zero_grad", "step", "backward", "cuda", "requires_grad_", "clear", "reset_parameters")
PURE = {"relu", "sigmoid", "tanh", "softmax", "log_softmax", "view", "reshape", "permute", "transpose", "squeeze"}
PURE |= {
    "unsqueeze",
    "flatten",
    "clamp",
    "detach",
    "float",
    "half",
    "contiguous",
    "dropout",
    "masked_fill",
    "normalize",
}
PURE |= {"clip", "expand", "gelu", "leaky_relu", "layer_norm", "batch_norm", "add", "mul", "div", "sub", "index_fill"}
PURE |= {"scatter", "roll", "flip", "t", "abs", "exp", "log", "sqrt", "max_pool2d", "avg_pool2d", "linear", "cat"}


def attribute_typos(subject: Subject) -> Iterator[Finding]:
    """Find attributes that are set, read by nobody, and close to a real one; and ``requires_grad`` on a module."""
    yield from _frozen_in_vain(subject)
    yield from settings.in_vain(subject)
    for file in subject.files:
        whole = tree(file)
        if whole is None:
            continue
        read = {node.attr for node in walk(whole) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
        read |= {node.value for node in walk(whole) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        for node, name, owner in _settings(whole):
            real = _meant(name, owner)
            if real is None or (name in read and not _only_set(whole, name)):
                continue
            yield found(
                "attribute-typo",
                f"{owner}.{name}",
                f"sets the attribute {name}, which nothing reads: did you mean {real}?",
                at=Line(file, node.lineno),
                effect="the statement does nothing"
                + (": the weights stay trainable" if real == "requires_grad" else ""),
                fix=f"Write {owner}.{real}",
            )


def _settings(whole: ast.AST) -> Iterator[tuple[ast.stmt | ast.expr, str, str]]:
    for node in walk(whole):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute):
                    yield node, target.attr, unparse(target.value)
        elif isinstance(node, ast.Call) and called(node) == "setattr" and len(node.args) == 3:
            name = getattr(node.args[1], "value", None)
            if isinstance(name, str):
                yield node, name, unparse(node.args[0])


def _only_set(whole: ast.AST, name: str) -> bool:
    loads = [node for node in walk(whole) if isinstance(node, ast.Attribute) and node.attr == name]
    return not any(isinstance(node.ctx, ast.Load) for node in loads) and not any(
        isinstance(node, ast.Call) and called(node) in ("getattr", "hasattr") and name in unparse(node)
        for node in walk(whole)
    )


def _meant(name: str, owner: str) -> str | None:
    """Return the real attribute that a name is a misspelling of."""
    plain = name.strip("_")
    if name in REAL or hasattr(Tensor, name) or hasattr(nn.Module, name) or len(plain) < 4:
        return None
    if owner == "self" and plain not in _near_words():
        return None
    for real in REAL:
        if real == "requires_grad" and plain.replace("_", "") in _spellings():
            return real
        if len(real) >= 4 and _distance(plain, real) <= 1 + (len(real) > 7) and not _is_word(plain, real):
            return real
    return None


def _near_words() -> set[str]:
    return {"require_grad", "requires_gradient", "requires_grads", "trainning", "traning", "traing"}


def _spellings() -> set[str]:
    words = {"requiregrad", "requiresgrads", "requiresgradient", "requiregradient", "requiregrads", "reqiuresgrad"}
    return words | {
        "requiredgrad",
        "requiresgard",
        "requiresgrad",
        "needsgrad",
        "reqgrad",
        "requiregard",
        "requirsgrad",
    }


def _is_word(name: str, real: str) -> bool:
    """Say whether a name is another word, such as the plural, and no misspelling."""
    return (
        name == f"{real}s"
        or f"{name}s" == real
        or name in ("date", "gradient", "basis", "bases", "trailing", "height", "weigh")
    )


def _distance(one: str, other: str) -> int:
    """Return how many letters must be changed, added, left out or swapped."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def _frozen_in_vain(subject: Subject) -> Iterator[Finding]:
    for path, module in subject.model.named_modules():
        for name in ("requires_grad", "require_grad", "trainable", "train", "eval"):
            value = vars(module).get(name)
            trainable = [p for p in module.parameters() if p.requires_grad]
            if (
                not isinstance(value, bool)
                or (name == "requires_grad" and value)
                or (name != "train" and not trainable)
            ):
                continue
            if name == "trainable" and (value or _reads(subject, name)):
                continue
            at = _set_line(subject, name)
            yield found(
                "attribute-typo",
                f"{path or 'model'}.{name}",
                f"sets {name} = {value} as an attribute of a module, in vain: its parameters keep requires_grad=True",
                at=at,
                evidence=f"{sum(p.numel() for p in trainable)} numbers of it are still trainable",
                effect="what was to be frozen is trained"
                if "grad" in name or name == "trainable"
                else "the mode does not change",
                fix="Write module.requires_grad_(False)" if name not in ("train", "eval") else f"Write module.{name}()",
            )


def _reads(subject: Subject, name: str) -> bool:
    trees = [whole for file in subject.files if (whole := tree(file)) is not None]
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)
        for whole in trees
        for node in walk(whole)
    )


def _set_line(subject: Subject, name: str) -> Line | None:
    for file in subject.files:
        whole = tree(file)
        for node, attribute, _ in _settings(whole) if whole is not None else ():
            if attribute == name:
                return Line(file, node.lineno)
    at = assigned(subject.model, name)
    return at[0] if at else None


# ---------------------------------------------------------------------------- statements without effect


def idle_statements(subject: Subject) -> Iterator[Finding]:
    """Find statements that compute something and drop it, compare where they should set, or name a method."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if not isinstance(node, ast.Expr):
                continue
            value, at = node.value, Line(file, node.lineno)
            text = unparse(value)
            if isinstance(value, ast.Attribute) and value.attr in METHODS:
                yield _idle(
                    f"{text}",
                    f"names the method {value.attr} without calling it: brackets are missing",
                    at,
                    f"Write {text}()",
                )
            elif isinstance(value, ast.Compare) and isinstance(value.ops[0], ast.Eq) and _settable(value.left):
                fix = f"Write {text.replace('==', '=', 1)}"
                yield _idle(text, "compares with == where it should set with =", at, fix)
    yield from _dropped_results(subject)


def _settable(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute | ast.Subscript)


def _idle(place: str, message: str, at: Line, fix: str) -> Finding:
    return found("idle-statement", place, message, at=at, effect="the statement does nothing", fix=fix)


def _dropped_results(subject: Subject) -> Iterator[Finding]:
    if not subject.runs:
        return
    told: set[Line] = set()
    recording = subject.trace.recording
    for op in recording.ops:
        if op.in_place or op.name not in PURE or op.line is None or op.line in told or not op.own:
            continue
        if op.setting("inplace", 99, False) or any(recording.users(fact) for fact in op.outputs):
            continue
        if op.inputs and any(fact in op.inputs or fact.tensor is op.inputs[0].tensor for fact in op.outputs):
            continue
        statement = _statement(op.line)
        if statement is None or called(statement).rpartition(".")[2].strip("_") != op.name:
            continue
        told.add(op.line)
        text = unparse(statement)
        message = f"computes {op.name} and drops the result: it does not change its argument in place"
        yield _idle(f"{op.function}: {op.name}", message, op.line, f"Write x = {text}")


def _statement(line: Line) -> ast.Call | None:
    whole = tree(line.file)
    for node in walk(whole) if whole is not None else ():
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.lineno == line.line:
            return node.value
    return None


RULES = (attribute_typos, idle_statements)
