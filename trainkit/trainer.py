"""The Trainer: the loop on a page.

``fit`` and ``train_step`` say, top to bottom, what happens and in which order. What only watches is a callback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from trainkit.autopsy import tell_of_left_out
from trainkit.callbacks.callback import Callback, Hook, Hooks, named
from trainkit.checkpoint import NoStore, Store
from trainkit.checkpointed import Checkpointed, mark_of
from trainkit.data import as_source, length, samples_in
from trainkit.device import configured
from trainkit.ending import Ending
from trainkit.errors import ConfigError, TrainingError
from trainkit.failures import explained, look_at_data
from trainkit.locks import held
from trainkit.loggers import Axis, JSONLines, Logger
from trainkit.meters import StepMeter
from trainkit.metrics import Metric
from trainkit.nonfinite import Guard
from trainkit.objectives import Objective, Output
from trainkit.optim import FreezePlan, NoFreeze, NoSchedule, Schedule, WeightAverage
from trainkit.optim.clipping import ALGORITHMS, total_norm
from trainkit.settings import Settings
from trainkit.state import Best
from trainkit.timing import Cadence, Duration, Every


class Trainer(Checkpointed):
    """Trains a plain module by an objective.

    Args:
        model: Any ``nn.Module``; moved to the device in place.
        objective: ``objective(model, batch) -> Output``; :func:`trainkit.supervised` makes one of a plain loss.
        optimizer: Any ``torch.optim`` optimizer over the model's parameters.
        train_loader, val_loader: Each a :class:`trainkit.Loader`, or any iterable of batches.
        schedule: A torch scheduler, or a :class:`trainkit.optim.Schedule` of one with a warm-up.
        freeze: A freeze plan, over whose ``parameter_groups`` the optimizer was built.
        averaging: A weight average, which validation and the best checkpoint then use.
        metrics: Metrics by name, for validation and test; None takes those that suit the objective.
        callbacks: Observers, by name or in a list.
        loggers: Where scalars go, besides ``metrics.jsonl`` of the run folder.
        store: Where and when to save; a run folder without one saves after each epoch.
        run_dir: The run folder; None keeps nothing on disk.
        monitor, mode: The metric that says which weights are best, and whether ``min`` or ``max`` is good.
        seed: Where all randomness comes from.
        settings: Any field of :class:`trainkit.settings.Settings`, such as ``max_epochs`` or ``gradient_clip_val``.

    Raises:
        ConfigError: If a setting is unknown or impossible, or the device is missing.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        optimizer: Optimizer,
        train_loader: Iterable[Any],
        val_loader: Iterable[Any] | None = None,
        *,
        schedule: LRScheduler | Schedule | None = None,
        freeze: FreezePlan | None = None,
        averaging: WeightAverage | None = None,
        metrics: Mapping[str, Metric] | None = None,
        callbacks: Mapping[str, Callback] | Sequence[Callback] = (),
        loggers: Sequence[Logger] = (),
        store: Store | None = None,
        run_dir: str | Path | None = None,
        monitor: str = "val/loss",
        mode: str = "min",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        chosen, total = Settings.of(settings).resolved(), length(train_loader)
        super().__init__(model, objective, chosen, metrics=metrics, averaging=averaging, loggers=loggers, seed=seed)
        self.optimizer, self.train_loader = optimizer, train_loader
        self.looked_at = False
        """Whether the data were looked at already, and need not be when the training starts."""
        self.data = as_source(train_loader, self._loader_key)
        val_loader = None if chosen.limit_val_batches == 0 else val_loader
        self.val_loader = train_loader if chosen.overfit_batches else val_loader
        self.schedule = Schedule(schedule) if isinstance(schedule, LRScheduler) else schedule or NoSchedule(optimizer)
        self.freeze = freeze or NoFreeze()
        self.callbacks = named(callbacks)
        self.hooks = Hooks(self.callbacks.values())

        self.run_dir: Path | None = None
        self.store: Store = store or NoStore()
        if chosen.fast_dev_run:  # leaves no trace
            self.loggers.clear()
            self.store = NoStore()
        elif run_dir is not None:
            self.run_dir = Path(run_dir)
            self.loggers.insert(0, JSONLines(self.run_dir))
            self.store = store or Store(self.run_dir / "checkpoints")

        self.best, self.ending = Best(monitor, mode), Ending(chosen, self._interrupt)
        self._best_saved = self.best.state_dict()
        self.guard = Guard(chosen, optimizer, self.counters, self.device)
        self._interrupt.save = self.store.request
        self.meter = StepMeter(chosen.gradient_clip_val, chosen.accumulate_grad_batches)
        self.train_batches = chosen.train_batches(total)
        self.steps_per_epoch, self.total_steps = chosen.steps_per_epoch(total), chosen.total_steps(total)
        every_n_epochs = 0 if self.val_loader is None else chosen.check_val_every_n_epoch
        self._cadence = Cadence(chosen.val_check_interval, self.train_batches, self.meter.window, every_n_epochs)
        self._log_every = Every(Duration(chosen.log_every_n_steps, "st"))
        self._started, self._optimizers = perf_counter(), {}
        self.failed_window: Sequence[Any] | None = None  # of the step that raised, for whoever looks into it
        self.averaging.attach(self.model, self.steps_per_epoch)
        if chosen.compile:
            self.model.compile(mode=chosen.compile if isinstance(chosen.compile, str) else None)

    @final
    def fit(self) -> None:
        """Train until an end is reached, or a callback, a signal or an error stops the run.

        Why it ended stands in ``ending``. The last state is saved; the process's generators are left as they were.

        Raises:
            TrainingError: If the numbers or the data went bad, or the last state could not be saved; what was saved
                before stays.
        """
        counters = self.counters
        with self._running():
            self._begin()
            while not self.ending.reached(counters, self.seconds):
                self.hooks.epoch_start(self)
                for window in self._windows():
                    self.freeze.advance(self.moment)
                    self.key_batch(counters.batch)
                    try:
                        output = self.train_step(window)
                    except Exception:
                        self.failed_window = window
                        raise
                    if self.guard.left_out is not None:
                        tell_of_left_out(self, window)
                    counters.batch += len(window)
                    counters.total_batches += len(window)
                    if self.guard.rollback:
                        self._roll_back(len(window))
                    self.hooks.step_end(self, output)
                    del window, output  # their memory is free for the next batch
                    moment = self.moment
                    if self._log_every.is_due(moment):
                        self._log_step()
                    elif self.curves:
                        self.log({})
                    if self._cadence.is_due(counters):
                        self._validate("step")
                    if self.store.is_due(moment) or self._worth_saving:
                        self._save()
                    if self.ending.reached(counters, moment.seconds) and counters.batch != self.train_batches:
                        break  # never between an epoch's last step and its end, which notes a signal itself
                else:
                    self._end_epoch()
            self._finish()

    def train_step(self, window: Sequence[Any]) -> Output:
        """Take one optimizer step over a window of batches, which count as one large batch; return the last's output.

        Override it for another update rule; it must keep ``counters.step`` and ``counters.samples``.

        Args:
            window: ``accumulate_grad_batches`` batches as the loader gives them, fewer at the end of an epoch.
        """
        counters, settings = self.counters, self.settings
        losses: list[Tensor] = []
        counts: list[Any] = []
        self.guard.keep(self.model)
        for number, batch in enumerate(window, counters.batch):
            if number > counters.batch:
                self.key_batch(number)
            with self.precision.autocast():
                output = self.objective(self.model, self.to_device(batch))
            losses.append(output.loss.detach())
            counts.append(output.count)
            self.precision.backward(output.loss if len(window) == 1 else output.loss * (output.count / counts[0]))
            counters.samples += samples_in(batch)
        self.precision.unscale(self.optimizer)
        gradients, norm, clip = self.gradients(), None, settings.gradient_clip_val
        if len(window) > 1:
            torch._foreach_div_(gradients, sum(counts) / counts[0])
        self.hooks.gradients(self)
        self.freeze.clip()
        if clip is not None:
            norm = ALGORITHMS[settings.gradient_clip_algorithm](gradients, clip)
        elif (counters.step + 1) % settings.log_every_n_steps == 0:
            norm = total_norm(gradients)
        if self.guard.passes(losses, gradients if clip is None or norm is None else [norm]):
            self.meter.add_step(losses, counts, norm)
            with self.freeze.rates(counters.step):
                stepped = self.precision.step(self.optimizer)
            if stepped:
                counters.step += 1
                self.schedule.step_end()
                self.averaging.update(self.model, counters.step)
            else:  # the loss scale overflowed: no step, and the schedule waits
                counters.skipped += 1
        else:
            self.precision.leave_out()
            self.guard.put_back(self.model)
        self.optimizer.zero_grad()
        return output

    @final
    def validate(self, loader: Iterable[Any] | None = None) -> dict[str, float]:
        """Return ``val/loss`` and the metrics over ``loader``, by default the validation loader, and remember them."""
        return self.evaluate("val", self.val_loader if loader is None else loader, self.settings.limit_val_batches)

    @final
    def stop(self, reason: str) -> None:
        """End the run after this step; not before ``min_epochs``."""
        self.ending.wish(reason)

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the optimizer's parameters, without those that have none."""
        return [p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Hold the process as training needs it, tell the callbacks of an exception, and put everything back."""
        lock = nullcontext() if self.run_dir is None else held(self.run_dir)
        with lock, configured(self.settings), self._streams.kept(), self._interrupt:
            self._started = perf_counter()
            try:
                yield
            except BaseException as error:
                told = explained(self, error)
                self.ending.fail(told)
                self.hooks.tell(self, told)
                if isinstance(error, Exception):  # a second signal waits for nothing, not even a write in flight
                    self._flush_quietly()
                if told is error:
                    raise
                raise told from error
            finally:
                self.counters.seconds, self._started = self.seconds, perf_counter()
                self.close()

    def _begin(self) -> None:
        self.ending.reopen()
        self.store.open(self.moment)
        if self.run_dir is not None and not self.counters.total_batches and (self.run_dir / "metrics.jsonl").exists():
            self.loggers.rewind(self.counters)  # a run died in this folder before it saved anything
        self._log_every.start(self.moment)
        if not self.counters.total_batches:
            if not self.looked_at:
                look_at_data(self, self.train_loader, self.val_loader)
            if self.val_loader is not None and self.settings.num_sanity_val_steps:
                values = self.evaluate("val", self.val_loader, self.settings.num_sanity_val_steps)
                if values and not self.best.metric.startswith("train/"):
                    self.best.require(values)
                self.metrics.clear()
        self.model.train()
        self.freeze.attach(self.optimizer, self.steps_per_epoch, self.moment)
        self.hooks.step_end.wake()
        self.hooks.fit_start(self)
        self._try_saving()
        self.meter.restart_clock(self.counters.samples)
        if self._cadence.is_due(self.counters):  # a signal had come in the middle of it
            self._validate("step")
            self._save()
        if self.counters.batch == self.train_batches:  # or after an epoch's last step
            self._end_epoch()

    def _windows(self) -> Iterator[Sequence[Any]]:
        """Yield the rest of the epoch in windows of batches, one for each optimizer step."""
        start, size = self.counters.batch, self.settings.accumulate_grad_batches
        epoch = 0 if self.settings.overfit_batches else self.counters.epoch
        return self._interrupt.waits(self.data.windows(epoch, start, self.train_batches, size))

    def _log_step(self) -> None:
        self.guard.look()
        values = self.meter.read(self.counters.samples, self.counters.step)
        self.log({**values, "train/learning_rate": self.optimizer.param_groups[0]["lr"]})

    def _tell(self, hook: Hook, *arguments: Any) -> None:
        """Call a hook between two steps, and log its curves: the record of the step before is written already."""
        hook(self, *arguments)
        self.log({})

    def _validate(self, axis: Axis) -> None:
        """Validate, and tell whoever goes by it; a signal breaks it off, and a resume begins it again."""
        self.guard.look()
        values = self.validate()
        if not values:
            return
        self._settle_best()
        self.counters.validated = self.counters.total_batches
        self.log(values, axis)
        self._improved |= self.best.improved(self.metrics, self.counters)
        self._worth_saving |= self._improved or self.store.ranks(self.best.score(self.metrics))
        self.schedule.validation_end(self.metrics[self.best.metric], self.best.metric)
        self.freeze.validation_end(self.metrics[self.best.metric], self.best.mode)
        self._tell(self.hooks.validation_end, values)
        self.meter.restart_clock(self.counters.samples)

    def _end_epoch(self) -> None:
        """Do what comes between two epochs. A signal meanwhile leaves the epoch open, and a resume ends it."""
        counters = self.counters
        if self._interrupt.received:
            return
        if counters.batch == 0:
            raise ConfigError(f"the training loader gave no batch in epoch {counters.epoch + 1}; is it used up?")
        self.freeze.require_still()
        if self.meter.pending:
            self._log_step()
        if self._cadence.is_due_after_epoch(counters):
            self._validate("epoch")
        if self._interrupt.received:
            return
        if self.meter.epoch_count:  # not for a train_step of one's own that leaves the meter alone
            self.log({"train/loss_epoch": self.meter.read_epoch()}, "epoch")
        self.schedule.epoch_end()
        counters.epoch, counters.batch = counters.epoch + 1, 0
        self._tell(self.hooks.epoch_end)
        if self.store.is_due(self.moment) or self._worth_saving:
            self._save()

    def _finish(self) -> None:
        self.guard.look()
        counters, state = self.counters, self.state_dict()
        unseen = counters.validated != counters.total_batches and self.ending.status != "preempted"
        if unseen and counters.total_batches and self.val_loader is not None:
            if values := self.validate():  # of it the best alone knows: a run with more steps goes on as if it were not
                self.log(values, "step")
                self._improved |= self.best.improved(self.metrics, counters)
                state["best"] = self.best.state_dict()
            self.ending.reached(counters, self.seconds)  # a signal may have broken it off
        if counters.total_batches and (mark_of(state) != self._saved or self.store.failure):
            self._save(state)
        self._settle_best()
        self._tell(self.hooks.fit_end)
        if self.store.failure:
            raise TrainingError(f"the last checkpoint was not saved: {self.store.failure}")
