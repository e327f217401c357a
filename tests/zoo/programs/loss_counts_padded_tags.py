"""POS tagging: padded tags are class 0 and the cross entropy counts them."""

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.data import Dataset

BUG = {
    "id": 'loss-on-padding',
    "rule": 'loss-on-padding',
    "class": 'padding',
    "where": 'loss',
    "code": 'criterion = nn.CrossEntropyLoss()',
    "static": False,
    "severity": 'warning',
    "keywords": ['padding', 'ignore_index', 'pad'],
}
FIX = [
    ('nn.CrossEntropyLoss()', 'nn.CrossEntropyLoss(ignore_index=PAD)'),
]


PAD = 0


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
    lengths = torch.tensor([len(w) for w in words])
    return (pad_sequence(words, batch_first=True), lengths), pad_sequence(tags, batch_first=True)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(30, 16, padding_idx=PAD)
        self.rnn = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(32, 5)

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.emb(words), lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=words.size(1))
        return self.fc(out).permute(0, 2, 1)


criterion = nn.CrossEntropyLoss()


def build():
    return {"model": Tagger(), "train_set": Sentences(600, 0), "val_set": Sentences(100, 1), "collate": collate, "loss": criterion,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 5e-3), "batch_size": 32}
