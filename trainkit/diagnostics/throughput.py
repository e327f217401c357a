"""How much of the time the training waits for data, and whether it gets slower."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from trainkit.diagnostics.diagnostic import Diagnostic
from trainkit.diagnostics.series import Series, ends, rising
from trainkit.diagnostics.symptoms import Symptom
from trainkit.errors import ConfigError

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

STARVING = 0.3
"""Share of the time that waiting may take. The PyTorch Performance Tuning Guide, "Enable asynchronous data loading and
augmentation": workers hide the loading behind the training."""
SLOWED, TREND = 1.5, 0.8
"""How many times the first steps' time a step may take in the end, and the share of the pairs of looks of which the
later one must be the slower."""
FEWEST = 9
"""Looks that a symptom takes."""


class Throughput(Diagnostic):
    """Times the waits for data, and the steps that are looked at.

    The wait is that of the loop: loading in the training process counts in full, loading by workers as far as it is not
    done in time. Validation is left out. Whether a step takes longer and longer goes by this process's own CPU time
    where the device is the CPU, so that other processes do not count. Nothing of it goes into a checkpoint, for no two
    runs agree on a clock: after a resume it begins anew.

    Args:
        every: Optimizer steps from one look to the next.
        patience: Seconds of waiting, or of training for what gets slower, that are not worth a word.
    """

    name = "throughput"

    def __init__(self, every: int = 50, patience: float = 60.0) -> None:
        super().__init__(every)
        if not patience >= 0:
            raise ConfigError(f"diagnostics.throughput.patience={patience}: must be seconds, at least 0")
        self.patience = patience
        self._work: Callable[[], float] = process_time
        self._mark = self._began = 0.0
        self._seconds = self._waited = 0.0
        """Since the last look."""
        self._in_all = [0.0, 0.0]
        """Seconds, and those of waiting, up to the last look."""
        self._samples = 0
        self._costs = Series()
        """Seconds that a step takes, its fetch included."""
        self._due = False
        """Whether the next step is one whose work is timed."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Step between the loop and its data; there is no hook before a fetch."""
        self._work = process_time if trainer.device.type == "cpu" else perf_counter
        self._samples, windows = trainer.counters.samples, trainer.data.windows

        def timed(*arguments: Any) -> Iterator[Sequence[Any]]:
            return iter(Timed(windows(*arguments), self))

        vars(trainer.data)["windows"] = timed

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Leave out what came between two epochs."""
        self._mark = perf_counter()

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Leave out the validation."""
        self._mark = perf_counter()

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        """Count the step's time, and look at it if it is time."""
        now = perf_counter()
        self._seconds += now - self._mark
        self._mark = now
        step = trainer.counters.step
        if step % self.every == 0:
            self._look(trainer)
        self._due = (step + 1) % self.every == 0

    def on_fit_end(self, trainer: Trainer) -> None:
        """Let go of the data."""
        vars(trainer.data).pop("windows", None)

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Let go of the data."""
        vars(trainer.data).pop("windows", None)

    def _look(self, trainer: Trainer) -> None:
        samples = trainer.counters.samples - self._samples
        if samples > 0 and self._seconds > 0:
            values = {"data_share_of_time": self._waited / self._seconds, "samples_per_second": samples / self._seconds}
            if self._due:
                self._costs.add(trainer.counters.step, self._work() - self._began)
            self._in_all = [self._in_all[0] + self._seconds, self._in_all[1] + self._waited]
            self.log(trainer, values)
        self._samples, self._seconds, self._waited = trainer.counters.samples, 0.0, 0.0

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Say whether the training waits for its data, or gets slower and slower."""
        found, (seconds, waited), costs = [], self._in_all, self._costs.values
        seconds, waited = seconds + self._seconds, waited + self._waited
        if seconds and waited > self.patience and waited > STARVING * seconds:
            workers = int(getattr(trainer.train_loader, "num_workers", 0))
            told = f"{waited:.1f} of {seconds:.1f} s ({waited / seconds:.0%}) went into waiting for batches, with "
            told += f"data.num_workers={workers}"
            cure = f"data.num_workers={_more(workers)}, or smaller files and cheaper transforms"
            found.append(Symptom("starving", 50, "The data loader starves the training", told, cure))
        if len(costs) >= FEWEST and seconds > self.patience and rising(costs) > TREND:
            first, last = ends(costs)
            if last > SLOWED * first:
                told = f"a step took {1e3 * first:.3g} ms at first and {1e3 * last:.3g} ms in the end"
                cure = "debug=profile, and look for a list, a graph or a file that grows with each step"
                found.append(Symptom("slowing", 45, "The training gets slower and slower", told, cure))
        return found


class Timed:
    """Iterates over windows and times each fetch.

    Args:
        windows: Those of the data.
        throughput: What takes the times.
    """

    def __init__(self, windows: Iterator[Sequence[Any]], throughput: Throughput) -> None:
        self._next, self._of = windows.__next__, throughput

    def __iter__(self) -> Timed:
        return self

    def __next__(self) -> Sequence[Any]:
        of = self._of
        if of._due:
            of._began = of._work()
        before = perf_counter()
        try:
            return self._next()
        finally:
            of._waited += perf_counter() - before


def _more(workers: int) -> int:
    """Return a number of workers to try: about one for each core that the process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(min(cores, 8), 2 * workers, 1)
