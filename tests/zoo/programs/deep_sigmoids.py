"""Ten sigmoids in a row: the gradient of the first layer is a millionth of the last one's.

Hochreiter 1991; AutoTrainer's "vanishing gradient".
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "vanishing-gradient",
    "class": "vanishing-gradient",
    "rule": "vanishing-gradient",
    "where": "Sigmoid",
    "code": "layers += [nn.Linear(32, 32), nn.Sigmoid()]",
    "static": False,
    "severity": "error",
    "keywords": ["vanish", "gradient", "sigmoid"],
}
FIX = [
    ('layers += [nn.Linear(32, 32), nn.Sigmoid()]', 'layers += [nn.Linear(32, 32), nn.ReLU()]'),
]


def blobs(n, seed, k=4, d=16):
    """``k`` Gaussian classes in ``d`` dimensions; the centres do not depend on ``seed``."""
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Linear(16, 32), nn.Tanh()]
        for _ in range(10):
            layers += [nn.Linear(32, 32), nn.Sigmoid()]
        self.net = nn.Sequential(*layers, nn.Linear(32, 4))

    def forward(self, x):
        return self.net(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
