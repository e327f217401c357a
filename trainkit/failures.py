"""What goes wrong with a training, told in words: before its first step, and after an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainkit.checkpoint.files import write_text
from trainkit.data import Loader, inspection
from trainkit.data import explained as explained_by_data
from trainkit.errors import ConfigError, TrainingError
from trainkit.keys import Streams, fold
from trainkit.nonfinite import NonFinite, locate

if TYPE_CHECKING:
    from trainkit.evaluator import Evaluator
    from trainkit.trainer import Trainer

SHOWN = 16
"""Sample indices that a message lists."""


class First:
    """The first batch of a training, fetched once for all who look at it before the start."""

    def __init__(self) -> None:
        self._batch: Any = None

    def of(self, loader: Loader, to_device: Callable[[Any], Any]) -> Any:
        """Return the batch on the device; the generators stay as they are."""
        if self._batch is None:
            with Streams().kept():
                self._batch = to_device(loader.first())
        return self._batch

    def forget(self) -> None:
        """Free its memory."""
        self._batch = None


def look_at_data(evaluator: Evaluator, train: Iterable[Any], val: Iterable[Any] | None) -> First:
    """Look at the data sets, and hold the first batch's labels against what the model gives; leaves no trace.

    Args:
        evaluator: The model and the objective.
        train: The training loader.
        val: That of the validation.

    Returns:
        The first batch, if it was needed.

    Raises:
        ConfigError: That names the sample, its value and what is allowed.
        TrainingError: If a sample of the first batch cannot be fetched or does not fit it.
    """
    first, objective = First(), evaluator.objective
    for loader in (train, val):
        if isinstance(loader, Loader):
            inspection.inspect(loader, (lambda: first.of(train, evaluator.to_device)) if loader is train else None)
    if not isinstance(train, Loader) or getattr(objective, "kind", None) != "classification":
        return first
    batch = first.of(train, evaluator.to_device)
    if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Tensor):
        with evaluator.evaluating() as model, evaluator.without_gradients(), evaluator.precision.autocast():
            try:
                predictions = model(batch[0])
            except Exception:  # noqa: BLE001 - one that is called otherwise, or that the first step will show as it is
                return first
            inspection.labels_fit(predictions, batch[1], objective.ignore_index, train, 0, 0)  # type: ignore[attr-defined]
    return first


def explained(trainer: Trainer, error: BaseException) -> BaseException:
    """Return the error that tells a user what happened and what to do; ``error`` itself where it is the best."""
    if isinstance(error, ConfigError | TrainingError) and not isinstance(error, NonFinite):
        return error
    if not isinstance(error, Exception):
        return error
    try:
        return _explained(trainer, error) or error
    except Exception as second:  # noqa: BLE001 - an explanation that fails must not hide what it was to explain
        trainer.warn(f"the error could not be looked into: {type(second).__name__}: {second}")
        return error


def _explained(trainer: Trainer, error: Exception) -> BaseException | None:
    if isinstance(error, NonFinite):
        return _bad_numbers(trainer, error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return _out_of_memory(trainer, error)
    if (told := explained_by_data(error, trainer.data)) is not None:
        return told
    told = _bad_labels(trainer)
    if told is None and trainer.counters.total_batches + trainer.counters.step:
        counters = trainer.counters
        error.add_note(f"in step {counters.step + 1}, epoch {counters.epoch + 1}, batch {counters.batch}")
    return told


def _bad_numbers(trainer: Trainer, error: NonFinite) -> TrainingError:
    """Take the step's forward and backward pass once more and say where the first bad number appears."""
    loader, counters = trainer.train_loader, trainer.counters
    epoch = 0 if trainer.settings.overfit_batches else error.epoch
    told: dict[str, Any] = {"step": error.step, "epoch": error.epoch, "batch": error.batch, "seed": trainer.seed}
    told |= {"counters": counters.state_dict(), "norms": [str(norm) for norm in trainer.meter.state_dict()["norms"]]}
    where, samples = "", ""
    if isinstance(loader, Loader):
        stop = min(error.batch + trainer.settings.accumulate_grad_batches, len(loader))
        told["keys"] = [fold(trainer._step_key, error.epoch, number) for number in range(error.batch, stop)]
        told["samples"] = [loader.where(epoch, number) for number in range(error.batch, stop)]
        flat = [index for indices in told["samples"] for index in indices]
        samples = (
            f"; samples {', '.join(map(str, flat[:SHOWN]))}{', ...' if len(flat) > SHOWN else ''} of data.{loader.name}"
        )
        told["first"] = _first_of(trainer, loader, epoch, error, stop)
        where = f"; {told['first']}"
    losses = trainer.meter.state_dict()["losses"] + [error.loss] * (error.loss is not None)
    if not all(map(isfinite, losses)):
        trainer.log({"train/loss": next(loss for loss in losses if not isfinite(loss))})  # as it was
    told |= {"what": error.what, "losses": [str(loss) for loss in losses], "last_checkpoint": str(trainer.store.last)}
    if not counters.nonfinite_in_a_row and counters.step >= error.step:
        counters.step = error.step - 1  # the steps that were held back on the device
    kept = f"the weights are those of step {error.step - 1}"
    if trainer.run_dir is not None:
        path = trainer.run_dir / "non_finite" / f"step-{error.step:08d}.json"
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(told, indent=2, default=str) + "\n")
        kept += f", and {path} holds what is known"
    return TrainingError(
        f"step {error.step}: {error.what}{where}\n"
        f"  epoch {error.epoch + 1}, batch {error.batch}{samples}; {kept}\n"
        "  try a smaller optimizer.lr, trainer.gradient_clip_val=1.0, or trainer.on_nonfinite=skip; "
        "trainer.detect_anomaly=true names the operation"
    )


