"""What runs inside a worker process: its start, how it ends with the main process, and what it may send."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import io
import os
import pickle
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import parent_process, queues
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from trainkit.data.board import IDLE, Board
from trainkit.data.failures import LeftOut, sample_failed, words_of
from trainkit.data.fetch import Fetch
from trainkit.device import map_tensors
from trainkit.errors import TrainingError
from trainkit.signals import STOPPING

DUMP = getattr(signal, "SIGUSR2", None)
"""The signal upon which a worker writes its stack on the board."""
LEFT_ALONE = ("SIGINT", "SIGHUP", "SIGUSR1")
"""Signals for the main process that reach the whole process group: workers must finish their batches."""
UNSENT = "unsent: "
"""How the last words of a worker begin whose batch could not be sent."""
PLAIN = frozenset({bool, bytes, complex, float, int, str, type(None)})
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
_SET_PDEATHSIG = 1


class Failed(NamedTuple):
    """What a worker sends instead of a batch."""

    reason: str


class Partial:
    """A batch without the samples that were left out of it."""

    __slots__ = ("batch", "left_out")

    def __init__(self, batch: Any, left_out: list[LeftOut]) -> None:
        self.batch, self.left_out = batch, left_out

    def pin_memory(self) -> Partial:
        """Pin the batch, as torch asks of what it does not know."""
        return Partial(map_tensors(self.batch, Tensor.pin_memory), self.left_out)


class Fetcher(torch.utils.data.Dataset[Any]):
    """Looks to torch's DataLoader like a data set; gives a batch, a :class:`Partial` or a :class:`Failed`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._board: Board | None = None
        self._worker, self._epoch, self._sample, self._broken = 0, 0, IDLE, ""

    def begin(self, board: Board, worker: int, then: Callable[[int], None] | None) -> None:
        """Note from now on what this worker does; a failing ``worker_init_fn`` fails its first batch."""
        self._board, self._worker, self._fetch.watch = board, worker, self._note
        try:
            if then is not None:
                then(worker)
        except BaseException as error:  # noqa: BLE001 - it may be of a class that no other process can load
            self._broken = f"data.{self._fetch.name}: worker_init_fn raised {words_of(error)}"

    def __getitems__(self, tagged: tuple[int, Any]) -> Any:
        self._epoch, indices = tagged
        if self._broken:
            return Failed(self._broken)
        try:
            batch = self._fetch.read(self._epoch, indices)
            if place := unsendable(batch):
                return Failed(cannot_send(self._fetch.name, place))
        except TrainingError as error:
            return Failed(str(error))
        except BaseException as error:  # noqa: BLE001 - such as SystemExit, which would end the process
            about = self._fetch.about(self._sample, self._epoch)
            return Failed(sample_failed(f"data.{self._fetch.name}[{self._sample}]", error, about))
        finally:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
            if self._board is not None:
                self._board.note(self._worker, self._epoch, IDLE, peak)
        left_out = self._fetch.take_left_out()
        return Partial(batch, left_out) if left_out else batch

    def _note(self, sample: int) -> None:
        assert self._board is not None
        if sample >= 0:
            self._sample = sample
        self._board.note(self._worker, self._epoch, sample)


def start_worker(board: Board | None, then: Callable[[int], None] | None, dies_with_thread: bool, worker: int) -> None:
    """Set up a worker process, as ``worker_init_fn`` of a torch ``DataLoader``.

    Args:
        board: Where it notes what it is at; None for a loader that keeps none.
        then: The user's own ``worker_init_fn``.
        dies_with_thread: Let the kernel kill it along with the thread that started it, which is the main one.
        worker: Its number.
    """
    for name in LEFT_ALONE:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    main_process = parent_process()
    if main_process is not None:
        _die_with(main_process.pid, dies_with_thread)
    gc.freeze()  # what the main process was about to collect, such as other loaders, is not this one's to end
    sys.excepthook = _of_a_connection
    queues.Queue._on_queue_feeder_error = staticmethod(_unsent)  # type: ignore[attr-defined]  # it drops the item
    dataset: Any = get_worker_info().dataset  # type: ignore[union-attr]
    if board is None:
        if then is not None:
            then(worker)
        return
    _Unsent.board = board
    faulthandler.disable()  # where the main process has it on, it would not notice that torch took its signals
    faulthandler.enable(board.descriptor)
    if DUMP is not None:
        faulthandler.register(DUMP, board.descriptor)
    board.arrive(worker)
    dataset.begin(board, worker, then)


