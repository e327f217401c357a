"""The recipes and groups as they lie on disk, found without importing Hydra, so that help answers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Head(NamedTuple):
    """The comment at the head of a YAML file."""

    name: str
    """That of the option, and so of the recipe."""
    description: str
    """Its first line."""
    notes: tuple[str, ...]
    """The others; in a recipe the command, the run time, the number to expect."""

    def note(self, name: str) -> str:
        """Return what stands behind ``name:`` in a note, an empty string where there is none."""
        return next((note[len(name) + 1 :].strip() for note in self.notes if note.startswith(f"{name}:")), "")


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


def recipes(*more: Path) -> list[Head]:
    """Return the heads of all recipes of trainkit's folder and ``more`` config folders, by name."""
    paths = {path.stem: path for root in (folder(), *more) for path in (root / "recipe").glob("*.yaml")}
    return [head(paths[name]) for name in sorted(paths)]


def head(path: Path) -> Head:
    """Return the comment at the head of a YAML file, without what it says to Hydra."""
    comments = []
    for line in text_of(path).splitlines():
        if not line.startswith("#"):
            break
        if not line.lstrip("# ").startswith("@"):
            comments.append(line.lstrip("# ").strip())
    return Head(path.stem, comments[0] if comments else "", tuple(comments[1:]))


def text_of(path: Path) -> str:
    """Return what a file says, nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
