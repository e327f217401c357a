"""Numbers of words that differ from run to run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.source import Line, called, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

TEXT = ("word", "token", "vocab", "text", "char", "sentence", "split()", "stoi")
"""Parts of names by which a program speaks of strings."""
NUMBERS = ("tolist", "range(", "unique", "label", "int(")
"""Parts of an expression that gives numbers, whose order in a set is the same in all runs."""


def salted(subject: Subject) -> Iterator[Finding]:
    """Find words that are numbered by ``hash``, or in the order of a set of strings: both differ between runs."""
    for file in subject.files:
        whole = tree(file)
        scopes = [node for node in walk(whole) if isinstance(node, ast.FunctionDef)] if whole is not None else []
        for scope in [*reversed(scopes), *([whole] if whole is not None else [])]:
            if not any(word in unparse(scope).lower() for word in TEXT):
                continue
            for node in walk(scope):
                what = _salted(node, scope)
                if what is not None and isinstance(node, ast.expr):
                    yield _of_hashes(file, scope, node, what)
                    return


def _of_hashes(file: str, scope: ast.AST, node: ast.expr, what: str) -> Finding:
    holder = next((item for item in walk(scope) if isinstance(item, ast.Assign) and node in walk(item)), None)
    name = getattr(scope, "name", "") or (unparse(holder.targets[0]) if holder is not None else "vocabulary")
    return found(
        "order-of-hashes",
        f"{name}: {'hash' if 'hash()' in what else 'set'}",
        f"numbers strings by {what}, which differs from run to run: Python's hash of a string is salted per process "
        "(PYTHONHASHSEED)",
        severity="warning",
        at=Line(file, node.lineno),
        evidence=f"`{unparse(node)[:70]}`",
        effect="a model that is saved and loaded in another process, or resumed, meets other token ids: its vocabulary "
        "is another one",
        fix="enumerate(sorted(set(words))), or zlib.crc32(word.encode()) % size; save the vocabulary with the weights",
    )


def _salted(node: ast.AST, scope: ast.AST) -> str | None:
    """Return what is salted about an expression that numbers strings."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        hashes = [call for call in walk(node.left) if isinstance(call, ast.Call) and called(call) == "hash"]
        plain = [call for call in hashes if call.args and not isinstance(call.args[0], ast.Tuple | ast.Constant)]
        return "hash()" if plain else None
    if isinstance(node, ast.Call) and called(node) == "enumerate" and node.args and _is_set(node.args[0], scope):
        return "the order of a set()"
    return None


def _is_set(node: ast.AST, scope: ast.AST) -> bool:
    """Say whether an expression is a set, or a list in the order of one."""
    if any(word in unparse(node).lower() for word in NUMBERS):
        return False
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        name = called(node)
        return name in ("set", "frozenset") or (
            name in ("list", "tuple") and bool(node.args) and _is_set(node.args[0], scope)
        )
    if isinstance(node, ast.Name):
        made = [item for item in walk(scope) if isinstance(item, ast.Assign) and _names(item) == {node.id}]
        return bool(made) and all(not isinstance(item.value, ast.Name) and _is_set(item.value, scope) for item in made)
    return False


def _names(node: ast.Assign) -> set[str]:
    return {item.id for target in node.targets for item in walk(target) if isinstance(item, ast.Name)}


RULES = (salted,)
