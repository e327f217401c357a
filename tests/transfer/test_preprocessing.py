"""The preprocessing of weights: its values, and transforms that give what torchvision's and timm's own give."""

import json
import pickle
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import functional, v2

from trainkit.checkpoint.migrations import FORMAT
from trainkit.errors import ConfigError
from trainkit.transfer import (
    Pretrained,
    eval_transform,
    find_source,
    preprocessing_for,
    require_preprocessing,
    resolve_preprocessing,
    train_transform,
)
from trainkit.transfer.sources import torchvision_entries
from trainkit.transfer.transforms import AUGMENTS, Float, require_augment

PLAIN = {
    "size": 256,
    "crop": 224,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "interpolation": "bilinear",
    "antialias": True,
}
SMALL = {"size": 20, "crop": 16, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
CLASSIFIERS = {
    name: entry
    for name, entry in torchvision_entries().items()
    if type(entry.transforms()).__name__ == "ImageClassification"
}
KINDS = {repr(vars(entry.transforms())): entry for entry in CLASSIFIERS.values()}


def photograph(height: int = 331, width: int = 417, channels: int = 3) -> torch.Tensor:
    """Return a uint8 image with edges, gradients and noise."""
    torch.manual_seed(5)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    base = torch.stack([rows * 255 // height, columns * 255 // width, ((rows // 9 + columns // 7) % 2) * 255])
    noise = torch.randint(-40, 40, base.shape)
    return (base + noise).clamp(0, 255).to(torch.uint8)[:channels]


# ---------------------------------------------------------------------- as torchvision and timm


@pytest.mark.parametrize("entry", KINDS.values(), ids=[repr(entry) for entry in KINDS.values()])
@pytest.mark.parametrize("as_pil", [True, False], ids=["pil", "tensor"])
def test_evaluation_is_the_transform_of_the_entry(entry, as_pil: bool) -> None:
    preset = entry.transforms()
    transform = eval_transform(preprocessing_for(Pretrained("x", {}, entry=entry)))
    for height, width in ((331, 417), (500, 260), (90, 61)):
        image = photograph(height, width)
        given = functional.to_pil_image(image) if as_pil else image
        found = transform(given)
        assert found.dtype == torch.float32
        assert type(found) is torch.Tensor
        assert torch.equal(found, preset(given))
        assert found.std() > 0.1


def test_there_are_many_kinds_of_presets() -> None:
    assert len(CLASSIFIERS) > 150
    assert len(KINDS) > 25


def test_the_values_of_an_entry_are_plain_and_survive_a_config() -> None:
    values = preprocessing_for(find_source("ResNet18_Weights.DEFAULT"))
    assert values == PLAIN
    assert json.loads(json.dumps(values)) == values
    values = preprocessing_for(find_source("EfficientNet_V2_L_Weights.DEFAULT"))
    assert (values["size"], values["mean"], values["interpolation"]) == (480, [0.5, 0.5, 0.5], "bicubic")


def test_an_entry_that_is_no_classifiers_is_refused() -> None:
    told = r"data\.preprocessing=auto: FCN_ResNet50_Weights\..* SemanticSegmentation, which is not for classification"
    with pytest.raises(ConfigError, match=told):
        preprocessing_for(find_source("FCN_ResNet50_Weights.DEFAULT"))


class Timm(nn.Module):
    """Has what a timm model has."""

    def __init__(self, **changed) -> None:
        super().__init__()
        values = {"input_size": (3, 224, 224), "crop_pct": 0.9, "crop_mode": "center", "interpolation": "bicubic"}
        self.pretrained_cfg = values | {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.5, 0.5)} | changed


def test_a_timm_models_values_are_those_of_its_config() -> None:
    values = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5], "interpolation": "bicubic", "antialias": True}
    assert preprocessing_for(None, Timm()) == {"size": 248, "crop": 224, **values}
    assert preprocessing_for(None, Timm(crop_mode="squash")) == {"size": [248, 248], "crop": 224, **values}
    wide = Timm(crop_mode="squash", input_size=(3, 90, 180))
    assert preprocessing_for(None, wide) == {"size": [100, 200], "crop": [90, 180], **values}
    assert preprocessing_for(None, Timm(crop_pct=None))["size"] == 256
    for changed in ({"crop_mode": "border"}, {"input_size": (3, 90, 180)}):
        with pytest.raises(ConfigError, match="cannot be said as a size and a crop"):
            preprocessing_for(None, Timm(**changed))


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "vit_tiny_patch16_224", "resnetv2_50x1_bit"])
@pytest.mark.filterwarnings("ignore")
def test_evaluation_is_the_transform_of_timm(name: str) -> None:
    timm = pytest.importorskip("timm", reason="timm is an optional extra")
    model = timm.create_model(name, pretrained=False)
    own = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    image = functional.to_pil_image(photograph())
    transform = eval_transform(preprocessing_for(None, model))
    assert torch.allclose(transform(image), own(image), rtol=0, atol=1e-6)


