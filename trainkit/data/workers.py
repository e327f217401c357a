"""The processes that fetch batches: started, watched, ended, and told apart when one dies or hangs."""

from __future__ import annotations

import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from time import monotonic, sleep
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from trainkit.data.board import IDLE, Board, Note
from trainkit.data.deaths import cause_of_death, pids_in, what_it_did
from trainkit.data.failures import words_of
from trainkit.data.fetch import Fetch
from trainkit.data.worker import DUMP, Failed, Fetcher, as_it_is, start_worker
from trainkit.errors import TrainingError
from trainkit.frames import dumped_frames, user_frames
from trainkit.signals import held_back

GRACE = 1.0
"""Seconds that workers have to end by themselves before they are told to."""
_END = object()


class Workers:
    """Processes that fetch batches, for one iteration at a time.

    Args:
        fetch: What each of them does for a batch.
        number: How many there are.
        timeout: Seconds for which a batch may keep the training waiting; 0 for any time.
        options: For torch's ``DataLoader``.
    """

    def __init__(self, fetch: Fetch, number: int, timeout: float, options: dict[str, Any]) -> None:
        self.busy = False
        self._fetch, self._timeout, self._board, self._order = fetch, timeout, Board(number), Order()
        self._persistent = bool(options.get("persistent_workers"))
        self._processes: list[BaseProcess] = []
        weakref.finalize(self, _end_soon, self._processes, os.getpid()).atexit = False
        own = {key: value for key, value in options.items() if key != "worker_init_fn"}
        main_thread = threading.current_thread() is threading.main_thread()
        self._loader: DataLoader[Any] | None = DataLoader(
            Fetcher(fetch),
            batch_sampler=self._order,  # type: ignore[arg-type]
            collate_fn=as_it_is,
            num_workers=number,
            worker_init_fn=partial(start_worker, self._board, options.get("worker_init_fn"), main_thread),
            generator=torch.Generator(),  # so that starting workers draws nothing from the global generator
            **own,
        )

    @property
    def alive(self) -> bool:
        """Whether more batches can be had of it."""
        return self._loader is not None

    def batches(self, epoch: int, indices: Iterator[Tensor], take: Callable[[Any], Any]) -> Iterator[Any]:
        """Yield what ``take`` makes of each batch of an epoch.

        Raises:
            TrainingError: If a sample fails, or a worker dies or hangs.
        """
        assert self._loader is not None
        self.busy, failed, iterator, batch = True, True, None, None
        watch = Watch(self._fetch, self._board, self._timeout)
        try:
            self._order.epoch, self._order.batches = epoch, indices
            iterator = self._begin(watch)
            while True:
                watch.begins()
                batch = next(iterator, _END)
                watch.ends()
                if batch is _END:
                    failed = False
                    return
                yield self._taken(batch, take)
                batch = None  # its memory is free for the next one
        except GeneratorExit:
            failed = False
        except TrainingError:
            raise
        except Exception as error:  # noqa: BLE001 - a dead worker, or a batch that cannot be put together again here
            told = TrainingError(self._told(error, watch))
            _let_go(error)
            raise told from None
        finally:
            self.busy = False
            watch.stop()
            if failed or not self._persistent:
                with self._ending():
                    self._loader = iterator = None

    def explain(self, error: BaseException) -> str | None:
        """Return in words why a worker died, of whom ``error`` tells; None if it tells of none of these."""
        pids = pids_in(error)
        dead = next((process for process in self._processes if process.pid in pids), None)
        if dead is None:
            return None
        dead.join(GRACE)
        return cause_of_death(dead.exitcode, dead.pid, self._board, self._fetch)

    def _told(self, error: BaseException, watch: Watch) -> str:
        """Return in words what ended the iteration."""
        try:
            return self._cause(error, watch)
        except RuntimeError as second:  # torch tells of a death also while another error is looked into
            return self._cause(second if pids_in(second) else error, watch)

    def _cause(self, error: BaseException, watch: Watch) -> str:
        waits = 40 if isinstance(error, OSError | EOFError) else 1  # a batch that a dying worker held, most likely
        dead = None
        while dead is None and waits:
            dead = next((process for process in self._processes if not process.is_alive()), None)
            waits -= 1
            sleep(0.05 if waits else 0)
        if watch.verdict is not None:
            return watch.verdict
        if told := self.explain(error):
            return told
        if dead is not None:
            return cause_of_death(dead.exitcode, dead.pid, self._board, self._fetch)
        frames = user_frames(error.__traceback__)
        return f"data.{self._fetch.name}: the workers' batches cannot be had: {words_of(error)}\n{frames}"

    def _begin(self, watch: Watch) -> Iterator[Any]:
        """Start the processes, or let those that are there begin anew, which waits for them."""
        assert self._loader is not None
        if self._processes:
            watch.start(self._processes)
            watch.begins()
            return iter(self._loader)
        before = set(multiprocessing.active_children())
        with held_back():  # a signal's handler in the midst of a fork would raise where nobody can catch it
            try:
                iterator = iter(self._loader)
            finally:  # also if only some of them could be started
                now = multiprocessing.active_children()
                self._processes += [process for process in now if process.daemon and process not in before]
        watch.start(self._processes)
        return iterator

    def _taken(self, batch: Any, take: Callable[[Any], Any]) -> Any:
        if isinstance(batch, Failed):
            raise TrainingError(batch.reason)
        return take(batch)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """See that all processes end: by themselves, else by SIGTERM, else by SIGKILL."""
        if not any(process.is_alive() for process in self._processes):
            yield
            return
        timer = threading.Timer(GRACE, _tell_to_end, [self._processes])
        timer.daemon = True
        timer.start()
        try:
            yield
            deadline = monotonic() + 2 * GRACE
            for process in self._processes:
                process.join(max(deadline - monotonic(), 0))
        finally:
            timer.cancel()
            timer.join()
            for process in self._processes:
                if process.is_alive():
                    process.kill()
                    process.join(GRACE)


