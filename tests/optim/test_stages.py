"""Stages: what a person would call the steps of a network from stem to head."""

import pytest
import torch
from torch import nn
from torchvision import models

from trainkit.optim.stages import stages


def named(model: nn.Module) -> list[str]:
    return [str(stage) for stage in stages(model)]


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        ("resnet18", ["conv1+bn1", "layer1"], ["layer4", "fc"], 6),
        (
            "mobilenet_v2",
            ["features.0.0+features.0.1", "features.1"],
            ["features.18.0+features.18.1", "classifier"],
            20,
        ),
        ("efficientnet_b0", ["features.0", "features.1"], ["features.8", "classifier"], 10),
        ("densenet121", ["features.conv0+features.norm0"], ["features.denseblock4+features.norm5", "classifier"], 9),
        ("convnext_tiny", ["features.0"], ["features.7+classifier.0", "classifier.2"], 9),
        ("vgg11", ["features.0", "features.3"], ["classifier.3", "classifier.6"], 11),
        ("swin_t", ["features.0"], ["features.7+norm", "head"], 9),
        (
            "vit_b_16",
            ["class_token+encoder.pos_embedding+conv_proj", "encoder.layers.encoder_layer_0"],
            ["encoder.layers.encoder_layer_11+encoder.ln", "heads"],
            14,
        ),
    ],
)
def test_the_stages_of_well_known_networks(name: str, first: list[str], last: list[str], count: int) -> None:
    with torch.device("meta"):
        found = named(models.get_model(name, weights=None))
    assert found[: len(first)] == first
    assert found[-len(last) :] == last
    assert len(found) == count


def test_every_parameter_stands_in_one_stage() -> None:
    with torch.device("meta"):
        model = models.get_model("vit_b_16", weights=None)
    parts = [name for stage in stages(model) for name in stage.names]
    for name, _ in model.named_parameters():
        assert sum(name == part or name.startswith(f"{part}.") for part in parts) == 1, name


def test_a_transformer_with_its_blocks_in_a_list() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(4))
            self.body = nn.ModuleDict(
                {
                    "embed": nn.Embedding(5, 4),
                    "blocks": nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)) for _ in range(3)),
                    "norm": nn.LayerNorm(4),
                }
            )
            self.head = nn.Linear(4, 5)

    expected = ["position+body.embed", "body.blocks.0", "body.blocks.1", "body.blocks.2+body.norm", "head"]
    assert named(Net()) == expected


def test_a_plain_stack_has_its_layers_as_stages() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    assert named(model) == ["1+2", "4"]


def test_small_and_empty_networks() -> None:
    assert named(nn.Linear(2, 2)) == ["weight+bias"]
    assert named(nn.ReLU()) == []
