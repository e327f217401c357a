"""Each worker shuffles and gives all samples."""

import torch
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

BUG = {
    "id": "iterable_shuffled_by_each_worker",
    "rule": "iterable-not-sharded",
    "class": "iterable-not-sharded",
    "where": "train_set",
    "code": "def __iter__(self):",
    "static": True,
    "severity": "error",
    "keywords": ['worker', 'get_worker_info', 'duplicate', 'twice'],
    "also": ['Stream.__iter__'],
}
FIX = [
    ('        for i in torch.randperm(len(self.x)).tolist():', '        info = torch.utils.data.get_worker_info()\n        k, m = (info.id, info.num_workers) if info else (0, 1)\n        for i in range(k, len(self.x), m):'),
]



class Stream(IterableDataset):
    def __init__(self, n, seed):
        self.x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
        self.y = self.x[:, :1] - self.x[:, 1:2].abs()

    def __iter__(self):
        for i in torch.randperm(len(self.x)).tolist():
            yield self.x[i], self.y[i]


def build():
    s = Stream(200, 1)
    return {"model": nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1)), "train_set": Stream(600, 0), "val_set": TensorDataset(s.x, s.y),
            "loss": nn.MSELoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=3e-3), "batch_size": 50, "shuffle": False, "num_workers": 2}
