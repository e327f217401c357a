"""A mutant of a shipped recipe's model: softmax added."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'mutant_softmax_added',
    'rule': 'softmax-before-cross-entropy',
    'class': 'softmax-before-cross-entropy',
    'where': 'layers',
    'code': 'layers += [nn.Linear((in_features, *hidden)[-1], out_features), nn.Softmax(dim=1)]',
    'static': False,
    'severity': 'error',
    'keywords': ['softmax', 'logits'],
}
FIX = [
    ('layers += [nn.Linear((in_features, *hidden)[-1], out_features), nn.Softmax(dim=1)]', 'layers.append(nn.Linear((in_features, *hidden)[-1], out_features))'),
]


def digits(n, seed, k=6):
    """8x8 glyphs in 0..1, moved by up to one pixel, with noise."""
    glyphs = (torch.rand(k, 6, 6, generator=torch.Generator().manual_seed(3)) > 0.55).float()
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, k, (n,), generator=g)
    x = torch.zeros(n, 1, 8, 8)
    for i in range(n):
        r, c = torch.randint(0, 3, (2,), generator=g).tolist()
        x[i, 0, r : r + 6, c : c + 6] = glyphs[y[i]]
    return (x * 0.8 + 0.2 * torch.rand(x.shape, generator=g)).clamp(0, 1), y


class MLP(nn.Module):
    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        out_features: int,
        dropout: float = 0.0,
        activation: str = "ReLU",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise((in_features, *hidden)):
            layers += [nn.Linear(inputs, outputs), getattr(nn, activation)()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers += [nn.Linear((in_features, *hidden)[-1], out_features), nn.Softmax(dim=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs


def data(n, seed):
    x, y = digits(n, seed)
    return TensorDataset(x, y)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=2e-3)


def build():
    return {
        "model": MLP(64, (48, 48), 6, 0.1),
        "train_set": data(500, 0),
        "val_set": data(200, 1),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": make_optimizer,
        "batch_size": 50,
    }
