"""Arguments in another's place, told by their names: ``triplet_margin_loss(anchor, negative, positive)``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

from trainkit.findings import Finding
from trainkit.inspection.reading.parts import Part, forward_parts, parts_from
from trainkit.inspection.source import called
from trainkit.inspection.subject import Subject, found

SHORTEST = 3
"""Letters that a name needs to say what it stands for."""


def swapped(subject: Subject) -> Iterator[Finding]:
    """Find calls in which each of two arguments bears the name of the other's parameter."""
    parts = list(forward_parts(subject))
    for thing in (subject.loss, subject.train_step, subject.evaluate):
        parts += parts_from(thing) if isinstance(thing, FunctionType) else []
    told: set[int] = set()
    for part in parts:
        for call in part.calls():
            names = _parameters(part, call)
            pair = _pair(call, names)
            if pair is None or id(call) in told:
                continue
            told.add(id(call))
            one, two = pair
            yield found(
                "arguments-swapped",
                f"{part.place}: {called(call).rpartition('.')[2]}",
                f"is given {one} where it takes {two}, and {two} where it takes {one}: swapped, by their names",
                at=part.line(call),
                evidence=f"{called(call)}({', '.join(names[:4])})",
                effect="the loss rewards what it is to punish",
                fix=f"Change the order, or pass them by name: {one}={one}.",
            )


def _parameters(part: Part, call: ast.Call) -> list[str]:
    """Return the names of a function's positional parameters; none if it is not known."""
    meant: Any = part.meaning(call.func)
    if not isinstance(meant, FunctionType | BuiltinFunctionType):
        return []
    try:
        signature = inspect.signature(meant)
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, item in signature.parameters.items() if item.kind in kinds]


def _pair(call: ast.Call, names: list[str]) -> tuple[str, str] | None:
    given = [item.id if isinstance(item, ast.Name) else "" for item in call.args[: len(names)]]
    for first, one in enumerate(given):
        for second in range(first + 1, len(given)):
            two = given[second]
            other = _means(one, names[second]) and _means(two, names[first])
            if other and not _means(one, names[first]) and not _means(two, names[second]):
                return names[second], names[first]
    return None


def _means(given: str, name: str) -> bool:
    """Say whether an argument's name is a parameter's, perhaps shortened or with more around it."""
    one, two = given.lower().strip("_"), name.lower().strip("_")
    if min(len(one), len(two)) < SHORTEST:
        return False
    return one == two or two.startswith(one) or one.startswith(two) or two in one.split("_")


RULES = (swapped,)
