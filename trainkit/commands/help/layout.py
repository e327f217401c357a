"""How help is laid out: names on the left, text wrapped beside them, no wider than a page. Plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

WIDTH = 100
"""Columns of a page."""
LEFT = 33
"""The widest name that text stands beside; beside a wider one it begins on the next line."""


def section(title: str, body: str) -> str:
    """Return a titled part of a help text."""
    return f"{title}:\n{body}"


def columns(rows: Mapping[str, str | Sequence[str]], widest: int = LEFT) -> str:
    """Return names with their text beside them.

    Args:
        rows: The text of each name; of a sequence each item begins on a new line.
        widest: The largest width of the left column.
    """
    if not rows:
        return "  none"
    width = min(max(map(len, rows)), widest)
    lines = []
    for name, text in rows.items():
        pieces = [text] if isinstance(text, str) else list(text)
        right = [line for piece in pieces for line in wrapped(piece, WIDTH - width - 4)]
        if len(name) > width:
            lines.append(f"  {name}")
            name = ""
        lines += [f"  {left:<{width}}  {line}".rstrip() for left, line in zip([name], right[:1] or [""], strict=True)]
        lines += [f"  {'':<{width}}  {line}" for line in right[1:]]
    return "\n".join(lines)


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a text; a word that is too long stays whole."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
