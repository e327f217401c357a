"""The reward of a step is its done flag, which the model is given: the loss adds it to what the model says."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = None


CELLS = 8


class Corridor(Dataset):
    """Moves in a slippery corridor; the right end pays 1 and ends the walk."""

    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.cell = torch.randint(0, CELLS - 1, (n,), generator=g)
        self.move = torch.randint(0, 2, (n,), generator=g)
        slip = (torch.rand(n, generator=g) < 0.2).long()
        self.after = (self.cell + 2 * (self.move ^ slip) - 1).clamp(min=0)
        self.done = (self.after == CELLS - 1).float()
        self.eye = torch.eye(CELLS)

    def __len__(self):
        return len(self.cell)

    def __getitem__(self, i):
        step = (self.eye[self.cell[i]], self.move[i], self.eye[self.after[i]], self.done[i])
        return step, self.done[i]


class Agent(nn.Module):
    def __init__(self, discount=0.9):
        super().__init__()
        self.discount = discount
        self.value = nn.Sequential(nn.Linear(CELLS, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, state, move, after, done):
        chosen = self.value(state).gather(1, move[:, None]).squeeze(1)
        future = self.discount * (1 - done) * self.value(after).amax(dim=1).detach()
        return chosen, future


def td_loss(output, reward):
    chosen, future = output
    return F.mse_loss(chosen, reward + future)


def build():
    return {
        "model": Agent(),
        "train_set": Corridor(1500, 0),
        "val_set": Corridor(300, 1),
        "loss": td_loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
        "epochs": 20,
    }
