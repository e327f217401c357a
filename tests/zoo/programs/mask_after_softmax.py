"""Attention is masked after its softmax."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "mask-after-softmax",
    "rule": "mask-after-softmax",
    "class": "mask-after-softmax",
    "where": 'attn',
    "code": 'weights = weights * keep',
    "static": False,
    "severity": "warning",
    "keywords": ['softmax', 'sum to 1', 'mask', 'normalis', 'padding'],
}
FIX = [
    ('weights = torch.softmax(scores, -1)', 'weights = torch.softmax(scores.masked_fill(keep == 0, -1e9), -1)'),
    ('\n        weights = weights * keep', ''),
]


def padded(n, seed, t=12, words=20, k=2):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(1, words, (n, t), generator=g)
    length = torch.randint(3, t + 1, (n,), generator=g)
    x[torch.arange(t)[None] >= length[:, None]] = 0
    return x, (x == 7).any(1).long() if k == 2 else x.sum(1) % k


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 32, padding_idx=0)
        self.q, self.k, self.v, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 2)

    def forward(self, x):
        h, keep = self.embed(x), (x != 0).float()[:, None]
        scores = self.q(h) @ self.k(h).transpose(1, 2) / 32 ** 0.5
        weights = torch.softmax(scores, -1)
        weights = weights * keep
        h = torch.relu(weights @ self.v(h))
        return self.head((h * keep.transpose(1, 2)).sum(1) / keep.sum(-1))


def build():
    return {"model": Net(), **sets(padded), "loss": nn.CrossEntropyLoss(), "batch_size": 50,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3)}
