"""Correct: the collate function sorts samples by length, inputs and targets alike."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None


g = torch.Generator().manual_seed(0)
texts = [torch.randint(1, 50, (int(size),), generator=g) for size in torch.randint(5, 20, (400,), generator=g)]
labels = [int((text < 25).float().mean() > 0.5) for text in texts]


class Texts(Dataset):
    def __init__(self, rows):
        self.rows = list(rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return texts[self.rows[index]], labels[self.rows[index]]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16, padding_idx=0)
        self.rnn = nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(x), lengths, batch_first=True)
        return self.head(self.rnn(packed)[1][-1])


def collate(samples):
    samples = sorted(samples, key=lambda sample: -len(sample[0]))
    lengths = torch.tensor([len(x) for x, _ in samples])
    x = nn.utils.rnn.pad_sequence([x for x, _ in samples], batch_first=True)
    return (x, lengths), torch.tensor([y for _, y in samples])


def build():
    return {
        "model": Net(),
        "train_set": Texts(range(300)),
        "val_set": Texts(range(300, 400)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "collate": collate,
    }
