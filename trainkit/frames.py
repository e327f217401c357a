"""The user's own frames of a traceback: where in their code it happened. Imports no torch."""

from __future__ import annotations

import linecache
import os
import re
import sys
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from types import TracebackType

OWN = str(Path(__file__).parent)
RECIPES = str(Path(OWN, "recipes"))
STANDARD = sysconfig.get_path("stdlib")
INSTALLED = re.compile(r"[/\\](site|dist)-packages([/\\]|$)")
MOST_FRAMES = 6
_DUMPED = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$')

Frame = tuple[str, int, str]
"""File, line and function."""


def user_frames(tb: TracebackType | None) -> str:
    """Return file, line, function and source line of the frames that are the user's, as Python prints them.

    Left out are those of trainkit, torch, the standard library and installed packages; where nothing else is left, only
    those of trainkit and torch.
    """
    return _shown([(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(tb)])


def dumped_frames(dump: str, inside: str) -> str:
    """Return the user's frames of what ``faulthandler`` wrote: those that a function ``inside`` had called."""
    threads = re.split(r"^(?:Current thread|Thread) .*$", dump, flags=re.MULTILINE)
    for thread in threads:
        if f" in {inside}" in thread:
            inner = thread.split(f" in {inside}")[0]  # the innermost comes first
            found = [match for line in inner.splitlines() if (match := _DUMPED.match(line))]
            return _shown([(f["file"], int(f["line"]), f["function"]) for f in reversed(found)])
    return ""


@cache
def is_users(file: str) -> bool:
    """Say whether a source file is the user's own: not of trainkit, torch, the standard library or a package.

    Recipes are theirs, since they are there to be changed. What was never in a file (``<string>``) is not.
    """
    if not file or file.startswith("<"):
        return False
    path = os.path.abspath(file)
    return not is_of_engines(path) and not _is_library(path)


def is_of_engines(file: str) -> bool:
    """Say whether a source file belongs to trainkit, recipes left out, or to torch."""
    torch = sys.modules.get("torch")
    folders = (OWN, *(torch.__path__ if torch is not None else ()))
    return not _is_in(file, RECIPES) and any(_is_in(file, folder) for folder in folders)


def _shown(frames: list[Frame]) -> str:
    outside = [frame for frame in frames if not is_of_engines(frame[0])]
    chosen = [frame for frame in outside if not _is_library(frame[0])] or outside or frames[-1:]
    lines = []
    for file, line, function in chosen[-MOST_FRAMES:]:
        lines.append(f'  File "{file}", line {line}, in {function}')
        if source := linecache.getline(file, line).strip():
            lines.append(f"    {source}")
    return "\n".join(lines)


def _is_library(file: str) -> bool:
    installed = INSTALLED.search(file) is not None or file.startswith(("<frozen", STANDARD))
    return installed and not _is_in(file, RECIPES)


def _is_in(file: str, folder: str) -> bool:
    return file.startswith(folder + os.sep)
