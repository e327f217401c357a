"""Token ids are stored in float16 to save memory: above 2048 several ids become one."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": 'ids-rounded',
    "rule": 'ids-rounded',
    "class": 'precision',
    "where": '__getitem__',
    "code": 'self.ids = ids.half()',
    "static": False,
    "severity": 'error',
    "keywords": ['float16', 'half', 'precision', 'round', 'collide'],
}
FIX = [
    ('ids.half()', 'ids.int()'),
]


class Items(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, 6000, (n, 8), generator=g)
        self.y = (ids % 2).float().mean(1, keepdim=True)
        self.ids = ids.half()

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return self.ids[i].long(), self.y[i]


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.EmbeddingBag(6001, 8)
        self.fc = nn.Linear(8, 1)

    def forward(self, ids):
        return self.fc(self.table(ids))


def build():
    return {"model": Bag(), "train_set": Items(1500, 0), "val_set": Items(300, 1), "loss": nn.MSELoss(),
            "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2), "batch_size": 50}
