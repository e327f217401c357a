"""InfoNCE: the temperature is applied to the negatives, and forgotten for the positive.

Reported: RElbers/info-nce-pytorch#17 ("the temperature is not applied to the positive logits").
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

BUG = {
    "id": "temperature-on-one-side",
    "class": "temperature-on-one-side",
    "rule": "temperature-on-one-side",
    "where": "info_nce: positive",
    "also": ["info_nce", "loss", "TEMPERATURE", "temperature"],
    "code": "positive = similarity.diagonal()[:, None]",
    "static": True,
    "severity": "error",
    "keywords": ["temperature", "positive", "scale", "not divided", "logit"],
}
FIX = [
    ('positive = similarity.diagonal()[:, None]', 'positive = similarity.diagonal()[:, None] / TEMPERATURE'),
]

TEMPERATURE = 0.1


class TitlesAndPictures(Dataset):
    """Two modalities of one thing: a "picture" and a "title", each a noisy view of six hidden traits."""

    def __init__(self, n, seed):
        fixed = torch.Generator().manual_seed(14)
        to_picture = torch.randn(6, 24, generator=fixed) / 6 ** 0.5
        to_title = torch.randn(6, 12, generator=fixed) / 6 ** 0.5
        g = torch.Generator().manual_seed(seed)
        traits = torch.randn(n, 6, generator=g)
        self.picture = torch.tanh(traits @ to_picture) + 0.2 * torch.randn(n, 24, generator=g)
        self.title = traits @ to_title + 0.2 * torch.randn(n, 12, generator=g)

    def __len__(self):
        return len(self.title)

    def __getitem__(self, i):
        return self.picture[i], self.title[i]


def collate(samples):
    pictures, titles = zip(*samples)
    return (torch.stack(pictures), torch.stack(titles)), torch.arange(len(samples))


class TwoTowers(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.picture = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, width))
        self.title = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, width))

    def forward(self, picture, title):
        return F.normalize(self.picture(picture), dim=1), F.normalize(self.title(title), dim=1)


def info_nce(output, index):
    picture, title = output
    similarity = picture @ title.t()
    n = len(index)
    others = ~torch.eye(n, dtype=torch.bool)
    positive = similarity.diagonal()[:, None]
    negative = similarity[others].view(n, n - 1) / TEMPERATURE
    first = torch.zeros(n, dtype=torch.long)
    return F.cross_entropy(torch.cat([positive, negative], dim=1), first)


def build():
    return {
        "model": TwoTowers(),
        "train_set": TitlesAndPictures(1000, 0),
        "val_set": TitlesAndPictures(250, 1),
        "loss": info_nce,
        "make_optimizer": lambda m: torch.optim.AdamW(m.parameters(), lr=2e-3),
        "batch_size": 50,
        "collate": collate,
        "epochs": 10,
    }
