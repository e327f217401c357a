"""What a config will be like, read off the YAMLs without Hydra: quick enough for completion and for help.

It follows the defaults lists, GROUP=OPTION and KEY=VALUE of a command line. It resolves no ``${...}``, sees no sweep
and judges nothing: what does not exist is left out. What is to be run or checked goes through :mod:`trainkit.config`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from trainkit.config.composing.origins import lines_of
from trainkit.config.composing.recipes import file_of as find
from trainkit.config.composing.recipes import folder, groups, text_of
from trainkit.config.paths import at

ROOT = "config"
GLOBAL = re.compile(r"^# *@package +(\S+)", re.MULTILINE)
_SPACED = re.compile(r"""'[^']*'|"[^"]*"|([{,]\s*[\w.-]+):(?=\S)""")
"""A key in braces; an override needs no space behind its colon, a YAML does."""
DEPTH = 20
"""Of files that build on others; beyond it there is a circle."""


class Outline(NamedTuple):
    """A config by outline."""

    config: dict[str, Any]
    """Nested plain values; ``${...}`` stands as it is."""
    choices: dict[str, str | None]
    """The option that each group stands at, None for none, in the order in which they are composed."""
    files: dict[str, Path]
    """The YAML of each group that has one chosen."""

    def own(self, group: str) -> dict[str, Any]:
        """Return what a group's YAML itself says, without what it builds on."""
        body = _read(self.files[group])[0] if group in self.files else {}
        return {name: value for name, value in body.items() if name != "defaults"}


def outline(overrides: Sequence[str] = (), *more: Path) -> Outline:
    """Return the outline of what a command line composes.

    Args:
        overrides: Such as ``recipe=mlp``, ``model=cnn``, ``~callbacks.progress``; what cannot be read is left out.
        more: Config folders besides trainkit's own.
    """
    roots = (folder(), *more)
    names = list(groups(*more))
    chosen = dict(_choices(overrides, names))
    tree = _Tree(roots, chosen)
    tree.gather(roots[0] / f"{ROOT}.yaml", "", 0)
    tree.add_others()
    config: dict[str, Any] = {}
    tree.build(config)
    for override in overrides:
        _apply(config, override, names)
    return Outline(config, {group: tree.choices[group] for group in tree.choices}, tree.files)


def file_of(group: str, option: str, *more: Path) -> Path | None:
    """Return the YAML of a group's option, or the one that a path names as a recipe; None if there is none."""
    if group == "recipe" and ("/" in option or option.endswith((".yaml", ".yml"))):
        path = Path(option).expanduser()
        return path if path.is_file() else None
    return find(f"{group}/{option}", more)


@lru_cache(64)
def comments_in(path: Path) -> dict[str, str]:
    """Return the comment beside each key of a YAML file, by dotted path."""
    lines = text_of(path).splitlines()
    beside = {key: re.search(r"\s#\s*(.*)$", lines[line - 1]) for key, line in lines_of(path) if line <= len(lines)}
    return {key: match[1].strip() for key, match in beside.items() if match}


def described_groups() -> dict[str, str]:
    """Return what each group is, from the comments in the root config."""
    rows = re.findall(r"^  - (\w+): \S+ *(?:# *(.*))?$", text_of(folder() / f"{ROOT}.yaml"), re.MULTILINE)
    return {group: comment.partition(";")[0].strip() for group, comment in rows}


