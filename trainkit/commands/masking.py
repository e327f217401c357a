"""Secrets: values that must reach no file of a run, known by the key that they stand under or by the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from trainkit.config.checking.secrets import MASKED, is_secret

SHORTEST = 6
"""Characters of a secret of the environment that is looked for in other values; a shorter one may be a common word."""

_LOGIN = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
_INSIDE = re.compile(r"""(["']?)([\w.-]+)\1\s*:\s*("[^"]*"|'[^']*'|[^,{}\[\]]+)""")


def masked(value: Any, key: str = "") -> Any:
    """Return a copy of plain values with the texts under secret keys masked, and secrets of the environment anywhere.

    Numbers stay: ``max_tokens: 512`` is none, and a run could not be repeated without it.
    """
    if isinstance(value, Mapping):
        return {name: masked(inner, str(name) if isinstance(name, str) else key) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner, key) for inner in value]
    if not isinstance(value, str) or not value:
        return value
    return MASKED if is_secret(key) else masked_text(value)


def masked_text(text: str) -> str:
    """Return a text without the passwords of addresses and without the secrets of the environment."""
    text = _LOGIN.sub(rf"\1:{MASKED}@", text)
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and is_secret(name) and not os.path.exists(value):
            text = text.replace(value, MASKED)
    return text


def masked_override(override: str) -> str:
    """Return ``key=value`` with the value masked where the key, or one within the value, names a secret."""
    key, equals, value = override.partition("=")
    if not equals:
        return masked_text(override)
    if is_secret(key):
        return f"{key}={MASKED}" if value.lower() not in ("", "null") else override

    def inner(match: re.Match[str]) -> str:
        return match[0][: match.start(3) - match.start()] + MASKED if is_secret(match[2]) else match[0]

    return f"{key}={masked_text(_INSIDE.sub(inner, value) if '{' in value else value)}"
