"""A function with a derivative of its own, whose sign is wrong in one place."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "wrong-derivative",
    "rule": "wrong-derivative",
    "class": "wrong-derivative",
    "where": "Swish.backward",
    "code": "return gradient * s",
    "static": False,
    "severity": "error",
    "keywords": ["derivative", "backward", "gradcheck"],
}
FIX = [
    ("(1 + x * (1 + s))", "(1 + x * (1 - s))"),
]


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return gradient * s * (1 + x * (1 + s))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 48), nn.Linear(48, 1)

    def forward(self, x):
        return self.head(Swish.apply(self.hidden(x)))


def waves(count, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    return TensorDataset(x, torch.sin(x[:, :1]) + 0.1 * torch.randn(count, 1, generator=generator))


def build():
    return {
        "model": Net(),
        "train_set": waves(400, 0),
        "val_set": waves(200, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
    }
