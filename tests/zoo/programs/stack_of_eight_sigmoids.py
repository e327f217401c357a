"""Eight hidden layers of sigmoids: the gradient falls by a factor of four and more per layer and vanishes."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'stack_of_eight_sigmoids',
    'class': 'vanishing-gradient',
    'where': 'layers.0.1 (Sigmoid)',
    'also': ['layers', 'layers.0', 'layers.0.0', 'layers.1', 'make_layer', 'activation', 'DeepNet'],
    'code': 'def make_layer(n_in, n_out, activation=nn.Sigmoid):',
    'static': True,
    'severity': 'error',
    'keywords': ['vanish', 'sigmoid', 'gradient', 'saturat', 'deep'],
    'rule': 'vanishing-gradient',
}
FIX = [
    ('activation=nn.Sigmoid', 'activation=nn.ReLU'),
]


def make_layer(n_in, n_out, activation=nn.Sigmoid):
    linear = nn.Linear(n_in, n_out)
    nn.init.kaiming_normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, activation())


class DeepNet(nn.Module):
    def __init__(self, sizes, n_classes):
        super().__init__()
        self.layers = nn.ModuleList(make_layer(a, b) for a, b in zip(sizes, sizes[1:]))
        self.logits = nn.Linear(sizes[-1], n_classes)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.logits(x)


def rings(n, seed):
    """Three noisy rings around the origin, in two of six coordinates."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    angle = 6.2832 * torch.rand(n, generator=g)
    r = 0.4 + 0.8 * y + 0.08 * torch.randn(n, generator=g)
    noise = 0.3 * torch.randn(n, 4, generator=g)
    return TensorDataset(torch.cat([torch.stack([r * angle.cos(), r * angle.sin()], 1), noise], 1), y)


def build():
    return {
        "model": DeepNet([6] + 8 * [48], n_classes=3),
        "train_set": rings(1500, 0),
        "val_set": rings(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9),
        "batch_size": 50,
        "epochs": 12,
    }
