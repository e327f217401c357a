"""``trainkit completion``: the scripts with which bash, zsh and fish complete trainkit's command lines.

A script asks trainkit itself what a line can go on with, by ``trainkit completion --candidates SHELL ...``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from trainkit.commands.completion.line import Cursor, cursor_at, for_bash, split
from trainkit.commands.completion.scripts import SCRIPTS
from trainkit.errors import ConfigError, closest

ASK = "--candidates"


def main(arguments: Sequence[str]) -> int:
    """Print a shell's script, or the candidates that such a script asks for, and return the exit code."""
    if arguments[:1] == [ASK]:
        return _answer(*arguments[1:])
    shell = arguments[0] if arguments else ""
    if len(arguments) > 1 or shell not in SCRIPTS:
        problem = f"{shell}: no such shell.{closest(shell, list(SCRIPTS))}" if shell else "which shell?"
        raise ConfigError(f"completion {problem} Write: trainkit completion {'|'.join(SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return 0


def _answer(shell: str, *asked: str) -> int:
    """Print a candidate a line: the text, then in zsh and fish a tab and what it is."""
    from trainkit.commands.completion.words import candidates

    if shell == "bash":
        line, place, breaks = asked
        cursor = cursor_at(line, int(place))
    else:
        before, current, after = _parts(asked)
        cursor = Cursor(before, current, current, "", "", after)
        breaks = ""
    found = candidates(_without_program(cursor.before), cursor.current, cursor.after)
    if cursor.rest.startswith("="):  # of a word whose value stands already behind the cursor
        found = [c._replace(text=c.text.removesuffix("="), ends=False) for c in found]
    for candidate in found:
        if shell == "bash":
            print(
                for_bash(candidate.text, cursor, breaks)
                + (" " if candidate.ends and not (cursor.rest or cursor.quote) else "")
            )
        elif shell == "zsh":
            print(f"{'e' if candidate.ends else 'c'}\t{candidate.text}\t{candidate.doc}")
        else:
            print(f"{candidate.text}\t{candidate.doc}" if candidate.doc else candidate.text)
    sys.stdout.flush()
    return 0


def _parts(asked: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Return the words before the cursor, the one at it, and those behind: ``COUNT WORDS... CURRENT WORDS...``."""
    count, words = int(asked[0]), [" ".join(word.text for word in split(word)) for word in asked[1:]]
    return words[:count], words[count] if len(words) > count else "", words[count + 1 :]


def _without_program(words: Sequence[str]) -> list[str]:
    """Return the words behind ``trainkit`` or ``python -m trainkit``."""
    rest = list(words)
    while rest and re.fullmatch(r"[A-Za-z_]\w*=.*", rest[0], re.DOTALL):  # FOO=1 trainkit ...
        rest.pop(0)
    if "trainkit" in rest and rest[rest.index("trainkit") - 1] == "-m":
        return rest[rest.index("trainkit") + 1 :]
    return rest[1:]
