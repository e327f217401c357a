"""The training step registers a hook at each call, and drops the handle."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "hook_in_every_step",
    "rule": "hooks-pile-up",
    "class": "hooks-pile-up",
    "where": "train_step",
    "code": "model[0].register_forward_hook(",
    "static": True,
    "severity": "warning",
    "keywords": ['hook', 'remove', 'handle', 'every step', 'leak'],
}
FIX = [
    ('    model[0].register_forward_hook(', '    handle = model[0].register_forward_hook('),
    ('    optimizer.step()\n', '    optimizer.step()\n    handle.remove()\n'),
]



def train_step(model, batch, loss, optimizer):
    images, labels = batch
    seen = {}
    model[0].register_forward_hook(lambda m, i, o: seen.update(h=o))
    out = model(images)
    value = loss(out, labels) + 1e-3 * seen["h"].abs().mean()
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    optimizer.step()
    return value


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 6, 6, generator=g)
    return TensorDataset(x, (x[:, 0, :3].sum((1, 2)) > x[:, 0, 3:].sum((1, 2))).long())


def build():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2))
    return {"model": model, "train_set": data(500, 0), "val_set": data(200, 1), "loss": nn.CrossEntropyLoss(), "train_step": train_step,
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "batch_size": 50}
