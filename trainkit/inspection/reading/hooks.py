"""Hooks that the user's training step or evaluation registers at each call and leaves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import copies_with
from trainkit.inspection.reading.observed import State, few, state_of
from trainkit.inspection.reading.parts import parts_from
from trainkit.inspection.source import Line, called
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data


def left_hooks(subject: Subject) -> Iterator[Finding]:
    """Call train_step and evaluate twice on copies, where their source registers hooks, and count what is left."""
    for function in (subject.train_step, subject.evaluate):
        at = _registering(function)
        if at is None:
            continue
        states = _after_calls(subject, function)
        growing = [
            name
            for name, count in states[2].hooks.items()
            if count > states[1].hooks.get(name, 0) > states[0].hooks.get(name, 0)
        ]
        if not growing:
            continue
        name, place = growing[0], getattr(function, "__name__", "train_step")
        yield found(
            "hooks-pile-up",
            f"{place}: {at[0]}",
            "registers a hook at every call and never removes it: the handle is lost",
            severity="warning",
            at=at[1],
            evidence=f"{name or 'model'}: {states[1].hooks[name]} hooks after one call, {states[2].hooks[name]} after "
            "two",
            effect="hooks pile up: each step runs all of those before it, and what they hold is never freed (a leak)",
            fix="handle = module.register_forward_hook(...), and handle.remove() at the end",
        )


def _registering(function: Any) -> tuple[str, Line] | None:
    """Return the first call that registers a hook in a function of the user's or one that it calls."""
    for part in parts_from(function) if function is not None else ():
        for call in part.calls():
            name = called(call).rpartition(".")[2]
            if name.startswith("register_") and "hook" in name:
                return name, part.line(call)
    return None


def _after_calls(subject: Subject, function: Any) -> list[State]:
    """Return what the model holds before a function of the user's is called, after that, and after another call."""
    evaluating = function is subject.evaluate
    with copies_with(subject, function) as copies:
        copies.model.eval() if evaluating else copies.model.train()
        states = [state_of(copies.model)]
        for _ in range(2):
            if evaluating:
                copies.functions[0](copies.model, copied_data(subject.val_set))
            else:
                copies.functions[0](copies.model, copy.deepcopy(few(subject)), copies.loss, copies.optimizer)
            states.append(state_of(copies.model))
    return states


RULES = (left_hooks,)
