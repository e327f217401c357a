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


class Reached(BaseException):
    """The step was taken: the fit is left without any of what belongs to an end."""


def replayed(trainer: Trainer, step: int, state: Mapping[str, Any] | None = None, *, debug: bool = False) -> Seen:
    """Train up to a step and return what it shows. Nothing is written, and no callback is called.

    Validations on the way are left out unless the schedule or the freeze plan goes by them.

    Args:
        trainer: As the run's was, freshly built; of no more use afterwards.
        step: Counted from 1.
        state: A checkpoint's, of a step before; None starts at the beginning.
        debug: Open ``pdb`` in the objective of that step.

    Raises:
        TrainingError: If the run ends before the step.
    """
    replay = _Replay(step, debug)
    _silence(trainer, replay)
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


def _silence(trainer: Trainer, replay: _Replay) -> None:
    """Let nobody watch but the replay, nothing be written, and nothing but steps end the run."""
    trainer.callbacks = {"replay": replay}
    trainer.hooks = Hooks([replay])
    trainer.loggers.clear()
    trainer.store, trainer.run_dir = NoStore(), None
    trainer.ending._max_seconds = inf
    by_metric = trainer.schedule.on_plateau or any(group.changes for group in trainer.freeze.groups)
    if not by_metric:
        trainer.val_loader = None
        settings = trainer.settings
        trainer._cadence = Cadence(settings.val_check_interval, trainer.train_batches, trainer.meter.window, 0)


class _Replay(Callback):
    """Waits for the step, and sees it."""

    def __init__(self, step: int, debug: bool) -> None:
        self.step, self.debug = step, debug
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
                return train_step(window)
            return self._taken(trainer, train_step, window)

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
        if taken or seen.failed:
            raise Reached
        seen.failed = "this step was left out, by the loss scaler or trainer.on_nonfinite"
        return output


__all__ = ["BatchSeen", "Layer", "Reached", "Seen", "replayed", "seen_in"]
