"""The token accuracy counts padded positions, which are trivially right."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

BUG = {
    "id": 'accuracy-counts-padding',
    "rule": 'accuracy-counts-padding',
    "class": 'metric',
    "where": 'evaluate',
    "code": 'right += (pred == tags).float().mean().item()',
    "static": False,
    "severity": 'warning',
    "keywords": ['padding', 'padded', 'mask'],
}
FIX = [
    ('            right += (pred == tags).float().mean().item()\n            n += 1\n', '            real = tags != 0\n            right += (pred == tags)[real].float().sum().item()\n            n += real.sum().item()\n'),
]


class Sentences(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.data = []
        for _ in range(n):
            k = int(torch.randint(3, 20, (1,), generator=g))
            w = torch.randint(1, 30, (k,), generator=g)
            self.data.append((w, w % 4 + 1))

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return self.data[i]


def collate(rows):
    words, tags = zip(*rows)
    return pad_sequence(words, batch_first=True), pad_sequence(tags, batch_first=True)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(30, 16, padding_idx=0)
        self.rnn = nn.GRU(16, 32, batch_first=True)
        self.fc = nn.Linear(32, 5)

    def forward(self, words):
        return self.fc(self.rnn(self.emb(words))[0])


def loss(logits, tags):
    return F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=0)


def evaluate(model, val_set):
    model.eval()
    right = n = 0
    with torch.no_grad():
        for words, tags in DataLoader(val_set, 20, collate_fn=collate):
            pred = model(words).argmax(-1)
            right += (pred == tags).float().mean().item()
            n += 1
    model.train()
    return right / n


def build():
    return {"model": Tagger(), "train_set": Sentences(500, 0), "val_set": Sentences(100, 1), "collate": collate, "loss": loss, "evaluate": evaluate,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 5e-3), "batch_size": 20}
