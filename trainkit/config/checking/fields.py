"""The values of a config as the checks across fields read them: what is wrong already counts as unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainkit.config.composing.origins import Origins
from trainkit.config.paths import at, is_there, related
from trainkit.errors import ConfigError
from trainkit.findings import Finding, Severity
from trainkit.settings import Settings
from trainkit.values import shown

MISSING = "???"
"""What stands where no value was given, or none could be made out."""


class Unclear(Exception):
    """A value that a rule needs is missing or wrong; whoever found that out has said so."""


@dataclass(slots=True)
class Fields:
    """A config, who set what in it, and what is known of its data sets.

    Args:
        config: As plain dicts, lists and values.
        origins: Who set what.
        wrong: Paths that something was found wrong with.
        raw: The config before interpolations were resolved.
        samples: Samples of the training set, None where they are not known (yet).
        batches: Batches of an epoch of training, None where they are not known (yet).
    """

    config: Mapping[str, Any]
    origins: Origins = field(default_factory=Origins)
    wrong: frozenset[str] = frozenset()
    raw: Mapping[str, Any] = field(default_factory=dict)
    samples: int | None = None
    batches: int | None = None

    def get(self, path: str) -> Any:
        """Return the value at a path, None where there is none.

        Raises:
            Unclear: If it, a part of it or what it is a part of was not given or is wrong.
        """
        if any(related(path, place) for place in self.wrong):
            raise Unclear
        value = at(self.config, path)
        if value == MISSING:
            raise Unclear
        return value

    def text(self, path: str) -> str:
        """Return the text at a path, empty where there is none or a value of another kind."""
        value = self.get(path)
        return value if isinstance(value, str) else ""

    def number(self, path: str) -> float | None:
        """Return the number at a path, None where there is none or a value of another kind."""
        value = self.get(path)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def target(self, path: str) -> str:
        """Return the ``_target_`` of the node at a path, empty where there is none."""
        node = at(self.config, path)
        if not isinstance(node, Mapping) or self.get(f"{path}._target_") is None:
            return ""
        return self.text(f"{path}._target_")

    def entries(self, group: str) -> Iterator[str]:
        """Yield the paths of the entries of a group of named ones, such as ``callbacks``, that are not left out."""
        node = at(self.config, group)
        for name, entry in node.items() if isinstance(node, Mapping) else ():
            if isinstance(entry, Mapping) and "_target_" in entry:
                yield f"{group}.{name}"

    def settings(self) -> Settings:
        """Return the Trainer's settings as the loop goes by them.

        Raises:
            Unclear: If one of them is wrong.
        """
        node = self.get("trainer")
        try:
            return Settings.of(dict(node)).resolved()
        except (ConfigError, AttributeError, TypeError, ValueError) as error:
            raise Unclear from error

    def epoch_batches(self) -> int | None:
        """Return the batches of an epoch of this run, None where they are not known."""
        try:
            return self.settings().train_batches(self.batches)
        except ConfigError:  # a share of a number that is not known
            return None

    def epoch_steps(self) -> int | None:
        """Return the optimizer steps of an epoch, None where they are not known."""
        batches = self.epoch_batches()
        return None if batches is None else -(-batches // self.settings().accumulate_grad_batches)

    def run_steps(self) -> int | None:
        """Return the optimizer steps of the run, None where they are not known."""
        settings, per_epoch = self.settings(), self.epoch_steps()
        if settings.max_time is not None:
            return None
        by_epochs = None if per_epoch is None or settings.max_epochs is None else per_epoch * settings.max_epochs
        known = [steps for steps in (by_epochs, settings.max_steps) if steps is not None]
        return min(known) if known and (by_epochs is not None or settings.max_epochs is None) else None

    def by_line(self, path: str) -> bool:
        """Say whether the command line set the value."""
        return self.origins.by_override(path)

    def set_by_user(self, path: str) -> bool:
        """Say whether a person set the value, on the command line or in a file of their own."""
        return self.origins.set_by_user(path)

    def finding(
        self, rule: str, place: str, message: str, *, severity: Severity = "error", effect: str = "", fix: str = ""
    ) -> Finding:
        """Return what was found at a path, with its value and who set it."""
        value = at(self.config, place)
        return Finding(
            rule=rule,
            severity=severity,
            place=place,
            value=None if isinstance(value, Mapping) or not is_there(self.config, place) else shown(value),
            message=message,
            effect=effect,
            fix=fix,
            **self.origins.told(place),
        )


Rule = Callable[[Fields], Iterable[Finding]]


def apply(rules: Iterable[Rule], fields: Fields) -> list[Finding]:
    """Return what the rules find; one whose values are unclear finds nothing."""
    found: list[Finding] = []
    for rule in rules:
        try:
            found.extend(rule(fields))
        except Unclear:
            continue
    return found
