"""All weights are initialised at 0: all units stay equal and the hidden layer gets no gradient.

NeuraLint's rule on constant initialisation, SageMaker Debugger's PoorWeightInitialization.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "case36",
    "class": "symmetric-init",
    "where": "Net.__init__: zeros_",
    "code": "nn.init.zeros_(m.weight)",
    "static": False,
    "severity": "error",
    "keywords": ["zero", "init", "symmetr", "constant"],
}
FIX = [
    ('nn.init.zeros_(m.weight)', 'nn.init.xavier_uniform_(m.weight)'),
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
        self.net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
        for m in self.net:
            if isinstance(m, nn.Linear):
                nn.init.zeros_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.net(x)


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(600, 0)),
        "val_set": TensorDataset(*blobs(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
