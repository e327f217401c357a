"""Derivatives that the user wrote by hand: held against differences of the function that they belong to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from trainkit.findings import Finding
from trainkit.inspection.source import Line, code_of, file_of, is_own, walk
from trainkit.inspection.subject import Stuck, Subject, found
from trainkit.inspection.untouched import seed_torch

DIRECTIONS, WIDTH = 8, 1e-5
"""Directions in which a function is differentiated, and the relative step."""
APART, ALIKE = 0.05, 0.02
"""Relative difference from which a derivative is wrong, and to which two that differ by a factor are the same."""


def by_hand(subject: Subject) -> Iterator[Finding]:
    """Hold ``backward`` of each ``autograd.Function`` of the user's against its ``forward``, in double precision.

    Silent on what is no derivative on purpose: straight through a step function or where a function is flat, a gradient
    that is scaled or reversed, and functions that give their input back.
    """
    if not any(is_own(file_of(kind)) for kind in _kinds(Function)) or not subject.runs:
        return
    calls: dict[type[Function], tuple[Any, ...]] = {}
    with subject.scratch() as scratch, _noted(calls):
        try:
            subject.run(scratch.model, scratch.loss, subject.small_batch)
        except Exception as error:
            raise Stuck(str(error)) from error
        for kind, given in list(calls.items()):
            apart = _apart(kind, given)
            if apart is None or apart < APART:
                continue
            yield found(
                "wrong-derivative",
                f"{kind.__name__}.backward",
                "gives another gradient than its forward has: the derivative written by hand is wrong",
                at=_returned(kind),
                evidence=f"differs by {apart:.0%} from central differences of forward in {DIRECTIONS} directions",
                effect="the optimizer follows another function than the one that is evaluated",
                fix="Write backward() anew, and hold it against torch.autograd.gradcheck in float64",
            )


def _kinds(kind: type) -> Iterator[type]:
    below: list[type] = kind.__subclasses__()
    for each in below:
        yield each
        yield from _kinds(each)


@contextmanager
def _noted(calls: dict[type[Function], tuple[Any, ...]]) -> Iterator[None]:
    """Note what each function of the user's is first called with."""
    original = Function.__dict__["apply"]

    def apply(kind: type[Function], *args: Any, **kwargs: Any) -> Any:
        if kind not in calls and is_own(file_of(kind)) and not kwargs:
            calls[kind] = tuple(_double(each) for each in args)
        return original.__get__(None, kind)(*args, **kwargs)

    Function.apply = classmethod(apply)
    try:
        yield
    finally:
        Function.apply = original


def _double(thing: Any) -> Any:
    if not isinstance(thing, Tensor):
        return thing
    copy = thing.detach().clone()
    return copy.double() if copy.is_floating_point() else copy


def _apart(kind: type[Function], given: tuple[Any, ...]) -> float | None:
    """Return how far the derivative by hand is from the one by differences; None if that says nothing."""
    places = [place for place, each in enumerate(given) if isinstance(each, Tensor) and each.is_floating_point()]
    try:
        return _compared(kind, given, places) if places else None
    except Exception:  # noqa: BLE001 - it may not take double precision, or what another call gave it
        return None


def _compared(kind: type[Function], given: tuple[Any, ...], places: list[int]) -> float | None:
    def value(*moved: Tensor) -> Tensor:
        seed_torch(0)
        held = dict(zip(places, moved, strict=True))
        out = kind.apply(*(held.get(place, each) for place, each in enumerate(given)))
        parts = [each for each in (out if isinstance(out, tuple) else (out,)) if isinstance(each, Tensor)]
        return torch.cat([each.double().flatten() for each in parts if each.is_floating_point()])

    points = [given[place].clone().requires_grad_() for place in places]
    outputs = value(*points)
    if any(outputs.numel() == point.numel() and torch.equal(outputs, point.flatten()) for point in points):
        return None
    flat = _is_flat(value, points)
    by_hand, by_differences = [], []
    generator = torch.Generator().manual_seed(0)
    for _ in range(DIRECTIONS):
        way = torch.randn(outputs.shape, generator=generator, dtype=torch.float64).masked_fill(flat, 0.0)
        slopes = torch.autograd.grad(outputs, points, way, retain_graph=True, allow_unused=True)
        steps = [
            torch.zeros_like(point) if slope is None else torch.randn(point.shape, generator=generator).double()
            for point, slope in zip(points, slopes, strict=True)
        ]
        by_hand.append(sum((s * d).sum() for s, d in zip(slopes, steps, strict=True) if s is not None))
        one, other = (_difference(value, points, steps, width) @ way for width in (WIDTH, 3 * WIDTH))
        if (one - other).abs() > ALIKE * one.abs() + 1e-9:
            return None  # not smooth here, or not in double precision
        by_differences.append(one)
    ours, theirs = torch.stack([torch.as_tensor(each) for each in by_hand]), torch.stack(by_differences)
    if theirs.norm() < 1e-6 * max(float(ours.norm()), 1e-6):
        return None
    factor = (ours @ theirs) / theirs.square().sum()
    if (ours - factor * theirs).norm() < ALIKE * ours.norm():
        return None  # right but for a factor, which scales or reverses
    return float((ours - theirs).norm() / theirs.norm())


def _difference(value: Any, points: list[Tensor], steps: list[Tensor], width: float) -> Tensor:
    with torch.no_grad():
        ahead, back = (
            value(*(point + sign * width * step for point, step in zip(points, steps, strict=True))) for sign in (1, -1)
        )
        return torch.as_tensor((ahead - back) / (2 * width))


def _is_flat(value: Any, points: list[Tensor]) -> Tensor:
    """Say of each output whether nothing moves it: there a gradient is let through on purpose."""
    generator = torch.Generator().manual_seed(1)
    steps = [torch.randn(point.shape, generator=generator).double() for point in points]
    return _difference(value, points, steps, WIDTH).abs() < 1e-9


def _returned(kind: type[Function]) -> Line | None:
    """Return the line of what ``backward`` returns."""
    code = code_of(kind)
    for node in walk(code.node) if code is not None else ():
        if isinstance(node, ast.FunctionDef) and node.name == "backward" and code is not None:
            returned = [each for each in walk(node) if isinstance(each, ast.Return)]
            return code.line(returned[-1] if returned else node)
    return None


RULES = (by_hand,)
