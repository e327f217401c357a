"""A table of 32 positions, and one text of 60 tokens far behind in the data: the step on it fails."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "positions_end_before_longest",
    "rule": "sample-fails",
    "class": "sample-fails",
    "where": "pos",
    "code": "nn.Embedding(32, 16)",
    "static": False,
    "severity": "error",
    "keywords": ["longest", "position", "index out of range"],
}
FIX = [
    ("nn.Embedding(32, 16)", "nn.Embedding(64, 16)"),
]


class Texts(Dataset):
    def __init__(self, n=400):
        g = torch.Generator().manual_seed(0)
        lengths = torch.randint(5, 30, (n,), generator=g).tolist()
        lengths[377] = 60
        self.texts = [torch.randint(1, 20, (length,), generator=g) for length in lengths]

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, i):
        return self.texts[i], (self.texts[i] == 3).any().long()


def padded(items):
    texts = nn.utils.rnn.pad_sequence([text for text, _ in items], batch_first=True)
    return texts, torch.stack([label for _, label in items])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(20, 16, padding_idx=0)
        self.pos = nn.Embedding(32, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        h = torch.relu(self.token(x) + self.pos(torch.arange(x.shape[1])))
        return self.head(h.masked_fill((x == 0).unsqueeze(-1), 0.0).amax(1))


def build():
    return {
        "model": Net(),
        "train_set": Texts(),
        "val_set": None,
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "collate": padded,
        "batch_size": 20,
        "epochs": 3,
    }
