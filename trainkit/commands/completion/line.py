"""A line of a shell, taken apart at the cursor, and a candidate put into the form that the shell wants back."""

from __future__ import annotations

import re
from typing import NamedTuple

SPECIAL = re.compile(r"[^\w@%+=:,./~^-]")
"""What a shell would not take as it is, anywhere in a word."""


class Word(NamedTuple):
    """A word of a line, without its quotes."""

    text: str
    start: int
    end: int
    quote: str
    """The quote that is open at the end, empty if there is none."""


class Cursor(NamedTuple):
    """A line, and where the cursor is in it."""

    before: list[str]
    """The words before, the program's included."""
    current: str
    """The word at the cursor without quotes, as far as the cursor."""
    raw: str
    """The same as it was typed."""
    quote: str
    """The quote that is open at the cursor."""
    rest: str
    """What stands between the cursor and the word's end."""
    after: list[str]
    """The words behind."""


def cursor_at(line: str, place: int) -> Cursor:
    """Take a line apart at the cursor; ``place`` counts characters."""
    head, tail = _last_command(line[:place]), line[place:]
    words = split(head)
    inside = bool(words) and words[-1].end == len(head)
    current = words.pop() if inside else Word("", len(head), len(head), "")
    rest, after = tail, ""
    if not current.quote:
        cut = re.search(r"[\s|;&)]|$", tail)
        rest, after = tail[: cut.start()], tail[cut.start() :]  # type: ignore[union-attr]
    else:
        rest, _, after = tail.partition(current.quote)
    behind = [word.text for word in split(re.split(r"[|;&]", after)[0])]
    return Cursor([word.text for word in words], current.text, head[current.start :], current.quote, rest, behind)


def split(line: str) -> list[Word]:
    """Return the words of a line by the rules of a POSIX shell; a quote that is left open runs to the end."""
    words: list[Word] = []
    text, start, quote, place = "", -1, "", 0
    while place < len(line):
        char = line[place]
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"' and line[place + 1 : place + 2] in ('"', "\\", "$", "`"):
                place += 1
                text += line[place]
            else:
                text += char
        elif char.isspace():
            if start >= 0:
                words.append(Word(text, start, place, ""))
            text, start = "", -1
        else:
            start = place if start < 0 else start
            if char in "'\"":
                quote = char
            elif char == "\\":
                place += 1
                text += line[place : place + 1]
            else:
                text += char
        place += 1
    if start >= 0:
        words.append(Word(text, start, len(line), quote))
    return words


def for_bash(candidate: str, cursor: Cursor, breaks: str) -> str:
    """Return what bash puts in place of what it takes for the current word.

    Bash cuts words also at ``COMP_WORDBREAKS``, mostly at ``=`` and ``:``, but not inside quotes, and puts the
    candidate behind the last cut.
    """
    if cursor.quote:
        opened = cursor.raw.rfind(cursor.quote)
        lead = split(cursor.raw[:opened])
        text = candidate[len(lead[0].text) if lead else 0 :]
        return text.replace("'", "'\\''") if cursor.quote == "'" else re.sub(r'(["\\$`])', r"\\\1", text)
    cut, place = 0, 0
    for place in range(len(cursor.raw)):
        escaped = place > 0 and cursor.raw[place - 1] == "\\"
        if cursor.raw[place] in breaks and cursor.raw[place] not in " \t\n'\"" and not escaped:
            cut = place + 1
    lead = split(cursor.raw[:cut])
    return quoted(candidate[len(lead[0].text) if lead else 0 :])


def quoted(text: str) -> str:
    """Return a word with a backslash before all that a shell would read otherwise."""
    return SPECIAL.sub(lambda match: "\\" + match[0], text)


def _last_command(line: str) -> str:
    """Return the part of a line that belongs to the command at its end."""
    quote, start, place = "", 0, 0
    while place < len(line):
        char = line[place]
        if char == "\\" and quote != "'":
            place += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "|;&(\n":
            start = place + 1
        place += 1
    return line[start:]
