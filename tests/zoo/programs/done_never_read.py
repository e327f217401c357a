"""A Q-learning target goes on beyond the end of the episode."""

import copy

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "done_never_read",
    "rule": "bootstrapped-target",
    "class": "bootstrapped-target",
    "where": 'target',
    "code": 'target = r + 0.99',
    "static": False,
    "severity": "error",
    "keywords": ['done', 'end'],
}
FIX = [
    ('.max(1).values', '.max(1).values * (1 - done)'),
]


def gen(s):
    return torch.Generator().manual_seed(s)



class Replay(Dataset):
    def __init__(self, n, seed):
        g = gen(seed)
        self.s, self.a = torch.randn(n, 4, generator=g), torch.randint(0, 3, (n,), generator=g)
        self.r, self.done = torch.randn(n, generator=g), (torch.rand(n, generator=g) < 0.1).float()
        self.next = torch.randn(n, 4, generator=g)

    def __len__(self):
        return len(self.s)

    def __getitem__(self, i):
        return self.s[i], self.a[i], self.r[i], self.next[i], self.done[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, s):
        return self.q(s)


target_net = None


def make_optimizer(model):
    global target_net
    target_net = copy.deepcopy(model)
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def train_step(model, batch, loss, optimizer):
    s, a, r, after, done = batch
    q = model(s).gather(1, a[:, None]).squeeze(1)
    with torch.no_grad():
        target = r + 0.99 * target_net(after).max(1).values
    value = loss(q, target)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    for p, o in zip(target_net.parameters(), model.parameters()):
        p.data.lerp_(o.data, 0.01)
    return value

def build():
    return {
        "model": Net(),
        "train_set": Replay(160, 0),
        "val_set": Replay(64, 1),
        "loss": nn.SmoothL1Loss(),
        "make_optimizer": make_optimizer,
        "batch_size": 32,
        "train_step": train_step,
    }
