"""Where two ways through a network meet: a shortcut that was changed, cut off or is no other, and one thing twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Line, called, tree, walk
from trainkit.inspection.step.bounds import ACTIVATIONS
from trainkit.inspection.step.structure import LINEAR
from trainkit.inspection.step.view import SHAPING, View, seen
from trainkit.inspection.subject import Subject, found

ADDING = ("add", "radd", "iadd", "cat", "concat", "concatenate")
MIXING = LINEAR | {"matmul", "bmm", "scaled_dot_product_attention", "multi_head_attention_forward"}


def changed_in_place(subject: Subject) -> Iterator[Finding]:
    """Find activations in place on a tensor that the same function goes on using as its shortcut."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if not _is_in_place(op) or op.name not in ACTIVATIONS or op.line is None or not op.inputs or op.inputs[0].name:
            continue
        before, after = op.inputs[0], op.outputs[0]
        if before.low is None or (before.low >= 0 and op.name == "relu"):
            continue
        name = _goes_on(op.line, _callees(view, op))
        if name is None or not any(_joins(view, reader, after) for reader in view.readers.get(after.number, [])):
            continue
        what = view.module_named(op) or op.name
        place, _ = view.place(op, name)
        yield found(
            "shortcut-changed",
            f"{place} ({what})" if what not in place else place,
            f"works in place (inplace=True) on {name}, which is also the residual: the shortcut adds what {op.name} "
            f"left of {name}, not {name} itself (no identity)",
            severity="warning",
            at=_inplace_line(view, op) or op.line,
            evidence=f"values {before.low:.3g}..{before.high:.3g} before, {after.low:.3g}..{after.high:.3g} after; "
            f"{name} is read again later",
            effect="negative values never pass the skip connection, and the network is another one than is written",
            fix="nn.ReLU() without inplace=True, or keep identity = x.clone()",
        )
        return


def _is_in_place(op: Op) -> bool:
    return op.in_place or op.kwargs.get("inplace") is True or any(item is True for item in op.args[1:])


def _inplace_line(view: View, op: Op) -> Line | None:
    return view.subject.where_built(op.module) if op.module and not op.own else op.line


def _callees(view: View, op: Op) -> set[str]:
    """Return the names by which an operation's line calls what changes its tensor: itself, or a module given that."""
    if op.own:
        return {op.name, f"{op.name}_"}
    here = [call for call in view.recording.calls if call.line == op.line]
    paths = {call.path for call in here}
    given = [call.path for call in here if op.inputs[0] in call.inputs and not _within(call.path, paths)]
    return {path.rpartition(".")[2] for path in given} | ({""} if given else set())


def _within(path: str, paths: set[str]) -> bool:
    return any(path.startswith(f"{other}.") for other in paths if other)


def _goes_on(line: Line, callees: set[str]) -> str | None:
    """Return the name that a line hands to a function without setting it anew, and that is read later."""
    function = _around(line)
    if function is None:
        return None
    statement = next(
        (n for n in walk(function) if isinstance(n, ast.Assign | ast.Return | ast.Expr) and _holds(n, line.line)),
        None,
    )
    if statement is None:
        return None
    calls = [n for n in walk(statement) if isinstance(n, ast.Call)]
    fitting = [n for n in calls if called(n).rpartition(".")[2] in callees or ("" in callees and _is_local(n))]
    given = [arg.id for n in fitting for arg in n.args if isinstance(arg, ast.Name)]
    targets = [item.id for item in getattr(statement, "targets", []) if isinstance(item, ast.Name)]
    for name in given:
        aliases = {name} | {
            target.id
            for node in walk(function)
            if isinstance(node, ast.Assign) and node.lineno < line.line and isinstance(node.value, ast.Name)
            for target in node.targets
            if node.value.id == name and isinstance(target, ast.Name)
        }
        for other in sorted(aliases, key=lambda item: item == name):
            if other not in targets and _is_added(function, statement, other):
                return other
    return None


def _is_local(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name | ast.Subscript)


def _is_added(function: ast.AST, statement: ast.AST, name: str) -> bool:
    """Say whether a name stands in a sum, or a list to be joined, at or after a statement."""
    start = getattr(statement, "lineno", 0)
    for node in walk(function):
        parts: list[ast.AST] = []
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts = [node.left, node.right]
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            parts = [node.value, node.target]
        elif isinstance(node, ast.Call) and called(node).rpartition(".")[2] in ("cat", "concat", "add"):
            parts = [
                item for arg in node.args for item in (arg.elts if isinstance(arg, ast.List | ast.Tuple) else [arg])
            ]
        named = any(isinstance(part, ast.Name) and part.id == name for part in parts)
        if named and getattr(node, "lineno", 0) >= start and not _is_set_between(function, start, node, name):
            return True
    return False


