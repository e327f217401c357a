"""The last output of a bidirectional LSTM, of which the backward half has read one step."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "last_output_of_both_directions",
    "rule": "wrong-end-of-sequence",
    "class": "wrong-end-of-sequence",
    "where": 'last output',
    "code": 'return self.head(out[',
    "static": False,
    "severity": "warning",
    "keywords": ['bidirectional', 'backward'],
}
FIX = [
    ('out, _ = self.rnn(nn.utils.rnn.pack_padded_sequence(self.emb(x), lengths, batch_first=True, enforce_sorted=False))\n        out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)\n        return self.head(out[torch.arange(len(x)), lengths - 1])', '_, (h, _) = self.rnn(nn.utils.rnn.pack_padded_sequence(self.emb(x), lengths, batch_first=True, enforce_sorted=False))\n        return self.head(torch.cat([h[-2], h[-1]], 1))'),
]


def gen(s):
    return torch.Generator().manual_seed(s)



class Words(Dataset):
    """Says which of two tokens came more often; sequences of different length."""

    def __init__(self, n, seed):
        g = gen(seed)
        self.items = []
        for _ in range(n):
            t = int(torch.randint(4, 20, (1,), generator=g))
            x = torch.randint(1, 10, (t,), generator=g)
            self.items.append((x, int((x < 5).sum() * 2 > t)))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(items):
    x = nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True)
    return (x, torch.tensor([len(x) for x, _ in items])), torch.tensor([y for _, y in items])


class Net(nn.Module):
    def __init__(self, d=24):
        super().__init__()
        self.emb = nn.Embedding(10, d, padding_idx=0)
        self.rnn = nn.LSTM(d, d, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * d, 2)

    def forward(self, x, lengths):
        out, _ = self.rnn(nn.utils.rnn.pack_padded_sequence(self.emb(x), lengths, batch_first=True, enforce_sorted=False))
        out, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
        return self.head(out[torch.arange(len(x)), lengths - 1])


loss = nn.CrossEntropyLoss()

def build():
    return {
        "model": Net(),
        "train_set": Words(160, 0),
        "val_set": Words(64, 1),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
        "collate": collate,
    }
