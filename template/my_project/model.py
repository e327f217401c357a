"""Models: plain `torch.nn.Module`s that know nothing of trainkit or of configs."""

from torch import Tensor, nn


class Net(nn.Module):
    """Map points to one score for each class.

    Args:
        in_features: Numbers in one point.
        out_features: Number of classes.
        width: Units in each of the two hidden layers.
    """

    def __init__(self, in_features: int, out_features: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, out_features),
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return scores of shape (batch, classes) for points of shape (batch, in)."""
        return self.layers(points)
