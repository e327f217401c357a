"""Where the time of a step goes, and a verdict: data-bound, host-bound or compute-bound."""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import fmean, median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.text import Text
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function, tensorboard_trace_handler

from trainkit.callbacks.callback import Callback
from trainkit.callbacks.progress import StandardOutput

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

log = logging.getLogger("trainkit")

DISPATCH = 5e-6
"""Seconds that a call of an operator takes on the host whatever it computes."""
WAITING, BUSY = 0.25, 0.6
"""Share of the time from which on waiting for data, and computing, is what a training is bound by."""
ROWS = 10
STEP = "trainkit::step"
"""What a step is called in the trace."""


@dataclass(slots=True)
class Times:
    """What some steps took, in seconds a step."""

    step: float
    """From one to the next, without the profiler."""
    waiting: float
    """For the next batches."""
    computing: float
    """On a CUDA device its kernels; else the operators, less what a call costs in any case."""
    calls: float
    """Of operators."""
    on_device: bool
    rows: list[tuple[str, float, float]] = field(default_factory=list)
    """The operators that take most: name, calls, seconds."""

    def verdict(self) -> str:
        """Return ``data-bound``, ``host-bound`` or ``compute-bound``."""
        if self.on_device and self.computing / self.step >= BUSY:  # the host may wait for data as long as it is ahead
            return "compute-bound"
        if self.waiting / self.step >= WAITING:
            return "data-bound"
        return "compute-bound" if self.computing / max(self.step - self.waiting, 1e-12) >= BUSY else "host-bound"

    def lines(self, workers: int | None) -> list[str]:
        """Return the table and the verdict, in words and with what it rests on."""
        shares = {"waiting for data": self.waiting, "computing": self.computing}
        lines = [f"{'operator':<40}{'calls a step':>14}{'ms a step':>12}{'share':>9}"]
        for name, calls, seconds in self.rows:
            lines.append(f"{name[:39]:<40}{calls:>14.1f}{1e3 * seconds:>12.3f}{seconds / self.step:>9.1%}")
        told = ", ".join(
            f"{name} {1e3 * seconds:.2f} ms ({seconds / self.step:.0%})" for name, seconds in shares.items()
        )
        mean = 1e6 * self.computing / max(self.calls, 1)
        where = "kernels of the device" if self.on_device else "operators"
        lines.append(f"a step takes {1e3 * self.step:.2f} ms: {told}; {self.calls:.0f} {where}, {mean:.0f} us each")
        return [*lines, f"{self.verdict()}: {self._advice(workers)}"]

    def _advice(self, workers: int | None) -> str:
        if self.verdict() == "data-bound":
            more = "data.num_workers=4" if not workers else f"more than data.num_workers={workers}"
            return f"the batches come too slowly; try {more}, cheaper transforms, or data that are decoded once"
        if self.verdict() == "host-bound":
            return (
                "Python and the calls of small operators take the time, not what they compute; try a larger "
                "data.batch_size, trainer.compile=true, or fewer and larger operators"
            )
        cure = "trainer.precision=bf16, trainer.compile=true" if self.on_device else "a GPU, trainer.threads"
        return f"the operators themselves take the time; try {cure}, or a smaller model"


