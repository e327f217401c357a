"""Correct: an agent on a line of cells is judged in all of them, not on the transitions of val_set."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


GAMMA = 0.9
LENGTH = 7


def walks(n, seed):
    """Random moves on a line of seven cells; 1 for the right end, 0 for the left; both end the episode."""
    g = torch.Generator().manual_seed(seed)
    cell = torch.randint(1, LENGTH - 1, (n,), generator=g)
    action = torch.randint(0, 2, (n,), generator=g)
    after = cell + 2 * action - 1
    done = ((after == 0) | (after == LENGTH - 1)).float()
    reward = (after == LENGTH - 1).float()
    return F.one_hot(cell, LENGTH).float(), action, reward, F.one_hot(after, LENGTH).float(), done


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(LENGTH, 32), nn.ReLU(), nn.Linear(32, 2))
        self.frozen = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, state):
        return self.online(state)

    @torch.no_grad()
    def follow(self, rate=0.05):
        for slow, fast in zip(self.frozen.parameters(), self.online.parameters()):
            slow.lerp_(fast, rate)


def train_step(model, batch, loss, optimizer):
    state, action, reward, after, done = batch
    value = model(state).gather(1, action[:, None]).squeeze(1)
    with torch.no_grad():
        best = model.frozen(after).amax(dim=1)
        target = reward + GAMMA * best * (1 - done)
    error = loss(value, target)
    optimizer.zero_grad()
    error.backward()
    optimizer.step()
    model.follow()
    return error.detach()


def evaluate(model, val_set):
    """The error of the values of the start cells against the exact ones (gamma to the number of moves)."""
    exact = torch.tensor([GAMMA ** (LENGTH - 2 - c) for c in range(1, LENGTH - 1)])
    model.eval()
    with torch.no_grad():
        values = model(torch.eye(LENGTH)[1:-1]).amax(dim=1)
    return (values - exact).abs().mean().item()


def build():
    return {
        "model": Agent(),
        "train_set": TensorDataset(*walks(1500, 0)),
        "val_set": TensorDataset(*walks(200, 1)),
        "loss": nn.SmoothL1Loss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.online.parameters(), lr=3e-3),
        "train_step": train_step,
        "evaluate": evaluate,
        "batch_size": 50,
        "epochs": 10,
    }
