"""Models of the recipes: plain ``nn.Module``s that know nothing of trainkit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Map flattened inputs through fully connected layers.

    Args:
        in_features: Number of values in one input, after flattening.
        hidden: Width of each hidden layer; none makes the model linear.
        out_features: Number of outputs.
        dropout: Share of the hidden units that is dropped in training.
        activation: Name of a module of ``torch.nn`` without required arguments, such as ``ReLU`` or ``GELU``.
    """

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
        layers.append(nn.Linear((in_features, *hidden)[-1], out_features))
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs


class ConvolutionalEncoder(nn.Module):
    """Turn images of any size into feature vectors.

    A stage has two 3x3 convolutions, each with BatchNorm and ReLU. Between stages, the image is halved; after the last,
    the mean over its pixels is taken.

    Args:
        in_channels: Channels of the images, shape (batch, channels, height, width).
        channels: Channels of each stage; the last is the length of the feature vector.
    """

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
    # No bias: BatchNorm would subtract it at once.
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU()]


class Head(nn.Module):
    """Map feature vectors to one score for each class.

    Args:
        in_features: Length of a feature vector.
        out_features: Number of classes.
        dropout: Share of the features that is dropped in training.
    """

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(features))
        return scores


class Classifier(nn.Module):
    """Join an encoder and a head, so that either can be swapped, frozen or given its own learning rate.

    Args:
        encoder: Maps a batch of inputs to features.
        head: Maps these features to scores.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.head(self.encoder(inputs))
        return scores


class CNN(Classifier):
    """Classify small images, such as 8x8, 28x28 or 32x32 pixels.

    Args:
        in_channels: Channels of the images, shape (batch, channels, height, width).
        out_features: Number of classes.
        channels: Channels of each stage; between two stages, the image is halved.
        dropout: Share of the features that is dropped before the last layer, in training.
    """

    def __init__(
        self, in_channels: int, out_features: int, channels: Sequence[int] = (32, 64), dropout: float = 0.0
    ) -> None:
        encoder = ConvolutionalEncoder(in_channels, channels)
        super().__init__(encoder, Head(channels[-1], out_features, dropout))