class Profiler(Callback):
    """Times some steps, profiles as many, shows what they were spent on, and ends the run.

    The trace goes to TensorBoard, below the run folder, and the table to the terminal, ``log.txt`` and the loggers.
    The bits of the training stay as they are.

    Args:
        steps: How many to time, and again how many to profile.
        warmup: Steps before that.
        console: Where to write; None takes the standard output.
    """

    def __init__(self, steps: int = 20, warmup: int = 5, console: Console | None = None) -> None:
        self.steps, self.warmup, self._console = steps, warmup, console
        self.times: Times | None = None
        """What was found, after the last step."""
        self._number = 0
        self._left = 0.0
        self._spent: list[tuple[float, float]] = []
        self._step = self._waiting = 0.0
        self._profile: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Note when each step begins, by stepping between the loop and its ``train_step``."""
        train_step = trainer.train_step

        def timed(window: Sequence[Any]) -> Output:
            began = perf_counter()
            waited = began - self._left
            with record_function(STEP) if self._profile is not None else nullcontext():
                output = train_step(window)
            self._spent.append((waited, perf_counter() - began))
            return output

        trainer.train_step = timed  # type: ignore[method-assign]

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Count from here: what comes between two epochs is no waiting for data."""
        self._left = perf_counter()

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        """Go on to timing, to profiling, to the end."""
        self._number, began = self._number + 1, perf_counter()
        if self._number == self.warmup:
            self._now(trainer)
            self._spent.clear()
        elif self._number == self.warmup + self.steps:
            behind = (self._now(trainer) - began) / self.steps  # of a device, which the host had left behind
            middle = fmean if trainer.device.type == "cuda" else median  # another program may have come in between
            self._waiting = middle([waited for waited, _ in self._spent])
            self._step = self._waiting + middle([worked for _, worked in self._spent]) + behind
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it calls a machine without a GPU an error
            self._profile = profile(activities=self._activities(trainer))
            self._profile.__enter__()
        elif self._number == self.warmup + 2 * self.steps:
            self._now(trainer)
            self._profile.__exit__(None, None, None)
            self._show(trainer)
            trainer.stop("profiled")
        self._left = perf_counter()

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Count from here."""
        self._left = perf_counter()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Say so if there were not enough steps."""
        self._unwatch(trainer)
        if self.times is None:
            needed = self.warmup + 2 * self.steps
            trainer.warn(f"profiler: the run took {self._number} steps, {needed} are needed; nothing was profiled")

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Leave the trainer as it was."""
        self._unwatch(trainer)

    def _unwatch(self, trainer: Trainer) -> None:
        vars(trainer).pop("train_step", None)
        if self._profile is not None and self.times is None:
            self._profile.__exit__(None, None, None)
        self._profile = None

    def _now(self, trainer: Trainer) -> float:
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)  # host-device sync
        return perf_counter()

    @staticmethod
    def _activities(trainer: Trainer) -> list[ProfilerActivity]:
        cuda = [ProfilerActivity.CUDA] if trainer.device.type == "cuda" else []
        return [ProfilerActivity.CPU, *cuda]

    def _show(self, trainer: Trainer) -> None:
        self.times = times_of(self._profile.events(), self._step, self._waiting, trainer.device.type)
        lines = self.times.lines(getattr(trainer.train_loader, "num_workers", None))
        if trainer.run_dir is not None:
            folder = trainer.run_dir / "tensorboard"
            tensorboard_trace_handler(str(folder))(self._profile)
            lines.append(
                f"the trace is in {folder}, as *.pt.trace.json: for TensorBoard's profile plugin, or ui.perfetto.dev"
            )
        log.info("step %d:\n%s", trainer.counters.step, "\n".join(lines))
        for line in lines:
            (self._console or StandardOutput()).print(Text(line), soft_wrap=True)
        trainer.loggers.text("profile", "\n".join(f"    {line}" for line in lines), trainer.counters)


def times_of(events: Iterable[Any], step: float, waiting: float, device: str) -> Times:
    """Return what a profile of some steps says; what ran between them, such as a validation, does not count.

    Args:
        events: Those of the profiler.
        step, waiting: Seconds of a step without the profiler, and of waiting in it.
        device: The type of the device.
    """
    on_device, events = device == "cuda", list(events)
    inside = sorted((event.time_range.start, event.time_range.end) for event in events if event.key == STEP)
    begins = [begin for begin, _ in inside]
    found: dict[str, list[list[float]]] = {}
    for event in events:
        place = bisect_right(begins, event.time_range.start) - 1
        own = event.key.startswith(("autograd::", "trainkit::")) or "::" not in event.key
        if own or place < 0 or event.time_range.start > inside[place][1] or event.device_type != DeviceType.CPU:
            continue
        seconds = 1e-6 * (event.self_device_time_total if on_device else event.self_cpu_time_total)
        if seconds > 0:
            of_steps = found.setdefault(event.key, [[] for _ in inside])
            of_steps[place].append(seconds if on_device else max(0.0, seconds - DISPATCH))
    rows = [
        (name, fmean(map(len, of_steps)), median(map(sum, of_steps)))  # of each step, for some are disturbed
        for name, of_steps in found.items()
    ]
    rows.sort(key=lambda row: -row[2])
    computing, calls = sum(row[2] for row in rows), sum(row[1] for row in rows)
    return Times(step, waiting, min(computing, step), calls, on_device, rows[:ROWS])
