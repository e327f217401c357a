"""What goes wrong with a training, told in words: before its first step, and after an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainkit.autopsy import bad_numbers, flow_until_failure, step_of
from trainkit.autopsy.shapes import CAUGHT
from trainkit.data import Loader, inspection
from trainkit.data import explained as explained_by_data
from trainkit.errors import ConfigError, TrainingError
from trainkit.keys import Streams
from trainkit.nonfinite import NonFinite

if TYPE_CHECKING:
    from trainkit.evaluator import Evaluator
    from trainkit.trainer import Trainer


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
        return bad_numbers(trainer, error)
    if isinstance(error, RuntimeError) and "returned nan values in its" in str(error):  # under detect_anomaly
        counters = trainer.counters
        return bad_numbers(
            trainer, NonFinite(str(error).rstrip("."), counters.step + 1, counters.epoch, counters.batch)
        )
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return _out_of_memory(trainer, error)
    if (told := explained_by_data(error, trainer.data)) is not None:
        return told
    told = _bad_labels(trainer)
    if told is None and trainer.counters.total_batches + trainer.counters.step:
        counters = trainer.counters
        error.add_note(f"in step {counters.step + 1}, epoch {counters.epoch + 1}, batch {counters.batch}")
    if told is None and (shapes := _shapes(trainer, error)):
        error.add_note(shapes)
    return told


def _shapes(trainer: Trainer, error: Exception) -> str:
    """Return the shapes that flow through the model up to where it raises this error; empty where it does not."""
    inside = any(frame.f_code.co_name == "_call_impl" for frame, _ in walk_tb(error.__traceback__))
    if not inside or not isinstance(error, CAUGHT):
        return ""
    counters, window = trainer.counters, trainer.failed_window
    if window is None and not isinstance(trainer.train_loader, Loader):
        return ""
    step = step_of(trainer, counters.epoch, counters.batch, window)

    def all_batches() -> None:
        for number in range(len(step.batches)):
            step.forward_pass(number)

    with step.untouched():
        failure = flow_until_failure(trainer.model, all_batches)
    return failure.table() if failure is not None and type(failure.error) is type(error) else ""


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
