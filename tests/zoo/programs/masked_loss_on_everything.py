"""BERT-style pretraining where the labels keep every token: 85 % of the loss is copying visible tokens."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'loss-on-visible',
    "rule": 'loss-on-visible',
    "class": 'mlm',
    "where": '__getitem__',
    "code": 'labels = tokens.clone()',
    "static": False,
    "severity": 'warning',
    "keywords": ['mask', '-100', 'visible', 'copy', 'ignore'],
}
FIX = [
    ('labels = tokens.clone()', 'labels = tokens.masked_fill(~mask, -100)'),
]


MASK = 21


class MaskedTokens(Dataset):
    def __init__(self, n, seed, p=0.15):
        g = torch.Generator().manual_seed(seed)
        start = torch.randint(0, 20, (n, 1), generator=g)
        jump = torch.randint(1, 4, (n, 1), generator=g)
        self.tokens = (start + jump * torch.arange(12)) % 20 + 1
        self.masks = torch.rand(n, 12, generator=g) < p
        self.masks[:, 5] = True

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, i):
        tokens, mask = self.tokens[i], self.masks[i]
        inputs = tokens.masked_fill(mask, MASK)
        labels = tokens.clone()
        return inputs, labels


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(22, 32)
        self.pos = nn.Embedding(12, 32)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 22)

    def forward(self, ids):
        h = self.tok(ids) + self.pos(torch.arange(ids.size(1)))
        return self.head(self.layers(h)).transpose(1, 2)


def build():
    return {"model": Bert(), "train_set": MaskedTokens(600, 0), "val_set": MaskedTokens(100, 1), "loss": nn.CrossEntropyLoss(ignore_index=-100),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 2e-3), "batch_size": 32}
