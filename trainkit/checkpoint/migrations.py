"""How checkpoints of older formats become those of today, one function a format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

State = dict[str, Any]


BESIDE_THE_PARTS = ("format", "about", "seed", "threads", "metrics", "parts")


def from_1(state: State) -> State:
    """Say what format 1 left out: where it is from, its parts, how optimizer and schedule were built, its data.

    What cannot be known is None or empty, which those who read it take for "not said".
    """
    counters = {**state["counters"], "nonfinite": 0, "nonfinite_in_a_row": 0}
    steps, epochs, batches = counters["step"], counters["epoch"], counters["total_batches"]
    finished = round(steps * (batches - counters["batch"]) / batches) if batches else 0
    length = finished // epochs if epochs else 0  # of each epoch, in steps
    walked = {"epochs": [[length, epochs]] if epochs else [], "finished": length * epochs}
    schedule = {"steps": steps, **state["schedule"], **walked, "metric": "", "initial": None}
    new = {**state, "counters": counters, "schedule": schedule, "data": {}, "about": {}}
    for name, part in new.items():
        if isinstance(part, dict) and part.keys() == {"state", "param_groups"}:
            new[name] = {**part, "built": None}
        if isinstance(part, dict) and part.keys() == {"best", "best_step", "waited"}:  # of early stopping
            new[name] = {**part, "best_of": None}
    return {**new, "parts": [name for name in new if name not in BESIDE_THE_PARTS]}


MIGRATIONS: tuple[Callable[[State], State], ...] = (from_1,)
"""The function at place n takes the state of a checkpoint of format n + 1 and returns it in the next one."""

FORMAT = 1 + len(MIGRATIONS)
"""The format that is written."""


def migrated(state: State) -> State:
    """Return a checkpoint's state in today's format."""
    for migration in MIGRATIONS[state["format"] - 1 :]:
        state = {**migration(state), "format": state["format"] + 1}
    return state
