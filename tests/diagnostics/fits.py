"""Small trainings that the tests of diagnostics share."""

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from trainkit import Callback, Loader, Trainer, supervised
from trainkit.diagnostics import Doctor
from trainkit.diagnostics.diagnostic import Diagnostic


class Kept:
    """A logger that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[tuple[int, dict[str, float]]] = []
        self.texts: list[tuple[str, str]] = []

    def log(self, values: dict[str, float], counters: Any, axis: str) -> None:
        self.records.append((counters.step, dict(values)))

    def text(self, name: str, text: str, counters: Any) -> None:
        self.texts.append((name, text))

    def image(self, name: str, image: Any, counters: Any) -> None: ...

    def hyperparameters(self, parameters: dict[str, Any], metrics: dict[str, float]) -> None: ...

    def rewind(self, counters: Any) -> None: ...

    def close(self) -> None: ...

    def curve(self, name: str) -> dict[int, float]:
        """Return the values of a curve by step."""
        return {step: values[name] for step, values in self.records if name in values}


def task(samples: int = 256, features: int = 8, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Return inputs and classes that a linear map of them tells."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(samples, features, generator=generator)
    return inputs, (inputs @ torch.randn(features, classes, generator=generator)).argmax(1)


def trainer(
    model: nn.Module,
    callbacks: Sequence[Callback],
    *,
    data: tuple[Tensor, Tensor] | None = None,
    val: tuple[Tensor, Tensor] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    loss: Any = None,
    lr: float = 0.01,
    cls: type[Trainer] = Trainer,
    **options: Any,
) -> Trainer:
    """Return a trainer of a small task, on the CPU."""
    options = {"max_epochs": 5, "log_every_n_steps": 4, "device": "cpu"} | options
    return cls(
        model,
        supervised(loss or nn.CrossEntropyLoss()),
        optimizer or torch.optim.SGD(model.parameters(), lr),
        Loader(TensorDataset(*(data or task())), 16, shuffle=True, seed=1),
        Loader(TensorDataset(*val), 64) if val else None,
        callbacks=callbacks,
        **options,
    )


def examined(model: nn.Module, *diagnostics: Diagnostic, **options: Any) -> tuple[list[str], list[str], Trainer]:
    """Train and return the rules of the symptoms, the doctor's sentences and the trainer."""
    doctor = Doctor(console=Console(file=io.StringIO()))
    fitted = trainer(model, [*diagnostics, doctor], **options)
    try:
        fitted.fit()
    except Exception:
        if not doctor.note:
            raise
    rules = [symptom.rule for diagnostic in diagnostics for symptom in diagnostic.symptoms(fitted)]
    return rules, doctor.note, fitted


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a fully connected network, its first weights by a fixed seed."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [nn.Linear(narrow, wide), activation()]
    return nn.Sequential(*layers[:-1])
