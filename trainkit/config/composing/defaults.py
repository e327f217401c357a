"""Defaults lists of recipes of one's own: the commonest slips are found, and mended, before Hydra reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from trainkit.config.composing.origins import shown
from trainkit.config.composing.recipes import folder, options
from trainkit.config.composing.suggestions import nearest
from trainkit.findings import Finding


@dataclass
class Defaults:
    """The items of a recipe's defaults list, as they are meant."""

    file: Path
    groups: Mapping[str, Sequence[str]]
    given: Sequence[Any]
    """As they stand in the file."""
    lines: Sequence[int] = ()
    findings: list[Finding] = field(default_factory=list)
    debug: str | None = None
    """The option of the group ``debug``, which Hydra has chosen before it reads a recipe."""
    items: list[Any] = field(default_factory=list)
    """As Hydra can read them."""

    def __post_init__(self) -> None:
        for number, item in enumerate(self.given):
            line = self.lines[number] if number < len(self.lines) else None
            if isinstance(item, str):
                self._name(item, line)
            elif isinstance(item, dict) and len(item) == 1 and isinstance(next(iter(item)), str):
                self._choice(item, *next(iter(item.items())), line)
            else:
                self.items.append(item)

    @property
    def mended(self) -> bool:
        """Whether Hydra is to read something else than what the file says."""
        return self.items != list(self.given)

    def _name(self, item: str, line: int | None) -> None:
        group, slash, option = item.strip().rpartition("/")
        if not slash or group not in options_at_root() or option.removesuffix(".yaml") not in self.groups[group]:
            self.items.append(item)
        elif group == "recipe":
            self._wrong(group, item, "names a file beside this one", f"Write: - /recipe/{option}", line)
            self.items.append(f"/recipe/{option}")
        else:
            self._is_chosen(group, option, line)

    def _choice(self, item: dict[str, Any], key: str, option: Any, line: int | None) -> None:
        words = key.split()
        name, overrides = words[-1], words[:-1] == ["override"]
        group = name.lstrip("/")
        if (
            "@" in name
            or group.partition("/")[0] == "hydra"
            or group == "recipe"
            or words[:-1] not in ([], ["override"])
        ):
            self.items.append(item)
        elif overrides and group not in self.groups:
            near = nearest(group, [other for other in self.groups if "/" not in other])
            fix = f"Did you mean 'override /{near}'?" if near else f"Groups: {', '.join(sorted(options_at_root()))}"
            self._wrong(group, option, "there is no such group to choose an option of", fix, line)
            if near and option in self.groups[near]:
                self.items.append({f"override /{near}": option})
        elif overrides and group == "debug":
            self._debug(option, line)
        elif overrides and not name.startswith("/"):
            self._wrong(
                group, option, "a group of the whole config begins with /", f"Write: {_override(group, option)}", line
            )
            self.items.append({f"override /{group}": option})
        elif not overrides and group in options_at_root():
            self._is_chosen(group, option, line)
        elif not overrides and group in self.groups and not name.startswith("/"):
            self._wrong(
                group, option, "a group of the whole config begins with /", f"Write: - /{group}: {option}", line
            )
            self.items.append({f"/{group}": option})
        else:
            self.items.append(item)

    def _is_chosen(self, group: str, option: Any, line: int | None) -> None:
        """Find a choice of what config.yaml chooses already."""
        message, fix = "is chosen in config.yaml already", f"Write: {_override(group, option)}"
        self._wrong(group, option, message, fix, line, "duplicate-option")
        if group == "debug":
            self._debug(option, line)
        else:
            self.items.append({f"override /{group}": option})

    def _debug(self, option: Any, line: int | None) -> None:
        if option is None or option in self.groups["debug"]:
            self.debug = option
            return
        near = nearest(str(option), self.groups["debug"])
        fix = f"Did you mean {near!r}? " if near else ""
        fix += f"Options: {', '.join(self.groups['debug'])}"
        self._wrong("debug", option, "there is no such option", fix, line)

    def _wrong(
        self, group: str, option: Any, message: str, fix: str, line: int | None, rule: str = "unknown-option"
    ) -> None:
        value = "null" if option is None else str(option)
        self.findings.append(
            Finding(
                rule=rule,
                severity="error",
                place=group,
                value=value,
                message=message,
                file=shown(self.file),
                line=line,
                fix=fix,
            )
        )


def defaults_of(file: Path, text: str, groups: Mapping[str, Sequence[str]]) -> Defaults:
    """Read the defaults list of a recipe; what is no YAML, or has none, has an empty one."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return Defaults(file, groups, ())  # composing it says what is wrong with it
    found = content.get("defaults") if isinstance(content, dict) else None
    if not isinstance(found, list):
        return Defaults(file, groups, ())
    node = next(value for key, value in root.value if key.value == "defaults")
    return Defaults(file, groups, found, [item.start_mark.line + 1 for item in node.value])


def _override(group: str, option: Any) -> str:
    return f"- override /{group}: {'null' if option is None else option}"


def options_at_root() -> frozenset[str]:
    """Return trainkit's groups, all of which ``config.yaml`` has."""
    return frozenset(path.name for path in folder().iterdir() if path.is_dir() and options(path.name))
