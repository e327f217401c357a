"""Plain tensors and numbers that a forward reads: no checkpoint keeps them, and no device move takes them along."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.reading.observed import HOOKS, OWN
from trainkit.inspection.reading.parts import Part, assigned, forward_parts, reads
from trainkit.inspection.reading.registration import held
from trainkit.inspection.source import called, code_of, walk
from trainkit.inspection.subject import Subject, found

RANDOM = {"randn", "rand", "randn_like", "rand_like", "randint", "randperm", "normal", "normal_", "uniform", "uniform_"}
RANDOM |= {"bernoulli", "bernoulli_", "standard_normal", "permutation", "xavier_uniform_", "xavier_normal_", "choice"}
RANDOM |= {"kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "orthogonal_", "random", "sample"}
LEARNT = {"weight", "bias", "w", "b", "cls_token", "pos_embed", "pos_embedding", "position_embedding", "query"}
LEARNT |= {"queries", "prompt", "gain", "shift", "gamma", "beta", "class_token", "mask_token", "token"}


def plain_tensors(subject: Subject) -> Iterator[Finding]:
    """Find tensors that should be buffers or parameters: random, learnt or running ones that no checkpoint keeps."""
    parts = forward_parts(subject)
    registered = {id(tensor) for tensor in (*subject.model.parameters(), *subject.model.buffers())}
    told: set[tuple[type, str]] = set()
    for path, module in subject.model.named_modules():
        code = code_of(type(module))
        if code is None or any(name in code.methods() for name in ("state_dict", "get_extra_state")):
            continue
        for attribute, value in vars(module).items():
            tensors = [thing for thing, _ in held(value, registered, 2) if isinstance(thing, Tensor)]
            if attribute in (*OWN, *HOOKS) or not tensors or tensors[0].requires_grad:
                continue
            if (type(module), attribute) in told or not reads(parts, attribute):
                continue
            told.add((type(module), attribute))
            yield _plain(subject, module, path, attribute, tensors[0], parts)


def _plain(
    subject: Subject, module: nn.Module, path: str, attribute: str, tensor: Tensor, parts: list[Part]
) -> Finding:
    at = assigned(module, attribute)
    place = f"{type(module).__name__}.{attribute}"
    evidence = f"a tensor {list(tensor.shape)}"
    kept = f'Write self.register_buffer("{attribute}", ...)'
    running = [part.line(node) for part in parts for node in part.walk() if _updates(node, attribute)]
    if running and not _starts_each_time(parts, attribute):
        effect = "a model that is loaded from a checkpoint has the first values again"
        message = "is a plain tensor, no buffer, that forward updates: it is not registered, so state_dict() misses it"
        return found(
            "plain-tensor", place, message, at=at[0] if at else running[0], evidence=evidence, effect=effect, fix=kept
        )
    if at is not None and _drawn(at[1]) and not _seeded(module):
        effect = "never trained, and a model that is loaded from a checkpoint draws other values"
        message = "is a random tensor that is neither nn.Parameter nor buffer: it is not registered with the model"
        fix = f"Write nn.Parameter(...) if it is to learn, else {kept[6:]}"
        return found("plain-tensor", place, message, at=at[0], evidence=evidence, effect=effect, fix=fix)
    floating = tensor.is_floating_point() and tensor.numel() > 0
    if floating and attribute.strip("_") in LEARNT and bool((tensor == tensor.flatten()[0]).all()):
        value = float(tensor.flatten()[0])
        if value in (0.0, 1.0):
            effect = "it keeps its first value: it is never trained"
            message = f"is a plain tensor of {value:g} that is not registered: it looks like a weight, and is none"
            fix = f"Write self.{attribute} = nn.Parameter(...)"
            line = at[0] if at else None
            return found("plain-tensor", place, message, at=line, evidence=evidence, effect=effect, fix=fix)
    fitted = _fitted(module, attribute)
    return found(
        "plain-tensor",
        place,
        "is a plain tensor, no buffer: it is not registered with the model"
        + (f", and state_dict() misses what {fitted} set it to" if fitted else ""),
        severity="warning" if fitted else "info",
        at=at[0] if at else None,
        evidence=evidence,
        effect="a loaded model has the first values again" if fitted else "model.to(device) does not move it",
        fix=kept,
    )


def _fitted(module: nn.Module, attribute: str) -> str:
    """Return the method, neither ``__init__`` nor ``forward`` nor a reset, that computes the attribute from data."""
    code = code_of(type(module))
    for name, method in code.methods().items() if code is not None else ():
        sets = [node for node in walk(method.node) if isinstance(node, ast.Assign)]
        sets = [node for node in sets if f"self.{attribute}" in map(called, node.targets)]
        takes = len(method.node.args.args) > 1  # type: ignore[attr-defined]
        if name == "forward" and sets:
            return ""
        if sets and takes and not re.match("__init__|forward|_?(re)?set|_?clear|_?init", name):
            return f"{name}()"
    return ""


def _updates(node: ast.AST, attribute: str) -> bool:
    """Say whether a node computes the attribute's next value of its present one."""
    wanted = f"self.{attribute}"
    if isinstance(node, ast.AugAssign):
        return called(node.target) == wanted or (
            isinstance(node.target, ast.Subscript) and called(node.target.value) == wanted
        )
    if isinstance(node, ast.Assign) and any(called(target) == wanted for target in node.targets):
        return any(called(inner) == wanted for inner in walk(node.value))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        return name.endswith("_") and not name.endswith("__") and called(node.func.value) == wanted
    return False