def _first_of(trainer: Trainer, loader: Loader, epoch: int, error: NonFinite, stop: int) -> str:
    """Return where the first bad number of the window appears, batch by batch."""
    training, found = trainer.model.training, ""
    trainer.model.train()
    trainer.freeze.hold()
    try:
        for number in range(error.batch, stop):
            batch = trainer.to_device(loader.fetch(epoch, number))

            def forward(batch: Any = batch, number: int = number) -> Tensor:
                trainer._streams.seed(fold(trainer._step_key, error.epoch, number))
                with trainer.precision.autocast():
                    return trainer.objective(trainer.model, batch).loss

            found = locate(trainer.model, forward, loader.where(epoch, number))
            if not found.startswith("computed"):
                break
    finally:
        trainer.model.train(training)
        trainer.freeze.hold()
    return found if found.startswith("computed") else f"first in {found}"


def _out_of_memory(trainer: Trainer, error: Exception) -> TrainingError:
    counters, shapes = trainer.counters, ""
    if isinstance(trainer.train_loader, Loader):
        found = inspection.shapes(trainer.train_loader.first())
        shapes = f" with batches of {found}"
    peak = ""
    if trainer.device.type == "cuda":
        peak = f", at a peak of {torch.cuda.max_memory_allocated(trainer.device) / 2**30:.1f} GiB"
    saved = f"; the last checkpoint is {trainer.store.last}" if trainer.store.last.exists() else ""
    return TrainingError(
        f"step {counters.step + 1}: out of memory on {trainer.device}{shapes}{peak}{saved}\n"
        "  try a smaller data.batch_size with trainer.accumulate_grad_batches to make up for it, or "
        f"trainer.precision=bf16\n  {str(error).splitlines()[0][:300]}"
    )


def _bad_labels(trainer: Trainer) -> TrainingError | None:
    """Say whether labels that the model has no output for are behind an error of this step."""
    loader, counters = trainer.train_loader, trainer.counters
    if not isinstance(loader, Loader) or getattr(trainer.objective, "kind", None) != "classification":
        return None
    if counters.batch >= len(loader):
        return None
    epoch = 0 if trainer.settings.overfit_batches else counters.epoch
    batch = trainer.to_device(loader.fetch(epoch, counters.batch))
    try:
        with trainer.evaluating() as model, trainer.without_gradients(), trainer.precision.autocast():
            ignored = trainer.objective.ignore_index  # type: ignore[attr-defined]
            inspection.labels_fit(model(batch[0]), batch[1], ignored, loader, epoch, counters.batch)
    except ConfigError as found:
        return TrainingError(f"step {counters.step + 1}: {found}")
    except Exception:  # noqa: BLE001 - the very error of the model that is looked into, most likely
        return None
    return None
