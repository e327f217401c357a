"""Correct: double DQN; the last part of a transition says that it ended, and the reward knows that."""

import copy

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None

GAMMA = 0.9


def moves(n, seed):
    """A 5x5 field; the goal is the far corner (reward 1, end of episode); every move costs 0.01."""
    g = torch.Generator().manual_seed(seed)
    at = torch.randint(0, 5, (n, 2), generator=g)
    at[(at == 4).all(1)] = 0
    action = torch.randint(0, 4, (n,), generator=g)
    delta = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])[action]
    then = (at + delta).clamp(0, 4)
    done = (then == 4).all(1).float()
    return at / 2 - 1, action, done - 0.01, then / 2 - 1, done


class DoubleDQN(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
        self.q_target = copy.deepcopy(self.q)
        self.q_target.requires_grad_(False)

    def forward(self, state):
        return self.q(state)


def train_step(model, batch, loss, optimizer):
    s, a, r, s2, done = batch
    value = model(s).gather(1, a[:, None]).squeeze(1)
    with torch.no_grad():
        best = model(s2).argmax(dim=1, keepdim=True)
        target = r + GAMMA * (1 - done) * model.q_target(s2).gather(1, best).squeeze(1)
    error = loss(value, target)
    optimizer.zero_grad()
    error.backward()
    optimizer.step()
    with torch.no_grad():
        for t, p in zip(model.q_target.parameters(), model.q.parameters()):
            t.lerp_(p, 0.05)
    return error.detach()


@torch.no_grad()
def evaluate(model, val_set):
    """Share of the cells from which the greedy move leads nearer to the goal."""
    model.eval()
    state = val_set.tensors[0]
    action = model(state).argmax(dim=1)
    good = ((action == 0) & (state[:, 0] < 1)) | ((action == 2) & (state[:, 1] < 1))
    return good.float().mean().item()


def build():
    return {
        "model": DoubleDQN(),
        "train_set": TensorDataset(*moves(1800, 0)),
        "val_set": TensorDataset(*moves(200, 1)),
        "loss": nn.SmoothL1Loss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.q.parameters(), lr=2e-3),
        "train_step": train_step,
        "evaluate": evaluate,
        "batch_size": 60,
        "epochs": 12,
    }
