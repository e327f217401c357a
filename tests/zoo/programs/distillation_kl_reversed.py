"""Distillation kl reversed."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'distillation-kl-reversed',
    'rule': 'kl-div-reversed',
    'class': 'kl-div-reversed',
    'where': 'kd_loss',
    'code': 'kl = F.kl_div(log_t, p_s, reduction="batchmean")',
    'static': False,
    'severity': 'warning',
    'keywords': ['KL', 'teacher', 'student', 'revers', 'swapped', 'direction', 'order'],
    'also': ['loss'],
}
FIX = [
    ('kl = F.kl_div(log_t, p_s, reduction="batchmean")', 'kl = F.kl_div(F.log_softmax(s / T, dim=1), log_t.exp(), reduction="batchmean")'),
]


def blobs(n, seed, k=4, d=16):
    centres = torch.randn(k, d, generator=torch.Generator().manual_seed(7)) * 0.8
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    return centres[y] + torch.randn(n, d, generator=g), y

class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.teacher = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 4)).requires_grad_(False)
        self.net = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x):
        with torch.no_grad():
            t = self.teacher(x)
        return self.net(x), t


def kd_loss(out, y, T=2.0):
    s, t = out
    log_t = F.log_softmax(t / T, dim=1)
    p_s = F.softmax(s / T, dim=1)
    kl = F.kl_div(log_t, p_s, reduction="batchmean")
    return F.cross_entropy(s, y) + T * T * kl


def build():
    return {
        "model": Student(),
        "train_set": TensorDataset(*blobs(300, 0)),
        "val_set": TensorDataset(*blobs(200, 1)),
        "loss": kd_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.net.parameters(), lr=1e-3),
        "batch_size": 50,
    }
