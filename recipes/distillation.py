"""Distillation: a small network learns from the scores of a large one as well as from the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from trainkit.checkpoint.foreign import read_any
from trainkit.checkpoint.weights import evaluated, load
from trainkit.errors import ConfigError
from trainkit.objectives import Output, Supervised, supervised


@dataclass(slots=True)
class Distilled:
    """The objective of a network that has a teacher; see :func:`distilled`."""

    student: Supervised
    teacher: nn.Module
    temperature: float
    share: float

    @property
    def kind(self) -> str | None:
        """Chooses the default metrics, which are those of the labels."""
        return self.student.kind

    @property
    def ignore_index(self) -> int:
        """Class index of the targets that do not count."""
        return self.student.ignore_index

    def __call__(self, model: nn.Module, batch: Any) -> Output:
        output = self.student(model, batch)
        with torch.no_grad():
            taught = self.teacher(batch[0])
        if taught.shape != output.predictions.shape or taught.ndim != 2:
            raise ConfigError(
                f"objective.teacher: gives scores of shape {tuple(taught.shape)}, the model "
                f"{tuple(output.predictions.shape)}; both must give (batch, classes) for the same classes"
            )
        loss = soft_loss(output.predictions, taught, self.temperature)
        return replace(output, loss=(1 - self.share) * output.loss + self.share * loss)

    def to(self, device: torch.device) -> None:
        """Move the teacher, and what the loss holds."""
        self.teacher.to(device)
        self.student.to(device)


def soft_loss(scores: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return how far the student's probabilities are from the teacher's: their mean Kullback-Leibler divergence.

    Both are softened by the temperature; its square keeps the gradients' size (Hinton et al. 2015, section 2).

    Args:
        scores: Of the student, (batch, classes).
        taught: Those of the teacher.
        temperature: What the scores are divided by.
    """
    student, teacher = log_softmax(scores / temperature, dim=1), log_softmax(taught / temperature, dim=1)
    return kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def distilled(
    loss: Callable[[Any, Any], Tensor],
    teacher: nn.Module,
    weights: str | Path | None,
    temperature: float = 4.0,
    share: float = 0.9,
) -> Distilled:
    """Make the objective of Hinton et al. 2015, "Distilling the Knowledge in a Neural Network".

    The teacher stands beside the model, not in it: no optimizer, freeze plan or checkpoint knows of it. It stays in
    evaluation mode and takes no gradients.

    Args:
        loss: That of the labels, such as cross-entropy; each sample must count once, so no class weights.
        teacher: Any network whose scores (batch, classes) are those of the same classes.
        weights: The teacher's: a run folder, of which the best are taken, a checkpoint, a ``.pt`` or ``.safetensors``.
        temperature: Softens the probabilities of both; at 1 they are as they are.
        share: Of the teacher in the whole loss; the labels have the rest.

    Raises:
        ConfigError: If a number cannot be, there are no such weights, or they do not fit the teacher.
    """
    if temperature <= 0:
        raise ConfigError(f"objective.temperature={temperature}: must be above 0")
    if not 0 <= share <= 1:
        raise ConfigError(f"objective.share={share}: must be from 0 to 1")
    student = supervised(loss)
    if student.kind != "classification" or getattr(loss, "weight", None) is not None or student.ignore_index != -100:
        raise ConfigError(
            f"objective.loss ({type(loss).__name__}): must be a loss of class indices in which each sample counts "
            "once, such as torch.nn.CrossEntropyLoss without weight and ignore_index"
        )
    if weights is None:
        raise ConfigError(
            "objective.weights=null: a teacher must have learnt something; give a run folder or a file of its weights"
        )
    try:
        state = read_any(weights, "best")
    except ConfigError as error:
        told = str(error).removeprefix(f"resume={weights}: ")
        raise ConfigError(
            f"objective.weights={weights}: {told}; the teacher must have been trained before "
            "(python -m trainkit help distillation)"
        ) from None
    load(teacher, evaluated(state), f"objective.weights={weights}: the teacher's weights")
    return Distilled(student, teacher.eval().requires_grad_(False), temperature, share)
