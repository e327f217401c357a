"""What a person probably meant by a key, an option or a word that there is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainkit.config.paths import at
from trainkit.errors import likeness
from trainkit.errors import nearest as all_near

MAIN = {
    "optimizer": "lr",
    "trainer": "max_epochs",
    "data": "batch_size",
    "monitor": "metric",
    "schedule": "warmup",
    "checkpoint": "every",
    "penalty": "l2",
    "model": "hidden",
    "callbacks": "early_stopping.patience",
    "averaging": "decay",
    "weights": "source",
    "head": "name",
}
"""The key that is meant most likely where a value is given to a whole group."""
OF_NUMBER = {"head": "outputs"}
"""The same where the value is a whole number."""
ROOTS = ("trainer", "optimizer", "data", "model", "monitor", "schedule", "checkpoint", "objective", "callbacks")
"""Of keys of one name, those of the first of these are meant most likely."""
RARE = ("freeze",)
"""Whose keys, such as patience, are meant only by those who say the whole path."""


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the choice nearest to a word, None if none is near."""
    return next(iter(all_near(word, list(choices), cutoff)), None)


@dataclass
class Keys:
    """All keys that a config has or may have, to look for the one that was meant."""

    tree: Mapping[str, Any]
    """The config as plain values, interpolations unresolved."""
    groups: Mapping[str, Sequence[str]]
    """The options of each group."""
    more: Sequence[str] = ()
    """Paths that may be given although the config has none of them."""

    @cached_property
    def paths(self) -> list[str]:
        """All paths, those first that are meant most likely."""
        found = dict.fromkeys([*_paths(self.tree, ""), *self.more, *(g for g in self.groups if "/" not in g)])
        return sorted(found, key=self._rank)

    def _rank(self, path: str) -> tuple[bool, int, int]:
        root = path.partition(".")[0]
        value = at(self.tree, path)
        alias = isinstance(value, str) and value.startswith("${")
        return alias, path.count("."), ROOTS.index(root) if root in ROOTS else len(ROOTS)

    def meant(self, path: str) -> str | None:
        """Return the path that a wrong one most likely means, None if none is near."""
        parent = path.rpartition(".")[0]
        scores: dict[str, float] = {}
        for other in self.paths:
            if other != path and (score := likeness(path, other)) >= 0.6:
                beside = other.rpartition(".")[0] == parent
                rare = other.partition(".")[0] in RARE and path.partition(".")[0] not in RARE
                scores[other] = score + (0.05 if beside and score >= 0.7 else 0.0) - (0.05 if rare else 0.0)
        return max(scores, key=lambda other: scores[other], default=None)

    def holders(self, option: str) -> list[str]:
        """Return the groups that have an option of this name."""
        return [group for group, options in self.groups.items() if option in options and "/" not in group]


def _paths(node: Any, prefix: str) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, Mapping) else ():
        if not str(name).startswith("_"):
            yield f"{prefix}{name}"
            yield from _paths(value, f"{prefix}{name}.")
