"""Config files that were composed already: half of what a command line costs, the same for all that choose the same.

The first line that makes some choices has Hydra compose the files; each line is read, set, resolved and checked for
itself. Shared are only files that no test changes: trainkit's own, and those of folders that a test names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from trainkit.config.composing import compose
from trainkit.config.composing.composition import ROOT, Base, base
from trainkit.config.composing.recipes import file_of

KEPT: dict[tuple[tuple[str, ...], tuple[Path, ...]], Base] = {}


@contextmanager
def shared(*own: Path) -> Iterator[None]:
    """Let all lines that are composed in this process share them, with ``own`` config folders too."""

    def is_file(choice: str, folders: Sequence[Path]) -> bool:
        """Say whether a choice is that of a file there, and so nothing that Hydra or Python code was given."""
        group, _, option = choice.lstrip("+").partition("=")
        return choice.startswith("~") or file_of(f"{group}/{option}", folders) is not None

    def once(choices: Sequence[str], folders: Sequence[Path] = (), root: str = ROOT) -> Base:
        if root != ROOT or not set(folders) <= set(own) or not all(is_file(choice, folders) for choice in choices):
            return base(choices, folders, root)
        key = tuple(choices), tuple(folders)
        if key not in KEPT:
            KEPT[key] = base(choices, folders, root)
        return KEPT[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "base", once)
        yield
