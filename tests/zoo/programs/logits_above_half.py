"""An evaluation holds logits against 0.5."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "logits-above-half",
    "rule": "logits-thresholded",
    "class": "logits-thresholded",
    "where": 'evaluate',
    "code": '(model(x) > 0.5)',
    "static": False,
    "severity": "error",
    "keywords": ['logit', 'threshold', '0.5'],
}
FIX = [
    ('(model(x) > 0.5)', '(model(x) > 0)'),
]


def binary(n, seed, d=8):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    return x, ((x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * torch.randn(n, generator=g)) > 0).float()[:, None]


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


@torch.no_grad()
def evaluate(model, data):
    model.eval()
    x, y = data.tensors
    score = ((model(x) > 0.5).float() == y).float().mean().item()
    model.train()
    return score


def build():
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    return {"model": model, **sets(binary), "loss": nn.BCEWithLogitsLoss(), "batch_size": 50, "evaluate": evaluate,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3)}
