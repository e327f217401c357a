"""The best weights are kept without a copy."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "best-state-not-copied",
    "rule": "state-not-copied",
    "class": "state-not-copied",
    "where": 'state_dict',
    "code": 'best["state"] = model.state_dict()',
    "static": False,
    "severity": "error",
    "keywords": ['copy', 'alias', 'same tensors', 'clone'],
}
FIX = [
    ('best["state"] = model.state_dict()', 'best["state"] = copy.deepcopy(model.state_dict())'),
]


def blobs(n, seed, d=10, k=4):
    g = torch.Generator().manual_seed(seed)
    centre = torch.randn(k, d, generator=torch.Generator().manual_seed(99)) * 1.5
    y = torch.randint(0, k, (n,), generator=g)
    return centre[y] + torch.randn(n, d, generator=g), y


def sets(make, **more):
    return {"train_set": TensorDataset(*make(600, 0, **more)), "val_set": TensorDataset(*make(200, 1, **more))}


def build():
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 4))
    best = {"score": -1.0, "state": None}

    @torch.no_grad()
    def evaluate(model, data):
        model.eval()
        x, y = data.tensors
        score = (model(x).argmax(1) == y).float().mean().item()
        if score > best["score"]:
            best["score"] = score
            best["state"] = model.state_dict()
        model.train()
        return score

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 20, "evaluate": evaluate,
            "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05)}
