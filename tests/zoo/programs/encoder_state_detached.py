"""The decoder, which is fed the teacher's tokens, gets the encoder's state detached: the encoder is never trained."""

import torch
from torch import nn
from torch.utils.data import Dataset

BUG = {
    'id': 'encoder_state_detached',
    'class': 'gradient-cut',
    'where': 'Reverser.forward',
    'also': ['encoder'],
    'code': 'state.detach()',
    'static': False,
    'severity': 'error',
    'keywords': ['detach', 'gradient'],
    'rule': 'gradient-cut',
}
FIX = [
    ('state.detach()', 'state'),
]


class Words(Dataset):
    def __init__(self, n, seed):
        self.words = torch.randint(1, 8, (n, 5), generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        target = self.words[index].flip(0)
        teacher = torch.cat([target.new_zeros(1), target[:-1]])
        return (self.words[index], teacher), target


class Reverser(nn.Module):
    def __init__(self, kinds=8, width=32):
        super().__init__()
        self.read, self.write = nn.Embedding(kinds, width), nn.Embedding(kinds, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, kinds)

    def forward(self, words, teacher):
        _, state = self.encoder(self.read(words))
        hidden, _ = self.decoder(self.write(teacher), state.detach())
        return self.head(hidden)


def loss(scores, target):
    return nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten())


def build():
    return {
        "model": Reverser(),
        "train_set": Words(1000, 0),
        "val_set": Words(200, 1),
        "loss": loss,
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=4e-3),
        "batch_size": 50,
        "epochs": 6,
    }
