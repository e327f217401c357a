"""A next-token model without a causal mask: it reads the token that it has to predict.

The tokens are independent, so no honest model can be better than log 8 = 2.08. Karpathy's
recipe names the family ("off-by-one bug in your autoregressive model").
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "case22",
    "class": "target-leak",
    "where": "encoder: mask",
    "code": "self.encoder(h)",
    "static": False,
    "severity": "error",
    "keywords": ["causal", "mask", "future", "leak"],
}
FIX = [
    ('self.encoder(h)', 'self.encoder(h, nn.Transformer.generate_square_subsequent_mask(h.size(1)))'),
]
ODD = True  # repaired, it keeps another oddity that a finding may rightly name


class Tokens(Dataset):
    def __init__(self, n, seed):
        self.t = torch.randint(0, 8, (n, 9), generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.t)

    def __getitem__(self, i):
        return self.t[i, :-1], self.t[i, 1:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8, 32)
        self.position = nn.Parameter(torch.randn(8, 32) * 0.5)
        self.encoder = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 8)

    def forward(self, tokens):
        h = self.embed(tokens) + self.position
        return self.head(self.encoder(h))


def loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def build():
    return {
        "model": Net(),
        "train_set": Tokens(1000, 0),
        "val_set": Tokens(300, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 8,
    }
