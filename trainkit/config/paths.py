"""Paths within a config of plain values: ``data.batch_size``, ``model._args_[1].in_features`` or ``model._args_.1``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def at(config: Any, path: str) -> Any:
    """Return what stands at a path of nested dicts and lists, None where there is nothing, all at an empty path."""
    for name in _plain(path).split(".") if path else ():
        if isinstance(config, Mapping):
            config = config.get(name)
        elif isinstance(config, list) and _is_index(name, config):
            config = config[int(name)]
        else:
            return None
    return config


def is_there(config: Any, path: str) -> bool:
    """Say whether a path leads to a value, be it null."""
    parent, _, leaf = _plain(path).rpartition(".")
    node = at(config, parent)
    return _is_index(leaf, node) if isinstance(node, list) else isinstance(node, Mapping) and leaf in node


def related(one: str, other: str) -> bool:
    """Say whether two paths are the same, or one lies within the other."""
    one, other = _plain(one), _plain(other)
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _is_index(name: str, items: list[Any]) -> bool:
    return re.fullmatch(r"-?\d+", name) is not None and -len(items) <= int(name) < len(items)


def _plain(path: str) -> str:
    return path.replace("[", ".").replace("]", "")
