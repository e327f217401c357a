"""Packed sequences with positions that begin anew in each."""

import torch
import torch.nn as nn
from torch.utils.data import Dataset

BUG = None


class Seqs(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.items = []
        for _ in range(n):
            k = int(torch.randint(3, 9, (1,), generator=g))
            x = torch.randn(k, 5, generator=g)
            self.items.append((x, x[:2].sum().view(1)))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(samples):
    """Sequences are packed behind each other; positions begin anew in each."""
    xs, ys = zip(*samples)
    which = torch.repeat_interleave(torch.arange(len(xs)), torch.tensor([len(x) for x in xs]))
    position_ids = torch.cat([torch.arange(len(x)) for x in xs])[None]
    return (torch.cat(xs), position_ids, which), torch.stack(ys)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.p = nn.Linear(5, 32), nn.Linear(32, 1), nn.Embedding(16, 32)

    def forward(self, inputs):
        x, pos, which = inputs
        h = torch.relu(self.a(x) + self.p(pos[0]))
        return self.b(torch.zeros(int(which.max()) + 1, 32).index_add(0, which, h))


def step(model, batch, loss, optimizer):
    x, y = batch
    optimizer.zero_grad()
    l = loss(model(x), y)
    l.backward()
    optimizer.step()
    return l.item()


def build():
    return dict(
        model=Net(),
        train_set=Seqs(320, 0),
        loss=nn.MSELoss(),
        collate=collate,
        make_optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=3e-3),
        train_step=step,
        batch_size=32,
        epochs=30,
    )
