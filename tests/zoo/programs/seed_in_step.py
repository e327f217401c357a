"""A helper that seeds everything is called in the training step.
"""

import random
import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'seed_in_step',
    'class': 'seed-in-step',
    'where': 'train_step',
    'also': ['manual_seed', 'seed_everything'],
    'code': 'seed_everything(42)',
    'static': False,
    'severity': 'error',
    'keywords': ['seed', 'same noise', 'same dropout', 'random'],
    'rule': 'seed-in-step',
}
FIX = [
    ('    seed_everything(42)\n    model.train()', '    model.train()'),
]


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 14, generator=g)
    return x, (x[:, 0] + x[:, 1] > 0).long()

def train_step(model, batch, criterion, optimizer):
    seed_everything(42)
    model.train()
    inputs, labels = batch
    optimizer.zero_grad()
    loss = criterion(model(inputs), labels)
    loss.backward()
    optimizer.step()
    return loss.item()

def build():
    return {
        "model": nn.Sequential(nn.Linear(14, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 2)),
        "train_set": TensorDataset(*data(800, 0)), "val_set": TensorDataset(*data(200, 1)),
        "loss": nn.CrossEntropyLoss(), "make_optimizer": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
        "train_step": train_step, "batch_size": 40, "epochs": 6,
    }
