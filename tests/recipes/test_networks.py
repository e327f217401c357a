"""Networks of torchvision and timm by name."""

import sys

import pytest
import torch

from trainkit.errors import ConfigError
from trainkit.recipes.networks import timm_model, torchvision_model

pytest.importorskip("torchvision")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_0"])
def test_torchvision_networks_have_as_many_outputs_as_classes(name):
    assert torchvision_model(name, 5)(torch.rand(2, 3, 64, 64)).shape == (2, 5)


def test_options_reach_torchvision():
    model = torchvision_model("vgg11", 5, dropout=0.125)
    assert [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)] == [0.125, 0.125]


def test_networks_with_auxiliary_classifiers_come_without_them():
    model = torchvision_model("googlenet", 5)
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 5)  # in training, which would give three


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("resnet81", {}, r"model\.name=resnet81: torchvision has no such classification network\. Did you mean 'resne"),
        ("fcn_resnet50", {}, r"model\.name=fcn_resnet50: torchvision has no such"),  # it segments
        ("resnet18", {"deph": 3}, r"model\.name=resnet18: torchvision says TypeError: .*deph"),
    ],
)
def test_wrong_names_and_options_are_refused(name, options, told):
    with pytest.raises(ConfigError, match=told):
        torchvision_model(name, 5, **options)


def test_timm_networks_have_as_many_outputs_as_classes():
    pytest.importorskip("timm", reason="the extra timm is not installed")
    model = timm_model("resnet10t", 5, channels=1)
    assert model(torch.rand(2, 1, 64, 64)).shape == (2, 5)
    with pytest.raises(ConfigError, match=r"model\.name=resnet10x: timm has no such network\. Did you mean 'resnet"):
        timm_model("resnet10x", 5)
    with pytest.raises(ConfigError, match=r"model\.name=resnet10t: timm says TypeError"):
        timm_model("resnet10t", 5, deph=3)


def test_no_file_is_read_behind_the_back_of_weights_source(tmp_path):
    """timm reads ``checkpoint_path`` as a pickle, whose code runs."""
    pytest.importorskip("timm", reason="the extra timm is not installed")
    torch.save(timm_model("resnet10t", 5).state_dict(), tmp_path / "own.pth")
    for option in ("checkpoint_path", "pretrained"):
        with pytest.raises(ConfigError, match=rf"model\.{option}: weights come by weights\.source=\.\.\., which"):
            timm_model("resnet10t", 5, **{option: str(tmp_path / "own.pth")})
    timm_model("resnet10t", 5, checkpoint_path="", pretrained=False)


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"model=timm needs the package timm: pip install 'trainkit\[timm\]'"):
        timm_model("resnet10t", 5)
