"""An overridden ``train(mode)`` calls ``super().train()`` without the mode.

``eval()`` is ``train(False)``: the model can never leave training, dropout is on in evaluation.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "mode-override",
    "class": "mode-override",
    "rule": "mode-override",
    "where": "FineTuner.train",
    "code": "super().train()",
    "static": True,
    "severity": "error",
    "keywords": ["train", "mode", "eval", "override", "dropout"],
    "also": ["train(mode)", "FineTuner.eval", "model.train"],
}

FIX = [
    ('super().train()', 'super().train(mode)'),
]


class BaseModel(nn.Module):
    def num_trainable(self):
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def predict(self, x):
        was_training = self.training
        self.eval()
        with torch.no_grad():
            scores = self(x)
        self.train(was_training)
        return scores.argmax(1)


class FineTuner(BaseModel):
    """New head on fixed features; the statistics of the feature extractor do not move."""

    def __init__(self, extractor, n_features, n_classes):
        super().__init__()
        self.extractor = extractor.requires_grad_(False)
        self.head = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, n_classes)
        )

    def train(self, mode=True):
        super().train()
        self.extractor.eval()
        return self

    def forward(self, x):
        return self.head(self.extractor(x))


def signals(n, seed, classes=4):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    t = torch.linspace(0, 1, 32)
    phase = torch.rand(n, 1, generator=g) * 6.28
    wave = torch.sin(2 * torch.pi * (2 * y[:, None] + 2) * t + phase)
    return TensorDataset((wave + 0.5 * torch.randn(n, 32, generator=g))[:, None], y)


def build():
    extractor = nn.Sequential(
        nn.Conv1d(1, 32, 9, padding=4), nn.BatchNorm1d(32), nn.ReLU(), nn.AdaptiveMaxPool1d(2), nn.Flatten()
    )
    return {
        "model": FineTuner(extractor, 64, 4),
        "train_set": signals(800, 0),
        "val_set": signals(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.head.parameters(), lr=5e-3),
        "batch_size": 40,
        "epochs": 8,
    }
