"""The logarithm of the power spectrum without a floor: a few clips are silent, ``log(0)`` is -inf
and the batch norm makes NaN of the whole batch.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "log_of_silence",
    "rule": "numbers-break",
    "class": "numbers-break",
    "where": "LogMel",
    "code": "torch.log(power)",
    "static": True,
    "severity": "error",
    "keywords": ["log", "inf", "nan", "zero", "eps", "silence", "clamp"],
}
FIX = [
    ('torch.log(power)', 'torch.log(power + 1e-2)'),
]


def waves(n, seed, k=4, length=256):
    """Clips at 256 samples: a tone per class with random phase and loudness, in noise."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    t = torch.arange(length) / length
    frequency = torch.tensor([8.0, 19.0, 37.0, 61.0])[y][:, None]
    phase = 6.28 * torch.rand(n, 1, generator=g)
    loud = 0.5 + torch.rand(n, 1, generator=g)
    x = loud * torch.sin(6.2832 * frequency * t + phase)
    return x + 0.7 * torch.randn(n, length, generator=g), y


def clips(n, seed):
    """Some recordings were cut: they are digital silence."""
    x, y = waves(n, seed)
    x[::97] = 0.0
    return x, y


class LogMel(nn.Module):
    """A bank of 24 triangular bands on the power spectrum."""

    def __init__(self, bins=129, bands=24):
        super().__init__()
        centre = torch.linspace(2, bins - 3, bands)[:, None]
        width = (bins / bands) * 1.2
        self.register_buffer("bank", (1 - (torch.arange(bins) - centre).abs() / width).clamp(min=0))

    def forward(self, clip):
        power = torch.fft.rfft(clip, norm="ortho").abs().pow(2) @ self.bank.T
        return torch.log(power)


def build():
    model = nn.Sequential(LogMel(), nn.BatchNorm1d(24), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 4))
    return {
        "model": model,
        "train_set": TensorDataset(*clips(240, 0)),
        "val_set": TensorDataset(*clips(80, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 40,
        "epochs": 5,
    }
