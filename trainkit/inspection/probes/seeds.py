"""Samples that seed the generators of the whole process when they are read."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from trainkit.findings import Finding
from trainkit.inspection.probes.tables import indexed
from trainkit.inspection.reading.parts import Part
from trainkit.inspection.reading.randomness import sample_parts, seeds_process, told_by_reading
from trainkit.inspection.source import called, unparse
from trainkit.inspection.subject import Subject, found
from trainkit.inspection.untouched import copied_data, kept_generators, quiet

DRAWS: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.rand(4).tolist(),
    "numpy": lambda: np.random.random(4).tolist(),
    "random": lambda: [random.random() for _ in range(4)],
}
"""Numbers of the generators of the process, which tell in what state they are."""


def process_seeded(subject: Subject) -> Iterator[Finding]:
    """Read a sample under two seeds: where the process draws the same afterwards, the sample has seeded it."""
    if not indexed(subject.train_set):
        return
    index = subject.indices(1)[0]
    with quiet():
        held = copied_data(subject.train_set)
        first, second = _after(held, index, 1), _after(held, index, 2)
    seeded = [name for name in DRAWS if first[name] == second[name]]
    if not seeded:
        return
    written = _seeding(subject)
    if written is None:
        return
    part, call = written
    yield found(
        "seed-in-sample",
        f"{part.place}: {called(call)}",
        f"sets the seed of the whole process for each sample, {unparse(call)}: what is random about it is "
        "identical in every epoch",
        severity="warning" if subject.num_workers == 0 else "info",
        at=part.line(call),
        evidence=f"after train_set[{index}] the process draws the same numbers ({', '.join(seeded)}), "
        "however it was seeded before",
        effect="augmentation repeats itself, and dropout and shuffling follow from the last sample that was read",
        fix="Seed once before training; for noise that repeats, draw from torch.Generator().manual_seed(seed + index)",
    )


def _after(data: Any, index: int, seed: int) -> dict[str, Any]:
    """Return what the process draws after a sample was read, which begins with a seed."""
    with kept_generators(seed):
        data[index]
        return {name: draw() for name, draw in DRAWS.items()}


def _seeding(subject: Subject) -> tuple[Part, ast.Call] | None:
    """Return the call that seeds by sample; one of a constant seed is told of by reading."""
    for part in sample_parts(subject):
        for call in part.calls():
            if seeds_process(call):
                return None if told_by_reading(part, call) else (part, call)
    return None


RULES = (process_seeded,)
