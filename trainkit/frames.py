"""The user's own frames of a traceback: where in their code it happened. Imports no torch."""

from __future__ import annotations

import linecache
import re
import sys
import sysconfig
import traceback
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


def is_users(file: str) -> bool:
    """Say whether a source file is the user's own: not of trainkit, torch, the standard library or a package."""
    return not _is_of(file, ENGINES) and not _is_library(file)


def _shown(frames: list[Frame]) -> str:
    outside = [frame for frame in frames if not _is_of_engines(frame[0])]
    chosen = [frame for frame in outside if not _is_library(frame[0])] or outside or frames[-1:]
    lines = []
    for file, line, function in chosen[-MOST_FRAMES:]:
        lines.append(f'  File "{file}", line {line}, in {function}')
        if source := linecache.getline(file, line).strip():
            lines.append(f"    {source}")
    return "\n".join(lines)


def _is_of_engines(file: str) -> bool:
    torch = sys.modules.get("torch")
    return not file.startswith(RECIPES) and file.startswith((OWN, *(torch.__path__ if torch is not None else ())))


def _is_library(file: str) -> bool:
    return file.startswith(("<frozen", STANDARD)) or (
        INSTALLED.search(file) is not None and not file.startswith(RECIPES)
    )
