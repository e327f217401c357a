"""What is known of a config's keys without torch: from the schema, else from the comments in the YAMLs."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from trainkit.commands.help.outline import Outline, comments_in
from trainkit.config.checking.masking import masked
from trainkit.config.paths import at, is_there
from trainkit.config.schema.keys import Key, key_at, keys_of
from trainkit.values import shown


class Known(NamedTuple):
    """What is known of a key."""

    doc: str = ""
    key: Key | None = None
    """The schema's entry, None for a key that only a YAML has."""


def keys_below(tree: Outline, path: str) -> dict[str, Known]:
    """Return the keys that the node at a path has or may have; those of the YAMLs first, in their order."""
    node = at(tree.config, path)
    names = [str(name) for name in node] if isinstance(node, Mapping) else []
    if node is not None and not isinstance(node, Mapping):
        return {}
    known: Mapping[str, Key] = keys_of(tree.config, path) or {}
    found = {}
    for name in dict.fromkeys([*names, *known]):
        if name.startswith("_"):
            continue
        key = known.get(name)
        whole = f"{path}.{name}" if path else name
        found[name] = Known(key.doc if key else comment_on(tree, whole), key)
    return found


def items_below(tree: Outline, path: str) -> dict[str, Key]:
    """Return the keys that each item of a list has, such as a rule of the freeze plan; none where items have none."""
    key = key_at(tree.config, path)
    if key is None or "each" not in key.rules:
        return {}
    return dict(keys_of(tree.config, f"{path}[0]") or {})


def in_first_item(tree: Outline, path: str) -> str:
    """Return a path as keys are known: ``freeze.rules[0].lr`` for ``freeze.rules.lr`` and ``freeze.rules.0.lr``."""
    path = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path)
    parent, _, leaf = path.rpartition(".")
    return f"{parent}[0].{leaf}" if leaf in items_below(tree, parent) else path


def comment_on(tree: Outline, path: str) -> str:
    """Return the comment beside a key in the YAML that sets it, an empty string where there is none."""
    for group, file in (*reversed(tree.files.items()),):
        found = comments_in(Path(file))
        inner = path.removeprefix(f"{group.replace('/', '.')}.")
        if inner != path and inner in found:
            return found[inner]
        if path in found:
            return found[path]
    return ""


def allowed_values(known: Known) -> list[str]:
    """Return the values that can be listed of a key's: choices, true and false, null."""
    if known.key is None:
        return []
    rules: Mapping[str, Any] = known.key.rules or {}
    bases = _members(known.key.annotation)
    choices = [*rules.get("choices", ()), *rules.get("words", ())]
    for base in bases:
        if get_origin(base) is Literal:
            choices += get_args(base)
        elif base is bool and not rules.get("choices"):
            choices += [True, False]
        elif base in (None, type(None)):
            choices.append(None)
    return list(dict.fromkeys(map(shown, choices)))


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def told(tree: Outline, path: str) -> str:
    """Return a key's doc, what it takes and its value in an outline, in one line."""
    key = key_at(tree.config, path)
    doc = key.doc if key else comment_on(tree, path)
    value = masked(at(tree.config, path), path)
    if not is_there(tree.config, path):
        present = "" if key is None or key.default is MISSING else f"default {shown(key.default)}"
    else:
        present = "" if isinstance(value, dict) else "must be given" if value == "???" else f"default {shown(value)}"
    return _with_facts(doc, key.allowed if key else "", present)


def told_of_item(key: Key) -> str:
    """Return the doc of a key that items of a list have, what it takes and its default, in one line."""
    needed = key.default is MISSING
    return _with_facts(key.doc, key.allowed, "must be given" if needed else f"default {shown(key.default)}")


def _with_facts(doc: str, *facts: str) -> str:
    told = ", ".join(fact for fact in facts if fact)
    return " ".join(part for part in (doc, f"[{told}]" if told else "") if part)
