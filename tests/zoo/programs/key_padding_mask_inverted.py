"""The key-padding mask is True for the words: attention reads the padding."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "key-padding-mask-inverted",
    "rule": "mask-turned",
    "class": "mask-turned",
    "where": 'Reader.forward',
    "code": 'hidden = ids != 0',
    "static": False,
    "severity": "error",
    "keywords": ['mask', 'inverted'],
}
FIX = [
    ('hidden = ids != 0', 'hidden = ids == 0'),
]


def tokens(n, seed, length=12, words=20):
    """Sentences with a padding of 0 at the end; the class is the third part in which most of the words lie."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, words, (n, length), generator=g)
    long = torch.randint(4, length + 1, (n,), generator=g)
    ids[torch.arange(length)[None] >= long[:, None]] = 0
    y = (((ids > 0) & (ids < 8)).sum(1) > 0.4 * long).long()
    return ids, y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


class Reader(nn.Module):
    def __init__(self, words=20, d=32):
        super().__init__()
        self.embed = nn.Embedding(words, d, padding_idx=0)
        self.place = nn.Parameter(0.02 * torch.randn(12, d))
        self.attention = nn.MultiheadAttention(d, 4, batch_first=True)
        self.head = nn.Linear(d, 2)

    def forward(self, ids):
        x = self.embed(ids) + self.place
        hidden = ids != 0
        h, _ = self.attention(x, x, x, key_padding_mask=hidden, need_weights=False)
        keep = (ids != 0).unsqueeze(-1).float()
        return self.head((h * keep).sum(1) / keep.sum(1))


def build():
    return {
        "model": Reader(),
        **sets(tokens),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 32,
    }
