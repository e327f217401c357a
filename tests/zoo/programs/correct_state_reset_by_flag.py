"""Truncated back-propagation on parallel streams: a flag among the inputs says where the state starts anew."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = None

STREAMS, PIECE = 20, 12


class Pieces(Dataset):
    """Item ``i`` is piece ``i // STREAMS`` of stream ``i % STREAMS``: noisy slow oscillations."""

    def __init__(self, pieces, seed):
        g = torch.Generator().manual_seed(seed)
        t = torch.arange(pieces * PIECE + 1).float()
        speed = 0.1 + 0.2 * torch.rand(STREAMS, 1, generator=g)
        phase = 6.2832 * torch.rand(STREAMS, 1, generator=g)
        self.wave = torch.sin(speed * t + phase) + 0.1 * torch.randn(STREAMS, len(t), generator=g)
        self.pieces = pieces

    def __len__(self):
        return self.pieces * STREAMS

    def __getitem__(self, i):
        piece, stream = divmod(i, STREAMS)
        cut = self.wave[stream, piece * PIECE:(piece + 1) * PIECE + 1]
        return (cut[:-1, None], torch.tensor(piece == 0)), cut[1:, None]


class Follower(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)
        self.state = None

    def forward(self, piece, first):
        state = self.state
        if state is None or bool(first.any()) or state.shape[1] != len(piece):
            state = None
        h, state = self.gru(piece, state)
        self.state = state.detach()
        return self.out(h)


def build():
    return {
        "model": Follower(),
        "train_set": Pieces(60, 0),
        "val_set": Pieces(10, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": STREAMS,
        "shuffle": False,
    }
