"""What a run saves, and how it goes on from it: the half of the Trainer that deals with checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, final

import torch
from torch.optim import Optimizer

from trainkit.callbacks.callback import Callback, Hooks
from trainkit.checkpoint import NoStore, Store, find, read
from trainkit.checkpoint.weights import fit
from trainkit.data import Source
from trainkit.ending import Ending
from trainkit.errors import ConfigError
from trainkit.evaluator import Evaluator
from trainkit.meters import StepMeter
from trainkit.nonfinite import Guard, NonFinite
from trainkit.optim import FreezePlan, NoFreeze, NoSchedule, ResumableOptimizer, Schedule, resumable
from trainkit.provenance import about
from trainkit.state import Best, Stateful, require_whole, restore, snapshot
from trainkit.timing import Moment

ROLLED_BACK = ("model", "optimizer", "schedule", "precision", "averaging")
"""What goes back to the last checkpoint when the numbers went bad; data, metrics and callbacks go on."""


class Checkpointed(Evaluator):
    """An Evaluator whose state can be saved and gone on from; the Trainer says when."""

    parts = ("counters", "model", "optimizer", "schedule", "precision", "averaging", "meter", "best", "ending", "data")
    """The attributes that a checkpoint holds. A subclass may have more of them, such as a second optimizer."""

    optimizer: Optimizer
    schedule: Schedule | NoSchedule
    freeze: FreezePlan | NoFreeze
    callbacks: Mapping[str, Callback]
    hooks: Hooks
    data: Source
    store: Store
    best: Best
    ending: Ending
    meter: StepMeter
    guard: Guard
    train_batches: int | None
    _optimizers: dict[str, ResumableOptimizer]
    _started: float
    _improved = _worth_saving = False
    _saved: Any = None
    _best_saved: dict[str, Any]
    _best_saving: dict[str, Any] | None = None
    """The record of the best whose checkpoint a thread may be writing still; ``_best_saved`` is on the disk."""

    @property
    def seconds(self) -> float:
        """Seconds spent in ``fit``, over all resumes."""
        return self.counters.seconds + perf_counter() - self._started

    @property
    def moment(self) -> Moment:
        """Where the run stands. An epoch is over only once it was validated."""
        done = min(self.counters.batch / self.train_batches, 1 - 1e-6) if self.train_batches else 0.0
        return Moment(self.counters.epoch + done, self.counters.step, self.seconds)

    @property
    def _parts(self) -> dict[str, Stateful]:
        """Everything that shapes the rest of a run, by its name in a checkpoint."""
        attributes = {name: getattr(self, name) for name in self.parts}
        parts = resumable(attributes, self.model, self._optimizers)
        if isinstance(self.freeze, FreezePlan):
            parts["freeze"] = self.freeze
        return parts | {f"callbacks.{name}": callback for name, callback in self.callbacks.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the run as tensors and plain types. Randomness is in it as the seed alone."""
        self.counters.seconds, self._started = self.seconds, perf_counter()
        fields = {"seed": self.seed, "threads": torch.get_num_threads(), "metrics": dict(self.metrics)}
        return fields | snapshot(self._parts)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned; a :class:`ConfigError` says so if it is of another seed or model."""
        require_whole(state_dict, self._parts)
        weights = fit(self.model, state_dict["model"])
        if len(weights) > len(state_dict["model"]):  # what weights alone may do without
            lost = ", ".join(sorted(weights.keys() - state_dict["model"].keys()))
            raise ConfigError(f"the checkpoint is not whole: its model has no {lost}")
        state_dict = {**state_dict, "model": weights}
        if state_dict["seed"] != self.seed:
            raise ConfigError(f"seed={self.seed}: the checkpoint goes on with seed={state_dict['seed']} only")
        restore(self._parts, state_dict)
        if self.settings.threads == "auto":  # sums split over another number of threads may differ in the last bit
            self.settings = replace(self.settings, threads=state_dict["threads"])
        self.metrics = dict(state_dict["metrics"])

    @final
    def resume(self, path: str | Path, state: dict[str, Any] | None = None) -> None:
        """Go on from a checkpoint file, or from the last one of a run folder; ``state`` is what it holds, if read.

        Hyper-parameters are those of this Trainer; weights, moments and counters are the checkpoint's.

        Raises:
            ConfigError: If there is none, it is damaged, or does not fit this model, optimizer or data.
        """
        state = read(path) if state is None else state
        self.load_state_dict(state)
        file = find(path)
        if not self.store.adopt_best(file, self.best.step) and self.best.value is not None:
            self.warn(f"the best checkpoint so far, of step {self.best.step}, is lost; the next validation begins anew")
            self.best.value = None
        here = file.resolve().parent == self.store.folder.resolve()
        self._saved, self._best_saved = mark_of(state) if here else None, self.best.state_dict()
        self._best_saving = None
        self.loggers.rewind(self.counters)

    @final
    def restore_best(self) -> bool:
        """Load the weights of ``best.ckpt`` into the model, averaged ones where they are; False if there is none."""
        if not self.store.best.is_file():
            return False
        state = read(self.store.best)
        self.averaging.load_state_dict(state["averaging"])
        self.load_weights(state)
        return True

    def _try_saving(self) -> None:
        """Note how the optimizers were built, and see that what will be saved can be, before it took long to make."""
        if self._parts and not isinstance(self.store, NoStore):
            self.store.about = about() | self.store.about
            self.store.check(state := self.state_dict())
            if self.counters.total_batches and self._saved is None:  # from elsewhere: from here on resume=auto goes on
                self._save(state)

    def _save(self, state: dict[str, Any] | None = None) -> None:
        self.guard.look()
        self._settle_best()
        state = {**(state or self.state_dict()), "best": self.best.state_dict()}
        score = self.best.score(self.metrics) if self.counters.validated == self.counters.total_batches else None
        self.store.save(state, self.moment, best=self._improved, score=score)
        self._best_saving = self.best.state_dict()
        self._improved = self._worth_saving = False
        if not self.store.background:
            self._settle_best()
        self._saved = mark_of(state)
        self.meter.restart_clock(self.counters.samples)

    def _settle_best(self) -> None:
        """Wait for a write in flight; where the best could not be saved, that of a former validation is it still."""
        self.store.flush()
        if self.store.lost_best and not self._improved:
            self.best.load_state_dict(self._best_saved)
        elif self._best_saving is not None and not self.store.lost_best:
            self._best_saved = self._best_saving
        self.store.lost_best, self._best_saving = False, None

    def _flush_quietly(self) -> None:
        """Let a write in flight end after an error, and log the step's curves; a second one must not hide the first."""
        try:
            self.log({})
        except Exception as second:  # noqa: BLE001
            self.warn(f"the last curves were not logged either: {second}")
        try:
            self.store.flush()
        except Exception as second:  # noqa: BLE001
            self.warn(f"the last checkpoint was not saved either: {second}")

    def _roll_back(self, batches: int) -> None:
        """Give weights, moments and schedule the values of the last checkpoint; the data go on where they are.

        Chowdhery et al. 2022, "PaLM", went back some steps at a spike of the loss and left out the batches around it.

        Args:
            batches: How many there were in the window that is to be left out.

        Raises:
            NonFinite: If there is nothing to go back to.
        """
        if (regular := self.store.regular) is None:
            what = "the numbers are not finite, and trainer.on_nonfinite=rollback has no checkpoint to go back to yet"
            raise NonFinite(what, self.counters.step + 1, self.counters.epoch, self.counters.batch - batches)
        state = read(regular)
        restore({name: self._parts[name] for name in ROLLED_BACK}, state)
        self.counters.step = state["counters"]["step"]
        self.hooks.step_end.wake()
        self.guard.rollback = False
        self.warn(f"back to the weights of step {self.counters.step}, on with the data that follow")


def mark_of(state: Mapping[str, Any]) -> Any:
    """Return what tells one state of a run from another: an epoch's last checkpoint may be the run's last as well."""
    return state["counters"] | {"seconds": 0}, state["best"], state["ending"]
