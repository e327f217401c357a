"""Evaluation: what the Trainer does with a model besides training it, and all that the ``eval`` command needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, final

import torch
from torch import Tensor, nn

from trainkit.checkpoint.weights import evaluated, load
from trainkit.data import as_source, length
from trainkit.device import mover, pick
from trainkit.errors import ConfigError
from trainkit.keys import Streams, fold
from trainkit.loggers import Axis, Logger, Loggers
from trainkit.meters import read_scalars
from trainkit.metrics import Metric, default_metrics
from trainkit.metrics import read as read_metrics
from trainkit.objectives import Objective, Output
from trainkit.optim import NoAverage, WeightAverage
from trainkit.precision import Precision
from trainkit.settings import Settings, limited
from trainkit.signals import Interrupt
from trainkit.state import Counters

log = logging.getLogger("trainkit")


class Evaluator:
    """Evaluates a model by an objective on one device; the Trainer is one that also trains.

    Args:
        model: Any ``nn.Module``; moved to the device in place.
        objective: ``objective(model, batch) -> Output``.
        settings: Device, precision, limits and ``inference_mode`` are read.
        metrics: Metrics by name; None takes those that suit the objective.
        averaging: A weight average, evaluated in the model's place once it holds one.
        loggers: Where scalars go.
        seed: Where all randomness comes from.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: Settings,
        *,
        metrics: Mapping[str, Metric] | None = None,
        averaging: WeightAverage | None = None,
        loggers: Sequence[Logger] = (),
        seed: int = 0,
    ) -> None:
        self.settings, self.seed = settings, seed
        self.device = pick(settings.device)
        self.model, self.objective = model.to(self.device), objective
        if hasattr(objective, "to"):  # class weights, or an objective that is a module
            objective.to(self.device)
        self.averaging = averaging or NoAverage()
        self.precision = Precision(settings.precision, self.device)
        usual = default_metrics(getattr(objective, "kind", None), getattr(objective, "ignore_index", -100))
        self.eval_metrics = usual if metrics is None else dict(metrics)
        self.warnings: list[str] = []
        """What went wrong on the way without ending the run."""
        self.loggers = Loggers(loggers, self.warnings)
        self.counters = Counters()
        self.metrics: dict[str, float] = {}
        self.curves: dict[str, float] = {}
        """What callbacks saw of this step, by name: it goes into the step's record, and is no metric of the run."""
        self._loader_key, self._step_key = fold(seed, "loader"), fold(seed, "step")
        self.to_device, self._streams, self._interrupt = (
            mover(self.device),
            Streams(self.device),
            Interrupt(settings.grace_period),
        )

    def eval_step(self, model: nn.Module, batch: Any) -> Output:
        """Return the objective's output for a batch on the device, without gradients; override it as ``train_step``."""
        with self.precision.autocast():
            return self.objective(model, batch)

    @final
    def test(self, loader: Iterable[Any]) -> dict[str, float]:
        """Return ``test/loss`` and the metrics over ``loader``; they are logged and remembered."""
        values = self.evaluate("test", loader, self.settings.limit_test_batches)
        self.log(values, "epoch")
        self.close()
        return values

    @final
    def predict(self, loader: Iterable[Any]) -> Any:
        """Return the predictions for the batches of ``loader``, pairs with targets or inputs alone.

        Returns:
            One tensor on the CPU, (samples, ...), where the predictions of a batch are a tensor; else a list.
        """
        results = []
        with self.evaluating() as model:
            for batch in as_source(loader, self._loader_key).batches(0, 0):
                pair = isinstance(batch, tuple | list) and len(batch) == 2
                with self.without_gradients(), self.precision.autocast():
                    batch = self.to_device(batch[0] if type(batch) in (tuple, list) and len(batch) == 1 else batch)
                    results.append(self.eval_step(model, batch).predictions if pair else model(batch))
        return torch.cat(results).cpu() if results and isinstance(results[0], Tensor) else results

    @final
    def evaluate(self, prefix: str, loader: Iterable[Any] | None, limit: int | float | None = None) -> dict[str, float]:
        """Return ``prefix/loss`` and the metrics over ``loader``, and remember them; nothing if a signal came."""
        if loader is None:
            raise ConfigError(f"there is nothing to evaluate under {prefix!r}: give a loader")
        losses: list[Any] = []
        counts: list[Any] = []
        for metric in self.eval_metrics.values():
            metric.reset()
        with self.evaluating() as model:
            some = islice(as_source(loader, self._loader_key).batches(0, 0), limited(length(loader), limit))
            for number, batch in enumerate(self._interrupt.waits(some)):
                self._streams.seed(fold(self.seed, prefix, number))
                with self.without_gradients():
                    output = self.eval_step(model, self.to_device(batch))
                    losses.append(output.loss)
                    counts.append(output.count)
                    for name, metric in tuple(self.eval_metrics.items()):
                        with self._spared(name):
                            metric.update(output.predictions, output.targets)
        if self._interrupt.received:
            return {}
        if not losses:
            raise ConfigError(f"there is nothing to evaluate under {prefix!r}: the loader gave no batch")
        weights = read_scalars(counts)  # host-device sync
        weighted = sum(loss * n for loss, n in zip(read_scalars(losses), weights, strict=True) if n)
        values = {f"{prefix}/loss": weighted / max(sum(weights), 1e-12)}
        for name, metric in tuple(self.eval_metrics.items()):
            with self._spared(name):
                values |= read_metrics({name: metric}, prefix)
        self.metrics.update(values)
        return values

    @contextmanager
    def _spared(self, name: str) -> Iterator[None]:
        """Switch off a metric that fails once the training has begun, which is worth more; before that it raises."""
        try:
            yield
        except Exception as error:
            if not self.counters.total_batches:
                raise
            del self.eval_metrics[name]
            self.warn(f"the metric {name} failed and is switched off: {type(error).__name__}: {error}")

    @contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """Give the model to evaluate, averaged where weights are, in eval mode; modes and generators are put back."""
        model = self.averaging.weights(self.model)
        modes = [(module, module.training) for module in model.modules()]
        with self._streams.kept():
            model.eval()
            try:
                yield model
            finally:
                for module, mode in modes:
                    module.training = mode

    @final
    def load_weights(self, state: dict[str, Any]) -> None:
        """Load the weights of a checkpoint's state into the model, the averaged ones where there are such.

        Raises:
            ConfigError: If they do not fit the model.
        """
        load(self.model, evaluated(state))

    def without_gradients(self) -> AbstractContextManager[Any]:
        """Return the context of an evaluation step; entered for each, so that a data set never caches its tensors."""
        return torch.inference_mode() if self.settings.inference_mode else torch.no_grad()

    @final
    def key_batch(self, number: int) -> None:
        """Let the next draws be those of training batch ``number`` of this epoch; ``fit`` does so for each window."""
        self._streams.seed(fold(self._step_key, self.counters.epoch, number))

    @final
    def log(self, values: dict[str, float], axis: Axis = "step") -> None:
        """Send scalars by name to the loggers, as belonging to the present step or epoch, and curves to a step's."""
        self.metrics.update(values)
        if self.curves and axis == "step":
            values = {**self.curves, **values}
            self.curves.clear()
        if values:
            self.counters.note_record()
            self.loggers.log(values, self.counters, axis)

    @final
    def close(self) -> None:
        """Let the loggers write out what they hold back; they may be used again."""
        self.loggers.close()

    def warn(self, text: str) -> None:
        """Tell of something that does not end the run; ``summary.json`` lists it too."""
        self.warnings.append(text)
        log.warning(text)
