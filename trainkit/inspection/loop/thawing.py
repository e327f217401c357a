"""Freezing that a training lifts later on: what is thawed must be in an optimizer by then."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.loop.parameters import where_optimized
from trainkit.inspection.reading.parts import part_of
from trainkit.inspection.source import Code, called, own_classes, tree, unparse, walk
from trainkit.inspection.subject import Subject, found


def never_trained(subject: Subject) -> Iterator[Finding]:
    """Find parts that a method unfreezes, while no optimizer holds them and none is added to."""
    if not subject.optimizers or _is_added_to(subject):
        return
    held = {id(p) for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]}
    for path, module, code in own_classes(subject.model):
        for method in code.methods().values():
            name = method.name.rpartition(".")[2]
            for part in _thawed(method):
                thawed = part_of(module, part)
                weights = list(thawed.parameters()) if thawed is not None else []
                if not weights or any(p.requires_grad or id(p) in held for p in weights):
                    continue
                if name in ("__init__", "train") or not _is_called(subject, name):
                    continue
                shown = f"{path}.{part}".lstrip(".")
                yield found(
                    "thawed-not-in-optimizer",
                    f"optimizer: {shown}",
                    f"does not hold {shown}, which is frozen when it is made and which {name}() unfreezes later: its "
                    "parameters get gradients from then on, and are never trained",
                    at=where_optimized(subject),
                    evidence=f"{len(weights)} parameters, requires_grad_(True) in {method.name}, no add_param_group",
                    effect="fine-tuning goes on with the frozen part as it was",
                    fix="Give the optimizer model.parameters(): those without a gradient are left alone; or "
                    f"optimizer.add_param_group({{'params': model.{shown}.parameters()}}) when they are unfrozen",
                )
                return


def _is_added_to(subject: Subject) -> bool:
    """Say whether the user's files add parameters to an optimizer, or make several of them."""
    trees = [whole for file in subject.files if (whole := tree(file)) is not None]
    names = [called(node).rpartition(".")[2] for whole in trees for node in walk(whole) if isinstance(node, ast.Call)]
    made = sum(names.count(kind) for kind in {type(optimizer).__name__ for optimizer in subject.optimizers})
    return made > len(subject.optimizers) or "add_param_group" in names


def _thawed(method: Code) -> Iterator[str]:
    """Yield the attributes of ``self`` whose parameters a method lets train."""
    for node in walk(method.node):
        call = called(node) if isinstance(node, ast.Call) else ""
        if call.startswith("self.") and call.endswith(".requires_grad_") and unparse(node).endswith(("(True)", "()")):
            yield call.removeprefix("self.").removesuffix(".requires_grad_")
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
            over = called(node.iter)
            if over.startswith("self.") and over.endswith(".parameters") and _lets_train(node):
                yield over.removeprefix("self.").removesuffix(".parameters")


def _lets_train(loop: ast.For) -> bool:
    text = [unparse(node) for node in loop.body]
    return any(line.endswith((".requires_grad = True", ".requires_grad_(True)", ".requires_grad_()")) for line in text)


def _is_called(subject: Subject, name: str) -> bool:
    """Say whether some line of the user's calls a method of that name."""
    whole = [tree(file) for file in subject.files]
    nodes = (node for one in whole if one is not None for node in walk(one) if isinstance(node, ast.Call))
    return any(called(node).rpartition(".")[2] == name for node in nodes)


RULES = (never_trained,)
