"""What a person sees while it trains: a bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from rich import progress
from rich.console import Console, RenderableType
from rich.text import Text

from trainkit.callbacks.callback import Callback

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

log = logging.getLogger(__name__)

INTERVAL = 0.2
"""Seconds between two pictures of the bar."""
NEVER = float("inf")


class Progress(Callback):
    """Shows how far the training is, with the values logged last; reading them never waits for the device.

    On a terminal and in a notebook a bar of the epoch, with the time left to the end of the run; else one plain line an
    epoch. ``NO_COLOR`` and ``TERM=dumb`` are obeyed.

    Args:
        console: Where to write; None takes the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._due = NEVER
        self._fit_started = self._epoch_started = 0.0
        self._first_step = self._batches_before = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Open the bar, or none."""
        self._fit_started = self._epoch_started = monotonic()
        self._first_step = trainer.counters.step
        console = self._console or StandardOutput()
        if is_animated(console):
            self._bar, self._due = Bar(console, trainer.train_batches), 0.0

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Begin the bar anew."""
        self._epoch_started = monotonic()
        self._batches_before = trainer.counters.total_batches - trainer.counters.batch
        if self._epoch_started >= self._due:
            self._draw(trainer, trainer.counters.epoch + 1)

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        """Draw the bar when it is time again; otherwise this costs a look at the clock."""
        if monotonic() >= self._due:
            self._draw(trainer, trainer.counters.epoch + 1)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Fill the bar when it is time, so that short epochs cost little, or write the line of the epoch."""
        if monotonic() >= self._due:
            self._draw(trainer, trainer.counters.epoch)
        self._write_line(trainer, "train/loss_epoch")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Draw the end and close the bar; without one, an epoch that was not finished gets its line too."""
        self._draw(trainer, trainer.counters.epoch_number)
        if trainer.counters.batch:
            self._write_line(trainer, "train/loss")
        self._close()

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Close the bar, so that the message stands below it."""
        self._close()

    def _draw(self, trainer: Trainer, epoch: int) -> None:
        if self._bar is None:
            return
        metrics, monitor = trainer.metrics, trainer.best.metric
        values = {"loss": metrics.get("train/loss"), monitor: metrics.get(monitor)}
        shown = {label: _number(value) for label, value in values.items() if value is not None}
        shown |= _pace(metrics) | {"ETA": self._time_left(trainer)}
        self._bar.draw(_epoch(epoch, trainer), trainer.counters.total_batches - self._batches_before, shown)
        self._due = monotonic() + INTERVAL

    def _write_line(self, trainer: Trainer, loss: str) -> None:
        metrics, seconds = trainer.metrics, monotonic() - self._epoch_started
        values = {"train/loss": metrics.get(loss)} | {n: value for n, value in metrics.items() if n.startswith("val/")}
        shown = {label: _number(value) for label, value in values.items() if value is not None} | _pace(metrics)
        line = "  ".join([_epoch(trainer.counters.epoch_number, trainer), *_pairs(shown), f"{seconds:.1f} s"])
        log.info(line)  # for the run's log.txt, also where a bar is shown
        if self._bar is None:
            (self._console or StandardOutput()).print(Text(line), soft_wrap=True)

    def _time_left(self, trainer: Trainer) -> str:
        """Return the time to the last step, at the pace of this fit so far, validations included."""
        step, total = trainer.counters.step, trainer.total_steps
        if total is None or step == self._first_step:
            return ""
        pace = (monotonic() - self._fit_started) / (step - self._first_step)
        return _clock(max(total - step, 0) * pace)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._due = None, NEVER


class StandardOutput(Console):
    """The standard output, whose reader may leave: the training goes on."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on, as rich does, without its exit."""
        with suppress(SystemExit):
            super().on_broken_pipe()


class Bar(progress.Progress):
    """A bar, and below it a line of values, so that both fit into 80 columns."""

    def __init__(self, console: Console, batches: int | None) -> None:
        self._values = Text()
        super().__init__(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=None),
            progress.MofNCompleteColumn(),
            console=console,
            auto_refresh=False,  # no thread beside the training
            expand=True,
        )
        self._task = self.add_task("", total=batches)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the two lines, from top to bottom."""
        yield self.make_tasks_table(self.tasks)
        yield self._values

    def draw(self, label: str, batch: int, values: dict[str, str]) -> None:
        """Show the state after ``batch`` batches; values without a text are left out."""
        self._values = Text("  ".join(_pairs(values)), style="dim", no_wrap=True, overflow="ellipsis")
        self.update(self._task, description=label, completed=batch)
        self.start()  # the first time
        self.refresh()


def is_animated(console: Console) -> bool:
    """Say whether ``console`` can show a bar; it cannot where ``FORCE_COLOR`` alone makes a terminal of a file."""
    return console.is_jupyter or (console.is_interactive and console.file.isatty())


def _epoch(number: int, trainer: Trainer) -> str:
    """Return such as ``epoch 3/10``."""
    last = trainer.settings.max_epochs
    return f"epoch {number}" if last is None else f"epoch {number}/{last}"


def _pace(metrics: dict[str, float]) -> dict[str, str]:
    """Return learning rate and throughput, where they are known."""
    rate, samples = metrics.get("train/learning_rate"), metrics.get("train/samples_per_second")
    return {"lr": "" if rate is None else f"{rate:.3g}", "samples/s": "" if samples is None else f"{samples:,.0f}"}


def _pairs(values: dict[str, str]) -> list[str]:
    return [f"{label} {text}" for label, text in values.items() if text]


def _number(value: float) -> str:
    """Return four digits that count, always as many, so that the line does not jump."""
    return f"{value:#.4g}"


def _clock(seconds: float) -> str:
    """Return such as ``0:42`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
