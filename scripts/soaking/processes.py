"""Processes that run the command line: forked from this one, which has imported all and computed nothing, or new."""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

STARTING, STEP, BETWEEN, VALIDATING, ENDING = range(5)
PLACES = ("starting", "in a step", "between steps", "validating", "after the training")
SAVING = "inside a save"
OWN = "unknown, a Python of its own"


class Process:
    """A process that runs a command line.

    Args:
        arguments: Those after ``python -m trainkit``.
        folder: Where it runs, and where ``output.txt`` goes.
        throttle: Seconds, at most, by which each call that writes, syncs or renames a file is slowed down, so that
            kills meet it.
        own: Whether it is a Python of its own; quicker is a fork of this one.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, *, throttle: float = 0.0, own: bool = False) -> None:
        self.folder, self._own = folder, own
        self._place = mmap.mmap(-1, 2)  # shared with the child: where it is, and how many threads are inside a save
        output = os.open(folder / "output.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            if own:
                command = [sys.executable, "-m", "trainkit", *arguments]
                options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
                self.number = subprocess.Popen(command, cwd=folder, start_new_session=True, **options).pid
            else:
                self.number = forked(_child, arguments, folder, output, self._place, throttle)
        finally:
            os.close(output)

    @property
    def place(self) -> str:
        """Where the process stands, or stood when it died."""
        if self._own:
            return OWN
        return SAVING if self._place[1] else PLACES[self._place[0]]

    def ended(self) -> bool:
        """Say whether it has ended; it is still there to be waited for."""
        state = os.waitid(os.P_PID, self.number, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return state is not None

    def send(self, number: signal.Signals, *, to_all: bool = False) -> None:
        """Send a signal to the process, or to its workers too, as a terminal does."""
        (os.killpg if to_all else os.kill)(self.number, number)

    def wait(self, seconds: float = 120) -> int:
        """Return the exit code, or minus the signal; what hangs is killed and gives ``-SIGKILL``."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL, to_all=True)
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])

    def orphans(self, seconds: float = 10) -> bool:
        """Say whether a worker outlives the process, which has ended, by so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(self.number, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.05)
        return True


def forked(function: Callable[..., Any], *arguments: Any) -> int:
    """Start a process that runs a function and exits with what it returns; return its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        code = function(*arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - the caller's frames are not to be gone through
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def answer(function: Callable[..., Any], folder: Path, *arguments: Any) -> Any:
    """Return what a function returns that a process of its own runs, as JSON; None if it failed."""
    path = folder / ".answer.json"
    path.unlink(missing_ok=True)

    def run() -> None:
        path.write_text(json.dumps(function(*arguments)))

    os.waitpid(forked(run), 0)
    found = json.loads(path.read_text()) if path.exists() else None
    path.unlink(missing_ok=True)
    return found


def _child(arguments: Sequence[str], folder: Path, output: int, place: mmap.mmap, throttle: float) -> None:
    """Run the command line's own ``main``, and tell the other side where it is."""
    os.setpgid(0, 0)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(output, stream)
    import trainkit.__main__

    _tell_where(place)
    _slow_down(place, throttle)
    sys.argv = ["trainkit", *arguments]
    trainkit.__main__.main()


def _tell_where(place: mmap.mmap) -> None:
    from trainkit.evaluator import Evaluator
    from trainkit.trainer import Trainer

    def told(call: Callable[..., Any], inside: int, after: int | None) -> Callable[..., Any]:
        def telling(*arguments: Any, **named: Any) -> Any:
            before, place[0] = place[0], inside
            try:
                return call(*arguments, **named)
            finally:
                place[0] = before if after is None else after

        return telling

    Trainer.train_step = told(Trainer.train_step, STEP, BETWEEN)  # type: ignore[method-assign]
    Evaluator.evaluate = told(Evaluator.evaluate, VALIDATING, None)  # type: ignore[method-assign]
    Trainer.fit = told(Trainer.fit, STARTING, ENDING)  # type: ignore[method-assign]


def _slow_down(place: mmap.mmap, throttle: float) -> None:
    draw = random.Random(time.monotonic_ns())

    def slowly(call: Callable[..., Any]) -> Callable[..., Any]:
        def slow(*arguments: Any, **named: Any) -> Any:
            if call is write and arguments[0] < 3:
                return call(*arguments, **named)
            place[1] = 1
            try:
                time.sleep(draw.random() * throttle)
                if call is write and len(arguments[1]) > 1:  # half of it now, the rest when the caller comes again
                    return call(arguments[0], arguments[1][: (len(arguments[1]) + 1) // 2])
                return call(*arguments, **named)
            finally:
                place[1] = 0

        return slow

    write = os.write
    for name in ("write", "fsync", "replace", "symlink", "unlink"):
        setattr(os, name, slowly(getattr(os, name)))
