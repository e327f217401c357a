"""What the loss says: nothing is learned, no more is learned, it is learned by heart, or it diverges."""

from __future__ import annotations

import re
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainkit.diagnostics.diagnostic import Diagnostic
from trainkit.diagnostics.series import Series, rising, smoothed
from trainkit.diagnostics.symptoms import Symptom, offered, other_rate
from trainkit.errors import TrainingError

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

GENERALISATION_LOSS = 0.1
"""By what share the validation loss may be above its best: twice that of the criterion GL5 of Prechelt 1998, "Early
stopping - but when?"."""
WORSE_FOR = 3
"""Validations for which it must have been above its best."""
TREND = 0.75
"""Share of the pairs of points of which the later one must be the higher: in noise it is a half."""
LEARNED = 0.02
"""Share of the first loss by which it must fall to count as learning at all."""
ROSE = 0.5
"""Share of what was learned that may be lost again."""
FEWEST, FEWEST_PLATEAU = 10, 25
"""Points that a symptom takes."""
EARLY = 0.4
"""Share of the run after which nothing more is learned, for a plateau."""


class Learning(Diagnostic):
    """Follows the training loss as the run logs it, and the validation loss beside it; it costs the device nothing.

    A ``train_step`` of one's own may return any loss, such as that of two players who take turns: there only the
    validation is judged.

    Args:
        every: Optimizer steps from one look to the next.
    """

    name = "learning"

    def __init__(self, every: int = 50) -> None:
        super().__init__(every)
        self._train, self._latest = Series(), 0.0
        self._since_validation: list[float] = [0.0, 0.0]
        """Sum and number of the training losses since the last validation."""
        self._validations: list[list[float]] = []
        """Of each validation the step, its loss, and the mean training loss before it."""
        self._rates: list[float] = []
        """The least and the largest learning rate."""
        self._broken = ""

    def on_step_end(self, trainer: Trainer, output: Output) -> int | None:
        """Take in what was logged since, if it is time."""
        step = trainer.counters.step
        if step % self.every == 0:
            self._read(trainer)
        elif step == 1 and not len(self._train) and isinstance(loss := getattr(output, "loss", None), Tensor):
            self._note(trainer, loss.item())  # host-device sync
        return self.next_due(step)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Take in the epoch's last values."""
        self._read(trainer)

    def on_validation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Put the training loss beside that of the validation."""
        self._read(trainer)
        (total, count), value = self._since_validation, metrics.get("val/loss")
        if value is None or not count or not isfinite(value):
            return
        self._since_validation = [0.0, 0.0]
        self._validations.append([trainer.counters.step, value, total / count])
        self.log(trainer, {"gap": value - total / count})

    def on_exception(self, trainer: Trainer, error: BaseException) -> None:
        """Note that bad numbers ended the run."""
        if isinstance(error, TrainingError) and re.search(r"\b(nan|inf)\b|not finite", str(error)):
            self._broken = str(error).splitlines()[0].partition(";")[0]

    def _read(self, trainer: Trainer) -> None:
        """Take in the training loss that was logged last, the mean over the steps before, unless it is known."""
        loss = trainer.metrics.get("train/loss")
        if loss is not None and loss != self._latest:
            self._latest = loss
            self._note(trainer, loss)

    def _note(self, trainer: Trainer, loss: float) -> None:
        if isfinite(loss):
            self._train.add(trainer.counters.step, loss)
            self._since_validation = [self._since_validation[0] + loss, self._since_validation[1] + 1]
        rate = float(trainer.optimizer.param_groups[0]["lr"])
        self._rates = [min([rate, *self._rates]), max([rate, *self._rates])]

    def symptoms(self, trainer: Trainer) -> list[Symptom]:
        """Say what the curves tell."""
        found = [self._non_finite(trainer), self._overfitting(trainer)]
        if type(trainer).train_step.__module__ == "trainkit.trainer":
            found += [self._divergence(trainer), self._unlearned(trainer), self._plateau(trainer)]
        return [symptom for symptom in found if symptom is not None]

    def _non_finite(self, trainer: Trainer) -> Symptom | None:
        if not self._broken:
            return None
        last = f", after a loss of {self._train.values[-1]:.3g}" if len(self._train) else ""
        cure = f"{other_rate(trainer, 0.1)} or trainer.gradient_clip_val=1.0"
        return Symptom("non-finite", 100, "The numbers went bad", f"{self._broken}{last}", cure)

    def _divergence(self, trainer: Trainer) -> Symptom | None:
        """Find a loss that has risen by half of what it had fallen, or above its start, and by more than noise."""
        values = self._train.values
        if len(values) < FEWEST:
            return None
        smooth = smoothed(values)
        first, best, last = values[0], min(smooth), median(values[-3:])
        at = smooth.index(best)
        if last - best < 3 * _noise(values) or rising(values[at:]) < TREND or last <= best + 0.1 * abs(best):
            return None
        if last - best < max(ROSE * (first - best), 0.2 * abs(first) if best >= first else 0.0):
            return None
        told = f"train/loss rose from {best:.3g} near step {self._train.steps[at]} to {last:.3g}"
        cure = f"{other_rate(trainer, 0.1)}, trainer.gradient_clip_val=1.0 or a longer schedule.warmup"
        return Symptom("divergence", 90, "The training diverges", told, cure)

    def _unlearned(self, trainer: Trainer) -> Symptom | None:
        values = self._train.values
        if len(values) < FEWEST:
            return None
        first, last, best = (
            min(values[0], median(values[:2])),
            median(values[-len(values) // 3 :]),
            min(smoothed(values)),
        )
        if first - best > LEARNED * abs(first):
            return None
        told = (
            f"train/loss was {first:.4g} at the start and {last:.4g} in the last third of {self._train.steps[-1]} steps"
        )
        if last < first and rising(values) < 1 - TREND:  # slow, but steady: as it may be where little is left to learn
            cure = f"{other_rate(trainer, 10.0)} or more steps"
            return Symptom("unlearned", 70, "Little is learned", told, cure, ("updates-small",))
        cure = f"{other_rate(trainer, 10.0)} or {other_rate(trainer, 0.1)}, and debug=overfit to see if it can learn"
        return Symptom("unlearned", 70, "Nothing is learned", told, cure)

    def _plateau(self, trainer: Trainer) -> Symptom | None:
        """Find a run of which most brought nothing, at a rate that was never lowered, though much is left to learn."""
        values = self._train.values
        if len(values) < FEWEST_PLATEAU or not self._rates or self._rates[0] < 0.5 * self._rates[1]:
            return None
        last = median(values[len(values) // 2 :])
        level = last + LEARNED * abs(last)
        early = next((i for i, value in enumerate(smoothed(values), 2) if value <= level), len(values) - 1)
        first, then, since, step = (
            values[0],
            median(values[early - 2 : early + 1]),
            values[early:],
            self._train.steps[early],
        )
        if early > EARLY * len(values) or rising(since) < 0.45 or then - last > LEARNED * abs(then):
            return None
        if then < 0.1 * first or first - then < LEARNED * abs(first):
            return None
        if any(at > step and value < 0.98 * _best(self._validations, step) for at, value, _ in self._validations):
            return None
        told = (
            f"train/loss was {then:.3g} at step {step} and {last:.3g} in the last half of {self._train.steps[-1]} steps"
        )
        cure = f"schedule=cosine, {other_rate(trainer, 0.3)} or a larger model; else trainer.max_steps={step} will do"
        return Symptom("plateau", 30, "No more is learned", told, cure)

    def _overfitting(self, trainer: Trainer) -> Symptom | None:
        """Find a validation loss that climbs from its best while the training loss falls."""
        if len(self._validations) <= WORSE_FOR:
            return None
        at = min(range(len(self._validations)), key=lambda i: self._validations[i][1])
        (step, best, train), after = self._validations[at], self._validations[at:]
        if len(after) <= WORSE_FOR or best <= 0:
            return None
        value, trained = median(v for _, v, _ in after[-WORSE_FOR:]), median(t for _, _, t in after[-WORSE_FOR:])
        above = [v > best * (1 + GENERALISATION_LOSS) for _, v, _ in after[len(after) // 2 :]]
        if sum(above) < TREND * len(above) or value <= best * (1 + GENERALISATION_LOSS):
            return None
        if trained > train * (1 - GENERALISATION_LOSS):
            return None
        if trainer.best.value is not None and trainer.best.step > after[-WORSE_FOR][0]:
            return None  # by the metric that counts it still gets better
        told = f"since step {step:.0f} val/loss rose from {best:.3g} to {value:.3g}, train/loss fell from {train:.3g} "
        tried = offered(
            trainer, "callbacks.early_stopping.patience=3", "optimizer.weight_decay=0.1", "model.dropout=0.2"
        )
        cure = f"{tried}, more data or augmentation" if tried else "more data or augmentation"
        return Symptom("overfitting", 55, "It learns by heart", f"{told}to {trained:.3g}", cure)

    def state_dict(self) -> dict[str, Any]:
        return {
            "train": self._train.state_dict(),
            "latest": self._latest,
            "since_validation": self._since_validation[:],
            "validations": [point[:] for point in self._validations],
            "rates": self._rates[:],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._train.load_state_dict(state_dict["train"])
        self._latest = state_dict["latest"]
        self._since_validation = list(state_dict["since_validation"])
        self._validations, self._rates = [list(v) for v in state_dict["validations"]], list(state_dict["rates"])


def _noise(values: list[float]) -> float:
    """Return the spread from one point to the next, as the standard deviation of normal noise would have it."""
    return 1.4826 / 2**0.5 * median(abs(other - one) for one, other in pairwise(values))


def _best(validations: list[list[float]], step: int) -> float:
    """Return the best validation loss up to a step."""
    return min((value for at, value, _ in validations if at <= step), default=float("inf"))
