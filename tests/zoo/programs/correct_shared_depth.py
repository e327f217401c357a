"""One layer applied four times, as its class says: weights shared over the depth."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


def parity(n, seed, t=9):
    """Tokens 0..3; the target says at each place whether the 1s so far are even or odd."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 4, (n, t), generator=g)
    return x, (x == 1).long().cumsum(1) % 2


class Layer(nn.Module):
    def __init__(self, width, heads=4):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, h, mask):
        q = self.norm1(h)
        h = h + self.attention(q, q, q, attn_mask=mask, need_weights=False)[0]
        return h + self.feed(self.norm2(h))


class SharedDepth(nn.Module):
    def __init__(self, width=48, depth=4, longest=9):
        super().__init__()
        self.embed = nn.Embedding(4, width)
        self.place = nn.Parameter(0.3 * torch.randn(longest, width))
        self.layers = nn.ModuleList([Layer(width)] * depth)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2)
        self.register_buffer("mask", torch.ones(longest, longest).triu(1).bool(), persistent=False)

    def forward(self, x):
        t = x.size(1)
        h = self.embed(x) + self.place[:t]
        for layer in self.layers:
            h = layer(h, self.mask[:t, :t])
        return self.head(self.norm(h)).transpose(1, 2)


def build():
    return {
        "model": SharedDepth(),
        "train_set": TensorDataset(*parity(2000, 0)),
        "val_set": TensorDataset(*parity(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=2e-3),
        "batch_size": 50,
        "epochs": 8,
    }
