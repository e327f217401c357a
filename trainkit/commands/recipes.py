"""``trainkit recipes``: what can be trained at once, and what to expect of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainkit.commands.dispatch import PROGRAM
from trainkit.commands.help.layout import columns
from trainkit.commands.help.outline import file_of
from trainkit.config.composing.line import read_line
from trainkit.config.composing.origins import shown
from trainkit.config.composing.recipes import head, recipes
from trainkit.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Print the recipes, those of ``--config-dir`` too, and return the exit code."""
    line = read_line(arguments, {"--json": None}).require()
    if line.overrides:
        raise ConfigError(f"recipes takes no {line.overrides[0]}; `trainkit help RECIPE` explains one")
    found = listed(*([Path(line.config_dir).absolute()] if line.config_dir else []))
    if line.has("--json"):
        print(json.dumps(found, indent=2))
        return 0
    rows = {}
    for recipe in found:
        more = [f"expected: {recipe['expected']}"] if recipe["expected"] else []
        rows[recipe["name"]] = [recipe["description"] or "(its file says nothing of it)", *more, recipe["file"]]
    print(f"{columns(rows)}\n\nTrain one by: {PROGRAM} recipe=NAME; `{PROGRAM} help NAME` says more.")
    return 0


def listed(*more: Path) -> list[dict[str, Any]]:
    """Return what there is to say of each recipe, by name: plain values, for JSON."""
    found = []
    for recipe in recipes(*more):
        path = file_of("recipe", recipe.name, *more)
        if path is None:  # it was deleted just now
            continue
        about = head(path)
        row = {"name": recipe.name, "description": about.description, "expected": about.note("Expected")}
        found.append({**row, "run": about.note("Run"), "notes": list(about.notes), "file": shown(path)})
    return found
