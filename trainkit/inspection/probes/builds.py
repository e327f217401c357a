"""Fresh builds of a model: two of them have as many parameters, and share none."""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from trainkit.findings import Finding
from trainkit.inspection.source import Line, called, code_of, tree, walk
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
        places = _several_places(two, shared[0].rpartition(".")[0]) if shared else []
    if sizes[0] == sizes[1] and not shared:
        return
    grown = f"two builds have {sizes[0]:,} and {sizes[1]:,} parameters"
    init = code.methods().get("__init__")
    other = sizes[0] != sizes[1]
    if not other and len(places) > 1:
        yield _default_part(subject, two, places, grown)
        return
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


def _several_places(model: nn.Module, path: str) -> list[str]:
    """Return the paths at which one trainable part stands, if these are alike: ``layers.0.norm``, ``layers.1.norm``."""
    part = model.get_submodule(path)
    paths = [other for other, module in model.named_modules(remove_duplicate=False) if module is part]
    alike = len({other.rpartition(".")[2] for other in paths}) == 1 and any(p.requires_grad for p in part.parameters())
    return paths if alike else []


def _default_part(subject: Subject, model: nn.Module, places: list[str], grown: str) -> Finding:
    """Return that one part, made once for all instances, stands in several layers."""
    kind = type(model.get_submodule(places[0])).__name__
    holder = type(model.get_submodule(places[0].rpartition(".")[0]))
    name = places[0].rpartition(".")[2]
    return found(
        "mutable-default",
        f"{holder.__name__}.{name}",
        f"is one object ({kind}) in {len(places)} layers and in every model: it was made once, as a default value "
        "(mutable default) or global, and is shared",
        at=_made_once(subject, kind),
        evidence=f"{', '.join(places[:4])} are the same module; {grown}",
        effect="the layers share weights and statistics that each was meant to have for itself",
        fix=f"Pass the class, and make {kind}(...) in __init__; field(default_factory=...) in a dataclass",
    )


def _made_once(subject: Subject, kind: str) -> Line | None:
    """Return the line that makes a part as a default of a class or signature, or as a global."""
    for file in subject.files:
        whole = tree(file)
        for node in walk(whole) if whole is not None else ():
            values: list[ast.AST | None] = []
            if isinstance(node, ast.ClassDef | ast.Module):
                values = [item.value for item in node.body if isinstance(item, ast.Assign | ast.AnnAssign)]
            elif isinstance(node, ast.arguments):
                values = [*node.defaults, *node.kw_defaults]
            for value in values:
                calls = (inner for inner in walk(value) if isinstance(inner, ast.Call)) if value is not None else ()
                hit = next((call for call in calls if called(call).rpartition(".")[2] == kind), None)
                if hit is not None:
                    return Line(file, hit.lineno)
    return None


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
