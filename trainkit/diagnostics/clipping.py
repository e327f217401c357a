"""How often the gradient is clipped, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainkit.diagnostics.diagnostic import Diagnostic
from trainkit.diagnostics.symptoms import Symptom, rounded

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

ALWAYS, FAR = 0.95, 10.0
"""Share of clipped steps, and mean norm in limits, from which the clipping sets the rate. Pascanu et al. 2013, "On the
difficulty of training recurrent neural networks", found limits from half the average norm to ten times it to do."""
FEWEST = 100
"""Steps that a symptom takes."""


class Clipping(Diagnostic):
    """Adds up ``train/clipped`` and ``train/gradient_norm``, which the run logs anyway; it costs the device nothing.

    Args:
        every: Optimizer steps from one look to the next.
    """

    name = "clipping"

    def __init__(self, every: int = 50) -> None:
        super().__init__(every)
        self._at = 0
        self._steps = 0
        self._clipped = self._norms = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Count from here, if nothing was counted yet."""
        self._at = self._at or trainer.counters.step

    def on_step_end(self, trainer: Trainer, output: Output) -> int | None:
        """Take in what was logged since, if it is time."""
        if self.is_due(trainer.counters.step):
            self.log(trainer, self._taken(trainer))
        return self.next_due(trainer.counters.step)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Take in the epoch's last values."""
        self.log(trainer, self._taken(trainer))

    def _taken(self, trainer: Trainer) -> dict[str, float]:
        """Weigh the means that were logged last by the steps since; the two may differ by a log's length."""
        steps, self._at = trainer.counters.step - self._at, trainer.counters.step
        share = trainer.metrics.get("train/clipped")
        if share is None or steps <= 0:
            return {}
        self._steps += steps
        self._clipped += steps * share
        self._norms += steps * trainer.metrics.get("train/gradient_norm", 0.0)
        return {"share": self._clipped / self._steps}

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Say whether nearly each step is clipped, and to a small part of itself."""
        limit = trainer.settings.gradient_clip_val
        if limit is None or self._steps < FEWEST or trainer.settings.gradient_clip_algorithm != "norm":
            return []
        share, norm = self._clipped / self._steps, self._norms / self._steps
        if share < ALWAYS or norm < FAR * limit:
            return []
        return [
            Symptom(
                "clipping",
                40,
                "The clipping sets the rate, not the gradient",
                f"{share:.0%} of {self._steps} steps were clipped, with a mean norm of {norm:.3g} to at most {limit:g}",
                f"trainer.gradient_clip_val={rounded(norm):g}, with plain SGD and a smaller optimizer.lr",
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"at": self._at, "steps": self._steps, "clipped": self._clipped, "norms": self._norms}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._at, self._steps = state_dict["at"], state_dict["steps"]
        self._clipped, self._norms = state_dict["clipped"], state_dict["norms"]
