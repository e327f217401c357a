"""Nodes that get another ``_target_``: what was set for the former one does not go to the new one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from trainkit.config.composing.origins import Origins
from trainkit.config.paths import at, related
from trainkit.config.schema.keys import DIRECTIVES, target_keys
from trainkit.errors import ConfigError


def without(node: Any, paths: Iterable[str]) -> Any:
    """Return plain values without what stands at some dotted paths; it is taken out in place."""
    for path in sorted(paths):
        parent, _, leaf = path.rpartition(".")
        inner = at(node, parent)
        if isinstance(inner, dict):
            inner.pop(leaf, None)
    return node


def is_another(value: Any, before: Any) -> bool:
    """Say whether a mapping is of another target than the one that it is laid over, and so takes its place."""
    if not isinstance(value, Mapping) or not isinstance(before, Mapping):
        return False
    return before.get("_target_") is not None and value.get("_target_") not in (None, before["_target_"])


def untaken(tree: Mapping[str, Any], node: Mapping[str, Any], path: str, target: str, origins: Origins) -> list[str]:
    """Return the keys of a node, out of trainkit's own files, that a new target does not take.

    Args:
        tree: The whole config.
        node: The node.
        path: Where it stands.
        target: What is to be built of it now.
        origins: Who set what.
    """
    shipped = [str(key) for key in node if key not in DIRECTIVES and not origins.set_by_user(f"{path}.{key}")]
    known = _taken(tree, target) if shipped else None
    return [] if known is None else [key for key in shipped if key not in known]


def outdated(tree: Mapping[str, Any], paths: Iterable[str]) -> list[str]:
    """Return those of ``paths``, set for a former target of their nodes, that the present one can do without.

    What stands within an argument that it needs stays with it.
    """
    found, kept = [], []
    for path in sorted(paths):
        parent, _, leaf = path.rpartition(".")
        node = at(tree, parent)
        target = node.get("_target_") if isinstance(node, Mapping) else None
        if isinstance(target, str) and leaf in _needed(tree, target):
            kept.append(path)
        elif not any(related(path, one) for one in kept):
            found.append(path)
    return found


def _needed(tree: Mapping[str, Any], target: str) -> Collection[str]:
    """Return the names of the arguments that a target must be given, as far as that can be told."""
    keys = target_keys(target)
    if keys is not None:
        return [name for name, key in keys.items() if key.default is MISSING]
    signature = _signature(tree, target)
    return () if signature is None else [name for name, one in signature.parameters.items() if one.required]


def _taken(tree: Mapping[str, Any], target: str) -> Collection[str] | None:
    """Return the names of a target's arguments, None where it takes any or cannot be looked at."""
    keys = target_keys(target)
    if keys is not None:
        return keys
    signature = _signature(tree, target)
    return None if signature is None or signature.open_names else signature.names


def _signature(tree: Mapping[str, Any], target: str) -> Any:
    from trainkit.config.targets.lookup import resolve  # with torch, which whoever builds this target needs
    from trainkit.config.targets.signatures import signature_of
    from trainkit.config.targets.trusted import Trusted

    try:
        return signature_of(resolve(target, Trusted.of(tree, [Path.cwd()])))
    except (ConfigError, TypeError, ValueError):
        return None  # whoever looks at targets says what is wrong with it
