"""Losses that learn: a loss with weights of its own needs an optimizer that has them."""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import Copies, copies_with, held_by
from trainkit.inspection.loop.watching import watched
from trainkit.inspection.reading.parts import assigned
from trainkit.inspection.source import Line, code_of
from trainkit.inspection.subject import Subject, found


def untrained(subject: Subject) -> Iterator[Finding]:
    """Find weights of the loss that get a gradient and that nothing moves."""
    if subject.loss is None or not subject.optimizers or subject.train_set is None:
        return
    networks = _networks(subject.loss)
    known = [p for optimizer in subject.optimizers for group in optimizer.param_groups for p in group["params"]]
    models = [subject.model, *([subject.given] if subject.given is not None else [])]
    known += [p for model in models for p in model.parameters()]
    left: dict[tuple[str, str], Tensor] = {
        (name, key): parameter
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
        if parameter.requires_grad and not _is_among(parameter, known) and _is_own(network, key)
    }
    if not left:
        return
    moved = _tried(subject, left)
    still = [place for place, graded in moved.items() if graded]
    if not still:
        return
    name, key = still[0]
    owner, short = _owner(networks[name], key)
    yield found(
        "loss-not-in-optimizer",
        f"{type(owner).__name__}.{short}",
        f"is a trainable parameter of the loss, and no optimizer has it: {', '.join(key for _, key in still[:4])} "
        "get gradients and are not trained",
        at=_where(networks[name], key),
        evidence=f"{len(still)} parameters, {sum(left[place].numel() for place in still):,} values, with a gradient "
        "and unchanged by the training",
        effect="the loss keeps the values of initialisation: the model is drawn towards random numbers",
        fix="torch.optim.Adam([*model.parameters(), *criterion.parameters()]), or requires_grad_(False)",
    )


def _networks(loss: Any) -> dict[str, nn.Module]:
    """Return the modules that a loss is, is a method of, or holds."""
    if isinstance(loss, nn.Module):
        return {"": loss}
    if isinstance(loss, MethodType) and isinstance(loss.__self__, nn.Module):
        return {"": loss.__self__}
    return {name: value for name, value in held_by(loss) if isinstance(value, nn.Module)}


def _is_among(parameter: Tensor, known: list[Tensor]) -> bool:
    """Say whether a parameter is one of several, or they were copied from it."""
    return any(
        other is parameter or (other.shape == parameter.shape and torch.equal(other, parameter)) for other in known
    )


def _owner(network: nn.Module, key: str) -> tuple[nn.Module, str]:
    path, _, short = key.rpartition(".")
    return network.get_submodule(path), short


def _is_own(network: nn.Module, key: str) -> bool:
    """Say whether a weight is the loss's own, not that of a network through which it looks: set by a class of theirs,
    or one layer of it, in training mode.
    """
    owner, _ = _owner(network, key)
    if not network.training or not owner.training:
        return False
    path = key.rpartition(".")[0]
    if not path:
        return code_of(type(network)) is not None or isinstance(network, nn.Linear | nn.Embedding)
    layers = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    return code_of(type(network)) is not None and "." not in path and len(layers) <= 2


def _tried(subject: Subject, left: dict[tuple[str, str], Tensor]) -> dict[tuple[str, str], bool]:
    """Return which of the weights get a gradient and stay, in the user's own steps or in one of forward and loss."""
    own = _watched(subject, left) if subject.train_step is not None else {}
    if not subject.runs:
        return own
    functions = [] if isinstance(subject.loss, nn.Module) else [subject.loss]
    with copies_with(subject, *functions) as copies:
        loss = copies.functions[0] if functions else copies.loss
        ran = subject.run(copies.model, loss, subject.batch)
        if isinstance(ran.loss, Tensor) and ran.loss.requires_grad:
            ran.loss.mean().backward()
        once = _still(copies, left, loss)
    if subject.train_step is not None:
        return {place: graded and place in own for place, graded in once.items()}
    return once


def _watched(subject: Subject, left: dict[tuple[str, str], Tensor]) -> dict[tuple[str, str], bool]:
    """Return those weights that the user's own steps leave as they are."""
    seen = watched(subject)
    if seen.beside is None or seen.error is not None:
        return {}
    return _still(seen.beside.copies, left)


def _still(copies: Copies, left: dict[tuple[str, str], Tensor], loss: Any = None) -> dict[tuple[str, str], bool]:
    """Return the weights that are as they were, and whether they have a gradient."""
    loss = copies.loss if loss is None else loss
    whole = loss if isinstance(loss, nn.Module) else getattr(loss, "__self__", None)
    networks = {**copies.held, "": whole}
    still = {}
    for (name, key), first in left.items():
        network = networks.get(name)
        now = dict(network.named_parameters()).get(key) if isinstance(network, nn.Module) else None
        if now is not None and torch.equal(now, first):
            still[name, key] = now.grad is not None and bool(now.grad.any())
    return still


def _where(network: nn.Module, key: str) -> Line | None:
    """Return the line that makes a weight, or the layer that has it."""
    owner, short = _owner(network, key)
    made = assigned(owner, short)
    if made is None and "." in key:
        path = key.rpartition(".")[0]
        parent, name = _owner(network, path)
        made = assigned(parent, name)
    if made is not None:
        return made[0]
    code = code_of(type(network))
    return code.line(code.node) if code is not None else None


RULES = (untrained,)
