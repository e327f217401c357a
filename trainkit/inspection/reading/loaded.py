"""Weights that are loaded where a model is built: what undoes it, and what never arrived."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.reading.parts import part_of, targets_of
from trainkit.inspection.source import Code, Line, called, code_of, own_classes, tree, unparse, walk
from trainkit.inspection.subject import Subject, found

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
DRAWN = (nn.Linear, nn.modules.conv._ConvNd)
ENOUGH = 64
"""Values of a weight from which its distribution can be told."""
TRAINED_BY = ("load", "load_file", "load_state_dict_from_url", "torch_load", "backward")
"""Calls by which weights come to be worth loading."""
STARTING = ("init.", "reset_parameters", "normal_(", "uniform_(", "zero_(", "fill_(")
"""Words in the source of a function that initialises."""


@dataclass(frozen=True)
class Loading:
    """A call of ``load_state_dict``, or one that makes a module of given weights, in a function that builds the model.

    Attributes:
        code: The function.
        call: The call.
        path: Path of the module that is loaded.
        names: What names of the function stand for, by their path in the model.
        world: What its free names stand for.
    """

    code: Code
    call: ast.Call
    path: str
    names: dict[str, str]
    world: dict[str, Any]


def loadings(subject: Subject) -> Iterator[Loading]:
    """Yield where the model's weights are loaded while it is built."""
    for path, module, code in own_classes(subject.model):
        world = getattr(type(module).__init__, "__globals__", {})
        for method in code.methods().values():
            yield from _in_function(subject, method, {"self": path}, world)
    kind = type(subject.model).__name__
    world = getattr(type(subject.model).forward, "__globals__", {})
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            if isinstance(node, ast.FunctionDef) and not any(item.arg == "self" for item in node.args.args):
                made = {
                    called(target): ""
                    for inner in walk(node)
                    for target in targets_of(inner)
                    if isinstance(getattr(inner, "value", None), ast.Call)
                    and called(inner.value).rpartition(".")[2] == kind  # type: ignore[attr-defined]
                }
                made |= _given(whole, node, kind)
                yield from _in_function(subject, Code(file, node.name, node), made, world)


def pretrained(subject: Subject) -> Iterator[Loading]:
    """Yield where a class of the user's makes a part of pre-trained weights: ``Embedding.from_pretrained(vectors)``."""
    for path, module, code in own_classes(subject.model):
        world = getattr(type(module).__init__, "__globals__", {})
        for method in code.methods().values():
            for node in walk(method.node):
                if isinstance(node, ast.Assign) and called(node.value).rpartition(".")[2] == "from_pretrained":
                    place = _path(called(targets_of(node)[0]), {"self": path})
                    if place and isinstance(node.value, ast.Call) and part_of(subject.model, place) is not None:
                        yield Loading(method, node.value, place, {"self": path}, world)


def _given(whole: ast.Module | None, function: ast.FunctionDef, kind: str) -> dict[str, str]:
    """Return the arguments that some call of a function gives a new model as."""
    names = [item.arg for item in function.args.args]
    made = [node for node in walk(whole) if isinstance(node, ast.Call)] if whole is not None else []
    if sum(called(node).rpartition(".")[2] == kind for node in made) != 1:
        return {}  # another of its class may be what is loaded
    for node in made:
        if called(node) == function.name:
            for name, given in zip(names, node.args, strict=False):
                if isinstance(given, ast.Call) and called(given).rpartition(".")[2] == kind:
                    return {name: ""}
    return {}


def _in_function(subject: Subject, code: Code, names: dict[str, str], world: dict[str, Any]) -> Iterator[Loading]:
    calls = list(code.calls("load_state_dict"))
    if not calls or not names:
        return
    names = dict(names)
    for node in walk(code.node):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in targets_of(node):
                place = _path(called(target), names)
                if place:
                    names.setdefault(node.value.id, place)
    for call in calls:
        dotted = called(call).rpartition(".")[0]
        path = _path(dotted, names)
        if path is not None and isinstance(part_of(subject.model, path), nn.Module):
            yield Loading(code, call, path, names, world)


