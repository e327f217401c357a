"""Evaluations that remember: counts of an earlier one that were never set back."""

from __future__ import annotations

import ast
import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from trainkit.findings import Finding
from trainkit.inspection.clock import cpu_seconds
from trainkit.inspection.loop.copies import Copies, copies_with, held_by
from trainkit.inspection.loop.oracle import numbers
from trainkit.inspection.passes import in_eval
from trainkit.inspection.probes.seeds import DRAWS
from trainkit.inspection.recording import recorded
from trainkit.inspection.source import Line, called, code_of, tree, walk
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators

SECONDS = 0.6
"""Time of one evaluation from which no more are tried."""
ALIKE = 1e-5
"""Relative difference below which two figures are one."""


def remembers(subject: Subject) -> Iterator[Finding]:
    """Evaluate one model, then another: the figure of the second must be what it is without the first."""
    if subject.evaluate is None or subject.val_set is None:
        return
    start = cpu_seconds()
    alone = _figures(subject, first=False)
    if alone is None or cpu_seconds() - start > SECONDS:
        return
    behind = _figures(subject, first=True)
    if behind is None or len(behind[0]) != len(alone[0]) or _same(alone[0], behind[0]):
        return
    again = _figures(subject, first=False)
    if again is None or not _same(alone[0], again[0]):
        return
    name = getattr(subject.evaluate, "__name__", "evaluate")
    kept = behind[1]
    pairs = zip(alone[0], behind[0], behind[2], strict=True)
    apart = ((a, b) for a, b, best in pairs if not _same([a], [b]) and not _same([b], [best]) and not _counts(a, b))
    one, other = next(apart, (0.0, 0.0))
    if one == other:
        return  # the best one so far
    yield found(
        "evaluation-remembers",
        f"{name}: {kept}" if kept else name,
        f"{'adds to' if kept else 'hangs on'} what earlier evaluations left{f' in {kept}' if kept else ''}: counts "
        "accumulate over epochs and are never reset",
        at=_made(subject, kept) if kept else _line(subject),
        evidence=f"one model gets {one:.4g}, and {other:.4g} when another was evaluated before",
        effect="the figure lags behind the model: it is a mean over all epochs so far",
        fix=f"Set it back at the beginning of each evaluation{f': {kept}.reset(), or a new one' if kept else ''}",
    )


Figures = tuple[list[float], str, list[float]]
"""Figures of the model, the name of what an evaluation before it left behind, and the figures of that."""


def _figures(subject: Subject, *, first: bool) -> Figures | None:
    """Return the figures of the model, after an evaluation of another one if that is asked for."""
    assert subject.evaluate is not None
    with copies_with(subject, subject.evaluate) as copies:
        evaluate, model, kept, earlier = copies.functions[0], in_eval(copies.model), "", []
        try:
            if first:
                before = _states(copies)
                with kept_generators():
                    earlier = numbers(evaluate(_another(model), copied_data(subject.val_set)))
                after = _states(copies)
                kept = next((name for name in before if before[name] != after[name]), "")
            with kept_generators():
                value = evaluate(in_eval(model), copied_data(subject.val_set))
        except Exception:  # noqa: BLE001 - another rule tells what fails
            return None
    figures = numbers(value)
    if first and len(earlier) != len(figures):
        return None
    return (figures, kept, earlier) if figures and all(map(math.isfinite, figures)) else None


