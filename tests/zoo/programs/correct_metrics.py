"""Correct: figures that are no plain accuracy. F1 over all answers with a class that does not occur, hits in per cent, a
meter that is set back, and the best figure so far."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BUG = None


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y


class Meter:
    def __init__(self):
        self.reset()
        self.best = 0.0

    def reset(self):
        self.answers, self.labels = [], []

    def update(self, answers, labels):
        self.answers.append(answers)
        self.labels.append(labels)

    def f1(self, k=5):
        answers, labels = torch.cat(self.answers), torch.cat(self.labels)
        scores = []
        for kind in range(k):
            hits = ((answers == kind) & (labels == kind)).sum()
            whole = (answers == kind).sum() + (labels == kind).sum()
            scores.append((2 * hits / whole.clamp(min=1)).item())
        return sum(scores) / k


METER = Meter()


@torch.no_grad()
def evaluate(model, val_set):
    was = model.training
    model.eval()
    METER.reset()
    loss = nn.CrossEntropyLoss(reduction="sum")
    total = 0.0
    for x, y in DataLoader(val_set, batch_size=64, shuffle=True):
        scores = model(x)
        METER.update(scores.argmax(1), y)
        total += loss(scores, y).item()
    hits = (torch.cat(METER.answers) == torch.cat(METER.labels)).float().mean().item()
    METER.best = max(METER.best, hits)
    model.train(was)
    zeros = torch.cat(METER.answers).eq(0).float().mean().item()
    return {
        "loss": total / len(val_set),
        "f1": METER.f1(),
        "accuracy": 100 * hits,
        "best": METER.best,
        "zeros": zeros,
        "samples": len(val_set),
    }


def build():
    return {
        "model": nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 5)),
        "train_set": TensorDataset(*blobs(600, 0, k=4)),
        "val_set": TensorDataset(*blobs(300, 1, k=4)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
        "batch_size": 50,
        "evaluate": evaluate,
    }
