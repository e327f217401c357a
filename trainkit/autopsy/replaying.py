"""Any step of any run, rebuilt: a trainer goes on silently from a checkpoint to the step, and is seen taking it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from trainkit.autopsy.inquest import looked_into, step_of
from trainkit.autopsy.seeing import BatchSeen, Layer, Seen, Watched, batches_seen, layers_seen
from trainkit.autopsy.step import Step
from trainkit.callbacks.callback import Callback, Hooks
from trainkit.checkpoint import NoStore
from trainkit.errors import TrainingError
from trainkit.nonfinite import NonFinite
from trainkit.objectives import Output
from trainkit.timing import Cadence

if TYPE_CHECKING:
    from trainkit.trainer import Trainer


HELD = ("train/loss", "train/gradient_norm")
"""What a replay is held against, of all that a run logs."""
Logged = Mapping[int, Sequence[Mapping[str, Any]]]
"""The records that a run logged, by step."""


class Reached(BaseException):
    """The step was taken: the fit is left without any of what belongs to an end."""


def replayed(
    trainer: Trainer,
    step: int,
    state: Mapping[str, Any] | None = None,
    *,
    debug: bool = False,
    logged: Logged | None = None,
    until: int | None = None,
) -> Seen:
    """Train up to a step and return what it shows. Nothing is written, and no callback is called.

    Validations on the way are left out unless the schedule or the freeze plan goes by them. The losses on the way are
    held against what the run logged; where it logged none up to the step, the replay goes on to the next that it did.

    Args:
        trainer: As the run's was, freshly built; of no more use afterwards.
        step: Counted from 1.
        state: A checkpoint's, of a step before; None starts at the beginning.
        debug: Open ``pdb`` in the objective of that step.
        logged: What the run logged, such as the lines of its ``metrics.jsonl``.
        until: For a run that went back to checkpoints (``on_nonfinite=rollback``): the batches in all of one that it
            kept after the step. Up to there the replay goes, saves to the trainer's own store and goes back likewise;
            the step is the last one of that number. None: the first one is, and nothing is saved.

    Raises:
        TrainingError: If the run ends before the step.
    """
    replay = _Replay(step, debug, logged or {}, until)
    _silence(trainer, replay, saves=until is not None)
    if state is not None:
        trainer.load_state_dict(dict(state))
        if type(state.get("threads")) is int:  # sums split over another number of threads may differ in the last bit
            trainer.settings = replace(trainer.settings, threads=state["threads"])
    replay.step_in(trainer)
    try:
        trainer.fit()
    except Reached:
        assert replay.seen is not None
        return replay.seen
    finally:
        replay.step_out(trainer)
    if replay.seen is not None:  # a loss scaler left the last step out
        return replay.seen
    raise TrainingError(
        f"step={step}: the run ends before it, after step {trainer.counters.step}: {trainer.ending.reason}"
    )


def seen_in(step: Step, told: Mapping[str, Any], *, debug: bool = False) -> Seen:
    """Return what a step that was kept shows; it updates no weights, and leaves everything as it was.

    Args:
        step: That of a bundle.
        told: What the bundle tells of the run: step, epoch, batch.
        debug: Open ``pdb`` in the objective.
    """
    number, epoch, first = (int(told.get(name, 0)) for name in ("step", "epoch", "batch"))
    seen = Seen(number, epoch, first, batches_seen(step.batches, first, step.keys, step.samples))
    watched = replace(step, objective=Watched(step.objective, seen.batches, debug))
    with watched.untouched():
        counts: list[Any] = []
        for place in range(len(step.batches)):
            output = watched.forward_pass(place)
            counts.append(output.count)
            watched.backward_pass(output, counts[0])
        watched.divide(counts)
        gradients = {name: p.grad for name, p in step.model.named_parameters() if p.grad is not None}
        seen.layers, seen.norm = layers_seen(step.model, gradients)
    return seen


def _silence(trainer: Trainer, replay: _Replay, saves: bool) -> None:
    """Let nobody watch but the replay, nothing be logged, and nothing but steps end the run."""
    trainer.callbacks = {"replay": replay}
    trainer.hooks = Hooks([replay])
    trainer.loggers.clear()
    trainer.run_dir = None
    if not saves:
        trainer.store = NoStore()
    trainer.ending._max_seconds, trainer.guard.tells = inf, False
    by_metric = trainer.schedule.on_plateau or any(group.changes for group in trainer.freeze.groups)
    if not by_metric and not saves:  # the best are saved
        trainer.val_loader = None
        settings = trainer.settings
        trainer._cadence = Cadence(settings.val_check_interval, trainer.train_batches, trainer.meter.window, 0)


class _Replay(Callback):
    """Waits for the step, and sees it."""

    def __init__(self, step: int, debug: bool, logged: Logged, until: int | None) -> None:
        self.step, self.debug, self.until = step, debug, until
        self._logged = logged
        self._agrees: list[int] = []
        self._differs = ""
        self.seen: Seen | None = None
        self._attempts = 0
        self._waiting = False
        self._gradients: dict[str, Tensor] = {}
        self._hook: Any = None

    def step_in(self, trainer: Trainer) -> None:
        """Step between the loop and its ``train_step``, whichever class it is of."""
        train_step = trainer.train_step

        def watched(window: Sequence[Any]) -> Output:
            if trainer.counters.step != self.step - 1:
                output = train_step(window)
                self._hold(trainer)
            else:
                output = self._taken(trainer, train_step, window)
            if self._is_over(trainer.counters.step, trainer.counters.total_batches + len(window)):
                raise Reached
            return output

        def before(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            if self._waiting and not self._gradients:  # of a train_step that calls no hooks
                self.on_gradients(trainer)

        trainer.train_step = watched  # type: ignore[method-assign]
        self._hook = trainer.optimizer.register_step_pre_hook(before)

    def step_out(self, trainer: Trainer) -> None:
        """Let go of the trainer."""
        vars(trainer).pop("train_step", None)
        self._hook.remove()

    def on_gradients(self, trainer: Trainer) -> None:
        """Keep the gradients of the step."""
        if self._waiting:
            named = trainer.model.named_parameters()
            self._gradients = {name: p.grad.detach().clone() for name, p in named if p.grad is not None}

    def _hold(self, trainer: Trainer) -> None:
        """Hold the step that was just taken against what the run logged of it."""
        step = trainer.counters.step
        records = [r for r in self._logged.get(step, ()) if r.get(HELD[0]) is not None]
        if not records or not trainer.meter.pending:
            return
        state = trainer.meter.state_dict()
        values = trainer.meter.read(trainer.counters.samples, step)
        trainer.meter.load_state_dict(state)
        for name in HELD:
            known = [record[name] for record in records if record.get(name) is not None]
            if known and values.get(name) not in known:
                told = f"{name} at step {step} was {known[-1]!r} in the run and is {values.get(name)!r} here"
                self._differs = self._differs or told
                return
        self._agrees.append(step)

    def _is_over(self, step: int, batches: int) -> bool:
        """Say whether the step was taken, and held against something if it can be."""
        if self.seen is None or self.seen.failed or (self.until is not None and batches < self.until):
            return False
        self.seen.agrees = self._agrees
        undone = self.until is not None and self._agrees  # a step that was taken twice may have been logged once
        self.seen.differs = "" if undone else self._differs
        return bool(self._agrees or self._differs) or not any(later > step for later in self._logged)

    def _taken(self, trainer: Trainer, train_step: Any, window: Sequence[Any]) -> Output:
        """Take the step, and leave the fit once it counts."""
        counters, model, objective = trainer.counters, trainer.model, trainer.objective
        self._attempts += 1
        known = step_of(trainer, counters.epoch, counters.batch, window)
        batches = batches_seen(known.batches, counters.batch, known.keys, known.samples)
        seen = Seen(self.step, counters.epoch, counters.batch, batches, attempt=self._attempts)
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        self._gradients, self._waiting = {}, True
        trainer.objective = Watched(objective, batches, self.debug)
        try:
            output: Output = train_step(window)
            trainer.guard.look()
        except NonFinite as error:
            trainer.objective, trainer.failed_window = objective, window
            seen.failed, (_, seen.autopsy) = error.what, looked_into(trainer, error)
        finally:
            trainer.objective, self._waiting = objective, False
        taken = not seen.failed and counters.step == self.step
        seen.layers, seen.norm = layers_seen(model, self._gradients, before if taken else None)
        clip = trainer.settings.gradient_clip_val
        seen.clip = f"{trainer.settings.gradient_clip_algorithm} {clip:g}" if clip is not None else ""
        self.seen = seen
        if seen.failed:
            raise Reached
        if taken:
            self._hold(trainer)
            return output
        seen.failed = "this step was left out, by the loss scaler or trainer.on_nonfinite"
        return output


__all__ = ["BatchSeen", "Layer", "Reached", "Seen", "replayed", "seen_in"]