def _die_with(main_process: int | None, dies_with_thread: bool) -> None:
    """End when the main process is gone, however it ended, and when it says so by SIGTERM; ignore others' SIGTERMs."""
    started_by = os.getppid()  # the main process, but for the start method forkserver
    if sys.platform == "linux" and dies_with_thread:
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if started_by != os.getppid():
            os._exit(0)
    if started_by != main_process and not _runs(main_process):  # killed before this line was reached
        os._exit(0)
    if hasattr(signal, "sigtimedwait"):  # macOS has none; there a SIGTERM to the whole group ends the workers at once
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_the_end, args=(main_process, started_by), daemon=True).start()
    waited_for = {signal.SIGTERM} if hasattr(signal, "sigtimedwait") else set()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOPPING} - waited_for)  # blocked since before it was forked


def _runs(pid: int | None) -> bool:
    """Say whether a process is there and not only waiting for somebody to take note of its end."""
    try:
        if sys.platform == "linux":
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        os.kill(pid or 0, 0)
    except (OSError, IndexError):
        return False
    return True


def _wait_for_the_end(main_process: int | None, started_by: int) -> None:
    while os.getppid() == started_by:
        received = signal.sigtimedwait({signal.SIGTERM}, 2)
        if received is not None and received.si_pid == main_process:
            break
    os._exit(0)


def _of_a_connection(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Say nothing of a connection that the main process broke off when it gave up waiting; tell of all else."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, traceback)


class _Unsent:
    """Where a worker's last words go."""

    board: Board | None = None


def _unsent(error: Exception, item: Any) -> None:
    """End the worker whose queue cannot send an item: the queue would drop it, and the main process wait forever."""
    if _Unsent.board is not None:
        place = unsendable(item[1] if isinstance(item, tuple) else item) or f": {words_of(error)}"
        os.write(_Unsent.board.descriptor, f"{UNSENT}{place}".encode(errors="replace"))
    else:
        traceback.print_exception(error)
    os._exit(1)


def unsendable(value: Any, path: str = "") -> str:
    """Return where in a batch is what no process can send to another, and why; an empty string if there is nothing.

    Tensors, arrays and plain types cost next to nothing; only other objects are pickled on trial, without the tensors
    in them.
    """
    kind = type(value)
    if kind in PLAIN:
        return ""
    if isinstance(value, Tensor):
        graph = value.requires_grad and not value.is_leaf
        return f"{path}: a tensor that knows how it was computed; .detach() it" if graph else ""
    if kind is tuple or kind is list:
        return next((found for i, item in enumerate(value) if (found := unsendable(item, f"{path}[{i}]"))), "")
    if kind is dict:
        pairs = ((f"{path}[{key!r}]", part) for key, item in value.items() for part in (key, item))
        return next((found for place, part in pairs if (found := unsendable(part, place))), "")
    if isinstance(value, numpy.ndarray | numpy.generic) and not value.dtype.hasobject:
        return ""
    try:
        _Probe(io.BytesIO(), pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception as error:  # noqa: BLE001 - objects say no in many ways
        return f"{path}: {kind.__qualname__}: {words_of(error)}"
    return ""


class _Probe(ForkingPickler):
    """Pickles what is not a tensor; those would each leave an open file descriptor behind."""

    def persistent_id(self, value: Any) -> str | None:
        """Leave out a tensor."""
        return "tensor" if isinstance(value, Tensor | torch.UntypedStorage | torch.TypedStorage) else None


def cannot_send(name: str, place: str) -> str:
    """Return the message for a batch that cannot go from a worker to the main process."""
    path, _, reason = place.partition(": ")
    return (
        f"data.{name}: a worker cannot send its batch to the main process: {f'part {path} ' if path else ''}{reason}\n"
        "  let the data set or collate_fn give tensors, numbers, strings and lists or dicts of them, or objects of "
        "classes that can be pickled; data.num_workers=0 sends nothing"
    )


def as_it_is(batch: Any) -> Any:
    """Collate what is a batch already."""
    return batch
