"""Dqn target never updated."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'dqn-target-never-updated',
    'rule': 'target-network-idle',
    'class': 'target-network-idle',
    'where': 'Agent.target',
    'code': 'self.target.load_state_dict(self.q.state_dict())',
    'static': False,
    'severity': 'error',
    'keywords': ['target', 'update', 'never', 'sync', 'copied'],
    'also': ['train_step', 'target'],
}
FIX = [
    ('    model.steps += 1\n', '    model.steps += 1\n    if model.steps % 20 == 0:\n        model.target.load_state_dict(model.q.state_dict())\n'),
]


def replay(n, seed):
    g = torch.Generator().manual_seed(seed)
    s = torch.randn(n, 4, generator=g)
    a = torch.randint(0, 3, (n,), generator=g)
    r = (s[:, 0] * (a - 1)).clamp(-1, 1)
    s2 = 0.9 * s + 0.2 * torch.randn(n, 4, generator=g)
    done = (torch.rand(n, generator=g) < 0.1).float()
    return s, a, r, s2, done


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
        self.target = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
        self.target.load_state_dict(self.q.state_dict())
        self.target.requires_grad_(False)
        self.steps = 0

    def forward(self, s):
        return self.q(s)


def train_step(model, batch, loss, optimizer):
    s, a, r, s2, done = batch
    q = model.q(s).gather(1, a[:, None]).squeeze(1)
    with torch.no_grad():
        best = model.target(s2).max(1).values
        goal = r + 0.99 * (1 - done) * best
    value = loss(q, goal)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    model.steps += 1
    return value



def build():
    return {
        "model": Agent(),
        "train_set": TensorDataset(*replay(300, 0)),
        "val_set": TensorDataset(*replay(200, 1)),
        "loss": nn.SmoothL1Loss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.q.parameters(), lr=1e-3),
        "batch_size": 50,
        "train_step": train_step,
    }
