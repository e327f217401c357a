"""Layers that a class makes and that nothing in its source ever calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import evaluation
from trainkit.inspection.reading.parts import assigned
from trainkit.inspection.recording import Recording
from trainkit.inspection.source import Code, Line, called, code_of, tree, walk
from trainkit.inspection.step.view import seen as taken
from trainkit.inspection.subject import Subject, found

KEPT = frozenset(
    [
        "parameters",
        "named_parameters",
        "weight",
        "bias",
        "requires_grad_",
        "apply",
        "to",
        "eval",
        "train",
        "state_dict",
        "load_state_dict",
        "half",
        "float",
        "in_features",
        "out_features",
        "in_channels",
        "out_channels",
        "num_embeddings",
        "embedding_dim",
        "register_forward_hook",
    ]
)
"""What is read of a layer without running it."""
WALKS = frozenset(["children", "named_children", "modules", "named_modules", "getattr", "_modules", "get_submodule"])
"""Ways to all layers of a module, whatever their names."""


def never_called(subject: Subject) -> Iterator[Finding]:
    """Find layers with weights that no step reads and that the source of their class never mentions again."""
    step = taken(subject)
    if step is None:
        return
    seen = evaluation(subject) if subject.runs else None
    read = _read(step.recording) | (_read(seen.recording) if seen is not None else set())
    names = {id(p): name for name, p in subject.model.named_parameters(remove_duplicate=False)}
    told: set[tuple[type, str]] = set()
    for path, module in subject.model.named_modules():
        codes = [code for cls in type(module).__mro__ if (code := code_of(cls)) is not None]
        for name, child in module.named_children() if codes else ():
            weights = [p for p in child.parameters() if p.requires_grad]
            idle = bool(weights) and not any(names[id(p)] in read for p in weights)
            if not idle or (type(module), name) in told or _is_mentioned(subject, codes, name):
                continue
            made = assigned(module, name)
            if made is not None:
                told.add((type(module), name))
                yield _finding(f"{path}.{name}".lstrip("."), module, name, child, made[0])


def _read(recording: Recording) -> set[str]:
    return {fact.name for op in recording.ops for fact in op.inputs if fact.name}


def _is_mentioned(subject: Subject, codes: list[Code], name: str) -> bool:
    """Say whether a layer may run in another case, or by another way than a call."""
    for code in codes:
        for method in code.methods().values():
            outside = getattr(method.node, "name", "") != "__init__"
            if outside and any(_is_way(node, name) for node in walk(method.node)):
                return True
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            named = isinstance(node, ast.Attribute) and node.attr == name and called(node.value) != "self"
            if named and isinstance(node, ast.Attribute) and not _is_kept(whole, node):
                return True
    return False


def _is_way(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == name or node.attr in WALKS
    if isinstance(node, ast.Constant):
        return node.value == name
    return isinstance(node, ast.Name) and node.id in WALKS


def _is_kept(whole: ast.AST | None, node: ast.Attribute) -> bool:
    outer = (item for item in walk(whole) if isinstance(item, ast.Attribute)) if whole is not None else ()
    return any(item.value is node and item.attr in KEPT for item in outer)


def _finding(path: str, module: nn.Module, name: str, child: nn.Module, line: Line) -> Finding:
    count = sum(p.numel() for p in child.parameters())
    return found(
        "layer-never-called",
        f"{type(module).__name__}.__init__: {name}",
        f"makes {path} ({type(child).__name__}), which is never called: no method of {type(module).__name__} uses it",
        severity="warning",
        at=line,
        evidence=f"{count:,} weights that neither training nor evaluation reads",
        effect="the model is smaller than it is written; another layer may run in its place",
        fix=f"Call self.{name} in forward where it belongs, or remove it.",
    )


RULES = (never_called,)
