"""The closure of L-BFGS does not clear the gradients: each evaluation adds to those before.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'closure_never_clears',
    'class': 'gradients-accumulate',
    'where': 'closure',
    'also': ['train_step', 'zero_grad'],
    'code': 'def closure():',
    'static': False,
    'severity': 'error',
    'keywords': ['zero_grad', 'accumulat'],
    'rule': 'gradients-accumulate',
}
FIX = [
    ('    def closure():\n', '    def closure():\n        optimizer.zero_grad()\n'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=g) * 2 - 1
    return x, torch.sin(2 * x[:, :1]) * x[:, 1:2]

def train_step(model, batch, loss, optimizer):
    x, y = batch
    def closure():
        value = loss(model(x), y)
        value.backward()
        return value
    return optimizer.step(closure)

def build():
    return {
        "model": nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 1)),
        "train_set": TensorDataset(*data(400, 0)), "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(), "batch_size": 100, "epochs": 10, "train_step": train_step,
        "make_optimizer": lambda m: torch.optim.LBFGS(m.parameters(), lr=0.5, max_iter=5),
    }