def _path(dotted: str, names: dict[str, str]) -> str | None:
    """Return the path in the model of a dotted name, None if it is no part of it."""
    first, _, rest = dotted.partition(".")
    return None if first not in names else ".".join(part for part in (names[first], rest) if part)


def initialised_after(subject: Subject) -> Iterator[Finding]:
    """Find weights that are loaded, and initialised again by the lines that follow."""
    for loading in [*subject.once(_loadings), *pretrained(subject)]:
        for call in loading.code.calls():
            if call.lineno <= loading.call.lineno or _apart(loading, call):
                continue
            if not _undoes(subject, loading, call):
                continue
            yield found(
                "initialised-after-loading",
                f"{loading.code.name}: {unparse(call)}",
                f"initialises {loading.path or 'the model'} anew after its pre-trained weights were loaded: "
                "the checkpoint is overwritten",
                at=loading.code.line(call),
                evidence=f"{called(loading.call)} in line {loading.call.lineno}, {unparse(call)} in line "
                f"{call.lineno}; on a copy it changes every weight matrix of {loading.path or 'the model'}",
                effect="training starts from random weights, as if nothing had been loaded",
                fix="Initialise first and load last, or initialise the new layers only: self.head.apply(init)",
            )
            return


def _loadings(subject: Subject) -> list[Loading]:
    return list(loadings(subject))


def _apart(loading: Loading, call: ast.Call) -> bool:
    """Say whether a call cannot follow the loading: it is in the other branch, or the function has returned."""
    for node in walk(loading.code.node):
        if isinstance(node, ast.If | ast.Try):
            inside = [any(inner is loading.call for part in node.body for inner in walk(part))]
            other = [*node.orelse, *getattr(node, "handlers", [])]
            if inside[0] and any(inner is call for part in other for inner in walk(part)):
                return True
            ends = any(isinstance(part, ast.Return | ast.Raise) for part in node.body)
            if inside[0] and ends and not any(inner is call for part in node.body for inner in walk(part)):
                return True
        nested = isinstance(node, ast.FunctionDef | ast.Lambda) and node is not loading.code.node
        if nested and any(inner is call for inner in walk(node)):
            return True
    return False


def _undoes(subject: Subject, loading: Loading, call: ast.Call) -> bool:
    """Say whether a call, made on a copy, changes all matrices of what was loaded."""
    base, _, last = called(call).rpartition(".")
    with subject.scratch(seed=1) as scratch:
        target = _path(base, loading.names) if base else None
        action: Callable[[nn.Module], Any] | None = None
        if last == "apply" and len(call.args) == 1:
            function = _meaning(scratch.model, loading, call.args[0])
            action = None if function is None else lambda module: module.apply(function)
        elif target is not None and not call.args and not call.keywords and _starts(scratch.model, target, last):
            action = lambda module: getattr(module, last)()  # noqa: E731
        elif not base and len(call.args) == 1 and not call.keywords:
            target = _path(called(call.args[0]), loading.names)
            action = _starting(loading.world.get(last))
        module = None if target is None else part_of(scratch.model, target)
        loaded = part_of(scratch.model, loading.path)
        if action is None or module is None or loaded is None:
            return False
        matrices = [p for p in loaded.parameters() if p.dim() > 1]
        before = [p.detach().clone() for p in matrices]
        try:
            with torch.no_grad():
                action(module)
        except Exception:  # noqa: BLE001 - the user's function may need what only building has
            return False
        return bool(matrices) and all(not torch.equal(a, b) for a, b in zip(before, matrices, strict=True))


def _meaning(model: nn.Module, loading: Loading, node: ast.expr) -> Any:
    """Return the function that a plain name in a call stands for."""
    first, _, rest = called(node).partition(".")
    value: Any = part_of(model, loading.names[first]) if first in loading.names else loading.world.get(first)
    for name in rest.split(".") if rest else ():
        value = getattr(value, name, None)
    return _starting(value)


def _starting(function: Any) -> Any:
    """Return a function of the user's if its source initialises and loads nothing."""
    code = code_of(function) if callable(function) and not isinstance(function, type | nn.Module) else None
    text = unparse(code.node) if code is not None else ""
    return function if any(word in text for word in STARTING) and "load" not in text else None


