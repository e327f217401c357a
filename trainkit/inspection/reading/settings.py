"""Settings written where nothing reads them: over a method, or on an optimizer beside its ``param_groups``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.findings import Finding
from trainkit.inspection.source import Line, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

OPTIMIZER = re.compile(r"(^|[._])(opt|optim|optimizer|optimiser)\d*(\[\w+\])?$")
"""What people call an optimizer."""
METHODS = {"requires_grad_": "requires_grad_(False)", "zero_grad": "zero_grad()", "backward": "backward()"}
METHODS |= {"detach_": "detach_()", "eval": "eval()", "train": "train()"}
"""Methods over which people write a value, and the call that is meant."""
MODEL = re.compile(r"(^|[._])(model|net|network|module|backbone|encoder)$")
"""What people call a model, of which train and eval are methods."""


def in_vain(subject: Subject) -> Iterator[Finding]:
    """Find values assigned over a method, and settings given to an optimizer as attributes."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if not isinstance(node, ast.Assign | ast.AugAssign):
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Subscript) and whole is not None:
                    yield from _unread_key(subject, target, whole, Line(file, node.lineno))
                elif isinstance(target, ast.Attribute) and whole is not None:
                    yield from _overwritten(subject, target, node.value, Line(file, node.lineno))
                    yield from _beside_groups(subject, target, whole, Line(file, node.lineno))


def _overwritten(subject: Subject, target: ast.Attribute, value: ast.expr, at: Line) -> Iterator[Finding]:
    """Tell of a constant that is written over a method of tensors, modules or optimizers."""
    call = METHODS.get(target.attr)
    if call is None or not isinstance(value, ast.Constant) or unparse(target.value) == "self":
        return
    if any(target.attr in vars(module) for module in subject.model.modules()):
        return  # told of the module itself
    if target.attr in ("train", "eval") and not MODEL.search(unparse(target.value)):
        return  # of a configuration
    owner, text = unparse(target.value), unparse(target)
    frozen = target.attr == "requires_grad_" and value.value is False
    yield found(
        "attribute-typo",
        f"{_function(at)}: {text}",
        f"assigns {value.value!r} over the method {target.attr} in place of calling it: requires_grad and mode stay as "
        "they are",
        at=at,
        evidence=f"{target.attr} is a method of {'tensors' if hasattr(Tensor, target.attr) else 'modules'}",
        effect="nothing is frozen: the weights stay trainable" if frozen else "the statement has no effect",
        fix=f"Write {owner}.{call}",
    )


def _beside_groups(subject: Subject, target: ast.Attribute, whole: ast.AST, at: Line) -> Iterator[Finding]:
    """Tell of a rate that is set as an attribute of an optimizer, which reads its ``param_groups`` alone."""
    name, owner = target.attr, unparse(target.value)
    known = {key for optimizer in subject.optimizers for key in optimizer.defaults}
    plain = all(isinstance(each, Optimizer) and not hasattr(type(each), name) for each in subject.optimizers)
    if name not in known | {"learning_rate"} or not subject.optimizers or not plain:
        return
    if not OPTIMIZER.search(owner) or _is_read(whole, name) or isinstance(getattr(nn.Module, name, None), property):
        return
    real = "lr" if name == "learning_rate" else name
    yield found(
        "attribute-typo",
        f"{_function(at)}: {owner}.{name}",
        f"sets an attribute of the optimizer that nothing reads: the learning rate and other settings ({real}) stand "
        "in optimizer.param_groups",
        at=at,
        evidence=f"the groups keep {real}={subject.optimizers[0].param_groups[0].get(real)}",
        effect=f"the statement has no effect: {real} stays as it was",
        fix=f'Write for group in {owner}.param_groups: group["{real}"] = ...',
    )


def _unread_key(subject: Subject, target: ast.Subscript, whole: ast.AST, at: Line) -> Iterator[Finding]:
    """Tell of a key that is written into ``param_groups``, and that neither the optimizer nor the user reads."""
    key = getattr(target.slice, "value", None)
    groups = [group for optimizer in subject.optimizers for group in optimizer.param_groups]
    known = {name for group in groups for name in group} | {"initial_lr", "name"}
    if not isinstance(key, str) or not groups or key in known:
        return
    if not _is_group(target.value, whole) or _reads_key(whole, key):
        return
    yield found(
        "attribute-typo",
        f"{_function(at)}: {unparse(target)}",
        f"writes {key} into param_groups, which nothing reads: the learning rate stands under lr there",
        at=at,
        evidence=f"groups hold {', '.join(sorted(known - {'params', 'name', 'initial_lr'})[:8])}",
        effect="the statement has no effect: the rate stays as it was",
        fix=f'Write {unparse(target.value)}["lr"] = ...',
    )


def _is_group(value: ast.expr, whole: ast.AST) -> bool:
    """Say whether an expression is a group: ``optimizer.param_groups[0]``, or the variable of a loop over them."""
    if "param_groups" in unparse(value):
        return True
    loops = [node for node in walk(whole) if isinstance(node, ast.For) and "param_groups" in unparse(node.iter)]
    return any(unparse(node.target) == unparse(value) for node in loops)


def _reads_key(whole: ast.AST, key: str) -> bool:
    """Say whether a key is read anywhere: by subscript, ``get``, ``pop`` or a comparison."""
    for node in walk(whole):
        read: list[ast.AST] = []
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            read = [node.slice]
        elif isinstance(node, ast.Call):
            read = list(node.args)
        elif isinstance(node, ast.Compare):
            read = [node.left]
        if any(isinstance(item, ast.Constant) and item.value == key for item in read):
            return True
    return False


def _is_read(whole: ast.AST, name: str) -> bool:
    """Say whether an attribute is read of an optimizer, or by a class of the user's of itself."""
    reads = (
        unparse(node.value)
        for node in walk(whole)
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)
    )
    return any(owner == "self" or OPTIMIZER.search(owner) for owner in reads)


def _function(at: Line) -> str:
    """Return the name of the function around a line, else ``module``."""
    whole = tree(at.file)
    around = [
        node
        for node in walk(whole if whole is not None else ast.Module([], []))
        if isinstance(node, ast.FunctionDef) and node.lineno <= at.line <= (node.end_lineno or 0)
    ]
    return around[-1].name if around else "module"
