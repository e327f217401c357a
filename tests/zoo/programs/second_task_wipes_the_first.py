"""``zero_grad`` is called before the backward pass of every task, and ``step`` once.

Only the gradient of the last task reaches the optimizer; the first head is never trained.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "gradients-thrown-away",
    "class": "gradients-thrown-away",
    "rule": "gradients-thrown-away",
    "where": "backward_each",
    "also": ["train_step", "kind_head", "zero_grad"],
    "code": "        optimizer.zero_grad()",
    "static": True,
    "severity": "error",
    "keywords": ["zero_grad", "gradient", "lost", "erase", "discard", "never"],
}
FIX = [
    ('    for term in terms:\n        optimizer.zero_grad()\n', '    optimizer.zero_grad()\n    for term in terms:\n'),
]


class Houses(Dataset):
    """A kind (4 classes) and a price from 10 standardised features."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        mix = torch.randn(10, 5, generator=torch.Generator().manual_seed(9))
        self.x = torch.randn(n, 10, generator=g)
        hidden = torch.tanh(self.x @ mix / 2)
        self.kind = hidden[:, :4].argmax(1)
        self.price = hidden[:, 4] + 0.5 * hidden[:, 0] + 0.05 * torch.randn(n, generator=g)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], (self.kind[i], self.price[i])


class MultiTask(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.kind_head = nn.Linear(width, 4)
        self.price_head = nn.Linear(width, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.kind_head(h), self.price_head(h).squeeze(1)


def task_losses(output, target):
    return [F.cross_entropy(output[0], target[0]), F.mse_loss(output[1], target[1])]


def total_loss(output, target):
    return sum(task_losses(output, target))


def backward_each(terms, optimizer):
    for term in terms:
        optimizer.zero_grad()
        term.backward(retain_graph=term is not terms[-1])


def train_step(model, batch, loss, optimizer):
    x, target = batch
    terms = task_losses(model(x), target)
    backward_each(terms, optimizer)
    optimizer.step()
    return sum(term.detach() for term in terms)


def build():
    return {
        "model": MultiTask(),
        "train_set": Houses(1200, 0),
        "val_set": Houses(300, 1),
        "loss": total_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "train_step": train_step,
        "batch_size": 50,
        "epochs": 6,
    }
