"""The attention scores of padded keys are multiplied by 0 instead of being set to -inf.

A score of 0 is no small score: after the softmax the padding keeps a share of the attention, the
larger the shorter the sample is.
"""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "mask-multiplied",
    "class": "mask-multiplied",
    "rule": "mask-multiplied",
    "where": "masked_softmax",
    "also": ["AttentionPool.forward", "pool"],
    "code": "scores = scores * mask",
    "static": True,
    "severity": "error",
    "keywords": ["mask", "padding", "softmax", "masked_fill", "inf"],
}
FIX = [
    ('scores = scores * mask', 'scores = scores.masked_fill(mask == 0, float("-inf"))'),
]

PAD = 0


class Reviews(Dataset):
    """Token ids 1..40, 2 to 24 of them; the sentiment is the balance of 'good' and 'bad' words."""

    def __init__(self, n, seed, length=24):
        g = torch.Generator().manual_seed(seed)
        self.lengths = torch.randint(2, length + 1, (n,), generator=g)
        words = torch.randint(1, 41, (n, length), generator=g)
        self.tokens = words * (torch.arange(length) < self.lengths[:, None])
        good = ((self.tokens >= 1) & (self.tokens <= 10)).sum(1)
        bad = ((self.tokens > 10) & (self.tokens <= 20)).sum(1)
        self.labels = (good.float() - bad.float()) / self.lengths

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.tokens[i], self.labels[i]


def masked_softmax(scores, mask):
    scores = scores * mask
    return scores.softmax(dim=-1)


class AttentionPool(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query = nn.Linear(width, 1)

    def forward(self, h, mask):
        weights = masked_softmax(self.query(h).squeeze(-1), mask)
        return (weights.unsqueeze(-1) * h).sum(1)


class SentimentNet(nn.Module):
    def __init__(self, vocabulary=41, width=32):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.project = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.pool = AttentionPool(width)
        self.score = nn.Linear(width, 1)

    def forward(self, tokens):
        mask = (tokens != PAD).float()
        pooled = self.pool(self.project(self.embed(tokens)), mask)
        return self.score(pooled).squeeze(-1)


def build():
    return {
        "model": SentimentNet(),
        "train_set": Reviews(1000, 0),
        "val_set": Reviews(300, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 8,
    }
