"""The command line: ``python -m trainkit [COMMAND] key=value ...``; COMMAND is ``train`` if left out."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from io import BufferedWriter, FileIO, TextIOWrapper
from types import FrameType
from typing import Any, NoReturn, TextIO

from trainkit.signals import EXIT_CODES, SAVING, STOPPING

LINE, LINES = 500, 15
"""Characters of a line and lines of a message that are shown."""


class _Pipe(FileIO):
    """Standard output or error, whose reader may have left: `| head` has read enough, and the command goes on."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(data)


def main(arguments: Sequence[str] | None = None, *, config_dir: str | os.PathLike[str] | None = None) -> NoReturn:
    """Run the command line and exit with the contract's code: 0, 1 failed, 2 config, 130 SIGINT, 143 SIGTERM.

    Args:
        arguments: Without the program's name; None takes those of this process.
        config_dir: The config folder of a project with a console script of its own, where the line names none.
    """
    for number in STOPPING:  # before torch is imported: a fit replaces them by its own
        if signal.getsignal(number) is not signal.SIG_IGN or number != getattr(signal, "SIGHUP", None):  # nohup
            signal.signal(number, _leave)
    if SAVING is not None:
        signal.signal(SAVING, signal.SIG_IGN)  # there is nothing to save yet
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments), config_dir)
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.flush()
    except KeyboardInterrupt as left:
        code = EXIT_CODES.get(str(left), 130)
    sys.exit(code)


def _lasting(stream: TextIO) -> TextIO:
    """Return a stream that outlives its reader, and gives question marks to a terminal that knows ASCII only."""
    if not isinstance(stream, TextIOWrapper):
        return stream
    try:
        raw = _Pipe(stream.fileno(), "wb", closefd=False)
    except OSError:  # no file behind it
        return stream
    stream.flush()
    unbuffered = stream.write_through
    return TextIOWrapper(
        raw if unbuffered else BufferedWriter(raw),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=unbuffered,
    )


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _run(arguments: list[str], config_dir: str | os.PathLike[str] | None = None) -> int:
    from trainkit.errors import ConfigError, TrainingError

    debug = "--traceback" in arguments or bool(os.environ.get("TRAINKIT_DEBUG"))
    arguments = [argument for argument in arguments if argument != "--traceback"]
    try:
        return _dispatch(arguments, config_dir)
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # no exit() may pass for the end
        if (code := _code_of_the_signal_behind(error)) is not None:
            return code
        if isinstance(error, SystemExit) and _is_of_the_parser(error):  # Hydra's, after --version or a flag it lacks
            raise
        if debug:
            traceback.print_exc()
        else:
            from trainkit.config.checking.masking import told_without_secrets

            known = isinstance(error, ConfigError | TrainingError)
            text = told_without_secrets(error, str(error) if known else _told(error), arguments)
            print(f"trainkit: {_brief(text) if known else text}", file=sys.stderr)
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
    from trainkit.frames import user_frames

    what = "".join(traceback.format_exception_only(error)).strip()
    hint = "(TRAINKIT_DEBUG=1 shows all frames)"
    return "\n".join(part for part in (_brief(what), user_frames(error.__traceback__), hint) if part)


def _brief(text: str) -> str:
    """Return what fits a screen of a message, escaping what a file's names would do to a terminal."""
    shown = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in text.rstrip("\n").split("\n")]
    lines = [line if len(line) <= LINE else f"{line[:LINE]} ..." for line in shown]
    return "\n".join(lines[:LINES] + ["... (TRAINKIT_DEBUG=1 shows all)"] * (len(lines) > LINES))


def _dispatch(arguments: list[str], config_dir: str | os.PathLike[str] | None = None) -> int:
    from trainkit.commands import COMMANDS, CONFIG_DIR
    from trainkit.commands.dispatch import command_of, names_config_folder, project_folders, shortest

    own = [] if config_dir is None or names_config_folder(arguments) else [CONFIG_DIR, shortest(config_dir)]
    if not arguments:
        from trainkit.commands.help.command import show_recipes

        return show_recipes(own)
    asked = not {"-h", "--help"}.isdisjoint(arguments)
    if "--version" in arguments and not asked:
        from trainkit import __version__

        print(f"trainkit {__version__}")
        return 0
    name, rest = command_of([*arguments, *own])
    if asked:
        from trainkit.commands.help.command import show_command, show_help

        return show_command(name) if name in arguments else show_help([*arguments, *own])
    sys.path += [folder for folder in project_folders([*arguments, *own]) if folder not in sys.path]
    if CONFIG_DIR not in COMMANDS[name].flags:
        rest = rest[: len(rest) - len(own)]
    return int(importlib.import_module(COMMANDS[name].module).main(rest))


if __name__ == "__main__":
    main()
