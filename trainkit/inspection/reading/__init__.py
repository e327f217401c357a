"""Rules that read: built objects first, then the user's source for the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainkit.findings import Finding
from trainkit.inspection.reading import (
    aliases,
    chance,
    changed,
    classes,
    contracts,
    frozen,
    gradient_path,
    hooks,
    layers,
    loaded,
    making,
    noise,
    plain,
    randomness,
    registration,
    starts,
    swapped,
    tokens,
    training,
    typos,
    unrun,
    unused,
)
from trainkit.inspection.subject import Subject

MODULES = (
    registration,
    plain,
    classes,
    contracts,
    aliases,
    making,
    hooks,
    training,
    chance,
    noise,
    gradient_path,
    unused,
    unrun,
    layers,
    frozen,
    starts,
    swapped,
    typos,
    randomness,
    changed,
    loaded,
    tokens,
)
RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = tuple(rule for module in MODULES for rule in module.RULES)
"""All rules that read."""
