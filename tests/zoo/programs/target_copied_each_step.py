"""The target network of a DQN is synchronised at every step: it is no target.
"""

import copy
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import TensorDataset


from torch.utils.data import Dataset

BUG = {
    'id': 'target_copied_each_step',
    'class': 'target-every-step',
    'where': 'train_step',
    'also': ['target'],
    'code': 'target.load_state_dict(model.state_dict())',
    'static': False,
    'severity': 'warning',
    'keywords': ['target', 'every step', 'copy'],
    'rule': 'target-every-step',
}
FIX = [
    ('    target.load_state_dict(model.state_dict())\n', '    for t, p in zip(target.parameters(), model.parameters()):\n        t.data.lerp_(p.data, 0.01)\n'),
]


net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
target = copy.deepcopy(net)

class Replay(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.s = torch.randn(n, 4, generator=g)
        self.a = torch.randint(0, 2, (n,), generator=g)
        self.r = self.s[torch.arange(n), self.a]
        self.s2 = self.s + 0.3 * torch.randn(n, 4, generator=g)
        self.d = (torch.rand(n, generator=g) < 0.1).float()

    def __len__(self):
        return len(self.s)

    def __getitem__(self, i):
        return (self.s[i], self.a[i], self.r[i], self.s2[i]), self.d[i]

def train_step(model, batch, loss, optimizer):
    (s, a, r, s2), done = batch
    with torch.no_grad():
        y = r + 0.9 * (1 - done) * target(s2).max(1).values
    value = loss(model(s).gather(1, a[:, None]).squeeze(1), y)
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    target.load_state_dict(model.state_dict())
    return value.item()

def build():
    return {
        "model": net, "train_set": Replay(600, 0), "val_set": Replay(200, 1), "loss": nn.SmoothL1Loss(),
        "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), "train_step": train_step,
        "batch_size": 40, "epochs": 10,
    }
