"""A character tokenizer is fitted on the texts it is given - once for the training texts, once for the validation texts."""

import random
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'vocabulary-per-split',
    "rule": 'vocabulary-per-split',
    "class": 'vocab',
    "where": 'val_set',
    "code": 'val_x, val_y = encode(make_texts(200, 1))',
    "static": False,
    "severity": 'error',
    "keywords": ['vocab', 'differ', 'token', 'mapping', 'ids'],
}
FIX = [
    ('encode(make_texts(200, 1))', 'encode(make_texts(200, 1), stoi)'),
]


POS = "great superb nice happy love sunny".split()
NEG = "awful poor nasty sad hate rainy".split()
REST = "a the we it was day film food hotel train went".split()


def make_texts(n, seed):
    r = random.Random(seed)
    out = []
    for _ in range(n):
        y = r.randrange(2)
        out.append(([r.choice(REST + (POS if y else NEG)) for _ in range(10)], y))
    return out


def fit(texts):
    stoi = {"<unk>": 0}
    for words, _ in texts:
        for w in words:
            if w not in stoi:
                stoi[w] = len(stoi)
    return stoi


def encode(texts, stoi=None):
    stoi = stoi or fit(texts)
    x = torch.tensor([[stoi.get(w, 0) for w in words] for words, _ in texts])
    y = torch.tensor([float(y) for _, y in texts])
    return x, y


class Net(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.emb = nn.Embedding(size, 16)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.gru(self.emb(x))[1][-1]).squeeze(1)


def build():
    train = make_texts(600, 0)
    stoi = fit(train)
    train_x, train_y = encode(train, stoi)
    val_x, val_y = encode(make_texts(200, 1))
    return {"model": Net(len(stoi)), "train_set": TensorDataset(train_x, train_y), "val_set": TensorDataset(val_x, val_y),
            "loss": nn.BCEWithLogitsLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 5e-3), "batch_size": 40}
