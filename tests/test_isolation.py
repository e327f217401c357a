"""Isolation: nothing that only watches changes a bit of the training."""

import random
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

from trainkit import Callback, Loader, Output, Trainer, supervised
from trainkit.callbacks import EarlyStopping, Predictions, Progress
from trainkit.checkpoint import Store
from trainkit.loggers import JSONLines, TensorBoard
from trainkit.metrics import Classification
from trainkit.optim import WeightAverage


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Images with noise from torch, numpy and ``random``."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = 0.1 * torch.randn(1, 3, 3) + 0.1 * numpy.random.randn() + 0.1 * random.random()
        return torch.linspace(-1, 1, 9).view(1, 3, 3) * (index % 5) + noise, torch.tensor(index % 3)


def train(**options: Any) -> dict[str, Tensor]:
    """Return the weights after two epochs; dropout, batch norm and augmentation are all there to be disturbed."""
    torch.manual_seed(7)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4, 3))
    workers, objective = options.pop("workers", 0), supervised(nn.CrossEntropyLoss())
    loader = Loader(Pictures(), 6, shuffle=True, num_workers=workers)
    optimizer = torch.optim.AdamW(model.parameters(), 0.05)
    options = {"max_epochs": 2, "device": "cpu", "num_sanity_val_steps": 0, "gradient_clip_val": 0.5, **options}
    trainer = Trainer(model, objective, optimizer, loader, **options)
    trainer.fit()
    assert trainer.counters.step == 8
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.fixture(scope="module")
def alone() -> dict[str, Tensor]:
    """The weights of the training that nobody watches."""
    return train(log_every_n_steps=1000)


class Intrudes(Callback):
    """Draws from each generator, seeds them, and runs the model, at each moment there is."""

    def disturb(self, trainer: Trainer, *_: Any) -> None:
        torch.randn(3), numpy.random.randn(), random.random()
        with trainer.evaluating() as model, trainer.without_gradients():
            model(torch.randn(2, 1, 3, 3))
        trainer.validate()
        torch.manual_seed(0)
        numpy.random.seed(0)
        random.seed(0)

    def on_gradients(self, trainer: Trainer) -> None:
        self.disturb(trainer)
        assert all(gradient.isfinite().all() for gradient in trainer.gradients())

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        self.disturb(trainer)


for _name in ("on_fit_start", "on_epoch_start", "on_validation_end", "on_epoch_end", "on_fit_end"):
    setattr(Intrudes, _name, Intrudes.disturb)


def validation(**more: Any) -> Callable[[Path], dict[str, Any]]:
    """Give a validation along with more options."""
    return lambda folder: {"val_loader": Loader(Pictures(), 7, shuffle=True), **more}


def everything(folder: Path) -> dict[str, Any]:
    return {
        "val_loader": Loader(Pictures(), 7, shuffle=True),
        "val_check_interval": 1,
        "num_sanity_val_steps": 2,
        "log_every_n_steps": 1,
        "averaging": WeightAverage("ema"),
        "metrics": {"all": Classification(("accuracy", "f1"))},
        "callbacks": [Predictions(every_n_epochs=1), Progress(Console(file=StringIO())), Intrudes()],
        "loggers": [TensorBoard(folder / "tensorboard")],
        "run_dir": folder / "run",
        "store": Store(folder / "run" / "checkpoints", every="1st"),
        "workers": 2,
    }


OBSERVERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "validation": validation(),
    "validation at each step": validation(val_check_interval=1),
    "sanity validation": validation(num_sanity_val_steps=2),
    "validation without inference mode": validation(inference_mode=False),
    "no metrics": validation(metrics={}),
    "metrics": validation(metrics={"all": Classification(("accuracy", "precision", "recall", "f1"))}),
    "early stopping": validation(callbacks=[EarlyStopping(patience=100)]),
    "predictions": lambda folder: {
        "val_loader": Loader(Pictures(), 7),
        "callbacks": [Predictions(every_n_epochs=1)],
        "loggers": [TensorBoard(folder)],
    },
    "a callback that draws and validates": validation(callbacks=[Intrudes()]),
    "ema": lambda folder: {"averaging": WeightAverage("ema")},
    "swa": validation(averaging=WeightAverage("swa", start="2st")),
    "logging each step": lambda folder: {"log_every_n_steps": 1},
    "metrics.jsonl": lambda folder: {"log_every_n_steps": 1, "loggers": [JSONLines(folder)]},
    "TensorBoard": lambda folder: {"log_every_n_steps": 1, "loggers": [TensorBoard(folder)]},
    "checkpoints at each step": lambda folder: {"run_dir": folder, "store": Store(folder / "c", every="1st")},
    "one worker": lambda folder: {"workers": 1},
    "two workers": lambda folder: {"workers": 2},
    "anomaly detection": lambda folder: {"detect_anomaly": True},
    "everything at once": everything,
}


@pytest.mark.parametrize("observer", OBSERVERS)
@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
def test_an_observer_changes_no_bit_of_the_weights(
    tmp_path: Path, alone: dict[str, Tensor], observer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = train(**OBSERVERS[observer](tmp_path))
    assert watched.keys() == alone.keys()
    different = [name for name in alone if not torch.equal(alone[name], watched[name])]
    assert not different


def test_the_training_is_one_that_a_bit_more_randomness_would_change(alone: dict[str, Tensor]) -> None:
    other = train(seed=1)
    assert not any(torch.equal(alone[name], other[name]) for name in ("0.weight", "4.weight", "1.running_mean"))


def test_the_state_of_the_process_does_not_matter(alone: dict[str, Tensor]) -> None:
    random.seed(5)
    numpy.random.seed(5)
    torch.randn(100)
    with torch.random.fork_rng():
        assert all(torch.equal(value, alone[name]) for name, value in train().items())
