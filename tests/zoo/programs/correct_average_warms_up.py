"""An average of the weights whose decay grows from a small one, updated at every fourth call."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class Averaged(nn.Module):
    """A network and its shadow; the shadow answers in evaluation and is not trained."""

    def __init__(self, net, decay=0.95):
        super().__init__()
        self.net = net
        self.shadow = copy.deepcopy(net).requires_grad_(False)
        self.decay = decay
        self.calls = 0
        self.updates = 0

    def forward(self, x):
        return self.net(x) if self.training else self.shadow(x)

    @torch.no_grad()
    def follow(self):
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        for slow, fast in zip(self.shadow.parameters(), self.net.parameters()):
            slow.lerp_(fast, 1 - decay)


def train_step(model, batch, loss, optimizer, every=4):
    x, y = batch
    value = loss(model(x), y)
    (value / every).backward()
    model.calls += 1
    if model.calls % every == 0:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.follow()
    return value.detach()


def checkers(n, seed):
    """A chess board of 3 x 3 fields, in the plane, with two columns of noise."""
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, 4, generator=g) - 0.5) * 3.46
    field = ((x[:, :2] + 1.73) / 1.154).long()
    return x, (field.sum(1) % 2)


def evaluate(model, val_set):
    was_training = model.training
    model.eval()
    with torch.no_grad():
        x, y = val_set.tensors
        logits = model(x)
    model.train(was_training)
    return {"accuracy": (logits.argmax(1) == y).float().mean().item()}


def build():
    net = nn.Sequential(
        nn.Linear(4, 64), nn.Mish(), nn.LayerNorm(64), nn.Linear(64, 64), nn.Mish(), nn.Linear(64, 2)
    )
    model = Averaged(net)
    return {
        "model": model,
        "train_set": TensorDataset(*checkers(2000, 0)),
        "val_set": TensorDataset(*checkers(400, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.RAdam(model.net.parameters(), lr=1e-2),
        "train_step": train_step,
        "evaluate": evaluate,
        "batch_size": 10,
        "epochs": 10,
    }
