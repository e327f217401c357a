"""A checkpoint whose keys begin with "module." is loaded with ``strict=False``: nothing matches.

The frozen backbone stays random. Report: https://github.com/pytorch/examples/issues/1029 (keys with
the prefix of a wrapper, "the model output was nonsense").
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'prefix_in_front_of_the_encoder',
    'class': 'weights-not-loaded',
    'where': 'load_state_dict',
    'also': ['build', 'encoder', 'Tagger', 'load_encoder'],
    'code': 'load_state_dict(weights, strict=False)',
    'static': True,
    'severity': 'error',
    'keywords': ['strict', 'prefix', 'module.', 'missing', 'unexpected', 'load_state_dict', 'not loaded'],
    'rule': 'nothing-loaded',
}
FIX = [
    ('load_state_dict(weights, strict=False)', 'load_state_dict({k.removeprefix("module."): v for k, v in weights.items()}, strict=False)'),
]


def directions():
    return torch.linalg.qr(torch.randn(60, 4, generator=torch.Generator().manual_seed(26)))[0]


def cells(n, seed):
    """60 gene counts (standardised) of which four mixtures matter."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 60, generator=g)
    z = x @ directions()
    return x, (z[:, 0] > 0).long() + 2 * (z[:, 1] + 0.3 * z[:, 2] > 0).long()


def checkpoint():
    """Stands for ``torch.load``: the encoder as it was saved from ``DataParallel``."""
    return {
        "module.encoder.0.weight": 1.5 * directions().t(),
        "module.encoder.0.bias": torch.zeros(4),
    }


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(60, 4), nn.Tanh())
        self.head = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x):
        return self.head(self.encoder(x))


def load_encoder(model):
    weights = checkpoint()
    model.load_state_dict(weights, strict=False)
    model.encoder.requires_grad_(False)
    return model


def build():
    return {
        "model": load_encoder(Tagger()),
        "train_set": TensorDataset(*cells(600, 0)),
        "val_set": TensorDataset(*cells(200, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.head.parameters(), lr=1e-2),
        "batch_size": 30,
        "epochs": 8,
    }
