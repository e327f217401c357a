"""Four of five samples have no label, which -1 tells the loss; a mean teacher follows the student."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


class PartlyLabelled(Dataset):
    """Three rings in ten dimensions; every fifth training sample has a label, the others -1."""

    def __init__(self, n, seed, labelled=1):
        lift = torch.randn(2, 10, generator=torch.Generator().manual_seed(90))
        g = torch.Generator().manual_seed(seed)
        ring = torch.randint(0, 3, (n,), generator=g)
        angle = 6.2832 * torch.rand(n, generator=g)
        radius = ring * 0.8 + 0.4 + 0.1 * torch.randn(n, generator=g)
        flat = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
        self.x = flat @ lift + 0.1 * torch.randn(n, 10, generator=g)
        hidden = torch.arange(n) % labelled != 0
        self.y = ring.masked_fill(hidden, -1)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class MeanTeacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, x):
        return self.student(x)

    @torch.no_grad()
    def follow(self, rate=0.02):
        for old, new in zip(self.teacher.parameters(), self.student.parameters()):
            old.lerp_(new, rate)


def train_step(model, batch, loss, optimizer):
    x, y = batch
    logits = model(x + 0.1 * torch.randn_like(x))
    with torch.no_grad():
        belief = model.teacher(x).softmax(dim=1)
    value = loss(logits, y) + 0.5 * F.mse_loss(logits.softmax(dim=1), belief)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    model.follow()
    return value.detach()


def build():
    return {
        "model": MeanTeacher(),
        "train_set": PartlyLabelled(2000, 0, labelled=5),
        "val_set": PartlyLabelled(300, 1),
        "loss": nn.CrossEntropyLoss(ignore_index=-1),
        "make_optimizer": lambda model: torch.optim.Adam(model.student.parameters(), lr=3e-3),
        "train_step": train_step,
        "batch_size": 100,
        "epochs": 12,
    }