class Watch:
    """A thread that notices when a batch keeps the training waiting for too long, and then ends the stuck worker.

    The stack of that worker goes into ``verdict`` before; its death ends the waiting. Time in which this process was
    stopped does not count.
    """

    def __init__(self, fetch: Fetch, board: Board, timeout: float) -> None:
        self.verdict: str | None = None
        self._fetch, self._board, self._timeout = fetch, board, timeout
        self._wait, self._waiting = 0, False
        self._done, self._thread = threading.Event(), None if not timeout else threading.Thread(target=self._run)

    def start(self, processes: list[BaseProcess]) -> None:
        """Begin to watch."""
        self._processes = processes
        if self._thread is not None:
            self._thread.daemon = True
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._done.set()
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()

    def begins(self) -> None:
        """Note that the training waits from now on."""
        self._wait += 1
        self._waiting = True

    def ends(self) -> None:
        """Note that it waits no more."""
        self._waiting = False

    def _run(self) -> None:
        tick = min(1.0, self._timeout / 10)
        wait, seconds, before = 0, 0.0, monotonic()
        while not self._done.wait(tick):
            now = monotonic()
            seconds = seconds + min(now - before, 2 * tick) if self._waiting and wait == self._wait else 0.0
            wait, before = self._wait, now
            if seconds >= self._timeout:
                self._give_up()
                return

    def _give_up(self) -> None:
        alive = {process.pid: process for process in self._processes if process.is_alive()}
        for process in self._processes:
            if process.exitcode is not None:  # which torch is about to notice as well
                self.verdict = cause_of_death(process.exitcode, process.pid, self._board, self._fetch)
                return
        notes = sorted((note for note in self._board.read() if note.pid in alive), key=lambda note: note.since)
        stuck = next((note for note in notes if note.sample != IDLE), None)
        waited = f"data.{self._fetch.name}: no batch came for {self._timeout:g} s (data.timeout)"
        if stuck is None:
            self.verdict = (
                f"{waited}, although no worker is at work: a batch was lost on its way, or a worker stands still"
            )
        else:
            frames = self._stack_of(stuck)
            self.verdict = (
                f"{waited}: worker {stuck.worker} (pid {stuck.pid}) hangs {what_it_did(stuck, self._fetch)}"
                f"{chr(10) + frames if frames else ''}\n  if that only takes its time, data.timeout=SECONDS waits for "
                "longer; data.timeout=0 for ever"
            )
        for process in alive.values() if stuck is None else [alive[stuck.pid]]:
            process.kill()

    def _stack_of(self, stuck: Note) -> str:
        """Let a worker write down its stack, and return the user's frames of it, innermost last."""
        if DUMP is None:
            return ""
        self._board.wipe()
        with suppress(ProcessLookupError):
            os.kill(stuck.pid, DUMP)
        words = ""
        for _ in range(40):
            before, words = words, self._board.last_words()
            if words and words == before:
                break
            sleep(0.05)
        return dumped_frames(words, "_worker_loop")


class Order:
    """The batch sampler of the workers: tells them the epoch along with each batch's indices.

    It does not know the loader: in a reference cycle the queues would go before the workers are told to end.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.batches: Iterator[Tensor] = iter(())

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        epoch = self.epoch  # as arrays, which go through a queue as bytes; a tensor would take a file descriptor
        return ((epoch, indices.numpy()) for indices in self.batches)


def _tell_to_end(processes: list[BaseProcess]) -> None:
    for process in processes:
        if process.is_alive():
            process.terminate()


def _end_soon(processes: list[BaseProcess], owner: int) -> None:
    """End processes whose ``Workers`` are gone.

    They end by themselves when torch tells them so; but out of a reference cycle their queues are collected before
    that, and torch would wait for each of them.
    """
    if os.getpid() == owner and any(process.is_alive() for process in processes):
        timer = threading.Timer(GRACE / 2, _tell_to_end, [processes])
        timer.daemon = True
        timer.start()


def _let_go(error: BaseException | None) -> None:
    """Drop the frames of an error and of what it was raised from: they hold the processes, which must end now."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
