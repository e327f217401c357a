"""Forms that the text of a value must have, such as that of a duration; each says what it is and what was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from trainkit.errors import ConfigError
from trainkit.timing import duration

WEIGHT_FILES = (".pt", ".pth", ".ckpt", ".safetensors")
"""Suffixes of files of weights."""


class Form(NamedTuple):
    """A form that text must have."""

    words: str
    """What it is, as in "must be a duration such as 10ep"."""
    short: str
    """The same in a word, for the help."""
    fits: Callable[[str], bool]
    cure: Callable[[Any], str] = lambda value: ""
    """What to write instead, empty where that is unknown."""

    def __repr__(self) -> str:
        return f"Form({self.short!r})"


def _is_duration(text: str, units: tuple[str, ...]) -> bool:
    try:
        return duration(text).unit in units
    except ConfigError:
        return False


def _as_duration(value: Any, units: tuple[str, ...]) -> str:
    """Return what a length of training that is written otherwise most likely means."""
    if isinstance(value, bool) or not (match := re.fullmatch(r"\s*([\d.]+)[\s_]*([A-Za-z]*)\s*", str(value))):
        return ""
    number, word = match[1], match[2].lower()
    if not word:
        return f"Write {f'{number}ep or {number}st' if 'st' in units else f'{number}s, {number}min or {number}h'}."
    starts = {"e": "ep", "st": "st", "ba": "st", "it": "st", "m": "min", "h": "h", "s": "s", "d": "d"}
    unit = next((unit for start, unit in starts.items() if word.startswith(start)), None)
    return f"Did you mean {number + unit!r}?" if unit and _is_duration(number + unit, units) else ""


def _durations(words: str, short: str, *units: str) -> Form:
    return Form(words, short, lambda text: _is_duration(text, units), lambda value: _as_duration(value, units))


DURATION = _durations("a duration such as 1ep, 500st or 10min", "duration", "ep", "st", "s")
STEPS = _durations("a duration in epochs or steps, such as 2ep or 500st", "duration in ep or st", "ep", "st")
TIME = _durations("a time such as 90s, 30min, 2h or 1:30:00", "time", "s")
