"""The policy's term trains the value function too."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "advantage_not_detached",
    "rule": "advantage-not-detached",
    "class": "advantage-not-detached",
    "where": 'advantage',
    "code": 'policy = -(dist',
    "static": False,
    "severity": "error",
    "keywords": ['detach', 'advantage'],
}
FIX = [
    ('advantage = ret - value', 'advantage = (ret - value).detach()'),
]


def gen(s):
    return torch.Generator().manual_seed(s)



class Episodes(Dataset):
    """Recorded episodes: states, actions, returns."""

    def __init__(self, n, seed):
        g = gen(seed)
        self.s = torch.randn(n, 4, generator=g)
        self.a = torch.randint(0, 3, (n,), generator=g)
        self.r = (self.s[torch.arange(n), self.a] + 0.1 * torch.randn(n, generator=g))

    def __len__(self):
        return len(self.s)

    def __getitem__(self, i):
        return self.s[i], torch.stack([self.a[i].float(), self.r[i]])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 32), nn.Tanh())
        self.pi, self.v = nn.Linear(32, 3), nn.Linear(32, 1)

    def forward(self, s):
        h = self.body(s)
        return self.pi(h), self.v(h).squeeze(-1)


def loss(out, target):
    logits, value = out
    action, ret = target[:, 0].long(), target[:, 1]
    dist = torch.distributions.Categorical(logits=logits)
    advantage = ret - value
    policy = -(dist.log_prob(action) * advantage).mean()
    return policy + 0.5 * F.mse_loss(value, ret) - 0.01 * dist.entropy().mean()

def build():
    return {
        "model": Net(),
        "train_set": Episodes(160, 0),
        "val_set": Episodes(64, 1),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
    }