def _starts(model: nn.Module, path: str, method: str) -> bool:
    return _starting(getattr(part_of(model, path), method, None)) is not None


def never_arrived(subject: Subject) -> Iterator[Finding]:
    """Find a loading that is not strict and whose module is as it was initialised."""
    for loading in subject.once(_loadings):
        module = part_of(subject.model, loading.path)
        if not _is_lax(loading) or module is None or not is_fresh(module):
            continue
        if not _worth_loading(subject) and not _is_kept(loading, module):
            continue
        weights = sum(p.numel() for p in module.parameters())
        yield found(
            "nothing-loaded",
            f"{loading.code.name}: load_state_dict(strict=False)",
            f"loads nothing into {loading.path or 'the model'}: no key of the checkpoint has a name of this module, "
            "as with a prefix (module., model., backbone.), and strict=False says no word of the missing keys",
            at=Line(loading.code.file, loading.call.lineno),
            evidence=f"all {weights:,} weights of {loading.path or type(module).__name__} are as PyTorch initialises "
            "them; the keys that load_state_dict returns are thrown away",
            effect="training starts from random weights, not from the checkpoint",
            fix='load_state_dict({key.removeprefix("module."): value for key, value in checkpoint.items()}), strict',
        )
        return


def _is_lax(loading: Loading) -> bool:
    """Say whether a loading lets keys be missing, and throws away what it tells of them."""
    settings = [keyword.value for keyword in loading.call.keywords if keyword.arg == "strict"] + loading.call.args[1:2]
    lax = any(isinstance(item, ast.Constant) and item.value is False for item in settings)
    return lax and any(isinstance(node, ast.Expr) and node.value is loading.call for node in walk(loading.code.node))


def _is_kept(loading: Loading, module: nn.Module) -> bool:
    """Say whether some of a module is frozen as it was loaded, and from something else than another module."""
    of_module = any(isinstance(node, ast.Attribute) and node.attr == "state_dict" for node in walk(loading.call))
    return not of_module and not all(parameter.requires_grad for parameter in module.parameters())


def is_fresh(module: nn.Module) -> bool:
    """Say whether all of a module is as PyTorch's own layers are initialised."""
    drawn = 0
    for part in module.modules():
        own = dict(part.named_parameters(recurse=False))
        if not own:
            continue
        if isinstance(part, NORMS):
            if not _is_constant(part.weight, 1.0) or not _is_constant(part.bias, 0.0):
                return False
            if int(getattr(part, "num_batches_tracked", None) or 0):
                return False
        elif isinstance(part, DRAWN):
            bound = part.weight[0].numel() ** -0.5
            if part.weight.numel() >= ENOUGH:
                drawn += 1
                if not _is_uniform(part.weight.detach(), bound):
                    return False
            if part.bias is not None and float(part.bias.detach().abs().max()) > bound * 1.00001:
                return False
        else:
            return False
    return drawn > 0


def _is_constant(value: Any, number: float) -> bool:
    return value is None or bool((value == number).all())


def _is_uniform(weight: torch.Tensor, bound: float) -> bool:
    """Say whether values may be drawn from (-bound, bound): none beyond, the largest near it, the right spread."""
    count = weight.numel()
    largest, spread = float(weight.abs().max()), float(weight.double().square().mean()) / (bound**2 / 3)
    return (1 - 12 / count) * bound <= largest <= bound * 1.00001 and abs(spread - 1) < 4 / count**0.5


def _worth_loading(subject: Subject) -> bool:
    """Say whether the user's files read or train what is loaded, apart from the training itself."""
    own = getattr(subject.train_step, "__name__", None)
    for file in subject.files:
        whole = tree(file)
        for node in whole.body if whole is not None else ():
            if getattr(node, "name", "") == own:
                continue
            names = {called(inner).rpartition(".")[2] for inner in walk(node) if isinstance(inner, ast.Call)}
            if names & set(TRAINED_BY):
                return True
    return False


RULES = (initialised_after, never_arrived)
