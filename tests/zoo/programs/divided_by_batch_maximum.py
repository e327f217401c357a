"""Every clip is divided by the largest value of the whole batch: what the net gives for a clip
depends on its neighbours. A peak per clip was meant.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

BUG = {
    "id": "divided_by_batch_maximum",
    "rule": "batch-mixing",
    "class": "batch-mixing",
    "where": "AudioNet.forward",
    "code": "clip / clip.abs().max()",
    "static": True,
    "severity": "warning",
    "keywords": ["batch", "max", "other samples", "per sample", "depends", "normal", "peak"],
}
FIX = [
    ('clip / clip.abs().max()', 'clip / clip.abs().amax(dim=1, keepdim=True)'),
]


def waves(n, seed, k=4, length=256):
    """Clips at 256 samples: a tone per class with random phase and loudness, in noise."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    t = torch.arange(length) / length
    frequency = torch.tensor([8.0, 19.0, 37.0, 61.0])[y][:, None]
    phase = 6.28 * torch.rand(n, 1, generator=g)
    loud = 0.5 + torch.rand(n, 1, generator=g)
    x = loud * torch.sin(6.2832 * frequency * t + phase)
    return x + 0.7 * torch.randn(n, length, generator=g), y


class AudioNet(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.conv1 = nn.Conv1d(1, 16, 32, stride=8)
        self.conv2 = nn.Conv1d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32, classes)

    def forward(self, clip):
        clip = clip / clip.abs().max()
        h = F.relu(self.conv1(clip.unsqueeze(1)))
        h = F.relu(self.conv2(h))
        return self.fc(h.amax(dim=-1))


def recordings(n, seed):
    """Recordings of very different loudness."""
    clip, y = waves(n, seed)
    g = torch.Generator().manual_seed(seed + 40)
    return clip * torch.exp(0.7 * torch.randn(n, 1, generator=g)), y


def build():
    return {
        "model": AudioNet(),
        "train_set": TensorDataset(*recordings(240, 0)),
        "val_set": TensorDataset(*recordings(80, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=5e-3),
        "batch_size": 40,
        "epochs": 6,
    }
