"""Pseudo labels: the step leaves out samples without a label, whose number is -1."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class PartlyLabelled(Dataset):
    def __init__(self, n, seed, known=1.0, classes=5):
        centres = torch.randn(classes, 12, generator=torch.Generator().manual_seed(31)) * 1.1
        g = torch.Generator().manual_seed(seed)
        y = torch.randint(0, classes, (n,), generator=g)
        self.x = centres[y] + torch.randn(n, 12, generator=g)
        self.y = torch.where(torch.rand(n, generator=g) < known, y, -1)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def weak(x):
    return x + 0.05 * torch.randn_like(x)


def strong(x):
    keep = (torch.rand_like(x) > 0.2).float()
    return (x + 0.3 * torch.randn_like(x)) * keep


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        return self.head(self.body(x))


def pseudo_label_loss(model, x, threshold=0.95):
    with torch.no_grad():
        confidence, guess = model(weak(x)).softmax(1).max(1)
    sure = (confidence > threshold).float()
    return (F.cross_entropy(model(strong(x)), guess, reduction="none") * sure).mean()


def train_step(model, batch, loss, optimizer):
    x, y = batch
    labelled = y >= 0
    value = pseudo_label_loss(model, x[~labelled]) if (~labelled).any() else x.new_zeros(())
    if labelled.any():
        value = value + loss(model(weak(x[labelled])), y[labelled])
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.detach()


def build():
    return {
        "model": Classifier(),
        "train_set": PartlyLabelled(1000, 0, known=0.2),
        "val_set": PartlyLabelled(300, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(
            model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4
        ),
        "train_step": train_step,
        "batch_size": 100,
        "epochs": 10,
    }