def _starts_each_time(parts: list[Part], attribute: str) -> bool:
    """Say whether forward also sets the attribute afresh, to zeros and the like."""
    wanted = f"self.{attribute}"
    makers = ("zeros", "ones", "zeros_like", "empty", "init_hidden", "new_zeros")
    for part in parts:
        for node in part.walk():
            if not isinstance(node, ast.Assign) or not any(called(target) == wanted for target in node.targets):
                continue
            afresh = not any(called(inner) == wanted for inner in walk(node.value))
            if afresh and isinstance(node.value, ast.Call) and called(node.value).rpartition(".")[2] in makers:
                return True
    return False


def _drawn(statement: ast.AST) -> bool:
    calls = [node for node in walk(statement) if isinstance(node, ast.Call)]
    free = not any(keyword.arg == "generator" for call in calls for keyword in call.keywords)
    return free and any(called(call).rpartition(".")[2] in RANDOM for call in calls)


def _seeded(module: nn.Module) -> bool:
    code = code_of(type(module))
    names = ("manual_seed", "seed", "default_rng", "RandomState", "Generator", "Random", "fork_rng")
    return code is not None and any(True for _ in code.calls(*names))


def drawn_orders(subject: Subject) -> Iterator[Finding]:
    """Find lists and arrays that ``__init__`` draws at random and ``forward`` reads: no checkpoint keeps them."""
    parts = forward_parts(subject)
    told: set[tuple[type, str]] = set()
    for _, module in subject.model.named_modules():
        code = code_of(type(module))
        if code is None or any(name in code.methods() for name in ("state_dict", "get_extra_state")):
            continue
        for attribute, value in vars(module).items():
            numbers = isinstance(value, np.ndarray | list | tuple) and _is_numeric(value)
            if attribute in (*OWN, *HOOKS) or not numbers or (type(module), attribute) in told:
                continue
            at = assigned(module, attribute)
            if at is None or not _drawn(at[1]) or _seeded(module) or not reads(parts, attribute):
                continue
            told.add((type(module), attribute))
            yield found(
                "plain-tensor",
                f"{type(module).__name__}.{attribute}",
                "is drawn at random in __init__ and is no buffer: state_dict() misses it, and a fresh model draws "
                "another",
                at=at[0],
                evidence=f"{type(value).__name__} of {len(value)} numbers, read in forward",
                effect="a model that is loaded from a checkpoint is another one: its outputs are wrong",
                fix=f'Write self.register_buffer("{attribute}", torch.as_tensor(...))',
            )


def _is_numeric(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iuf" and value.size > 1
    return len(value) > 1 and all(isinstance(item, int | float | np.number) for item in value[:64])


RULES = (plain_tensors, drawn_orders)
