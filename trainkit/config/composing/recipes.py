"""The recipes and groups as they lie on disk, found without importing Hydra, so that help answers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Recipe(NamedTuple):
    """What the head of a recipe's file says."""

    name: str
    description: str
    """Its first comment."""
    notes: tuple[str, ...]
    """The other comments of the head: the command, the run time, the number to expect."""


def folder() -> Path:
    """Return the folder of trainkit's configs: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "configs"
    return inside if (inside / "config.yaml").is_file() else package.parent / "configs"


def options(group: str, *more: Path) -> list[str]:
    """Return the options of a config group, sorted, of trainkit's folder and ``more`` config folders."""
    return sorted({path.stem for root in (folder(), *more) for path in (root / group).glob("*.yaml")})


def groups(*more: Path) -> dict[str, list[str]]:
    """Return the options of all config groups, one within another too (``data/augment``), sorted by name."""
    found: dict[str, set[str]] = {}
    for root in (folder(), *more):
        for path in root.rglob("*.yaml"):
            if path.parent != root and not any(part.startswith(".") for part in path.relative_to(root).parts):
                found.setdefault(path.parent.relative_to(root).as_posix(), set()).add(path.stem)
    return {name: sorted(found[name]) for name in sorted(found) if name.partition("/")[0] != "hydra"}


def file_of(name: str, more: Sequence[Path] = (), given: Mapping[str, Path] | None = None) -> Path | None:
    """Return the file of an option such as ``optimizer/adamw``, as Hydra finds it, None if there is none.

    Args:
        name: Group and option.
        more: Config folders besides trainkit's, which comes first.
        given: Files that were given by their path, by the name that Hydra knows them by.
    """
    if given and name in given:
        return given[name]
    try:
        return next((path for root in (folder(), *more) if (path := root / f"{name}.yaml").is_file()), None)
    except (OSError, ValueError):  # no name that a file can have
        return None


def recipes(*more: Path) -> list[Recipe]:
    """Return all recipes of trainkit's folder and ``more`` config folders, by name."""
    paths = {path.stem: path for root in (folder(), *more) for path in (root / "recipe").glob("*.yaml")}
    return [_read(paths[name]) for name in sorted(paths)]


def _read(path: Path) -> Recipe:
    comments = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            comments.append(line.lstrip("# ").strip())
    return Recipe(path.stem, comments[0] if comments else "", tuple(comments[1:]))
