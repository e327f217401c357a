"""``scaler.scale(loss)`` is called for its effect, but the unscaled loss goes backward: step() divides by 65536.
"""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'scaled_loss_dropped',
    'class': 'scaler-bypassed',
    'where': 'train_step',
    'also': ['scale', 'scaler'],
    'code': 'loss_value.backward()',
    'static': False,
    'severity': 'error',
    'keywords': ['scale', 'scaler'],
    'rule': 'scaler-bypassed',
}
FIX = [
    ('        self.scaler.scale(loss_value)\n        loss_value.backward()', '        self.scaler.scale(loss_value).backward()'),
]


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    return x, x[:, :1] - 0.5 * x[:, 1:2]

class Engine:
    def __init__(self):
        self.scaler = torch.amp.GradScaler("cpu")

    def train_step(self, model, batch, loss, optimizer):
        x, y = batch
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss_value = loss(model(x).float(), y)
        self.scaler.scale(loss_value)
        loss_value.backward()
        self.scaler.step(optimizer)
        self.scaler.update()
        return loss_value.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)),
        "train_set": TensorDataset(*data(400, 0)), "val_set": TensorDataset(*data(100, 1)),
        "loss": nn.MSELoss(), "train_step": Engine().train_step, "batch_size": 40, "epochs": 5,
        "make_optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.05),
    }
