"""Correct: a target network that a lambda copies every 200 steps."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

BUG = None


def moves(n, seed):
    g = torch.Generator().manual_seed(seed)
    s = torch.randn(n, 6, generator=g)
    a = torch.randint(0, 3, (n,), generator=g)
    r = (s[torch.arange(n), a] > 0).float()
    after = s + 0.3 * torch.randn(n, 6, generator=g)
    done = (torch.rand(n, generator=g) < 0.1).float()
    return s, a, r, after, done


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, s):
        return self.online(s)


def td(model, batch, optimizer):
    s, a, r, after, done = batch
    with torch.no_grad():
        goal = r + 0.95 * (1 - done) * model.target(after).max(1).values
    value = F.smooth_l1_loss(model(s).gather(1, a[:, None]).squeeze(1), goal)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


sync = lambda agent: agent.target.load_state_dict(agent.online.state_dict())


class Step:
    def __init__(self):
        self.steps = 0

    def __call__(self, model, batch, loss, optimizer):
        value = td(model, batch, optimizer)
        self.steps += 1
        if self.steps % 200 == 0:
            sync(model)
        return value


def build():
    return {
        "model": Agent(),
        "train_set": TensorDataset(*moves(600, 0)),
        "val_set": TensorDataset(*moves(200, 1)),
        "make_optimizer": lambda model: torch.optim.Adam(model.online.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": Step(),
    }
