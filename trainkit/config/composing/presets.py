"""Freeze plans that a run was stored with, and the presets that they come from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainkit.config.composing.recipes import folder

REFERS = re.compile(r"\$\{freeze\.(\w+)\}")


def rules_of_preset(plan: Any, more: Sequence[Path] = ()) -> list[Any] | None:
    """Return the rules of the preset that a stored plan comes from, with their references to keys such as ``thaw``.

    A stored config is resolved: its rules hold the values of such keys, so that overriding the keys would do nothing.

    Args:
        plan: The stored ``freeze``, resolved.
        more: Config folders besides trainkit's.

    Returns:
        None where the rules are no preset's, or one's that has no such keys.
    """
    if not isinstance(plan, Mapping):
        return None
    for root in (*more, folder()):
        for path in sorted((root / "freeze").glob("*.yaml")):
            preset = yaml.safe_load(path.read_text())
            rules = preset.get("rules") if isinstance(preset, dict) else None
            if isinstance(rules, list) and REFERS.search(str(rules)) and _resolved(rules, plan) == plan.get("rules"):
                return rules
    return None


def _resolved(node: Any, plan: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        return {key: _resolved(value, plan) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolved(value, plan) for value in node]
    found = REFERS.fullmatch(node) if isinstance(node, str) else None
    return plan.get(found[1]) if found else node