# ---------------------------------------------------------------------- whose values


def stored(tmp_path: Path, preprocessing) -> Pretrained:
    config = {"data": {} if preprocessing == "absent" else {"preprocessing": preprocessing}}
    return Pretrained(str(tmp_path), {}, config=config)


def test_those_of_a_run_are_the_ones_that_it_stored(tmp_path: Path) -> None:
    assert preprocessing_for(stored(tmp_path, PLAIN)) == PLAIN
    assert preprocessing_for(stored(tmp_path, PLAIN), Timm()) == PLAIN
    for nothing in (None, "auto", "absent"):
        assert preprocessing_for(stored(tmp_path, nothing)) is None
        assert resolve_preprocessing("auto", stored(tmp_path, nothing)) is None
    with pytest.raises(ConfigError, match=rf"^data\.preprocessing of {tmp_path}\.mean: not given"):
        preprocessing_for(stored(tmp_path, {"size": 3, "crop": 2}))
    for config in ({}, {"data": None}, {"data": [1]}):
        assert preprocessing_for(Pretrained("x", {}, config=config)) is None


def test_a_run_that_was_not_read_yet_is_read(tmp_path: Path) -> None:
    about = {"config": json.dumps({"data": {"preprocessing": SMALL}})}
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "last.ckpt"
    torch.save({"format": FORMAT, "model": {"a": torch.ones(1)}, "about": about}, path)
    assert preprocessing_for(find_source(str(tmp_path)))["crop"] == 16
    assert resolve_preprocessing("auto", find_source(str(path)))["crop"] == 16


def test_weights_of_a_file_say_nothing_and_the_config_must(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "y.ckpt")
    for name in ("x.pth", "y.ckpt"):
        source = find_source(str(tmp_path / name))
        assert preprocessing_for(source) is None
        for weights in (source, Pretrained(source.name, {})):
            with pytest.raises(ConfigError) as error:
                resolve_preprocessing("auto", weights)
            text = str(error.value)
            assert text.startswith(f"data.preprocessing=auto: {source.name} does not say how the images were prepared")
            assert "such as data.preprocessing={size: 256, crop: 224, mean: [0.485, 0.456, 0.406], std:" in text
            assert "or null if" in text
            with pytest.raises(ConfigError, match=r"usual ones are data\.preprocessing=\{size: 248, crop: 224"):
                resolve_preprocessing("auto", weights, Timm())
            assert resolve_preprocessing(None, weights) is None
            assert resolve_preprocessing(SMALL, weights)["crop"] == 16


