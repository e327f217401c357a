"""The work that every contender does, and the model that holds the stop-watch."""

from dataclasses import dataclass
from pathlib import Path
from time import process_time

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

STAMPS: list[float] = []
"""CPU seconds of this process at each training forward: one meaning of a step's time, whoever owns the loop."""


class TimedMLP(nn.Module):
    """The 784-128-64-10 network of the tutorials; notes the time whenever it is called to train."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            STAMPS.append(process_time())
        return self.layers(x)


@dataclass(frozen=True)
class Work:
    """One epoch with Adam, then a validation.

    With ``features``: clipping to a global norm of ``clip``, a cosine to 0 that moves each step, TensorBoard, progress,
    a checkpoint, and early stopping after ``patience`` epochs, which one epoch leaves nothing to do.
    """

    train_set: TensorDataset
    val_set: TensorDataset
    folder: Path
    """Where files go, new for each training."""
    features: bool
    clip: float = 1.0
    patience: int = 3
    rate: float = 1e-3
    batch_size: int = 64
    log_every: int = 50

    @property
    def steps(self) -> int:
        return -(-len(self.train_set) // self.batch_size)

    def loaders(self) -> tuple[DataLoader, DataLoader]:
        """Return the loaders that the tutorials make; who has a way of his own to fetch batches may go it."""
        train = DataLoader(self.train_set, batch_size=self.batch_size, shuffle=True)
        return train, DataLoader(self.val_set, batch_size=self.batch_size)


def datasets(samples: int) -> tuple[TensorDataset, TensorDataset]:
    """Return a training set of so many samples and a sixth of that for validation: ten noisy prototypes."""
    generator = torch.Generator().manual_seed(0)
    size = samples + samples // 6
    labels = torch.randint(10, (size,), generator=generator)
    images = torch.rand(size, 784, generator=generator)
    for label, prototype in enumerate(torch.randn(10, 784, generator=generator) * 0.05):
        images[labels == label] += prototype  # class by class, so that memory does not peak here
    return TensorDataset(images[:samples], labels[:samples]), TensorDataset(images[samples:], labels[samples:])