def _is_set_between(function: ast.AST, start: int, end: ast.AST, name: str) -> bool:
    last = getattr(end, "lineno", 0)
    return any(
        isinstance(node, ast.Assign)
        and start <= node.lineno < last
        and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        for node in walk(function)
    )


def _around(line: Line) -> ast.FunctionDef | None:
    whole = tree(line.file)
    nodes = (n for n in walk(whole) if isinstance(n, ast.FunctionDef)) if whole is not None else ()
    return max((n for n in nodes if _holds(n, line.line)), key=lambda n: n.lineno, default=None)


def _holds(node: ast.stmt, number: int) -> bool:
    return node.lineno <= number <= (node.end_lineno or node.lineno)


def _joins(view: View, op: Op, fact: Fact) -> bool:
    """Say whether an operation adds a tensor to what was computed from it."""
    others = [item for item in op.inputs if item is not fact]
    return op.name in ADDING and any(
        fact in maker.inputs for item in others for maker in view.recording.ancestors(item)
    )


def detached_shortcut(subject: Subject) -> Iterator[Finding]:
    """Find sums of a detached tensor and of what layers made of it: the skip connection passes no gradient."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if op.name not in ("add", "radd", "iadd") or len(op.inputs) != 2 or op.module is None:
            continue
        for cut, live in (op.inputs, op.inputs[::-1]):
            made = cut.maker
            if made is None or made.name not in ("detach", "data") or not live.requires_grad or not made.inputs:
                continue
            whole = made.inputs[0]
            branch = [item for item in view.recording.ancestors(live) if item.number > _born(whole)]
            mixed = any(item.name in MIXING and any(fact.name for fact in item.inputs) for item in branch)
            fed = any(whole in item.inputs for item in branch if item is not made)
            if not whole.requires_grad or not mixed or not fed:
                continue
            place, line = view.place(made, ".detach()")
            yield found(
                "shortcut-detached",
                place,
                "detaches the shortcut of a residual block: the skip connection passes values on, and no gradient back",
                severity="warning",
                at=line,
                evidence=f"x.detach() + f(x) with x {tuple(whole.shape)}: the gradient of x comes through f alone",
                effect="the gradient has to pass every layer of every block, as without residual connections",
                fix="Write x + f(x)",
            )
            return


def _born(fact: Fact) -> int:
    return fact.maker.number if fact.maker is not None else -1


def same_twice(subject: Subject) -> Iterator[Finding]:
    """Find two things that are put together and are one: ``cat([u, u])``, ``a - a``."""
    view = seen(subject)
    if view is None or subject.train_step is not None:
        return
    for op in view.path:
        if op.module is None or not op.own or len(op.inputs) < 2 or not op.inputs[0].requires_grad:
            continue
        one, two = (_unshaped(fact) for fact in op.inputs[:2])
        if one is not two or op.inputs[0].shape != op.inputs[1].shape:
            continue
        joined = op.name in ("cat", "concat") and len(op.inputs) == 2 and _dim(op) not in (0, None)
        zero = op.name in ("sub", "rsub", "pairwise_distance", "cosine_similarity")
        if not joined and not zero:
            continue
        place, line = view.place(op)
        yield found(
            "same-tensor-twice",
            place,
            f"is given the same tensor twice: {'concatenated with itself' if joined else 'the result is constant'}"
            ", where another one (the skip connection, the other branch) is meant",
            severity="warning" if joined else "error",
            at=line,
            evidence=f"both arguments are one tensor of {tuple(op.inputs[0].shape)}",
            effect="half of what the next layer reads is a copy, and what was meant is never used"
            if joined
            else "nothing of the input goes through",
            fix="Give it the other tensor: torch.cat([x, skip], dim=1)",
        )
        return


def _unshaped(fact: Fact) -> Fact:
    while (
        fact.maker is not None and fact.maker.inputs and fact.maker.name in SHAPING - {"t", "T", "transpose", "permute"}
    ):
        fact = fact.maker.inputs[0]
    return fact


def _dim(op: Op) -> int | None:
    dim = op.setting("dim", 1, 0)
    return dim % len(op.outputs[0].shape) if isinstance(dim, int) else None


RULES = (changed_in_place, detached_shortcut, same_twice)
