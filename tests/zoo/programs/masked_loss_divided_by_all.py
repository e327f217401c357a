"""The per-token loss is masked, but the mean is over all positions, padding included."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

BUG = {
    "id": 'mean-counts-padding',
    "rule": 'mean-counts-padding',
    "class": 'padding',
    "where": 'masked_loss',
    "code": 'return (per_token * mask).mean()',
    "static": False,
    "severity": 'warning',
    "keywords": ['padding', 'mask', 'mean', 'average'],
}
FIX = [
    ('(per_token * mask).mean()', '(per_token * mask).sum() / mask.sum()'),
]


class Walks(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.rows = []
        for _ in range(n):
            k = 5 + int(25 * torch.rand(1, generator=g) ** 2)
            self.rows.append((torch.randint(0, 12, (1,), generator=g) + torch.arange(k + 1)) % 12 + 1)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        r = self.rows[i]
        return r[:-1], r[1:]


def collate(rows):
    return tuple(pad_sequence(part, batch_first=True) for part in zip(*rows))


class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(13, 24, padding_idx=0)
        self.gru = nn.GRU(24, 32, batch_first=True)
        self.head = nn.Linear(32, 13)

    def forward(self, x):
        h, _ = self.gru(self.emb(x))
        return self.head(h)


def masked_loss(logits, target):
    per_token = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    mask = (target != 0).float()
    return (per_token * mask).mean()


def build():
    return {"model": LM(), "train_set": Walks(600, 0), "val_set": Walks(100, 1), "collate": collate, "loss": masked_loss,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 5e-3), "batch_size": 32}
