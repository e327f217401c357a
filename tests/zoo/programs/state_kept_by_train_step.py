"""The hidden state is a global of the training script and is never reset between (shuffled) batches."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": 'state-carried',
    "rule": 'state-carried',
    "class": 'state',
    "where": 'train_step',
    "code": 'hidden = new_hidden.detach()',
    "static": False,
    "severity": 'error',
    "keywords": ['hidden state', 'carried', 'shuffle', 'previous batch', 'stateful', 'reset'],
}
FIX = [
    ('    hidden = new_hidden.detach()\n', '    hidden = None\n'),
]


def toys(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    x = torch.randn(n, 15, 5, generator=g)
    x[torch.arange(n), torch.randint(0, 5, (n,), generator=g), y] += 3
    return TensorDataset(x, y)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 24, batch_first=True)
        self.fc = nn.Linear(24, 3)

    def forward(self, x, h0=None):
        out, h = self.gru(x, h0)
        return self.fc(out[:, -1]), h


hidden = None


def train_step(model, batch, loss, optimizer):
    global hidden
    x, y = batch
    optimizer.zero_grad()
    if hidden is not None and hidden.size(1) != x.size(0):
        hidden = None
    logits, new_hidden = model(x, hidden)
    value = loss(logits, y)
    value.backward()
    optimizer.step()
    hidden = new_hidden.detach()
    return value


def evaluate(model, val_set):
    model.eval()
    with torch.no_grad():
        x, y = val_set.tensors
        acc = (model(x)[0].argmax(1) == y).float().mean()
    model.train()
    return acc


def build():
    return {"model": Classifier(), "train_set": toys(512, 0), "val_set": toys(128, 1), "loss": nn.CrossEntropyLoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 3e-3), "batch_size": 32, "train_step": train_step, "evaluate": evaluate}
