"""Two optimizers share a layer, whose gradient is cleared before the second one steps."""

import torch
import torch.nn as nn
from torch.utils.data import TensorDataset

BUG = None


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 7, generator=g)
    return x, torch.relu(x[:, :1]) - 0.5 * x[:, 1:2]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(7, 32), nn.ReLU()), nn.Linear(32, 1)

    def forward(self, x):
        return self.head(self.body(x))


class T:
    n = 0

    def step(self, model, batch, loss, optimizer):
        x, y = batch
        one, two = optimizer
        one.zero_grad()
        two.zero_grad()
        l = loss(model(x), y)
        l.backward()
        one.step()
        model.body.zero_grad()
        two.step()
        return l.item()


def build():
    return dict(
        model=Net(),
        train_set=TensorDataset(*data(640, 0)),
        loss=nn.MSELoss(),
        make_optimizer=lambda m: (
            torch.optim.SGD(m.body.parameters(), lr=3e-3),
            torch.optim.SGD(m.parameters(), lr=1e-2),
        ),
        train_step=T().step,
        batch_size=32,
        epochs=30,
    )
