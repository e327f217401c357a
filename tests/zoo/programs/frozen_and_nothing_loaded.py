"""A frozen backbone whose checkpoint has other names: strict=False loads nothing."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'frozen-and-nothing-loaded',
    'class': 'nothing-loaded',
    'where': 'load_state_dict(strict=False)',
    'also': ['backbone', 'load_state_dict', 'pretrained_classifier', 'strict'],
    'code': 'load_state_dict(checkpoint, strict=False)',
    'static': True,
    'severity': 'error',
    'keywords': ['strict', 'missing', 'unexpected', 'module.', 'prefix', 'loaded', 'keys'],
    'rule': 'nothing-loaded',
}
FIX = [
    ('load_state_dict(checkpoint, strict=False)', 'load_state_dict({k.removeprefix("module."): v for k, v in checkpoint.items()})'),
]


def directions():
    return torch.linalg.qr(torch.randn(40, 6, generator=torch.Generator().manual_seed(3)))[0].T


def samples(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 40, generator=g)
    y = (x @ directions().T * torch.tensor([1.0, -1, 1, -1, 1, -1])).relu()
    return x, (y @ torch.tensor([1.0, 1, 1, -1, -1, -1]) > 0).long()


def backbone():
    return nn.Sequential(nn.Linear(40, 12), nn.ReLU())


def saved_checkpoint():
    """What ``torch.load`` gave: a backbone that knows the directions that matter."""
    weight = torch.cat([directions(), -directions()])
    return {"module.0.weight": weight, "module.0.bias": torch.zeros(12)}


class Pretrained(nn.Module):
    def __init__(self, checkpoint):
        super().__init__()
        self.backbone = backbone()
        self.backbone.load_state_dict(checkpoint, strict=False)
        self.backbone.requires_grad_(False)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        return self.head(self.backbone(x))


def build():
    return {
        "model": Pretrained(saved_checkpoint()),
        "train_set": TensorDataset(*samples(600, 0)),
        "val_set": TensorDataset(*samples(300, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.head.parameters(), lr=2e-2),
        "batch_size": 30,
        "epochs": 6,
    }
