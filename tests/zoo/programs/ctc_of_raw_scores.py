"""A CTC loss on raw scores."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "ctc_of_raw_scores",
    "rule": "nll-without-log-softmax",
    "class": "nll-without-log-softmax",
    "where": 'ctc_loss',
    "code": 'F.ctc_loss(',
    "static": False,
    "severity": "error",
    "keywords": ['log_softmax'],
}
FIX = [
    ('logs = out.transpose(0, 1)', 'logs = out.log_softmax(-1).transpose(0, 1)'),
]


def gen(s):
    return torch.Generator().manual_seed(s)



class Speech(Dataset):
    def __init__(self, n, seed):
        self.n, self.seed = n, seed
        self.protos = torch.randn(6, 5, generator=gen(7))

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        g = gen(self.seed * 100000 + i)
        k = int(torch.randint(2, 5, (1,), generator=g))
        y = torch.randint(1, 6, (k,), generator=g)
        r = torch.randint(2, 5, (k,), generator=g)
        x = self.protos[y].repeat_interleave(r, 0)
        return x + 0.1 * torch.randn(x.shape, generator=g), y


def collate(items):
    pad = nn.utils.rnn.pad_sequence
    x = pad([x for x, _ in items], batch_first=True)
    n = torch.tensor([len(x) for x, _ in items])
    m = torch.tensor([len(y) for _, y in items])
    y = pad([y for _, y in items], batch_first=True)
    return x, (y, n, m)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(5, 32, batch_first=True)
        self.head = nn.Linear(32, 6)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def loss(out, target):
    y, n, m = target
    logs = out.transpose(0, 1)
    return F.ctc_loss(logs, y, n, m, blank=0, zero_infinity=True)

def build():
    return {
        "model": Net(),
        "train_set": Speech(160, 0),
        "val_set": Speech(64, 1),
        "loss": loss,
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "batch_size": 32,
        "collate": collate,
    }
