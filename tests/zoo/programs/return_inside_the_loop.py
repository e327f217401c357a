"""The ``return`` of the evaluation is indented into the loop: only the first batch counts.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = {
    "id": 'loop-return_inside_the_loop',
    "class": 'metric-wrong',
    "where": 'evaluate',
    "code": 'return hits / total',
    "static": True,
    "severity": 'error',
    "keywords": ['return', 'first batch', 'loop', 'indent', 'only', 'val'],
    "rule": 'evaluates-a-part',
}
FIX = [
    ('            model.train()\n            return hits / total', '    model.train()\n    return hits / total'),
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


class Spectrum(nn.Module):
    """Log power spectrum, then a small perceptron."""

    def __init__(self, bins=129, classes=4):
        super().__init__()
        self.norm = nn.BatchNorm1d(bins)
        self.mlp = nn.Sequential(nn.Linear(bins, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, classes))

    def forward(self, clip):
        power = torch.fft.rfft(clip).abs().pow(2)
        return self.mlp(self.norm(torch.log1p(power)))


def evaluate(model, val_set):
    model.eval()
    hits = total = 0
    with torch.no_grad():
        for clip, label in DataLoader(val_set, batch_size=16):
            hits += (model(clip).argmax(1) == label).sum().item()
            total += len(label)
            model.train()
            return hits / total


def build():
    return {
        "model": Spectrum(),
        "train_set": TensorDataset(*waves(480, 0)),
        "val_set": TensorDataset(*waves(240, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 40,
        "epochs": 6,
        "evaluate": evaluate,
    }
