"""The soft update mixes the target with itself: a copy and paste slip.
"""

import copy
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'target_mixed_with_itself',
    'class': 'average-never-moves',
    'where': 'soft_update',
    'also': ['target'],
    'code': 't.data.copy_(tau * t.data + (1.0 - tau) * t.data)',
    'static': False,
    'severity': 'error',
    'keywords': ['target', 'never', 'itself'],
    'rule': 'average-never-moves',
}
FIX = [
    ('tau * t.data + (1.0 - tau) * t.data', 'tau * o.data + (1.0 - tau) * t.data'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=g)
    return x, x[:, :1] - x[:, 1:2]

class BYOL(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 8))
        self.target = copy.deepcopy(self.online)
        self.target.requires_grad_(False)
        self.predictor = nn.Linear(8, 8)

    def forward(self, x):
        return self.online(x)

def soft_update(online, target, tau=0.05):
    for o, t in zip(online.parameters(), target.parameters()):
        t.data.copy_(tau * t.data + (1.0 - tau) * t.data)

def train_step(model, batch, loss, optimizer):
    x, _ = batch
    a, b = x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)
    p = nn.functional.normalize(model.predictor(model.online(a)), dim=1)
    with torch.no_grad():
        z = nn.functional.normalize(model.target(b), dim=1)
    value = 2 - 2 * (p * z).sum(1).mean()
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    soft_update(model.online, model.target)
    return value.item()

def build():
    return {
        "model": BYOL(), "train_set": TensorDataset(*data(640, 0)), "val_set": TensorDataset(*data(160, 1)),
        "loss": None, "train_step": train_step, "batch_size": 64, "epochs": 8,
        "make_optimizer": lambda m: torch.optim.Adam([*m.online.parameters(), *m.predictor.parameters()], lr=1e-3),
    }
