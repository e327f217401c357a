"""Reading the overrides of a line: each on its own, so that one that cannot be read does not hide the others."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

from trainkit.config.composing.composition import Parsed, parse
from trainkit.config.composing.line import Line
from trainkit.findings import Finding

PATHS = ("run_dir", "resume", "data.folder")
"""Keys whose value is a path, or has one in it."""
TEXTS = ("name", "run_dir", "resume")
"""Keys whose value is text, also where it looks like a number: ``name=2026``."""


def read_overrides(line: Line, findings: list[Finding], there: Collection[str] = ()) -> list[Parsed]:
    """Return the overrides, read; those that cannot be are found, and of several values the first is taken.

    A word that slipped is read too where it chooses an option of a group that is ``there``: the rest hangs on it.
    """
    read = []
    for text in [*line.overrides, *(slip.cure for slip in line.slips if not slip.cure.startswith("-"))]:
        try:
            parsed = read_override(text)
        except ValueError:
            if text in line.overrides:
                findings.append(unreadable(text))
            continue
        if parsed.values:
            if not line.sweeps:
                place, _, value = text.partition("=")
                listed = f"{parsed.name}=[{value}]" if "(" not in value else ""
                fix = f"For a sweep over them add -m{f'; for a list write {listed!r}' if listed else ''}"
                message = "gives several values"
                findings.append(
                    Finding(rule="bad-override", severity="error", place=place, value=value, message=message, fix=fix)
                )
            parsed = read_override(parsed.one(parsed.values[0]))
        if text in line.overrides or parsed.key in there:
            read.append(parsed)
    return read


def read_override(text: str) -> Parsed:
    """Read an override, also where Hydra's grammar could not though it is plain what is meant.

    Raises:
        ValueError: If it cannot be read.
    """
    key, _, value = text.partition("=")
    name = key.lstrip("+")
    if name == "recipe" and value.endswith((".yaml", ".yml")) and "," not in value:  # a path may hold any letters
        return Parsed(text, "", "recipe", None, value.strip("'\""), True)
    if value.startswith("=") and re.fullmatch(r"[\w.]+", name):  # KEY==VALUE, as one compares
        return Parsed(text, "", name, None, value, True)
    try:
        parsed = parse(text)
    except ValueError:
        if name not in (*TEXTS, *PATHS) or not value or re.search(r"['\"{}$,]|^[\[(]", value):
            raise
        parsed = Parsed(text, "", name, None, value, True)  # a path may hold any letters
    if parsed.key in TEXTS and isinstance(parsed.value, int | float):
        return parsed._replace(value=value)
    if parsed.key in PATHS and isinstance(parsed.value, str):
        return parsed._replace(value=_at_home(parsed.value))
    return parsed


def _at_home(text: str) -> str:
    """Return a path with ``~`` as a shell would have it, which no shell puts in behind an equals sign."""
    mode = "weights:" if text.startswith("weights:") else ""
    path = text.removeprefix(mode)
    return mode + os.path.expanduser(path) if path == "~" or path.startswith("~/") else text


def unreadable(text: str) -> Finding:
    """Return what is wrong with an override that cannot be read."""
    key, equals, value = text.partition("=")
    message = "cannot be read"
    pairs = [(a, b) for a, b in ("[]", "{}", "()") if value.count(a) != value.count(b)]
    if not re.fullmatch(r"[~+]*[\w./@$:-]+", key):
        fix = "A key is of letters, digits, _ and dots; write KEY=VALUE"
        if (dotted := re.sub(r"\[(\d+)\]", r".\1", key)) != key:
            fix = f"Did you mean '{dotted}={value}'?"
    elif pairs:
        a, b = pairs[0]
        missing = b if value.count(a) > value.count(b) else a
        fix = f"A {missing} is missing; write KEY=VALUE, in quotes if a shell splits it"
    elif value.count("'") % 2 or value.count('"') % 2:
        fix = f"A quote is not closed; write '{key}=\"...\"'"
    else:
        fix = f"Write KEY=VALUE, the value in quotes where it has signs such as , : = or quotes: '{key}=\"...\"'"
    return Finding(
        rule="bad-override",
        severity="error",
        place=key,
        value=value if equals else None,
        message=message,
        fix=fix,
    )
