"""The files behind a config: what of them would not be read as it is meant, and what other options have."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from trainkit.config.composing.choosing import Choices, without_header
from trainkit.config.composing.composition import Base
from trainkit.config.composing.origins import Origins, lines_of, shown
from trainkit.config.composing.recipes import file_of, folder
from trainkit.config.composing.setting import Setter
from trainkit.config.composing.suggestions import nearest
from trainkit.config.schema.keys import ALIKE
from trainkit.findings import Finding


def file_findings(files: Base, choices: Choices, origins: Origins, setter: Setter) -> list[Finding]:
    """Find files that would not be read as they are meant."""
    found: list[Finding] = []
    for entry in files.entries:
        path = file_of(entry.name, choices.folders, choices.given)
        if path is None:
            continue
        group = entry.name.partition("/")[0]
        if group in ("recipe", "debug") and entry.package:
            found.append(without_header(path, group))
        for other in choices.folders:
            hidden = other / f"{entry.name}.yaml"
            if path.is_relative_to(folder()) and hidden.is_file() and hidden.read_bytes() != path.read_bytes():
                found.append(
                    Finding(
                        rule="hidden-file",
                        severity="error",
                        place=group,
                        file=shown(hidden),
                        message="this file would not be read: trainkit has an option of that name, which goes first",
                        fix=f"Give it another name, such as {entry.name}_mine.yaml",
                    )
                )
    known = setter.roots()
    for key, value in setter.tree.items():
        if key in known or key in choices.groups or not origins.set_by_user(key):
            continue
        near = nearest(key, [*known, *choices.groups], cutoff=ALIKE)
        read = re.search(rf"\$\{{{re.escape(key)}[.}}\[]", str(setter.tree))
        if near is None and read:
            continue
        origin = origins.of(key)
        found.append(
            Finding(
                rule="unknown-key",
                severity="error" if near else "warning",
                place=key,
                value=None if isinstance(value, dict | list) else str(value),
                file=None if origin is None else origin.name,
                line=None if origin is None else origin.line,
                message="there is no such key" if near else "nothing reads this key",
                fix=f"Did you mean {near!r}?" if near else "",
            )
        )
    return found


@cache
def _keys_in(path: Path) -> frozenset[str]:
    return frozenset(key for key, _ in lines_of(path))


def other_options(files: Base, choices: Choices, group: str) -> dict[str, frozenset[str]]:
    """Return the other options of a group and the keys that each has."""
    found = {}
    for option in choices.groups.get(group, ()):
        path = file_of(f"{group}/{option}", choices.folders)
        if option != files.choices.get(group) and path is not None:
            found[option] = _keys_in(path)
    return found
