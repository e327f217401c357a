"""Building one part of a config by its node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainkit.config.targets.instantiate import instantiate, target_of
from trainkit.config.targets.roles import fits_at_last, role_of
from trainkit.config.targets.signatures import signature_of
from trainkit.errors import ConfigError

OPTIONAL = ("schedule", "freeze", "averaging", "callbacks", "loggers", "checkpoint", "metrics")
"""Groups that the command line may leave out: ``~averaging``."""


def build_part(node: Mapping[str, Any] | None, path: str, *arguments: Any) -> Any:
    """Build one part of a training, None where there is no node for it.

    Raises:
        ConfigError: If it cannot be built, or is not what its place is for.
    """
    if not node and path in OPTIONAL:
        return None
    shared = {"optimizer": arguments[0]} if path == "schedule.scheduler" else {}  # of schedulers within it
    found = instantiate(node, path, *arguments, shared=shared)
    role = role_of(path)
    if role is not None and node and not fits_at_last(found, path):
        raise ConfigError(f"{path} ({node['_target_']}): gives a {type(found).__name__}, not {role.wanted}")
    return found


def build_named(values: Mapping[str, Any], group: str, folder: Path | None = None) -> dict[str, Any]:
    """Build the entries of a group, without those that are left out."""
    nodes = {name: node for name, node in (values[group] or {}).items() if node}
    return {
        name: build_part(with_folder(node, f"{group}.{name}", folder), f"{group}.{name}")
        for name, node in nodes.items()
    }


def with_folder(node: Any, path: str, folder: Path | None) -> Any:
    """Return a node with the folder that its object is to write to, if it takes one and none is chosen."""
    if folder is None or not isinstance(node, Mapping) or "_target_" not in node:
        return node
    signature = signature_of(target_of(node, path))
    return {"folder": str(folder), **node} if "folder" in signature.names or signature.open_names else node
