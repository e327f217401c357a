"""A config as it was composed, with who set what, and what is wrong with it so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from trainkit.config.composing.origins import Origins
from trainkit.findings import Finding, FindingsError, errors_in

ABSENT = "-"
"""What stands in :attr:`Composed.changed` for a value that is not there."""


def nothing() -> dict[str, Any] | None:
    """Stand for a config that has no recipe to be held against."""
    return None


@dataclass
class Composed:
    """A composed config; :attr:`findings` say what is wrong with the command line and the files behind it."""

    config: DictConfig
    """Resolved as far as that is possible; what could not be resolved or was not given is ``???``."""
    origins: Origins
    findings: list[Finding] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    """Where the code of the user's own project may lie, besides the current folder: beside config folders, recipes."""
    overrides: list[str] = field(default_factory=list)
    """As they were given."""
    raw: DictConfig | None = None
    """The same before interpolations were resolved, None where there were none."""
    choices: dict[str, str | None] = field(default_factory=dict)
    """The option of each group, such as ``{"optimizer": "adamw"}``."""
    of_recipe: Callable[[], dict[str, Any] | None] = nothing
    """Composes the recipe alone, for :attr:`changed`."""
    added: set[str] = field(default_factory=set)
    """Keys that no file has and that needed no plus."""
    typed: dict[str, str] = field(default_factory=dict)
    """What was typed for a choice that Hydra is told otherwise, such as a recipe by its path."""

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The config as plain dicts and lists."""
        return OmegaConf.to_container(self.config, resolve=True)  # type: ignore[return-value]

    @cached_property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What this run changes against the recipe's own defaults: path to (the recipe's value, this run's)."""
        before = self.of_recipe()
        return {} if before is None else differences(before, self.plain)

    def require(self) -> DictConfig:
        """Return the config.

        Raises:
            FindingsError: That lists all that is wrong with the command line and the files.
        """
        if errors_in(self.findings):
            raise FindingsError(self.findings)
        return self.config


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the leaves that differ, by dotted path; a node that is on one side alone counts whole."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*now, *(key for key in before if key not in now)]:
        path = f"{prefix}{key}"
        old, new = before.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(old, dict) and isinstance(new, dict) and old.get("_target_") == new.get("_target_"):
            found |= differences(old, new, f"{path}.")
        elif old != new or type(old) is not type(new):
            found[path] = (old, new)
    return found
