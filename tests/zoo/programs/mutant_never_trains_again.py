"""A mutant of a shipped recipe's model: never trains again."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

BUG = {
    'id': 'mutant_never_trains_again',
    'rule': 'mode-left-behind',
    'class': 'mode-left-behind',
    'where': 'evaluate',
    'code': 'model.eval()',
    'static': False,
    'severity': 'info',
    'keywords': ['eval', 'train()', 'mode'],
}
FIX = [
    ('.item()\n    return accuracy', '.item()\n    model.train()\n    return accuracy'),
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


class ConvolutionalEncoder(nn.Module):
    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        stages = [
            nn.Sequential(*_convolution(inputs, outputs), *_convolution(outputs, outputs))
            for inputs, outputs in pairwise((in_channels, *channels))
        ]
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> Tensor:
        for i, stage in enumerate(self.stages):
            if i > 0:
                images = nn.functional.max_pool2d(images, 2)
            images = stage(images)
        return images.mean(dim=(2, 3))


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]


class Head(nn.Module):
    def __init__(self, in_features: int, out_features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(features))
        return scores


class Classifier(nn.Module):
    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.head(self.encoder(inputs))
        return scores


class CNN(Classifier):
    def __init__(
        self, in_channels: int, out_features: int, channels: Sequence[int] = (8, 16), dropout: float = 0.0
    ) -> None:
        encoder = ConvolutionalEncoder(in_channels, channels)
        super().__init__(encoder, Head(channels[-1], out_features, dropout))


def train_step(model, batch, loss, optimizer):
    inputs, target = batch
    optimizer.zero_grad()
    value = loss(model(inputs), target)
    value.backward()
    optimizer.step()
    return value.detach()


def evaluate(model, val_set):
    model.eval()
    with torch.no_grad():
        inputs, target = val_set.tensors
        accuracy = (model(inputs).argmax(1) == target).float().mean().item()
    return accuracy


def build():
    model = CNN(1, 6, (8, 16), 0.1)
    return {
        "model": model,
        "train_set": TensorDataset(*digits(300, 0)),
        "val_set": TensorDataset(*digits(150, 1)),
        "loss": nn.CrossEntropyLoss(),
        "make_optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        "batch_size": 50,
        "train_step": train_step,
        "evaluate": evaluate,
    }
