"""The data and model configs, composed and built by Hydra alone."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from trainkit.config.composing.compose import composed as composed_line
from trainkit.data import Splits
from trainkit.recipes.data import Augmented

CONFIGS = Path(__file__).parents[2] / "configs"
DATA = sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml") if path.stem != "default")
FILES = sorted([*(CONFIGS / "data").glob("*.yaml"), *(CONFIGS / "model").glob("*.yaml")])
IMAGES = ["digits", "mnist", "fashion_mnist", "cifar10"]
PICTURES = ["image_folder", "photographs"]


def composed(*overrides):
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(overrides=[f"+{override}" if "." not in override else override for override in overrides])


@pytest.mark.parametrize("name", ["digits", "auto_mpg"])
def test_facts_are_those_of_the_data(name):
    data = composed(f"data={name}").data
    splits = instantiate(data.datasets, _convert_="all")
    assert isinstance(splits, Splits)
    inputs, target = splits.train[0]
    assert inputs.numel() == data.features
    if data.classes is None:
        assert target.shape == (data.outputs,)
    else:
        assert inputs.shape == (data.channels, data.size, data.size)
        assert splits.train.tensors[1].max() + 1 == data.classes == data.outputs


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("model", ["mlp", "cnn", "sequential", "nested"])
def test_image_models_fit_image_data(name, model):
    config = composed(f"data={name}", f"model={model}")
    data = config.data
    assert data.features == data.channels * data.size**2
    outputs = instantiate(config.model, _convert_="all")(torch.rand(2, data.channels, data.size, data.size))
    assert outputs.shape == (2, data.outputs)


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_flat_models_fit_flat_data(model):
    config = composed("data=auto_mpg", f"model={model}")
    assert instantiate(config.model, _convert_="all")(torch.rand(2, config.data.features)).shape == (2, 1)


def test_the_network_of_the_tutorials_is_near():
    config = composed("data=mnist", "model=mlp", "model.hidden=[128,64]")
    shapes = [tuple(p.shape) for p in instantiate(config.model, _convert_="all").parameters() if p.ndim == 2]
    assert shapes == [(128, 784), (64, 128), (10, 64)]


@pytest.mark.parametrize("several", [False, True], ids=["one", "list"])
def test_augmentation_is_built_from_config(several):
    transform = "{_target_: torchvision.transforms.v2.RandomCrop, size: 8, padding: 1}"
    config = composed("data=digits", f"data.augment={f'[{transform}]' if several else transform}")
    train = instantiate(config.data.datasets, _convert_="all").train
    assert isinstance(train, Augmented)
    assert [type(t).__name__ for t in train.transforms] == ["RandomCrop"]
    assert train[0][0].shape == (1, 8, 8)


def test_options_reach_torchvision(tmp_path, monkeypatch):
    calls = {}
    monkeypatch.setattr("trainkit.recipes.data.torchvision_images", lambda **options: calls.update(options))
    config = composed("data=cifar10", f"data.folder={tmp_path}", "data.download=false", "data.split_seed=4")
    instantiate(config.data.datasets, _convert_="all")
    assert calls.pop("folder") == str(tmp_path)
    assert calls == {
        "name": "cifar10",
        "validation": 0.1,
        "split_seed": 4,
        "augment": None,
        "preprocessing": None,
        "download": False,
    }


@pytest.mark.parametrize("name", DATA)
def test_every_data_set_has_the_same_keys(name):
    default = yaml.safe_load((CONFIGS / "data" / "default.yaml").read_text())
    assert set(default) <= set(composed(f"data={name}").data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_key_says_what_it_is(path):
    first, *lines = path.read_text().splitlines()
    assert first.startswith("# ")
    keyed = [line for line in lines if re.match(r"[ -]*\w+:", line) and "defaults:" not in line]
    bare = [line for line in keyed if "  # " not in line and not line.endswith((":", "torch.nn.Linear"))]
    assert not bare


@pytest.mark.parametrize("name", PICTURES)
def test_networks_by_name_fit_photographs(name, tmp_path):
    config = composed(f"data={name}", "model=torchvision", "model.name=squeezenet1_0", "data.classes=3")
    model = instantiate(config.model, _convert_="all")
    assert model(torch.rand(2, config.data.channels, 64, 64)).shape == (2, 3)


def test_photographs_are_read_with_all_that_a_folder_of_images_is():
    """A node of another target takes nothing over from the file that it starts from."""
    settings = [
        "recipe=mlp",
        "data.classes=5",
        "data.size=48",
        "data.split_seed=3",
        "data.folder=here",
        "data.preprocessing={size: 9}",
    ]
    plain, own = (composed_line([*settings, f"data={name}"]).plain["data"]["datasets"] for name in PICTURES)
    assert own == plain | {"_target_": own["_target_"], "source": own["source"]}
    assert (own["size"], own["split_seed"], own["folder"], own["preprocessing"]) == (48, 3, "here", {"size": 9})


def test_options_reach_the_folder_of_images(tmp_path, monkeypatch):
    calls = {}
    monkeypatch.setattr("trainkit.recipes.data.image_folder", lambda **options: calls.update(options))
    config = composed("data=image_folder", f"data.folder={tmp_path}", "data.size=32", "data.classes=4")
    instantiate(config.data.datasets, _convert_="all")
    assert calls == {
        "folder": str(tmp_path),
        "fractions": [0.6, 0.2, 0.2],
        "split_seed": 0,
        "size": 32,
        "classes": 4,
        "preprocessing": None,
        "augment": None,
        "cache_limit": 512,
    }
