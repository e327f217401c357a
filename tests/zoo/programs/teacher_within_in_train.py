"""A frozen teacher is a part of the model, and its dropout is switched on with the model's train()."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "teacher-within-in-train",
    "rule": "teacher-in-train",
    "class": "teacher-in-train",
    "where": "Distilled.teacher",
    "code": "self.teacher = trained().requires_grad_(False)",
    "static": False,
    "severity": "warning",
    "keywords": ["train mode", "dropout", "teacher"],
}
FIX = [
    ("    def forward(self, x):", "    def train(self, mode=True):\n        super().train(mode)\n        self.teacher.eval()\n        return self\n\n    def forward(self, x):"),
]


def blobs(n, seed, k=4, d=10):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


def trained():
    net = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    x, y = blobs(400, 5)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


class Distilled(nn.Module):
    def __init__(self):
        super().__init__()
        self.teacher = trained().requires_grad_(False)
        self.student = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x):
        with torch.no_grad():
            taught = self.teacher(x).softmax(1)
        return self.student(x), taught


def loss(output, target):
    scores, taught = output
    return nn.functional.cross_entropy(scores, target) + nn.functional.cross_entropy(scores, taught)


def build():
    return {
        "model": Distilled(),
        "train_set": TensorDataset(*blobs(400, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.student.parameters(), lr=1e-2),
        "batch_size": 50,
    }
