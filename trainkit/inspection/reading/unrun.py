"""Layers of a list that a loop in ``forward`` never comes to: it returns too soon, is cut short, or names one layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import evaluation
from trainkit.inspection.reading.parts import Part, forward_parts, targets_of
from trainkit.inspection.source import called, tree, unparse, walk
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

DRAWS = frozenset(["rand", "randint", "randrange", "random", "choice", "integers", "sample", "multinomial", "binomial"])
"""Calls that give another number each time."""


def never_run(subject: Subject) -> Iterator[Finding]:
    """Find layers of a ModuleList that neither training nor evaluation runs, and the loop that leaves them out."""
    view = seen(subject)
    if view is None or not any(isinstance(module, nn.ModuleList) for module in subject.model.modules()):
        return
    ran = {fact.name for op in view.recording.ops for fact in op.inputs if fact.name}
    if all(name in ran for name, _ in subject.model.named_parameters()):
        return
    read = _read(subject, view)
    parts = forward_parts(subject)
    for path, module in subject.model.named_modules():
        if not isinstance(module, nn.ModuleList) or not path:
            continue
        members = {name: child for name, child in module.named_children() if any(True for _ in child.parameters())}
        idle = [name for name, child in members.items() if not _runs(subject, child, read)]
        if not idle or len(idle) == len(members):
            continue
        cause = _cause(parts, path.rpartition(".")[2], subject, path)
        if cause is None:
            continue
        part, node, message, severity = cause
        count = sum(p.numel() for name in idle for p in members[name].parameters())
        yield found(
            "layer-never-run",
            f"{part.place}: {path.rpartition('.')[2]}",
            f"{message}: {', '.join(f'{path}.{name}' for name in idle[:4])} are never called and get no gradient",
            severity="error" if severity == "error" else "warning",
            at=part.line(node),
            evidence=f"{len(idle)} of the {len(members)} layers of {path} ran neither in training nor in evaluation "
            f"({count:,} unused weights)",
            effect="the network is shallower than it is written; these layers are never trained",
            fix="Call the loop's own layer, return after the loop, and give all lists that are zipped one length",
        )
        return


def _read(subject: Subject, view: View) -> set[str]:
    recordings = [view.recording]
    if subject.runs and (other := evaluation(subject)) is not None:
        recordings.append(other.recording)
    return {fact.name for recording in recordings for op in recording.ops for fact in op.inputs if fact.name}


def _runs(subject: Subject, child: nn.Module, read: set[str]) -> bool:
    names = {id(p): name for name, p in subject.model.named_parameters(remove_duplicate=False)}
    return any(names[id(p)] in read for p in child.parameters())


def _cause(parts: list[Part], name: str, subject: Subject, path: str) -> tuple[Part, ast.AST, str, str] | None:
    """Return what in the loops over a list leaves some of it out whatever the data are."""
    for part in parts:
        for loop in part.walk():
            if not isinstance(loop, ast.For) or not _over(loop.iter, name):
                continue
            if any(isinstance(node, ast.If | ast.IfExp | ast.Break | ast.Continue | ast.Try) for node in walk(loop)):
                continue
            last = loop.body[-1]
            if isinstance(last, ast.Return):
                return part, last, f"returns in the first turn of its loop over self.{name} (indented too far)", "error"
            fixed = _constant(loop, name)
            if fixed is not None:
                text = f"calls {unparse(fixed)} in every turn of its loop over self.{name}, not the loop's own layer"
                return part, fixed, text, "warning"
            lengths = _zipped(loop.iter, part, subject, path)
            if lengths:
                text = f"zips lists of different lengths ({lengths}), and zip stops at the shortest"
                return part, loop, text, "warning"
            cut = _sliced(loop.iter, name)
            if cut is not None and not _varies(cut, part, subject):
                return part, loop, f"goes over {unparse(cut)} only, which leaves layers out", "warning"
    return None


def _over(node: ast.expr, name: str) -> bool:
    return any(isinstance(inner, ast.Attribute) and inner.attr == name for inner in walk(node))


def _constant(loop: ast.For, name: str) -> ast.Subscript | None:
    """Return ``self.layers[0]`` in the body of a loop over ``self.layers``."""
    for node in (inner for statement in loop.body for inner in walk(statement)):
        fixed = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant | ast.UnaryOp)
        if fixed and isinstance(node, ast.Subscript) and called(node.value) == f"self.{name}":
            return node
    return None


def _zipped(node: ast.expr, part: Part, subject: Subject, path: str) -> str:
    """Return the lengths of lists of layers that a zip is given, if they differ."""
    for call in walk(node):
        if not isinstance(call, ast.Call) or called(call) != "zip":
            continue
        owner = subject.model.get_submodule(path.rpartition(".")[0])
        lists = {called(item): getattr(owner, called(item)[5:], None) for item in call.args}
        sizes = {text: len(value) for text, value in lists.items() if isinstance(value, nn.ModuleList | list | tuple)}
        if len(set(sizes.values())) > 1:
            return ", ".join(f"{text}: {size}" for text, size in sizes.items())
    return ""


def _sliced(node: ast.expr, name: str) -> ast.expr | None:
    """Return a slice of the list, or a range that ends before it does."""
    for inner in walk(node):
        if isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Slice) and _over(inner.value, name):
            return inner
        short = isinstance(inner, ast.Call) and called(inner) == "range" and inner.args
        if short and isinstance(inner, ast.Call) and any(isinstance(item, ast.BinOp) for item in inner.args):
            return inner
    return None


def _varies(cut: ast.expr, part: Part, subject: Subject, depth: int = 3) -> bool:
    """Say whether how far a loop goes is drawn, given, or set outside of constructors, as in a network that grows."""
    arguments = getattr(part.code.node, "args", None)
    given = {item.arg for item in arguments.args + arguments.kwonlyargs} - {"self"} if arguments is not None else set()
    for node in walk(cut):
        if isinstance(node, ast.Call) and called(node).rpartition(".")[2] in DRAWS:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _reset(subject):
            return True
        if isinstance(node, ast.Name) and node.id != "self":
            made = [
                item.value
                for item in part.walk()
                if isinstance(item, ast.Assign | ast.AugAssign)
                and any(isinstance(target, ast.Name) and target.id == node.id for target in targets_of(item))
            ]
            if node.id in given or (depth and any(_varies(value, part, subject, depth - 1) for value in made)):
                return True
    return False


def _reset(subject: Subject) -> set[str]:
    """Return the names of attributes that some statement outside of a constructor sets."""
    names: set[str] = set()
    for file in subject.files:
        whole = tree(file)
        nodes = walk(whole) if whole is not None else ()
        makers = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        first = {id(inner) for maker in makers for inner in walk(maker)}
        for node in nodes:
            if isinstance(node, ast.Assign | ast.AugAssign) and id(node) not in first:
                names |= {target.attr for target in targets_of(node) if isinstance(target, ast.Attribute)}
            elif isinstance(node, ast.Call) and called(node).endswith((".fill_", ".add_", ".copy_")):
                names.add(called(node).split(".")[-2])
    return names


RULES = (never_run,)