class _Tree:
    """Gathers the files of a config in the order in which they are merged."""

    def __init__(self, roots: tuple[Path, ...], chosen: dict[str, str | None]) -> None:
        self.roots = roots
        self.choices: dict[str, str | None] = dict(chosen)
        self.files: dict[str, Path] = {}
        self._order: list[tuple[str, str | Path]] = []
        """What is merged: a file's own body, or the group whose option is."""
        self._asked = set(chosen)

    def gather(self, path: Path, group: str, depth: int) -> None:
        """Note a file and all that its defaults list names; what stands later overrides, and so does the line."""
        body, package = _read(path)
        entries = body.get("defaults")
        entries = entries if isinstance(entries, list) else []
        if "_self_" not in entries:
            entries = [*entries, "_self_"]
        for entry in entries if depth < DEPTH else ():
            if entry == "_self_":
                self._order.append((package if package is not None else group.replace("/", "."), path))
            elif isinstance(entry, str):
                self._include(group, entry, depth)
            elif isinstance(entry, dict) and len(entry) == 1:
                self._entry(*next(iter(entry.items())), group, depth)

    def _entry(self, key: Any, option: Any, group: str, depth: int) -> None:
        name = str(key).removeprefix("optional ").partition("@")[0]
        override = name.startswith("override ")
        name = name.removeprefix("override ")
        target = name[1:] if name.startswith("/") else f"{group}/{name}" if group else name
        if target.startswith("hydra"):
            return
        option = str(option) if isinstance(option, str | int) and not isinstance(option, bool) else None
        if override:
            if target not in self._asked:
                self.choices[target] = option
            return
        self.choices.setdefault(target, option)
        self._order.append((target, ""))
        if target == "recipe":  # before the groups are read, so that it can choose among them
            self._include_choice(target, depth)

    def _include(self, group: str, name: str, depth: int) -> None:
        group, option = name[1:].rpartition("/")[::2] if name.startswith("/") else (group, name)
        if path := file_of(group, option, *self.roots[1:]):
            self.gather(path, group, depth + 1)

    def _include_choice(self, group: str, depth: int) -> None:
        option = self.choices.get(group)
        path = file_of(group, option, *self.roots[1:]) if option else None
        if path is not None:
            self.files[group] = path
            self.gather(path, group, depth + 1)

    def add_others(self) -> None:
        """Add the groups that the line chooses from and no file names: ``+GROUP=OPTION``."""
        listed = {place for place, _ in self._order}
        self._order += [(group, "") for group in self.choices if group not in listed]

    def build(self, config: dict[str, Any]) -> None:
        """Merge all that was gathered into ``config``."""
        order, self._order = self._order, []
        for place, what in order:
            if isinstance(what, Path):
                _merge(_inside(config, place), {k: v for k, v in _read(what)[0].items() if k != "defaults"})
            elif place != "recipe":
                self._include_choice(place, 1)
                self.build(config)


def _choices(overrides: Iterable[str], names: Sequence[str]) -> Iterable[tuple[str, str | None]]:
    for override in overrides:
        key, equals, value = override.partition("=")
        name = key.lstrip("+").partition("@")[0]
        if key.startswith("~") and key[1:] in names:
            yield key[1:], None
        elif equals and name in names and value and value[0] not in "{[":
            option = value.split(",")[0].strip("'\" ")
            yield name, None if option == "null" else option


def _apply(config: dict[str, Any], override: str, names: Sequence[str]) -> None:
    key, equals, value = override.partition("=")
    path = key.lstrip("+~")
    parent, _, leaf = path.rpartition(".")
    node = at(config, parent) if parent else config
    if not isinstance(node, dict) or not leaf or "@" in key:
        return
    if key.startswith("~"):
        node.pop(leaf, None)
    elif equals and path not in names:
        node[leaf] = _parsed(_SPACED.sub(_spaced, value) if value[:1] in ("{", "[") else value)


def _spaced(match: re.Match[str]) -> str:
    return f"{match[1]}: " if match[1] else match[0]


def _parsed(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads numbers such as 1e-3 as OmegaConf does; YAML 1.1 takes them for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+|[0-9][0-9_]*\.[0-9_]*|\.[0-9_]+([eE][-+]?[0-9]+)?)$"),
    list("-+0123456789."),
)


@lru_cache(256)
def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the body of a YAML file and the package that it names, None where it is that of its group."""
    text = text_of(path)
    named = GLOBAL.search(text)
    package = None if named is None or named[1] == "_group_" else "" if named[1] == "_global_" else named[1]
    body = _parsed(text)
    return (body if isinstance(body, dict) else {}), package


def _inside(config: dict[str, Any], place: str) -> dict[str, Any]:
    for name in place.split(".") if place else ():
        inner = config.get(name)
        if not isinstance(inner, dict):
            inner = config[name] = {}
        config = inner
    return config


def _merge(into: dict[str, Any], what: Mapping[str, Any]) -> None:
    for key, value in what.items():
        inner = into.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            _merge(inner, value)
        elif isinstance(value, dict):
            into[key] = {}
            _merge(into[key], value)  # a copy: the file's own stays as it was read
        else:
            into[key] = list(value) if isinstance(value, list) else value
