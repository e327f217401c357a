"""Half of the model runs under no_grad in the step."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "step-under-no-grad",
    "rule": "gradient-cut",
    "class": "gradient-cut",
    "where": 'train_step',
    "code": 'with torch.no_grad():',
    "static": False,
    "severity": "error",
    "keywords": ['no_grad', 'gradient'],
}
FIX = [
    ('with torch.no_grad():', 'if True:'),
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
    head = model[2]

    def train_step(model, batch, loss, optimizer):
        x, y = batch
        optimizer.zero_grad()
        with torch.no_grad():
            h = model[1](model[0](x))
        value = loss(head(h), y)
        value.backward()
        optimizer.step()
        return value.item()

    return {"model": model, **sets(blobs), "loss": nn.CrossEntropyLoss(), "batch_size": 20, "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05)}
