"""Who set what: for each config path the override, or the line of a YAML file, that set it last."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from trainkit.config.composing.recipes import folder


@dataclass(frozen=True, slots=True)
class Origin:
    """What set a value."""

    override: str | None = None
    """As it was typed: ``trainer.max_epochs=ten``."""
    file: Path | None = None
    line: int | None = None
    """From 1 on; None where a file's format has none."""
    shipped: bool = False
    """Whether the file is one of trainkit's own."""

    def __str__(self) -> str:
        if self.override is not None:
            return f"override {self.override}"
        return shown(self.file, self.line) if self.file is not None else ""

    @property
    def name(self) -> str | None:
        """The file as a person would name it, None for an override."""
        return None if self.file is None else shown(self.file)


@dataclass(slots=True)
class Origins:
    """The origins of all values of a config."""

    entries: dict[str, Origin] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    """Paths that Python code set, which has no line to name."""
    replaced: set[str] = field(default_factory=set)
    """Paths within a node that a later file gave another ``_target_``, and that were set before it."""
    _targets: dict[str, str | None] = field(default_factory=dict)

    def of(self, path: str) -> Origin | None:
        """Return what set the value at a path, or else the nearest node around it that was set as a whole."""
        for place in _upwards(path):
            if place in self.entries:
                return self.entries[place]
            if place in self.foreign:
                return None
        return None

    def told(self, path: str) -> dict[str, Any]:
        """Return the parts of a finding that say what set the value at a path."""
        origin = self.of(path)
        if origin is None:
            return {}
        return {"evidence": str(origin)} if origin.override is not None else {"file": origin.name, "line": origin.line}

    def set_by_user(self, path: str) -> bool:
        """Say whether a person set the value: an override, a file of their own, or Python code; not trainkit's YAML."""
        for place in _upwards(path):
            if place in self.foreign:
                return True
            if place in self.entries:
                return not self.entries[place].shipped
        return False

    def by_override(self, path: str) -> bool:
        """Say whether this command line set the value."""
        origin = self.of(path)
        return origin is not None and origin.override is not None

    def set(self, path: str, value: Any, origin: Origin | None) -> None:
        """Note what set a value, and all that is in it; None: Python code did."""
        for place in (path, *_inside(path, value)):
            self.foreign.discard(place)
            self.entries.pop(place, None)
            if origin is None:
                self.foreign.add(place)
            else:
                self.entries[place] = origin

    def read(self, file: Path, package: str) -> None:
        """Note all keys of a YAML file whose content goes to ``package``; a file that is no YAML has none."""
        shipped = file.is_relative_to(folder())
        found = [(f"{package}.{key.path}" if package else key.path, key) for key in _keys_of(file)]
        for place, key in found:
            node, _, leaf = place.rpartition(".")
            if leaf == "_target_":
                if self._targets.get(node) not in (None, key.text):
                    self.replaced |= {other for other in self.entries if other.startswith(f"{node}.")}
                self._targets[node] = key.text
        for place, key in found:
            self.entries[place] = Origin(file=file, line=key.line, shipped=shipped)
            self.foreign.discard(place)
            self.replaced.discard(place)


class _Key(NamedTuple):
    """A key of a YAML file."""

    path: str
    line: int
    text: str | None
    """Its value, where that is a single one."""
    is_list: bool = False


def lines_of(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted path and the line (from 1 on) of each key and list of a YAML file, ``defaults`` left out."""
    yield from ((key.path, key.line) for key in _keys_of(file))


def lists_of(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted path and the line of each list within a mapping of a YAML file."""
    yield from ((key.path, key.line) for key in _keys_of(file) if key.is_list and "." in key.path)


def _keys_of(file: Path) -> Iterator[_Key]:
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return  # whoever composes says what is wrong with it
    if isinstance(root, yaml.MappingNode):
        yield from _lines(root, "")


def _lines(node: yaml.MappingNode, prefix: str) -> Iterator[_Key]:
    for key, value in node.value:
        if not prefix and key.value == "defaults":
            continue
        path = f"{prefix}{key.value}"
        text = value.value if isinstance(value, yaml.ScalarNode) else None
        yield _Key(path, key.start_mark.line + 1, text, isinstance(value, yaml.SequenceNode))
        if isinstance(value, yaml.MappingNode):
            yield from _lines(value, f"{path}.")
        elif isinstance(value, yaml.SequenceNode):
            yield from _items(value, path)


def _items(node: yaml.SequenceNode, path: str) -> Iterator[_Key]:
    for number, item in enumerate(node.value):
        if isinstance(item, yaml.MappingNode):
            yield _Key(f"{path}.{number}", item.start_mark.line + 1, None)
            yield from _lines(item, f"{path}.{number}.")
        elif isinstance(item, yaml.SequenceNode):
            yield from _items(item, f"{path}.{number}")


def shown(file: Path, line: int | None = None) -> str:
    """Return a file as a person would name it: ``configs/recipe/mlp.yaml:31`` for one of trainkit's, else from here."""
    if file.is_relative_to(folder()):
        name = str(Path("configs") / file.relative_to(folder()))
    else:
        try:
            inside = Path(os.path.abspath(file)).relative_to(Path.cwd())
        except (ValueError, FileNotFoundError):
            inside = file
        name = str(inside)
    return name if line is None else f"{name}:{line}"


def _upwards(path: str) -> Iterator[str]:
    path = path.replace("[", ".").replace("]", "")
    while path:
        yield path
        path = path.rpartition(".")[0]


def _inside(path: str, value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        inner: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    else:
        return
    for key, item in inner:
        yield f"{path}.{key}"
        yield from _inside(f"{path}.{key}", item)
