"""Averages of the training scalars, kept on the device and read only when they are logged."""

from __future__ import annotations

from math import isfinite
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from trainkit.errors import TrainingError


def read_scalars(items: list[Any]) -> list[float]:
    """Return scalars as floats; those on the device are fetched in one host-device sync."""
    tensors = [item for item in items if isinstance(item, Tensor)]
    fetched = iter(torch.stack(tensors).tolist() if tensors else ())
    return [next(fetched) if isinstance(item, Tensor) else float(item) for item in items]


class StepMeter:
    """Collects loss and gradient norm of each step; :meth:`read` gives their means since it was read last.

    Collecting costs a list append: no device operation, no host-device synchronisation.

    Args:
        clip: The norm from which a step counts as clipped; None: no clipping.
        window: Batches of one optimizer step.
    """

    def __init__(self, clip: float | None, window: int) -> None:
        self._clip, self.window = clip, window
        self._losses: list[Any] = []
        self._counts: list[Any] = []
        self._norms: list[Any] = []
        self._samples = 0
        self._since = perf_counter()
        self.epoch_sum = 0.0
        self.epoch_count = 0.0

    @property
    def pending(self) -> bool:
        """Whether there is something to read."""
        return bool(self._losses)

    def restart_clock(self, samples: int) -> None:
        """Measure throughput from now on; validation and saving do not count as training time."""
        self._samples, self._since = samples, perf_counter()

    def add(self, loss: Tensor, count: int | Tensor) -> None:
        """Note the loss of a batch, a scalar without a graph, and the number of targets it is the mean of."""
        self._losses.append(loss)
        self._counts.append(count)

    def add_step(self, losses: list[Tensor], counts: list[Any], norm: Tensor | None) -> None:
        """Note the batches of a step, and the norm of its gradients before clipping, a scalar, where it is known."""
        self._losses += losses
        self._counts += counts
        if norm is not None:
            self._norms.append(norm)

    def read(self, samples: int, step: int) -> dict[str, float]:
        """Return the means since the last reading and forget them. Synchronises.

        Args:
            samples: Samples trained on in all.
            step: The step just taken.

        Raises:
            TrainingError: If a loss was not finite; the message names the step.
        """
        values: dict[str, float] = {}
        if self._losses:
            losses, counts = read_scalars(self._losses), read_scalars(self._counts)
            self._losses.clear()
            self._counts.clear()
            broken = next((i for i, loss in enumerate(losses) if not isfinite(loss)), None)
            if broken is not None:
                step -= (len(losses) - 1) // self.window - broken // self.window  # the last window may be short
                raise TrainingError(
                    f"step {step}: the loss is {losses[broken]}; try a smaller optimizer.lr or "
                    "trainer.gradient_clip_val=1.0; trainer.detect_anomaly=true finds the operation"
                )
            total, weighted = sum(counts), sum(loss * n for loss, n in zip(losses, counts, strict=True))
            self.epoch_sum += weighted
            self.epoch_count += total
            values["train/loss"] = weighted / total if total else float("nan")
        if self._norms:
            norms = read_scalars(self._norms)
            self._norms.clear()
            values["train/gradient_norm"] = sum(norms) / len(norms)
            if self._clip is not None:
                values["train/clipped"] = sum(norm > self._clip for norm in norms) / len(norms)
        now = perf_counter()
        if samples > self._samples:
            values["train/samples_per_second"] = (samples - self._samples) / max(now - self._since, 1e-9)
            self._samples, self._since = samples, now
        return values

    def read_epoch(self) -> float:
        """Return the mean loss of the epoch, and begin a new one. Call :meth:`read` before."""
        mean = self.epoch_sum / self.epoch_count if self.epoch_count else float("nan")
        self.epoch_sum = self.epoch_count = 0.0
        return mean

    def state_dict(self) -> dict[str, Any]:
        """Return what the unfinished window and epoch hold, so that a resumed run logs the same numbers."""
        return {
            "losses": read_scalars(self._losses),
            "counts": read_scalars(self._counts),
            "norms": read_scalars(self._norms),
            "epoch_sum": self.epoch_sum,
            "epoch_count": self.epoch_count,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        losses, counts = list(state_dict["losses"]), list(state_dict["counts"])
        if len(losses) != len(counts):
            raise ValueError(f"it has {len(losses)} losses, but {len(counts)} counts of their targets")
        self._losses, self._counts, self._norms = losses, counts, list(state_dict["norms"])
        self.epoch_sum, self.epoch_count = state_dict["epoch_sum"], state_dict["epoch_count"]
