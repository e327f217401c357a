"""Rules that read: built objects first, then the user's source for the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainkit.findings import Finding
from trainkit.inspection.reading import (
    chance,
    changed,
    classes,
    contracts,
    gradient_path,
    making,
    noise,
    randomness,
    registration,
    training,
    typos,
)
from trainkit.inspection.subject import Subject

MODULES = (registration, classes, contracts, making, training, chance, noise, gradient_path, typos, randomness, changed)
RULES: tuple[Callable[[Subject], Iterator[Finding]], ...] = tuple(rule for module in MODULES for rule in module.RULES)
"""All rules that read."""
