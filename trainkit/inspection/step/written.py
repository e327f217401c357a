"""Where the user wrote a setting of the optimizer or an initialisation."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainkit.inspection.source import Code, Line, called, code_of, tree, unparse, walk
from trainkit.inspection.subject import Subject

RANDOM = (
    "normal_ uniform_ trunc_normal_ copy_ randn rand normal xavier_uniform_ xavier_normal_ kaiming_uniform_ "
    "kaiming_normal_ orthogonal_ mul_ div_ randn_like mul add_ sub_ fill_diagonal_"
)
ZERO = "zeros_ zero_ constant_ fill_ zeros zeros_like full full_like copy_ mul_"
OTHER = "ones_ constant_ fill_ ones ones_like full full_like copy_ sub_ add_ mul_"


def setting_line(subject: Subject, name: str) -> Line | None:
    """Return the line that sets an argument of the optimizer, else the one that builds it."""
    kinds = {type(optimizer).__name__ for optimizer in subject.optimizers}
    built: Line | None = None
    for code in _places(subject):
        for call in code.calls():
            last = called(call).rpartition(".")[2]
            if last not in kinds:
                continue
            built = built or code.line(call)
            for word in call.keywords:
                if word.arg == name:
                    return code.line(word.value)
    return built


def _places(subject: Subject) -> Iterator[Code]:
    made = code_of(subject.make_optimizer) if subject.make_optimizer is not None else None
    if made is not None:
        yield made
    for file in subject.files:
        whole = tree(file)
        if whole is not None:
            yield Code(file, file, whole)


def filling(subject: Subject, parameter: str, *, constant: float | None) -> tuple[str, Line] | None:
    """Return the call that gave a parameter its first values, as ``Net.__init__: zeros_``, and its line.

    Args:
        parameter: Its name, such as ``net.0.weight``.
        constant: Its one value, if it has only one; None if it varies.
    """
    last = parameter.rpartition(".")[2]
    owner = parameter.rpartition(".")[0]
    names = (RANDOM if constant is None else ZERO if constant == 0 else OTHER).split()
    found: list[tuple[int, str, Line]] = []
    for file in subject.files:
        whole = tree(file)
        for function, place in _functions(whole) if whole is not None else ():
            for call in walk(function):
                name = called(call).rpartition(".")[2] if isinstance(call, ast.Call) else ""
                if name not in names:
                    continue
                text = unparse(call)
                around = _statement(function, call)
                fits = 2 if _attribute(text, last) else 1 if last in around else 0
                fits += 1 if owner and owner.split(".")[0] in around else 0
                if fits and not (last == "weight" and ".bias" in text) and not (last == "bias" and ".weight" in text):
                    found.append((fits, f"{place}: {name}", Line(file, getattr(call, "lineno", 1))))
    if not found:
        return next(_of_any(subject, names), None)
    _, place, line = max(found, key=lambda item: item[0])
    return place, line


def _of_any(subject: Subject, names: list[str]) -> Iterator[tuple[str, Line]]:
    """Yield calls of ``nn.init`` that take each parameter in turn, by a plain name."""
    for file in subject.files:
        whole = tree(file)
        for function, place in _functions(whole) if whole is not None else ():
            for call in walk(function):
                if not isinstance(call, ast.Call) or not call.args or not isinstance(call.args[0], ast.Name):
                    continue
                base, _, name = called(call).rpartition(".")
                if name in names and base.endswith("init"):
                    yield f"{place}: {name}", Line(file, call.lineno)


def _attribute(text: str, last: str) -> bool:
    return f".{last}" in text or text.startswith(last) or f"({last}" in text


def _statement(function: ast.AST, call: ast.AST) -> str:
    for node in walk(function):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.AnnAssign) and call in walk(node):
            return unparse(node)
    return ""


def _functions(whole: ast.AST) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield all functions with the names by which people know them."""
    classes = [node for node in walk(whole) if isinstance(node, ast.ClassDef)]
    methods = {id(node): owner.name for owner in classes for node in owner.body}
    for node in walk(whole):
        if isinstance(node, ast.FunctionDef):
            owner = methods.get(id(node))
            yield node, f"{owner}.{node.name}" if owner else node.name
