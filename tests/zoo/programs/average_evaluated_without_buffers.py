"""The averaged model (EMA) follows the parameters; its batch norm keeps the statistics 0 and 1.

The averaged model is the one that is evaluated. Report:
https://github.com/CuriousAI/mean-teacher/issues/9, https://github.com/FlyreelAI/sesemi/issues/36,
https://github.com/lucidrains/ema-pytorch/issues/8.
"""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'average_evaluated_without_buffers',
    'class': 'ema-buffers-stale',
    'where': 'average.shadow',
    'also': ['evaluate', 'shadow', 'train_step'],
    'code': 'zip(self.shadow.parameters(), model.parameters())',
    'static': True,
    'severity': 'error',
    'keywords': ['buffer', 'running', 'batchnorm', 'ema', 'average', 'shadow'],
    'rule': 'average-without-buffers',
}
FIX = [
    ('            slow.lerp_(fast, 1 - self.decay)\n', '            slow.lerp_(fast, 1 - self.decay)\n        for slow, fast in zip(self.shadow.buffers(), model.buffers()):\n            slow.copy_(fast)\n'),
]


def spectra(n, seed):
    """Non-negative spectra of twelve substances, scaled to a maximum near 1."""
    pure = torch.rand(12, 30, generator=torch.Generator().manual_seed(19))
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 12, (n,), generator=g)
    return (pure[y] + 0.3 * torch.randn(n, 30, generator=g)).clamp(0, 1.5), y


class Average:
    def __init__(self, model, decay=0.95):
        self.decay = decay
        self.shadow = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for slow, fast in zip(self.shadow.parameters(), model.parameters()):
            slow.lerp_(fast, 1 - self.decay)


def build():
    model = nn.Sequential(
        nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(),
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 12),
    )
    average = Average(model)

    def train_step(model, batch, loss, optimizer):
        x, y = batch
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        average.update(model)
        return value.detach()

    @torch.no_grad()
    def evaluate(model, val_set):
        """Accuracy of the averaged model."""
        x, y = val_set.tensors
        return (average.shadow(x).argmax(dim=1) == y).float().mean().item()

    return {
        "model": model,
        "train_set": TensorDataset(*spectra(900, 0)),
        "val_set": TensorDataset(*spectra(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
        "train_step": train_step,
        "evaluate": evaluate,
        "batch_size": 25,
        "epochs": 6,
    }
