"""Secrets: values that must reach no file and no message, known by the key that they stand under or by the environment.

Texts are masked on their way out: what a person reads goes through :func:`hidden`, a finding through
:func:`masked_finding`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainkit.config.secrets import MASKED, is_secret
from trainkit.findings import Finding, FindingsError

SHORTEST = 6
"""Characters of a secret that is looked for in other texts; a shorter one may be a common word."""
NONE = ("", "null", "none", "???", MASKED)
"""What stands under a secret's key and is none."""

_LOGIN = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
_VALUE = r"""("[^"]*"?|'[^']*'?|\[[^\]]*\]?|[^,{}\[\]\s][^,{}\[\]]*)"""
_INSIDE = re.compile(rf"""(["']?)([\w.-]+)\1\s*:\s*{_VALUE}""")
_GIVEN = re.compile(r"""([\w.]*\w)=("[^"]*"|'[^']*'|[^\s,;(){}\[\]'"`]+)""")
_WRITTEN = re.compile(r"^(\s*(?:- )*)([\w.-]+): (.+)$", re.MULTILINE)


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
        return f"{key}={MASKED}" if value.lower() not in NONE else override
    return f"{key}={masked_text(_inside(value))}"


def typed_secrets(words: Sequence[str]) -> set[str]:
    """Return the secrets that stand in the words of a command line, also where the line is wrong."""
    found: set[str] = set()
    for word, after in zip(words, [*words[1:], ""], strict=False):  # of no word there is none
        key, equals, value = word.partition("=")
        found |= {_bare(match[3]) for match in _INSIDE.finditer(value if equals else word) if is_secret(match[2])}
        if is_secret(key) and "{" not in key:
            given = value if equals and value else "" if "=" in after else after
            found |= {_bare(given), *map(_bare, given.split(","))}
    return _worth_hiding(found)


def secrets_of(config: Any, key: str = "") -> set[str]:
    """Return the texts that stand under secret keys of a config: plain dicts, lists and values."""
    return _worth_hiding(_secrets(config, key))


def hidden(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text for people without secrets: neither those given, nor what its own ``key: value`` show to be one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASKED, text)
    return masked_text(_GIVEN.sub(_given, _inside(text)))


def hidden_lines(yaml: str, secrets: Iterable[str] = ()) -> str:
    """Return the text of a YAML without secrets."""

    def line(match: re.Match[str]) -> str:
        secret = is_secret(match[2]) and match[3].strip("'\"") not in NONE and not _is_number(match[3])
        return f"{match[1]}{match[2]}: {MASKED}" if secret else match[0]

    return hidden(_WRITTEN.sub(line, yaml), secrets)


def masked_finding(finding: Finding, secrets: Iterable[str] = ()) -> Finding:
    """Return a finding none of whose texts tells a secret.

    Args:
        finding: What was found.
        secrets: Those that are known of the command line and the config.
    """
    known = set(secrets)
    value = finding.value
    if value is not None and is_secret(finding.place) and value.strip("'\"") not in NONE:
        known |= _worth_hiding({value, value.strip("'\"")})
        value = MASKED
    typed = finding.evidence.removeprefix("override ")
    lead = finding.evidence[: len(finding.evidence) - len(typed)]
    return replace(
        finding,
        place=hidden(finding.place, known),
        value=None if value is None else hidden(value, known),
        message=hidden(finding.message, known),
        evidence=lead + hidden(masked_override(typed) if lead else typed, known),
        effect=hidden(finding.effect, known),
        fix=hidden(finding.fix, known),
    )


def told_without_secrets(error: BaseException, text: str, words: Sequence[str]) -> str:
    """Return the text of an error without the secrets of the command line that led to it.

    Args:
        error: Findings are masked one by one.
        text: What else would be told.
        words: The command line.
    """
    secrets = typed_secrets(words)
    if isinstance(error, FindingsError):
        return str(FindingsError([masked_finding(finding, secrets) for finding in error.findings]))
    return hidden(text, secrets)


def _inside(text: str) -> str:
    """Mask what stands behind a secret's ``key:`` within braces, also where these are not closed."""
    head, brace, rest = text.partition("{")

    def inner(match: re.Match[str]) -> str:
        secret = is_secret(match[2]) and _bare(match[3]).lower() not in NONE
        return match[0][: match.start(3) - match.start()] + MASKED if secret else match[0]

    return head + brace + _INSIDE.sub(inner, rest)


def _given(match: re.Match[str]) -> str:
    """Mask the value of ``KEY=VALUE`` in a text, but not of those very words."""
    value = _bare(match[2])
    secret = is_secret(match[1]) and value.lower() not in NONE and not value.startswith(("VALUE", "..."))
    return f"{match[1]}={MASKED}" if secret else match[0]


def _secrets(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets(inner, str(name) if isinstance(name, str) else key)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner, key)
    elif isinstance(value, str) and is_secret(key):
        yield value


def _worth_hiding(secrets: Iterable[str]) -> set[str]:
    return {secret for secret in secrets if len(secret) >= SHORTEST and secret.lower() not in NONE}


def _bare(text: str) -> str:
    return text.strip().strip("'\"").strip()


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?\d[\d_]*(\.\d*)?", text.strip()) is not None
