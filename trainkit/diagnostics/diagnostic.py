"""The Diagnostic: a callback that looks at every k-th step and has something to say in the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from trainkit.callbacks.callback import Callback
from trainkit.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from trainkit.diagnostics.symptoms import Symptom
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer


class Diagnostic(Callback):
    """Looks at the first step and at every k-th; the doctor's note asks it for its :meth:`symptoms`.

    Args:
        every: Optimizer steps from one look to the next.
    """

    name = "diagnostic"
    """What its curves begin with, and its entry in ``configs/diagnostics``."""

    def __init__(self, every: int = 50) -> None:
        if type(every) is not int or every < 1:
            raise ConfigError(f"diagnostics.{self.name}.every={every}: must be a whole number, at least 1")
        self.every = every

    def is_due(self, step: int) -> bool:
        """Say whether a step, counted from 1, is looked at."""
        return step % self.every == 0 or step == 1

    def next_due(self, step: int) -> int:
        """Return the first step after this one that is looked at."""
        return step - step % self.every + self.every if step else 1

    def log(self, trainer: Trainer, values: dict[str, float]) -> None:
        """Put curves into the record of this step."""
        trainer.curves.update({f"{self.name}/{tag}": value for tag, value in values.items()})

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Return what is wrong so far, as far as this diagnostic can tell."""
        return []


class Sampled(Diagnostic):
    """A diagnostic that watches a sampled step from within.

    It steps between the loop and ``train_step``, whichever class that is of, for the sampled step alone: whatever it
    hooks into is let go of before the step is over, so nothing of it is there while the run validates, saves or copies
    the model.

    Args:
        every: Optimizer steps from one look to the next.
        layers: Patterns such as ``layer4.*`` of layers with curves of their own; all have their part in the quantiles.
    """

    def __init__(self, every: int = 50, layers: Sequence[str] = ()) -> None:
        super().__init__(every)
        if isinstance(layers, str):
            raise ConfigError(
                f"diagnostics.{self.name}.layers={layers}: must be a list of patterns, such as [{layers}]"
            )
        self.layers = tuple(layers)
        self._sampling = 0
        """The step that is being sampled; 0 between samples."""
        self._named: list[tuple[str, nn.Parameter]] = []

    @abstractmethod
    def take(self, trainer: Trainer) -> None:
        """Read what was seen of a step that was taken, and log it."""

    def watching(self, trainer: Trainer) -> AbstractContextManager[Any]:
        """Return the context in which a sampled ``train_step`` runs."""
        return nullcontext()

    def on_fit_start(self, trainer: Trainer) -> None:
        """Find the parameters, and get ready for the next step if it is one to look at."""
        self._sampling, self._named = 0, list(trainer.model.named_parameters())
        if self.is_due(trainer.counters.step + 1):
            self._step_between(trainer)

    def on_step_end(self, trainer: Trainer, output: Output) -> int | None:
        """Read the step, if it is one to look at and was taken; a step that was skipped is looked at when repeated."""
        step = trainer.counters.step
        if self._sampling:
            if step == self._sampling:
                self.take(trainer)
            self._sampling = 0
        if (due := self.next_due(step)) > step + 1:
            return due - 1
        self._step_between(trainer)
        return None

    def on_fit_end(self, trainer: Trainer) -> None:
        """Let go of the trainer."""
        vars(trainer).pop("train_step", None)

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Let go of the trainer."""
        vars(trainer).pop("train_step", None)

    def _step_between(self, trainer: Trainer) -> None:
        """Let the next call of ``train_step``, and no other, run under :meth:`watching`."""
        own, inner = vars(trainer), trainer.train_step
        before, used = own.get("train_step"), False

        def sampled(window: Sequence[Any]) -> Output:
            nonlocal used
            if used:  # somebody kept it
                return inner(window)
            used = True
            if own.get("train_step") is sampled:
                own.pop("train_step") if before is None else own.update(train_step=before)
            self._sampling = trainer.counters.step + 1
            with self.watching(trainer):
                return inner(window)

        trainer.train_step = sampled  # type: ignore[method-assign]

    def curves(self, what: str, by_layer: dict[str, float], *quantiles: str) -> dict[str, float]:
        """Return a number of the layers that were asked for, and some of min, median and max over all of them."""
        if not by_layer:
            return {}
        ordered = sorted(by_layer.values())
        places = {"min": 0, "median": len(ordered) // 2, "max": -1}
        values = {f"{what}_{quantile}": ordered[places[quantile]] for quantile in quantiles}
        if self.layers:
            chosen = [layer for layer in by_layer if any(fnmatchcase(layer, pattern) for pattern in self.layers)]
            values |= {f"{layer}/{what}": by_layer[layer] for layer in chosen}
        return values


def layer_of(parameter: str) -> str:
    """Return the name of the module that a parameter stands in; a parameter of the model itself is its own layer."""
    return parameter.rpartition(".")[0] or parameter


def largest(by_layer: Iterable[tuple[str, float]]) -> tuple[str, float]:
    """Return the layer with the largest number."""
    return max(by_layer, key=lambda pair: pair[1])
