"""What a diagnostic may find: a symptom with its numbers and an override to try, and what follows from what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

CAUSES: dict[str, tuple[str, ...]] = {
    "non-finite": ("updates-large", "gradients-exploding"),
    "divergence": ("updates-large", "gradients-exploding"),
    "gradients-exploding": ("updates-large",),
    "weights-shrinking": ("updates-large",),
    "units-dead": ("updates-large", "weights-shrinking"),
    "units-saturated": ("updates-large",),
    "gradients-vanishing": ("weights-shrinking", "units-dead", "units-saturated"),
    "unlearned": (
        *("updates-large", "updates-small", "weights-shrinking", "gradients-vanishing"),
        *("units-dead", "units-saturated", "divergence"),
    ),
    "plateau": (
        "updates-large",
        "updates-small",
        "weights-shrinking",
        "gradients-vanishing",
        "units-dead",
        "units-saturated",
        "overfitting",
    ),
    "slowing": ("starving",),
}
"""What may bring a symptom about, the likeliest first; none brings itself about by way of others."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something that is wrong with a training.

    Args:
        rule: Its name, such as ``gradients-vanishing``.
        weight: How much it matters, from 0 to 100.
        what: What is wrong, as a sentence without its end.
        evidence: The numbers that say so.
        cure: An override to try, such as ``optimizer.lr=3e-4``, and what else may help.
        needs: Rules of which one must be found too, for this alone may be harmless; empty: none.
    """

    rule: str
    weight: int
    what: str
    evidence: str
    cure: str
    needs: tuple[str, ...] = ()


def sentences(symptoms: Iterable[Symptom], most: int) -> list[str]:
    """Return at most so many sentences, the weightiest first; what follows from another symptom is told with it."""
    found: dict[str, Symptom] = {}
    for symptom in sorted(symptoms, key=lambda symptom: -symptom.weight):
        found.setdefault(symptom.rule, symptom)
    found = {rule: symptom for rule, symptom in found.items() if not symptom.needs or found.keys() & set(symptom.needs)}
    effects: dict[str, list[Symptom]] = {rule: [] for rule in found}
    for rule, symptom in found.items():
        if (cause := _root(rule, found)) != rule:
            effects[cause].append(symptom)
    causes = [rule for rule in found if _root(rule, found) == rule]
    causes.sort(key=lambda rule: -max(symptom.weight for symptom in (found[rule], *effects[rule])))
    return [_sentence(found[rule], effects[rule]) for rule in causes[:most]]


def _root(rule: str, found: dict[str, Symptom]) -> str:
    cause = next((cause for cause in CAUSES.get(rule, ()) if cause in found), None)
    return rule if cause is None else _root(cause, found)


def _sentence(symptom: Symptom, effects: list[Symptom]) -> str:
    hence = "".join(f"; hence {_lowered(effect.what)} ({effect.evidence})" for effect in effects)
    return f"{symptom.what}: {symptom.evidence}{hence}; try {symptom.cure}."


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def offered(trainer: Trainer, *overrides: str) -> str:
    """Return those overrides that the run's config has a key for, and does not say already, joined by commas.

    Where there is no config, as for a trainer that was made in Python, all are returned.
    """
    config = config_of(trainer)
    fit = [o for o in overrides if config is None or _is_another(config, *o.partition("=")[::2])]
    return ", ".join(fit)


def config_of(trainer: Trainer) -> dict[str, Any] | None:
    """Return the config that the run was made from; None where there is none."""
    text = trainer.store.about.get("config")
    return json.loads(text) if isinstance(text, str) else None


def _is_another(config: Mapping[str, Any], key: str, value: str) -> bool:
    *groups, name = key.split(".")
    node: Any = config
    for group in groups:
        node = node.get(group) if isinstance(node, Mapping) else None
    return isinstance(node, Mapping) and name in node and str(node[name]) != value


def other_rate(trainer: Trainer, factor: float) -> str:
    """Return the override of a learning rate that is so many times as large, rounded to one digit."""
    group = trainer.optimizer.param_groups[0]
    rate = float(trainer.optimizer.defaults.get("lr") or group.get("initial_lr") or group["lr"]) * factor
    return f"optimizer.lr={rounded(rate):g}"


def rounded(value: float) -> float:
    """Return a positive number to one digit that counts; other numbers as they are."""
    return round(value, -floor(log10(value))) if value > 0 else value
