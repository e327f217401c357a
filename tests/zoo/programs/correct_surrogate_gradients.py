"""Functions whose backward is no derivative of their forward, on purpose."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

BUG = None


class Signs(torch.autograd.Function):
    """Binary activations; the gradient goes straight through where the input is small."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 1)


class Bounded(torch.autograd.Function):
    """A clamp that lets the gradient through outside too."""

    @staticmethod
    def forward(ctx, x):
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Slower(torch.autograd.Function):
    """The same numbers, and a part of the gradient."""

    @staticmethod
    def forward(ctx, x, rate):
        ctx.rate = rate
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.rate * gradient, None


class Softplus(torch.autograd.Function):
    """Right, with less memory."""

    @staticmethod
    def forward(ctx, x, beta):
        ctx.save_for_backward(x)
        ctx.beta = beta
        return torch.nn.functional.softplus(x, beta)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * torch.sigmoid(ctx.beta * x), None


class Product(torch.autograd.Function):
    """A linear layer by hand, with two inputs that have gradients."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.T @ x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.signs, self.head = nn.Linear(8, 48), nn.Linear(8, 48), nn.Linear(96, 1)
        self.weight = nn.Parameter(torch.randn(8, 8) * 8**-0.5)

    def forward(self, x):
        x = Product.apply(x, self.weight)
        smooth = Softplus.apply(Slower.apply(self.hidden(x), 0.5), 2.0)
        return self.head(torch.cat([Bounded.apply(smooth), Signs.apply(self.signs(x))], 1))


def waves(count, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 8, generator=generator)
    return TensorDataset(x, torch.sin(x[:, :1]) + 0.1 * torch.randn(count, 1, generator=generator))


def build():
    return {
        "model": Net(),
        "train_set": waves(400, 0),
        "val_set": waves(200, 1),
        "loss": nn.MSELoss(),
        "make_optimizer": lambda model: torch.optim.Adam(model.parameters(), lr=3e-3),
        "batch_size": 50,
    }
