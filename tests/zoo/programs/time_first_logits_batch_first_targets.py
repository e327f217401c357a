"""Time first logits batch first targets."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'time-first-logits-batch-first-targets',
    'rule': 'rows-of-other-samples',
    'class': 'rows-of-other-samples',
    'where': 'seq_loss',
    'code': 'return F.cross_entropy(logits.reshape(-1, 8), y.reshape(-1))',
    'static': False,
    'severity': 'error',
    'keywords': ['batch_first', 'order', 'transpose', 'time', 'align', 'permut', 'flatten'],
    'also': ['loss', 'Tagger'],
}
FIX = [
    ('y.reshape(-1)', 'y.T.reshape(-1)'),
]


def copies(n, seed, t=10):
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 8, (n, t), generator=g)
    return x, (x + 3) % 8


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(8, 16)
        self.rnn = nn.GRU(16, 32)
        self.head = nn.Linear(32, 8)

    def forward(self, x):
        return self.head(self.rnn(self.emb(x.T))[0])


def seq_loss(logits, y):
    return F.cross_entropy(logits.reshape(-1, 8), y.reshape(-1))


def build():
    return {
        "model": Tagger(),
        "train_set": TensorDataset(*copies(300, 0)),
        "val_set": TensorDataset(*copies(200, 1)),
        "loss": seq_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "batch_size": 50,
    }
