"""The command line: ``python -m trainkit [COMMAND] key=value ...``; COMMAND is ``train`` if left out."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from io import TextIOWrapper
from types import FrameType

from trainkit.signals import EXIT_CODES, SAVING, STOPPING

LINE, LINES = 500, 8
"""Characters of a line and lines of a message that are shown."""


def main() -> None:
    """Run the command line and exit with the contract's code: 0, 1 failed, 2 config, 130 SIGINT, 143 SIGTERM."""
    for number in STOPPING:  # before torch is imported: a fit replaces them by its own
        if signal.getsignal(number) is not signal.SIG_IGN or number != getattr(signal, "SIGHUP", None):  # nohup
            signal.signal(number, _leave)
    if SAVING is not None:
        signal.signal(SAVING, signal.SIG_IGN)  # there is nothing to save yet
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of ASCII gets question marks, not the end of the run
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt as left:
        code = EXIT_CODES.get(str(left), 130)
    sys.exit(code)


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _run(arguments: list[str]) -> int:
    from trainkit.errors import ConfigError, TrainingError

    debug = "--traceback" in arguments or bool(os.environ.get("TRAINKIT_DEBUG"))
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        return _dispatch(arguments)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # no exit() may pass for the end
        if (code := _code_of_the_signal_behind(error)) is not None:
            return code
        if isinstance(error, SystemExit) and _is_of_the_parser(error):  # Hydra's, after --version or a flag it lacks
            raise
        if debug:
            traceback.print_exc()
        else:
            known = isinstance(error, ConfigError | TrainingError)
            print(f"trainkit: {_brief(str(error)) if known else _told(error)}", file=sys.stderr)
        return getattr(error, "exit_code", 1)


def _code_of_the_signal_behind(error: BaseException | None) -> int | None:
    """Return the exit code of the signal that was being obeyed when ``error`` was raised, None if there was none.

    A signal before a fit, or a second one in it, leaves wherever the program stands, and what is cleaned up on the way
    out may fail in turn: a library that was in the middle of something, or workers that are ended.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return EXIT_CODES.get(str(error), 130)
        error = error.__context__
    return None


def _is_of_the_parser(error: SystemExit) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__") == "argparse"


def _told(error: BaseException) -> str:
    """Return an error of the user's own code: what, where in the training, and the user's frames alone."""
    from trainkit.data.frames import user_frames

    what = "".join(traceback.format_exception_only(error)).strip()
    hint = "(TRAINKIT_DEBUG=1 shows all frames)"
    return "\n".join(part for part in (_brief(what), user_frames(error.__traceback__), hint) if part)


def _brief(text: str) -> str:
    """Return what fits a screen of a message, escaping what a file's names would do to a terminal."""
    shown = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in text.rstrip("\n").split("\n")]
    lines = [line if len(line) <= LINE else f"{line[:LINE]} ..." for line in shown]
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
