"""PPO's loss with the larger of the clipped and the plain term."""

import math

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "clipped_term_by_max",
    "rule": "policy-ratio",
    "class": "policy-ratio",
    "where": 'max',
    "code": 'return -torch.max',
    "static": False,
    "severity": "error",
    "keywords": ['min', 'max'],
}
FIX = [
    ('torch.max', 'torch.min'),
]


def gen(s):
    return torch.Generator().manual_seed(s)



class Rollout(Dataset):
    def __init__(self, n, seed):
        g = gen(seed)
        self.s, self.a = torch.randn(n, 4, generator=g), torch.randint(0, 3, (n,), generator=g)
        self.adv, self.old = torch.randn(n, generator=g), torch.full((n,), math.log(1 / 3))

    def __len__(self):
        return len(self.s)

    def __getitem__(self, i):
        return self.s[i], (self.a[i], self.adv[i], self.old[i])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pi = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3))

    def forward(self, s):
        return self.pi(s)


def loss(logits, target):
    a, adv, old = target
    dist = torch.distributions.Categorical(logits=logits)
    now = dist.log_prob(a)
    ratio = (now - old).exp()
    return -torch.max(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()

def build():
    return {
        "model": Net(),
        "train_set": Rollout(160, 0),
        "val_set": Rollout(64, 1),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
    }