def _another(model: nn.Module) -> nn.Module:
    """Return a model of the same kind that answers otherwise."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.is_floating_point():
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.neg_().add_(noise, alpha=float(parameter.abs().mean()))
    return other


def _states(copies: Copies) -> dict[str, str]:
    """Return what the functions hold, as text."""
    held = {name: thing for name, thing in copies.held.items() if not isinstance(thing, nn.Module)}
    return {name: repr(getattr(thing, "__dict__", thing)) for name, thing in held.items() if not callable(thing)}


def _counts(one: float, other: float) -> bool:
    """Say whether a figure is the number of the evaluation, or of those without a better one."""
    return one.is_integer() and other.is_integer() and abs(one - other) <= 1


def _same(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) <= ALIKE * max(abs(a), abs(b), 1e-12) for a, b in zip(one, other, strict=True))


def _line(subject: Subject) -> Line | None:
    code = code_of(subject.evaluate)
    return code.line(code.node) if code is not None else None


def _made(subject: Subject, name: str) -> Line | None:
    """Return the line that makes what an evaluation keeps under a name."""
    code = code_of(subject.evaluate)
    whole: Any = tree(code.file) if code is not None else None
    for node in walk(whole) if whole is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if code is not None and any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return code.line(node)
    return _line(subject)


def seeds(subject: Subject) -> Iterator[Finding]:
    """Evaluate under two seeds: where the process draws the same afterwards, the evaluation has seeded it."""
    code = code_of(subject.evaluate) if subject.evaluate is not None else None
    if code is None or subject.evaluate is None or subject.val_set is None or subject.train_set is None:
        return
    drawn = []
    for seed in (1, 2):
        with copies_with(subject, subject.evaluate) as copies, kept_generators(seed):
            try:
                copies.functions[0](in_eval(copies.model), copied_data(subject.val_set))
            except Exception:  # noqa: BLE001 - another rule tells what fails
                return
            drawn.append({name: draw() for name, draw in DRAWS.items()})
    same = [name for name in DRAWS if drawn[0][name] == drawn[1][name]]
    if not same:
        return
    call = next((node for node in code.calls("manual_seed", "seed", "seed_everything", "set_seed")), None)
    name = getattr(subject.evaluate, "__name__", "evaluate")
    yield found(
        "evaluation-seeds",
        f"{name}: {called(call) if call is not None else 'seed'}",
        "sets the seed of the whole process (its global generators): after each evaluation training draws the same "
        "random numbers again",
        severity="warning",
        at=code.line(call if call is not None else code.node),
        evidence=f"after it the process draws the same numbers ({', '.join(same)}), however it was seeded before",
        effect="every epoch shuffles, augments and drops out in the same way",
        fix="generator = torch.Generator().manual_seed(seed) for what evaluation draws, or torch.random.fork_rng()",
    )


def uses(subject: Subject) -> Iterator[Finding]:
    """See whether the evaluation asks the model that it is given, or another one that nothing trains."""
    if subject.evaluate is None or subject.val_set is None or subject.train_step is not None:
        return
    with copies_with(subject, subject.evaluate) as copies:
        model = in_eval(copies.model)
        networks = copies.networks
        recording, value, error = recorded(
            model, lambda: copies.functions[0](model, copied_data(subject.val_set)), gradients=False
        )
    read = {fact.name for op in recording.ops for fact in op.inputs if fact.name}
    if error is not None or recording.calls or read or not networks or not numbers(value):
        return
    hooked = any(getattr(optimizer, "_optimizer_step_post_hooks", None) for optimizer in subject.optimizers)
    if hooked or any(_is_given(subject, thing) for thing in _networks(subject)):
        return
    name = getattr(subject.evaluate, "__name__", "evaluate")
    owner = type(getattr(subject.evaluate, "__self__", None)).__name__
    place = f"{owner}.{name}" if owner != "NoneType" else name
    held = next(iter(networks))
    yield found(
        "evaluates-other-model",
        f"{place}: {held}",
        f"does not ask the model that it is given (its argument is ignored), but {held}, a copy that nothing trains: "
        "it stays as stale as it was made",
        at=_copying(subject, held) or _line(subject),
        evidence="no layer of the model was called, and none of its parameters read",
        effect="the figure is the same after every epoch: it does not depend on the model in training",
        fix="Call the argument: model(x)",
    )


def _networks(subject: Subject) -> list[nn.Module]:
    """Return the networks that the evaluation holds, as they are and not as copies."""
    held = [value for _, value in held_by(subject.evaluate)]
    held.append(getattr(subject.evaluate, "__self__", None))
    inner = [value for thing in held for value in getattr(thing, "__dict__", {}).values()]
    return [thing for thing in (*held, *inner) if isinstance(thing, nn.Module)]


def _is_given(subject: Subject, network: nn.Module) -> bool:
    """Say whether a network is the user's model itself, or shares its weights."""
    models = [model for model in (subject.model, subject.given) if model is not None]
    own = {id(parameter) for model in models for parameter in model.parameters()}
    return network is subject.given or any(id(parameter) in own for parameter in network.parameters())


def _copying(subject: Subject, name: str) -> Line | None:
    """Return the line that sets the network that is evaluated."""
    owner = getattr(subject.evaluate, "__self__", None)
    code = code_of(type(owner)) if owner is not None else None
    for node in walk(code.node) if code is not None else ():
        targets = node.targets if isinstance(node, ast.Assign) else []
        if code is not None and any(getattr(target, "attr", None) == name for target in targets):
            return code.line(node)
    return _made(subject, name)


RULES = (remembers, seeds, uses)
