"""The command line: ``python -m trainkit [COMMAND] key=value ...``; COMMAND is ``train`` if left out."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from io import TextIOWrapper
from types import FrameType

LINE, LINES = 500, 8
"""Characters of a line and lines of a message that are shown."""


def main() -> None:
    """Run the command line and exit with the contract's code: 0, 1 failed, 2 config, 130 SIGINT, 143 SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):  # before torch is imported: a fit replaces them by its own
        signal.signal(number, _leave)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of ASCII gets question marks, not the end of the run
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _run(arguments: list[str]) -> int:
    from trainkit.errors import ConfigError, TrainingError

    debug = "--traceback" in arguments or bool(os.environ.get("TRAINKIT_DEBUG"))
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        return _dispatch(arguments)
    except (ConfigError, TrainingError) as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"trainkit: {_brief(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as second:  # a signal while the first one was still being seen to
        return 143 if str(second) == "SIGTERM" else 130


def _brief(text: str) -> str:
    """Return what fits a screen of a message; torch lists every weight that does not fit."""
    lines = [line if len(line) <= LINE else f"{line[:LINE]} ..." for line in text.splitlines()]
    return "\n".join(lines[:LINES] + ["... (TRAINKIT_DEBUG=1 shows all)"] * (len(lines) > LINES))


def _dispatch(arguments: list[str]) -> int:
    from trainkit.commands import COMMANDS
    from trainkit.errors import ConfigError, closest

    if not arguments or {"-h", "--help"} & set(arguments):
        from trainkit.commands.help import main as show_help

        return show_help(arguments)
    if arguments == ["--version"]:
        from trainkit import __version__

        print(f"trainkit {__version__}")
        return 0
    name, rest = "train", arguments
    if "=" not in arguments[0] and not arguments[0].startswith(("-", "~", "+")):
        name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise ConfigError(f"{name}: no such command.{closest(name, list(COMMANDS))} Commands: {', '.join(COMMANDS)}")
    return int(importlib.import_module(COMMANDS[name].module).main(rest))


if __name__ == "__main__":
    main()
