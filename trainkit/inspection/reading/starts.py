"""Functions that initialise, given to ``apply``, and the layers for which they ask."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.source import Code, called, tree, walk
from trainkit.inspection.subject import Subject, found


def idle_init(subject: Subject) -> Iterator[Finding]:
    """Find functions given to ``apply`` that ask for kinds of layers of which the model has none."""
    for file in subject.files:
        whole = tree(file)
        for call in walk(whole) if whole is not None else ():
            if not isinstance(call, ast.Call) or not called(call).endswith(".apply") or len(call.args) != 1:
                continue
            name = called(call.args[0])
            functions = [n for n in walk(whole) if isinstance(n, ast.FunctionDef)] if whole is not None else []
            node = next((n for n in functions if n.name == name), None)
            tests = _kinds_asked(node) if node is not None else []
            kinds = {kind for test in tests for kind in test}
            held = {cls.__name__ for module in subject.model.modules() for cls in type(module).__mro__}
            if not kinds or kinds & held or node is None or not is_of_model(whole, held):
                continue
            yield found(
                "init-never-applied",
                f"{name}: {', '.join(sorted(kinds))}",
                f"initialises {', '.join(sorted(kinds))} only, and the model has no such layer: it matches nothing, "
                "and the init is never applied",
                severity="warning" if len(tests) == 1 else "info",
                at=Code(file, name, node).line(node.body[-1]),
                evidence=f"apply({name}) changes no module of {len(list(subject.model.modules()))}",
                effect="the layers keep PyTorch's own initialisation",
                fix="Ask for the layers that the model has, such as isinstance(m, nn.Linear)",
            )
            return


def is_of_model(whole: ast.Module | None, held: set[str]) -> bool:
    """Say whether a file has no networks but the model's, of which another may be the one that is initialised."""
    classes = [node for node in walk(whole) if isinstance(node, ast.ClassDef)] if whole is not None else []
    networks = {node.name for node in classes if any(called(base).endswith("Module") for base in node.bases)}
    return networks <= held


def _kinds_asked(node: ast.FunctionDef) -> list[set[str]]:
    """Return the classes for which each branch of a function asks; none if it does anything besides."""
    body = [item for item in node.body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
    found_kinds: list[set[str]] = []
    branch = body[0] if len(body) == 1 else None
    while isinstance(branch, ast.If):
        test = branch.test
        asked: list[ast.expr] = []
        if isinstance(test, ast.Call) and called(test) == "isinstance" and len(test.args) == 2:
            asked = list(test.args[1].elts) if isinstance(test.args[1], ast.Tuple) else [test.args[1]]
        elif isinstance(test, ast.Compare) and called(test.left) == "type" and isinstance(test.ops[0], ast.Eq | ast.Is):
            asked = test.comparators
        names = {called(item).rpartition(".")[2] for item in asked}
        if not names or "" in names:
            return []
        found_kinds.append(names)
        branch = branch.orelse[0] if len(branch.orelse) == 1 else None
    return found_kinds


RULES = (idle_init,)
