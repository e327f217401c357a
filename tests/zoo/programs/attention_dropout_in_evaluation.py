"""``scaled_dot_product_attention`` knows no mode: ``dropout_p`` is applied in evaluation too.

The documentation of the function warns of it.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "attention_dropout_in_evaluation",
    "rule": "functional-training",
    "class": "functional-training",
    "where": "scaled_dot_product_attention",
    "code": "F.scaled_dot",
    "static": True,
    "severity": "error",
    "keywords": ["training", "eval"],
}
FIX = [
    ("dropout_p=self.p", "dropout_p=self.p if self.training else 0.0"),
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
        self.p = 0.1
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        q = x.view(-1, 1, 4, 4)
        a = F.scaled_dot_product_attention(q, q, q, dropout_p=self.p)
        return self.head(a.reshape(-1, 16))


def build():
    return {
        "model": Net(),
        "train_set": TensorDataset(*blobs(200, 0)),
        "val_set": TensorDataset(*blobs(100, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
    }
