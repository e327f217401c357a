"""The recipes' models: plain modules, right in shape and in mode."""

import ast
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from trainkit.recipes import models
from trainkit.recipes.models import CNN, MLP, Classifier, ConvolutionalEncoder, Head


def test_mlp_has_the_layers_asked_for():
    model = MLP(784, [128, 64], 10)
    assert [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)] == [
        (128, 784),
        (64, 128),
        (10, 64),
    ]
    assert not any(isinstance(m, nn.Dropout) for m in model.modules())
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert torch.equal(model(torch.ones(2, 784)), model(torch.ones(2, 1, 28, 28)))


def test_mlp_takes_dropout_and_activation():
    model = MLP(4, (8, 8), 1, dropout=0.3, activation="GELU")
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.3]
    assert sum(isinstance(m, nn.GELU) for m in model.modules()) == 2
    assert sum(p.numel() for p in MLP(4, [], 1).parameters()) == 5  # nothing hidden: a linear model


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
def test_cnn_takes_images_of_every_size(channels, size):
    model = CNN(channels, 10, channels=(4, 8), dropout=0.5)
    assert model(torch.rand(2, channels, size, size)).shape == (2, 10)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 4


def test_cnn_learns_in_training_and_repeats_itself_in_evaluation():
    model, images = CNN(1, 10, channels=(4,), dropout=0.5), torch.rand(8, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))
    assert torch.allclose(model(images)[:3], model(images[:3]), atol=1e-6)  # the rest of the batch has no say


def test_classifier_is_made_of_any_two_modules():
    model = Classifier(encoder=nn.Flatten(), head=nn.Linear(4, 2))
    assert model(torch.rand(3, 2, 2)).shape == (3, 2)
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]
    parts = Classifier(ConvolutionalEncoder(1, [4, 8]), Head(8, 10))
    assert parts.state_dict().keys() == CNN(1, 10, channels=[4, 8]).state_dict().keys()


@pytest.mark.parametrize("model", [MLP(64, [8], 10, dropout=0.1), CNN(1, 10, channels=[4])], ids=["mlp", "cnn"])
def test_every_parameter_is_trained(model):
    model(torch.rand(4, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_models_know_only_torch():
    tree = ast.parse(Path(models.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name
        for node in imports
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"torch"}
