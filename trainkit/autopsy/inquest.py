"""What is told of a training whose loss or gradient is not finite: the autopsy of its step, kept and put into words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from trainkit.autopsy.bundle import folder_of, keep
from trainkit.autopsy.examining import examined
from trainkit.autopsy.report import FEW, Autopsy
from trainkit.autopsy.step import Step
from trainkit.data import Loader
from trainkit.errors import TrainingError
from trainkit.keys import fold
from trainkit.nonfinite import NonFinite

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

USUAL = "a smaller optimizer.lr, trainer.gradient_clip_val=1.0, or trainer.on_nonfinite=skip"


def step_of(trainer: Trainer, epoch: int, batch: int, window: Sequence[Any] | None = None) -> Step:
    """Return the step whose window begins at a batch of an epoch, with the weights that the model has.

    Args:
        trainer: Whose it is.
        epoch, batch: Both counted from 0.
        window: The batches; None fetches them.
    """
    loader, size = trainer.train_loader, trainer.settings.accumulate_grad_batches
    stop = batch + (size if window is None else len(window))
    samples: list[list[int]] = []
    shown = 0 if trainer.settings.overfit_batches else epoch
    if isinstance(loader, Loader):
        stop = min(stop, trainer.train_batches or len(loader), len(loader))
        samples = [loader.where(shown, number) for number in range(batch, stop)]
        if window is None:
            window = [loader.fetch(shown, number) for number in range(batch, stop)]
    return Step(
        trainer.model,
        trainer.objective,
        trainer.precision,
        trainer._streams,
        [trainer.to_device(each) for each in window or ()],
        [fold(trainer._step_key, epoch, number) for number in range(batch, stop)],
        samples,
        trainer.freeze.hold,
    )


def looked_into(trainer: Trainer, error: NonFinite) -> tuple[Step, Autopsy]:
    """Return the step that an error is of, and its autopsy; data that are not the same twice are taken as they were."""
    seen = None if trainer.guard.is_late else trainer.failed_window
    step = step_of(trainer, error.epoch, error.batch, None if isinstance(trainer.train_loader, Loader) else seen)
    try:
        found = examined(step, trainer.optimizer)
    except Exception as failure:  # noqa: BLE001 - the user's code, and kernels that no trace can follow
        return step, Autopsy("unknown", f"it could not be taken once more ({type(failure).__name__}: {failure})"[:300])
    if found.kind == "unknown" and seen and isinstance(trainer.train_loader, Loader):
        again = step_of(trainer, error.epoch, error.batch, seen)
        if (second := examined(again, trainer.optimizer)).kind != "unknown":
            return again, second
    return step, found


def bad_numbers(trainer: Trainer, error: NonFinite) -> TrainingError:
    """Return what to tell of a loss or gradient that is not finite; its step's autopsy is kept in the run folder."""
    counters = trainer.counters
    trainer.guard.put_back(trainer.model)
    step, autopsy = looked_into(trainer, error)
    losses = trainer.meter.state_dict()["losses"] + [error.loss] * (error.loss is not None)
    told: dict[str, Any] = {"step": error.step, "epoch": error.epoch, "batch": error.batch, "seed": trainer.seed}
    told |= {"counters": counters.state_dict(), "norms": [str(norm) for norm in trainer.meter.state_dict()["norms"]]}
    told |= {"what": error.what, "losses": [str(loss) for loss in losses], "last_checkpoint": str(trainer.store.last)}
    told |= {"keys": step.keys, "samples": step.samples}
    if not all(map(isfinite, losses)):
        trainer.log({"train/loss": next(loss for loss in losses if not isfinite(loss))})  # as it was
    if not counters.nonfinite_in_a_row and counters.step >= error.step:
        counters.step = error.step - 1  # the steps that were held back on the device
    flat = [index for indices in step.samples for index in indices]
    name = getattr(trainer.train_loader, "name", "train")
    samples = f"; samples {', '.join(map(str, flat[:FEW]))}{', ...' * (len(flat) > FEW)} of data.{name}" if flat else ""
    lines = [
        f"step {error.step}: {error.what}; first: {autopsy.first}",
        *autopsy.lines(),
        f"epoch {error.epoch + 1}, batch {error.batch}{samples}; the weights are those of step {error.step - 1}",
        *_kept(trainer, step, autopsy, told),
        f"try {f'{autopsy.fix}; or ' if autopsy.fix else ''}{USUAL}",
    ]
    return TrainingError("\n  ".join(lines))


def _kept(trainer: Trainer, step: Step, autopsy: Autopsy, told: dict[str, Any]) -> list[str]:
    """Keep the autopsy, and return the line that says where and how to take the step again."""
    if trainer.run_dir is None or not step.batches:
        return []
    folder = folder_of(trainer.run_dir, told["step"])
    try:
        left_out = keep(folder, step, autopsy, told, trainer.store.about)
    except OSError as error:
        return [f"{folder}: could not be written: {error.strerror}"]
    if left_out:
        reasons = "; ".join(f"without the {name}: {reason}" for name, reason in left_out.items())
        again = f"run={shlex.quote(str(trainer.run_dir))} step={told['step']}"
        return [f"kept in {folder}, {reasons}; replay: python -m trainkit replay {again}"]
    if "config" not in trainer.store.about:
        return [
            f"kept in {folder}; trainkit.autopsy.read_bundle(...).step(model, objective, device) makes the step again"
        ]
    return [f"replay: python -m trainkit replay bundle={shlex.quote(str(folder))}"]
