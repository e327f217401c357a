"""The key-padding mask is inverted, and a learned position stands behind the tokens."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'key-padding-mask-beside-a-class-token',
    'class': 'mask-turned',
    'where': 'Net.forward: src_key_padding_mask',
    'also': ['encoder'],
    'code': 'src_key_padding_mask=tokens != 0',
    'static': True,
    'severity': 'error',
    'keywords': ['mask', 'padding', 'invert', 'key_padding_mask'],
    'rule': 'mask-turned',
}
FIX = [
    ('src_key_padding_mask=tokens != 0', 'src_key_padding_mask=tokens == 0'),
]


class Reviews(Dataset):
    """4 to 12 random tokens, padded with 0; the class is which of the tokens 1 and 2 occurs."""

    def __init__(self, n, seed, t=12):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(0, 2, (n,), generator=g)
        lengths = torch.randint(4, t + 1, (n, 1), generator=g)
        self.x = torch.randint(3, 20, (n, t), generator=g)
        self.x[torch.arange(t) >= lengths] = 0
        where = (torch.rand(n, 1, generator=g) * lengths).long()
        self.x.scatter_(1, where, 1 + self.y[:, None])

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 32, padding_idx=0)
        self.encoder = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.query = nn.Parameter(torch.randn(1, 1, 32) * 0.1)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens):
        h = torch.cat([self.embed(tokens), self.query.expand(len(tokens), 1, 32)], 1)
        tokens = torch.cat([tokens, tokens.new_ones(len(tokens), 1)], 1)
        h = self.encoder(h, src_key_padding_mask=tokens != 0)
        return self.head(h[:, -1])


def build():
    return {
        "model": Net(),
        "train_set": Reviews(800, 0),
        "val_set": Reviews(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 8,
    }
