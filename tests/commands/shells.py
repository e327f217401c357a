"""Real shells at a pseudo-terminal, whose own completion is asked by the Tab key."""

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

END = re.compile(r"<<(.*)\|(\d+)>>", re.DOTALL)
"""What the key below prints, before it empties the line: the line as it is now, and where the cursor is in it."""
PRINT, TAB, LEFT = "\x18\x10", "\t", "\x02"

SETUP = {
    "bash": [
        "PS1= PS2=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; bind 'set page-completions off'",
        "bind 'set completion-query-items 0'; bind 'set show-all-if-ambiguous on'",
        '_print() { printf \'<<%s|%s>>\' "$READLINE_LINE" "$READLINE_POINT"; READLINE_LINE= READLINE_POINT=0; }',
        "bind -x '\"\\C-x\\C-p\": _print'",
    ],
    "zsh": [
        "PS1= PS2= RPS1=; unsetopt prompt_cr prompt_sp beep; LISTMAX=10000; unset zle_bracketed_paste",
        "autoload -U compinit; compinit -u -D; bindkey -e",
        "_print() { zle -I; print -r -- \"<<$BUFFER|$CURSOR>>\"; BUFFER=; }; zle -N _print; bindkey '^X^P' _print",
    ],
}
START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


class Shell:
    """An interactive shell, in a folder and with ``trainkit`` on its path."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.process, self.terminal = pty.fork()
        if not self.process:
            os.chdir(folder)
            os.execvpe(START[name][0], START[name], dict(environment))
        self.said = ""
        for line in SETUP[name]:
            self.run(line)

    def run(self, line: str) -> None:
        """Have the shell carry out a line."""
        self._send(f"{line}; echo DO''NE\n")
        self._wait(lambda text: "DONE" in text)

    def complete(self, line: str, left: int = 0, tabs: int = 1) -> tuple[str, str]:
        """Return what the Tab key makes of a line, and all that was printed meanwhile.

        Args:
            line: As it is typed.
            left: Places by which the cursor is moved back before Tab is pressed.
            tabs: How often it is pressed.
        """
        self._send(line + LEFT * left)
        time.sleep(0.05)
        self.said = ""
        self._send(TAB * tabs + PRINT)
        self._wait(lambda text: END.search(text) is not None)
        found = END.search(self.said)
        assert found is not None
        listed = self.said[: found.start()]
        return found[1], listed

    def close(self) -> None:
        """End the shell."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)

    def _send(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def _wait(self, is_enough: Callable[[str], bool], seconds: float = 20) -> None:
        self.said, end = "", time.monotonic() + seconds
        while not is_enough(self.said):
            left = end - time.monotonic()
            assert left > 0, f"{self.name} said no more than {self.said!r}"
            if select.select([self.terminal], [], [], left)[0]:
                self.said += os.read(self.terminal, 65536).decode(errors="replace")


def programs(folder: Path) -> str:
    """Return a PATH with ``trainkit`` and this Python on it, made in ``folder``."""
    folder.mkdir(exist_ok=True)
    (folder / "trainkit").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trainkit "$@"\n')
    (folder / "trainkit").chmod(0o755)
    (folder / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (folder / "python").chmod(0o755)
    return f"{folder}{os.pathsep}/usr/local/bin{os.pathsep}/usr/bin{os.pathsep}/bin"


def is_there(name: str) -> bool:
    return shutil.which(name) is not None
