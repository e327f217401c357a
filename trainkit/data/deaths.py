"""Why a worker process died, in words, from its exit code, the board and torch's error."""

from __future__ import annotations

import signal

from trainkit.data.board import COLLATING, IDLE, Board, Note
from trainkit.data.failures import WORKER_DIED, shared_memory
from trainkit.data.fetch import Fetch
from trainkit.data.worker import UNSENT, cannot_send
from trainkit.errors import TrainingError
from trainkit.frames import dumped_frames

NATIVE = ("SIGSEGV", "SIGABRT", "SIGILL", "SIGFPE")
"""The signals of a fault inside compiled code."""


def pids_in(error: BaseException | None) -> list[int]:
    """Return the processes whose death torch tells of in ``error`` or in what it was raised from."""
    for _ in range(10):
        if error is None:
            break
        if isinstance(error, RuntimeError) and (found := WORKER_DIED.search(str(error))):
            return [int(pid) for pid in found[1].split(",")]
        error = error.__cause__
    return []


def cause_of_death(code: int | None, pid: int | None, board: Board, fetch: Fetch) -> str:
    """Return in words how a worker died, what it was at, the likely cause and what to do.

    Args:
        code: As ``multiprocessing`` has it: minus the signal's number for a process that a signal ended.
        pid: The process.
        board: What it noted.
        fetch: What it fetched with.
    """
    notes = board.read()
    words = board.last_words()
    if code == 1 and words.startswith(UNSENT):
        return cannot_send(fetch.name, words.removeprefix(UNSENT))
    note = next((note for note in notes if note.pid == pid), None)
    who = f"data.{fetch.name}: worker {f'{note.worker} ' if note else ''}(pid {pid})"
    at = what_it_did(note, fetch) if note else "before it was ready"
    frames = dumped_frames(words, "_worker_loop")
    return f"{who} {_ending(code, notes).format(at=at)}" + (f"\n{frames}" if frames else "")


def what_it_did(note: Note, fetch: Fetch) -> str:
    """Return what a worker is or was at, such as ``while it fetched data.train[37] (epoch 1)``."""
    if note.sample == IDLE:
        return "while it waited for work"
    if note.sample == COLLATING:
        return f"while it made a batch of its samples (epoch {note.epoch + 1})"
    return f"while it fetched data.{fetch.name}[{note.sample}] ({fetch.about(note.sample, note.epoch)})"


def _ending(code: int | None, notes: list[Note]) -> str:
    """Return the form of the sentence; ``{at}`` stands for what the worker was at."""
    if code is None or code >= 0:
        shown = "" if code is None else f" with exit code {code}"
        return f"ended itself{shown} {{at}}: something in it called exit(), or failed where Python cannot say so"
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        peak = max(note.peak for note in notes)
        size = f" of up to {peak / 2**30:.1f} GB each" if peak else ""
        return (
            "was killed by SIGKILL {at}, most likely because the machine ran out of memory: "
            f"{len(notes)} workers{size}; fewer data.num_workers or a smaller data.prefetch_factor need less"
        )
    if name == "SIGBUS":
        return f"was killed by SIGBUS {{at}}: {shared_memory()}"
    if name in NATIVE:
        return f"crashed with {name} {{at}}, inside compiled code; data.num_workers=0 shows it in this process"
    return f"was ended by {name} {{at}}"


def unknown_death(error: BaseException) -> TrainingError | None:
    """Return what to say of a torch error about a dead worker of a loader that is not ours; None for another error."""
    pids = pids_in(error)
    if not pids:
        return None
    listed = ", ".join(map(str, pids))
    return TrainingError(f"a process that loads data (pid {listed}) died: {str(error).splitlines()[0]}")
