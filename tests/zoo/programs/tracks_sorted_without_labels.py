"""A time-first collate sorts the tracks by length, and leaves their labels in the old order."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import Dataset

BUG = {
    'id': 'tracks_sorted_without_labels',
    'class': 'collate-misaligns',
    'where': 'collate',
    'code': 'for _, label in samples',
    'static': False,
    'severity': 'error',
    'keywords': ['order', 'another sample', 'target'],
    'rule': 'collate-misaligns',
}
FIX = [
    ('for _, label in samples', 'for _, label in longest_first'),
]


class Tracks(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        lengths = torch.randint(4, 18, (n,), generator=g).tolist()
        self.labels = torch.randint(0, 2, (n,), generator=g).tolist()
        noise = [torch.randn(length, 3, generator=g) for length in lengths]
        drift = [(2 * label - 1) * torch.arange(len(e))[:, None] / 8 for e, label in zip(noise, self.labels)]
        self.tracks = [0.5 * e + d for e, d in zip(noise, drift)]

    def __len__(self):
        return len(self.tracks)

    def __getitem__(self, index):
        return self.tracks[index], self.labels[index]


def collate(samples):
    longest_first = sorted(samples, key=lambda sample: -len(sample[0]))
    tracks = [track for track, _ in longest_first]
    labels = torch.tensor([label for _, label in samples])
    return (pad_sequence(tracks), torch.tensor([len(track) for track in tracks])), labels


class Drift(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 20)
        self.head = nn.Linear(20, 2)

    def forward(self, tracks, lengths):
        _, last = self.rnn(pack_padded_sequence(tracks, lengths))
        return self.head(last[-1])


def build():
    return {
        "model": Drift(),
        "train_set": Tracks(500, 0),
        "val_set": Tracks(150, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=8e-3),
        "collate": collate,
        "batch_size": 32,
        "epochs": 6,
    }
