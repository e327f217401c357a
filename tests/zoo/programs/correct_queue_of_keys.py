"""Correct: contrast with a queue of keys, where the right one stands first."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class Two(Dataset):
    def __init__(self, n, seed):
        c = torch.randn(10, 20, generator=torch.Generator().manual_seed(1))
        g = torch.Generator().manual_seed(seed)
        self.x = c[torch.randint(0, 10, (n,), generator=g)] + 0.5 * torch.randn(n, 20, generator=g)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i]
        return (x + 0.3 * torch.randn(20), x + 0.3 * torch.randn(20)), 0


class MoCo(nn.Module):
    def __init__(self, k=256, d=16, m=0.99, t=0.2):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, d))
        self.k = copy.deepcopy(self.q).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(k, d), dim=1))
        self.register_buffer("ptr", torch.zeros(1, dtype=torch.long))
        self.m, self.t = m, t

    @torch.no_grad()
    def _keys(self, b):
        if self.training:
            for pk, pq in zip(self.k.parameters(), self.q.parameters()):
                pk.mul_(self.m).add_(pq, alpha=1 - self.m)
        return F.normalize(self.k(b), dim=1)

    @torch.no_grad()
    def _enqueue(self, keys):
        p = int(self.ptr)
        idx = (p + torch.arange(len(keys))) % len(self.queue)
        self.queue[idx] = keys
        self.ptr[0] = (p + len(keys)) % len(self.queue)

    def forward(self, a, b):
        q, k = F.normalize(self.q(a), dim=1), self._keys(b)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.clone().T], 1) / self.t
        if self.training:
            self._enqueue(k)
        return logits


def build():
    return {
        "model": MoCo(),
        "train_set": Two(600, 0),
        "val_set": Two(150, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.SGD(
            m.q.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4
        ),
        "batch_size": 50,
    }
