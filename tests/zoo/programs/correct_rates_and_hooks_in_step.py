"""Correct: a step that sets the rate in the groups and removes its hook, a default that is only read, a memo."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class Ramp:
    """The rate of a warm-up; ``lr`` is its own attribute, which it reads."""

    def __init__(self):
        self.opt_steps, self.lr = 0, 0.0

    def next(self):
        self.opt_steps += 1
        self.lr = 2e-3 * min(1.0, self.opt_steps / 10)
        return self.lr


class Net(nn.Module):
    def __init__(self, sizes=[8, 32, 1], memo={}):
        super().__init__()
        memo.setdefault("depth", len(sizes))
        layers = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            layers += [nn.Linear(inputs, outputs), nn.Tanh()]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.net(x)


RAMP = Ramp()


def train_step(model, batch, loss, optimizer):
    x, y = batch
    seen = []
    handle = model.net[0].register_forward_hook(lambda module, given, out: seen.append(out))
    for group in optimizer.param_groups:
        group["lr"] = RAMP.next()
    optimizer.zero_grad()
    value = loss(model(x), y) + 1e-4 * seen[0].square().mean()
    value.backward()
    for parameter in model.parameters():
        parameter.grad.nan_to_num_(0.0)
    optimizer.step()
    handle.remove()
    return value.detach()


def table(n, seed):
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :1] + x[:, 1:2].sin())


def build():
    return {
        "model": Net(),
        "train_set": table(400, 0),
        "val_set": table(150, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=2e-3),
        "train_step": train_step,
        "batch_size": 50,
    }
