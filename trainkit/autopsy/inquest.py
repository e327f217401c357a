"""What is told of a training whose loss or gradient is not finite: the autopsy of its step, kept and put into words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from trainkit.autopsy.bundle import folder_of, keep
from trainkit.autopsy.examining import examined, looked_at
from trainkit.autopsy.report import FEW, Autopsy
from trainkit.autopsy.step import Step
from trainkit.data import Loader
from trainkit.errors import TrainingError
from trainkit.keys import fold
from trainkit.nonfinite import NonFinite

if TYPE_CHECKING:
    from trainkit.trainer import Trainer

MOST_LEFT_OUT = 3
"""Steps of a run that are looked into though it goes on without them."""
USUAL = "trainer.gradient_clip_val=1.0, or trainer.on_nonfinite=skip"


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
    found = _examined(trainer, step)
    if found.kind == "unknown" and seen and isinstance(trainer.train_loader, Loader):
        again = step_of(trainer, error.epoch, error.batch, seen)
        if (second := _examined(trainer, again)).kind != "unknown":
            return again, second
    return step, found


def tell_of_left_out(trainer: Trainer, window: Sequence[Any]) -> None:
    """Look at a step that ``on_nonfinite`` leaves out, keep it for a replay, and warn; only the first few of a run are.

    It is not taken once more: the training goes on, and a model or an objective may count its calls.
    """
    error, trainer.guard.left_out = trainer.guard.left_out, None
    if error is None or trainer.counters.nonfinite > MOST_LEFT_OUT:
        return
    step = step_of(trainer, error.epoch, error.batch, window)
    autopsy = looked_at(step)
    kept = _kept(trainer, step, autopsy, _told(trainer, error, step, [] if error.loss is None else [error.loss]))
    text = [f"step {error.step}, batch {error.batch} of epoch {error.epoch + 1} is left out: {error.what}"]
    last = ["later ones are only counted"] * (trainer.counters.nonfinite == MOST_LEFT_OUT)
    trainer.warn("; ".join([*text, autopsy.first, *kept, *last]))


def _examined(trainer: Trainer, step: Step) -> Autopsy:
    try:
        return examined(step, trainer.optimizer)
    except Exception as failure:  # noqa: BLE001 - the user's code, and kernels that no trace can follow
        return Autopsy("unknown", f"it could not be taken once more ({type(failure).__name__}: {failure})"[:300])


def _told(trainer: Trainer, error: NonFinite, step: Step, losses: list[float]) -> dict[str, Any]:
    """Return what the report of a step says besides its autopsy."""
    norms = [str(norm) for norm in trainer.meter.state_dict()["norms"]]
    told: dict[str, Any] = {"step": error.step, "epoch": error.epoch, "batch": error.batch, "seed": trainer.seed}
    told |= {"counters": trainer.counters.state_dict(), "norms": norms, "what": error.what}
    told |= {"losses": [str(loss) for loss in losses], "last_checkpoint": str(trainer.store.last)}
    return told | {"keys": step.keys, "samples": step.samples}


def bad_numbers(trainer: Trainer, error: NonFinite) -> TrainingError:
    """Return what to tell of a loss or gradient that is not finite; its step's autopsy is kept in the run folder."""
    counters = trainer.counters
    trainer.guard.put_back(trainer.model)
    step, autopsy = looked_into(trainer, error)
    losses = trainer.meter.state_dict()["losses"] + [error.loss] * (error.loss is not None)
    told = _told(trainer, error, step, losses)
    if not all(map(isfinite, losses)):
        trainer.log({"train/loss": next(loss for loss in losses if not isfinite(loss))})  # as it was
    if not counters.nonfinite_in_a_row and counters.step >= error.step:
        counters.step = error.step - 1  # the steps that were held back on the device
    flat = [index for indices in step.samples for index in indices]
    name = getattr(trainer.train_loader, "name", "train")
    samples = f"; samples {', '.join(map(str, flat[:FEW]))}{', ...' * (len(flat) > FEW)} of data.{name}" if flat else ""
    usual = USUAL if "optimizer.lr" in autopsy.fix else f"a smaller optimizer.lr, {USUAL}"
    advice = filter(None, [autopsy.fix, "" if autopsy.kind == "data" else usual])
    lines = [
        f"step {error.step}: {error.what}; first: {autopsy.first}",
        *autopsy.lines(),
        f"epoch {error.epoch + 1}, batch {error.batch}{samples}; the weights are those of step {error.step - 1}",
        *_kept(trainer, step, autopsy, told),
        f"try {'; or '.join(advice)}",
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
