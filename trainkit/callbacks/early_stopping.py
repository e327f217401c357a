"""Stopping when a metric says that going on is of no use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trainkit.callbacks.callback import Callback
from trainkit.errors import ConfigError, closest

if TYPE_CHECKING:
    from trainkit.trainer import Trainer


class EarlyStopping(Callback):
    """Stops the run when the monitored metric stops improving, is good enough, diverges, or is not finite.

    Args:
        monitor: Name of a metric of the validation, such as ``val/loss``; None takes the run's own.
        mode: ``min`` or ``max``; None takes the run's own, or ``min``.
        patience: Validations without an improvement that are borne; None bears any number.
        min_delta: Least change that counts as an improvement.
        patience_steps: Optimizer steps without an improvement that are borne, instead of validations.
        stopping_threshold: Good enough: stop once the metric is at least as good as this.
        divergence_threshold: Hopeless: stop once the metric is worse than this.
        check_finite: Stop when the metric is NaN or infinite.
    """

    def __init__(
        self,
        monitor: str | None = None,
        *,
        mode: str | None = None,
        patience: int | None = 3,
        min_delta: float = 0.0,
        patience_steps: int | None = None,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_finite: bool = True,
    ) -> None:
        if mode not in (None, "min", "max"):
            raise ConfigError(f"callbacks.early_stopping.mode={mode}: must be min or max")
        if (patience or 0) < 0 or min_delta < 0:
            raise ConfigError(
                f"callbacks.early_stopping: patience={patience} and min_delta={min_delta} must not be negative"
            )
        self.monitor, self.mode, self.patience, self.min_delta = monitor, mode, patience, min_delta
        self.patience_steps, self.check_finite = patience_steps, check_finite
        self.stopping_threshold, self.divergence_threshold = stopping_threshold, divergence_threshold
        self.best: float | None = None
        self.best_step = 0
        self.waited = 0
        self._best_of: str | None = None  # the metric and mode that the best is one of

    def on_fit_start(self, trainer: Trainer) -> None:
        """Take the run's monitor where none was given; stop at once if a resumed run had run out of patience.

        A run that is resumed with another monitor begins to wait anew.
        """
        self.monitor = self.monitor or trainer.best.metric
        self.mode = self.mode or (trainer.best.mode if self.monitor == trainer.best.metric else "min")
        best_of = f"{self.monitor} {self.mode}"
        if self._best_of not in (None, best_of):
            self.best, self.best_step, self.waited = None, trainer.counters.step, 0
        self._best_of = best_of
        self._give_up(trainer)

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Compare with the best so far."""
        assert self.monitor is not None
        if self.monitor not in metrics:
            names = ", ".join(sorted(metrics))
            raise ConfigError(
                f"early stopping monitors {self.monitor!r}, which the validation does not give; "
                f"it gives {names}.{closest(self.monitor, list(metrics))}"
            )
        value = metrics[self.monitor]
        if self.check_finite and not math.isfinite(value):
            trainer.stop(f"early stopping: {self.monitor} is {value}")
            return
        if math.isfinite(value) and (self.best is None or self._better(value, self.best, self.min_delta)):
            self.best, self.best_step, self.waited = value, trainer.counters.step, 0
        else:
            self.waited += 1
        enough, hopeless = self.stopping_threshold, self.divergence_threshold
        if enough is not None and (value == enough or self._better(value, enough)):
            trainer.stop(f"early stopping: {self.monitor}={value:.4g} has reached {enough:g}")
        elif hopeless is not None and self._better(hopeless, value):
            trainer.stop(f"early stopping: {self.monitor}={value:.4g} is worse than {hopeless:g}")
        else:
            self._give_up(trainer)

    def _better(self, value: float, than: float, by: float = 0.0) -> bool:
        return value < than - by if self.mode == "min" else value > than + by

    def _give_up(self, trainer: Trainer) -> None:
        if self.best is None:
            return
        steps = trainer.counters.step - self.best_step
        if self.patience_steps is not None:
            if steps >= self.patience_steps:
                trainer.stop(f"early stopping: {self.monitor} has not improved on {self.best:.4g} for {steps} steps")
        elif self.patience is not None and self.waited > 0 and self.waited >= self.patience:
            trainer.stop(
                f"early stopping: {self.monitor} has not improved on {self.best:.4g} for {self.waited} validations"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited, "best_of": self._best_of}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step, self.waited = state_dict["best"], state_dict["best_step"], state_dict["waited"]
        self._best_of = state_dict["best_of"]
