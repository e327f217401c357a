"""Keys that were added (``+key=value``, or in a YAML of one's own) although they only look like those that are read.

Hydra takes any key behind a ``+``. A group with a ``_target_`` is held against its signature when it is built; here the
rest is looked at, so that a misspelt key does not train with the default instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trainkit.config.recipes import folder
from trainkit.errors import ConfigError, closest

FIXED = {
    "monitor": ("metric", "mode"),
    "penalty": ("l1", "l2"),
    "parameter_groups": ("decay_norm_and_bias", "rules"),
    "schedule": ("scheduler", "interval", "warmup"),
}
"""Groups that trainkit reads itself, and all the keys that they can have."""
BUILT = ("model", "data", "objective", "optimizer", "schedule", "averaging", "callbacks", "metrics")
"""Groups whose targets are called in every run, so that their signatures refuse what they do not know."""
ALIKE = 0.74
"""From this likeness on, an added key is taken for a misspelt one; one wrong letter of four is 0.75."""


def require_no_slips(config: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Hold added keys against those that there are.

    Args:
        config: The composed config.
        overrides: Those that led to it; of them the ones with a ``+`` add keys.

    Raises:
        ConfigError: That names the key and the closest one.
    """
    for group, keys in FIXED.items():
        for key in config.get(group) or {}:
            if key not in keys:
                raise ConfigError(f"{group}.{key}: there is no such key.{closest(str(key), keys) or _listed(keys)}")
    for name in set(config) - _roots():
        if near := closest(str(name), sorted(_roots()), cutoff=ALIKE):
            raise ConfigError(f"{name}: there is no such key.{near}")
    for override in overrides:
        added = re.match(r"\++([\w.]+)=", override)
        if not added or "@" in override:
            continue
        parent, _, leaf = added[1].rpartition(".")
        if not parent and leaf not in _roots() and not any(f"${{{leaf}" in other for other in overrides):
            raise ConfigError(f"{leaf}: there is no such key, and nothing in this command line reads it.")
        node = _node(config, parent) if parent else {}
        if "_target_" in _node(config, added[1]) or ("_target_" in node and parent.split(".")[0] in BUILT):
            continue  # an entry of its own, or an argument that the signature will judge
        siblings = [str(key) for key in node if key != leaf]
        if near := closest(leaf, siblings, cutoff=ALIKE):
            raise ConfigError(f"{added[1]}: there is no such key.{near}")


def _roots() -> set[str]:
    """Return the keys that a config can have at the top: those of ``config.yaml``, and the groups."""
    text = (folder() / "config.yaml").read_text()
    keys = re.findall(r"^(\w+):", text, re.MULTILINE)
    return {*keys, *(path.name for path in folder().iterdir() if path.is_dir())} - {"defaults"}


def _node(config: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    node: Any = config
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _listed(keys: Sequence[str]) -> str:
    return f" Keys: {', '.join(keys)}"