def test_without_weights_auto_is_timms_or_nothing() -> None:
    assert resolve_preprocessing("auto", None) is None
    assert resolve_preprocessing("auto", None, nn.Linear(1, 1)) is None
    assert resolve_preprocessing("auto", None, Timm())["crop"] == 224
    assert resolve_preprocessing("auto", find_source("ResNet18_Weights.DEFAULT"), Timm()) == PLAIN


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sise": 3}, r"data\.preprocessing\.sise: unknown\. Did you mean 'size'\? There are size, crop, mean"),
        ({"size": 0}, r"data\.preprocessing\.size=0: must be pixels, 1 to 16384, or \[height, width\]"),
        ({"size": [1, 2, 3]}, r"size=\[1, 2, 3\]: must be pixels"),
        ({"size": 2.5}, r"size=2\.5: must be pixels"),
        ({"crop": True}, r"crop=True: must be pixels"),
        ({"crop": None}, r"data\.preprocessing\.crop: needed, or size as \[height, width\]"),
        ({"mean": None}, r"data\.preprocessing\.mean: not given"),
        ({"mean": 0.5}, r"mean=0\.5: must be a list of 1 or 3 numbers"),
        ({"mean": [0.5, 0.5]}, r"mean=\[0\.5, 0\.5\]: must be a list of 1 or 3 numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, r"must be a list of 1 or 3 numbers"),
        ({"std": [0.5]}, r"std=\[0\.5\]: has 1 numbers, and mean has 3"),
        ({"std": [0.5, 0.5, 0.0]}, r"std=\[0\.5, 0\.5, 0\.0\]: must be positive"),
        ({"mean": [123.7, 116.3, 103.5]}, r"are of values from 0 to 255; divide them by 255"),
        ({"std": [58.4, 57.1, 57.4]}, r"are of values from 0 to 255; divide them by 255"),
        ({"interpolation": "bicubik"}, r"interpolation=bicubik: unknown\. Did you mean 'bicubic'\?"),
        ({"interpolation": ["bicubic"]}, r"unknown\."),
        ({"antialias": 1}, r"antialias=1: must be true or false"),
    ],
)
def test_wrong_values_are_refused(changed: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        require_preprocessing(PLAIN | changed)
    assert "\n" not in str(error.value)


def test_values_are_completed_and_copied() -> None:
    given = {"crop": [8, 9], "mean": (0.5,), "std": (1,)}
    found = require_preprocessing(given)
    expected = {"size": None, "crop": [8, 9], "mean": [0.5], "std": [1.0]}
    assert found == expected | {"interpolation": "bilinear", "antialias": True}
    assert type(found["std"][0]) is float
    assert require_preprocessing(found) == found
    with pytest.raises(ConfigError, match=r"data\.preprocessing='autto': must be auto, null, or values"):
        resolve_preprocessing("autto", None)


# ---------------------------------------------------------------------- images of all kinds


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("given", ["L", "RGB", "P", "1", "uint8 1", "uint8 3", "float 1", "float 3"])
def test_images_become_one_or_three_channels_in_training_and_evaluation(channels: int, given: str) -> None:
    kind, _, count = given.partition(" ")
    image = photograph(40, 50, int(count or 3))
    if kind == "float":
        image = image / 255
    elif kind != "uint8":
        image = functional.to_pil_image(image).convert(kind)
    values = SMALL | {"mean": [0.5] * channels, "std": [0.25] * channels}
    for transform in (eval_transform(values), train_transform(values, "strong")):
        found = transform(image)
        assert (found.shape, found.dtype, type(found)) == ((channels, 16, 16), torch.float32, torch.Tensor)
        assert found.min() >= -2.0
        assert found.max() <= 2.0


@pytest.mark.parametrize("kind", ["RGBA", "LA", "tensor 4", "tensor 2", "float 4"])
def test_what_is_transparent_becomes_white(kind: str) -> None:
    gray = kind in ("LA", "tensor 2")
    image = torch.zeros(2 if gray else 4, 16, 16, dtype=torch.uint8)  # black, of no opacity on the left
    image[-1, :, 8:] = 255
    if kind.startswith("float"):
        given = image / 255
    else:
        given = image if kind.startswith("tensor") else Image.fromarray(image.permute(1, 2, 0).numpy(), kind)
    values = {"mean": [0.0] * 3, "std": [1.0] * 3, "crop": 16}
    found = eval_transform(values)(given)
    assert found[:, :, :8].eq(1).all()
    assert found[:, :, 8:].eq(0).all()
    image[-1] = 51  # a fifth
    given = image / 255 if kind.startswith("float") else image
    assert eval_transform(values)(given).allclose(torch.tensor(0.8))


def test_a_palette_with_transparency_becomes_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.info["transparency"] = 0
    image.putpixel((1, 2), 1)
    found = eval_transform({"mean": [0.0] * 3, "std": [1.0] * 3, "crop": 4})(image)
    assert found[:, 2, 1].tolist() == [1, 0, 0]
    assert found[:, 0, 0].tolist() == [1, 1, 1]


def test_images_whose_range_is_not_known_are_refused() -> None:
    deep = Image.fromarray(numpy.full((4, 4), 40_000, dtype=numpy.uint16))
    with pytest.raises(ValueError, match=r"PIL's mode I;16 cannot be made RGB"):
        eval_transform(SMALL)(deep)
    with pytest.raises(ValueError, match="an image of 5 channels cannot be made one of 3"):
        eval_transform(SMALL)(torch.zeros(5, 30, 30, dtype=torch.uint8))


def test_labels_beside_an_image_are_left_alone() -> None:
    image, label = eval_transform(SMALL)(photograph(40, 50), 7)
    assert (image.shape, label) == ((3, 16, 16), 7)


@pytest.mark.parametrize("augment", [None, *AUGMENTS])
def test_transforms_travel_to_workers(augment) -> None:
    image = photograph(40, 50)
    for transform in (eval_transform(SMALL), train_transform(SMALL, augment)):
        copy = pickle.loads(pickle.dumps(transform))
        results = []
        for one in (transform, copy):
            torch.manual_seed(2)
            results.append(one(image))
        assert torch.equal(*results)


# ---------------------------------------------------------------------- augmentation


def test_without_augmentation_training_is_evaluation() -> None:
    image = functional.to_pil_image(photograph(40, 50))
    for augment in (None, "none", {}):
        assert torch.equal(train_transform(SMALL, augment)(image), eval_transform(SMALL)(image))


def test_a_flip_is_all_that_flip_does() -> None:
    image, transform = photograph(40, 50), train_transform(SMALL, "flip")
    expected = eval_transform(SMALL)(image)
    torch.manual_seed(0)
    flipped = [not torch.equal(transform(image), expected) for _ in range(200)]
    assert 70 < sum(flipped) < 130
    assert torch.equal(train_transform(SMALL, {"flip": 1.0})(image).flip(-1), expected)


def test_a_random_crop_is_of_the_preprocessings_size_and_of_its_share_of_the_area() -> None:
    values = {"crop": 16, "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "nearest"}
    rows = torch.arange(64).view(1, -1, 1).expand(3, 64, 64).to(torch.uint8)
    heights = []
    transform = train_transform(values, {"scale": [0.25, 0.25], "ratio": [1.0, 1.0]})
    for _ in range(50):
        seen = (transform(rows) * 255).round()[0, :, 0]
        heights.append(float(seen[-1] - seen[0]))
    assert all(28 <= height <= 32 for height in heights)
    assert train_transform(SMALL | {"crop": None, "size": [8, 9]}, "standard")(rows).shape == (3, 8, 9)
    with pytest.raises(ConfigError, match=r"a random crop needs data\.preprocessing\.crop"):
        train_transform({"mean": [0.0], "std": [1.0]}, "standard")


def test_strong_augmentation_holds_a_policy_and_erasing() -> None:
    kinds = [type(step) for step in train_transform(SMALL, "strong").transforms]
    assert v2.TrivialAugmentWide in kinds
    assert v2.RandomErasing in kinds
    assert kinds.index(v2.TrivialAugmentWide) < kinds.index(Float) < kinds.index(v2.RandomErasing)
    kinds = [type(step) for step in train_transform(SMALL, "standard").transforms]
    assert v2.RandomResizedCrop in kinds
    assert v2.RandomHorizontalFlip in kinds
    assert v2.TrivialAugmentWide not in kinds


@pytest.mark.parametrize(
    ("augment", "told"),
    [
        ("standart", r"augment=standart: unknown\. Did you mean 'standard'\? It is one of none, flip, light"),
        ({"scal": [0.1, 1]}, r"augment\.scal: unknown\. Did you mean 'scale'\?"),
        ({"scale": 0.5}, r"augment\.scale=0\.5: must be \[least, most\]"),
        ({"scale": [0.5, 0.1]}, r"augment\.scale=\[0\.5, 0\.1\]"),
        ({"scale": [0, 1]}, r"augment\.scale=\[0, 1\]: must be \[least, most\], more than 0 and at most 1"),
        ({"scale": [0.5, 1.5]}, r"at most 1$"),
        ({"ratio": None}, r"augment\.ratio=None"),
        ({"flip": 1.5}, r"augment\.flip=1\.5: must be a probability"),
        ({"erase": True}, r"augment\.erase=True"),
        ({"policy": "rand"}, r"augment\.policy=rand: must be null or trivial"),
    ],
)
def test_wrong_augmentations_are_refused(augment, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        train_transform(SMALL, augment)


def test_one_key_of_ones_own_begins_from_nothing() -> None:
    assert require_augment({"flip": 0.3}) == AUGMENTS["none"] | {"flip": 0.3}
    require_augment("none")["flip"] = 0.9
    assert AUGMENTS["none"]["flip"] == 0.0
