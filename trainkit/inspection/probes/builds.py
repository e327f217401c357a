"""Fresh builds of a model: two of them have as many parameters, and share none."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from torch.nn.parameter import is_lazy

from trainkit.findings import Finding
from trainkit.inspection.source import code_of
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import kept_generators, quiet

MOST = 20_000_000
"""Parameters up to which a model is built twice more."""


def built_alike(subject: Subject) -> Iterator[Finding]:
    """Build the model's class twice, where that needs no arguments: what one leaves behind shows in the next."""
    cls = type(subject.model if subject.given is None else subject.given)
    code = code_of(cls)
    if code is None or not _without_arguments(cls):
        return
    if sum(parameter.numel() for parameter in subject.model.parameters()) > MOST:
        return
    with _put_back(cls), kept_generators(), quiet():
        try:
            one, two = cls(), cls()
        except Exception:  # noqa: BLE001 - what cannot be built again is not compared
            return
        if any(is_lazy(parameter) for parameter in one.parameters()):
            return
        sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (one, two)]
        mine = {id(parameter) for parameter in one.parameters()}
        shared = [name for name, parameter in two.named_parameters() if id(parameter) in mine]
    if sizes[0] == sizes[1] and not shared:
        return
    grown = f"two builds have {sizes[0]:,} and {sizes[1]:,} parameters"
    init = code.methods().get("__init__")
    other = sizes[0] != sizes[1]
    yield found(
        "builds-differ",
        f"{cls.__name__}.__init__",
        "gives another model at each call: a class attribute, mutable default or global keeps what one instance holds"
        if other
        else "takes parameters from outside: all instances share them",
        severity="error" if other else "info",
        at=code.line(init.node if init is not None else code.node),
        evidence=f"{grown}; {len(shared)} parameters of the second are the first's" if shared else grown,
        effect="models change each other, and a checkpoint does not fit the model that it is loaded into"
        if other
        else "",
        fix="Make containers in __init__: self.layers = nn.ModuleList()" if other else "",
    )


def _without_arguments(cls: type) -> bool:
    try:
        parameters = list(inspect.signature(cls).parameters.values())
    except (TypeError, ValueError):
        return False
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


@contextmanager
def _put_back(cls: type) -> Iterator[None]:
    """Put back what building changes: containers that are defaults, class attributes or globals of the user's."""
    kept = [(held, copy.copy(held)) for held in _containers(cls)]
    try:
        yield
    finally:
        for held, before in kept:
            if isinstance(held, list):
                held[:] = before
            else:
                held.clear()
                held.update(before)


def _containers(cls: type) -> Iterator[Any]:
    for owner in cls.__mro__:
        if code_of(owner) is None:
            continue
        values: list[Any] = list(vars(owner).values())
        for function in [value for value in values if isinstance(value, FunctionType)]:
            values += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
            read = function.__code__.co_names
            values += [function.__globals__[name] for name in read if name in function.__globals__]
        yield from (value for value in values if type(value) in (list, dict, set))


RULES = (built_alike,)
