"""Transforms of torchvision for a preprocessing: the same geometry and numbers for training and evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as older
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import wrap

from trainkit.errors import ConfigError, closest

AUGMENTS: dict[str, dict[str, Any]] = {
    "none": {"scale": None, "ratio": [0.75, 4 / 3], "flip": 0.0, "policy": None, "erase": 0.0},
    "flip": {"scale": None, "ratio": [0.75, 4 / 3], "flip": 0.5, "policy": None, "erase": 0.0},
    "light": {"scale": [0.5, 1.0], "ratio": [0.75, 4 / 3], "flip": 0.5, "policy": None, "erase": 0.0},
    "standard": {"scale": [0.08, 1.0], "ratio": [0.75, 4 / 3], "flip": 0.5, "policy": None, "erase": 0.0},
    "strong": {"scale": [0.08, 1.0], "ratio": [0.75, 4 / 3], "flip": 0.5, "policy": "trivial", "erase": 0.1},
}
"""Augmentations by name. Values of one's own begin from ``none``; ``standard`` is that of Szegedy et al. 2015."""
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
"""PIL's modes of 8 bits or less, which can become grey or RGB without a choice of range."""


class Channels(v2.Transform):  # type: ignore[misc]
    """Gives images 1 or 3 channels; what is transparent becomes white.

    Args:
        count: 1 or 3.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return one image, PIL or a tensor (..., channels, height, width), with the channels wanted."""
        if isinstance(inpt, Image.Image):
            return _pil_of(inpt, "L" if self.count == 1 else "RGB")
        if inpt.shape[-3] in (2, 4):
            inpt = _on_white(inpt)
        if inpt.shape[-3] == self.count:
            return inpt
        if inpt.shape[-3] == 1:
            return inpt.expand(*inpt.shape[:-3], self.count, *inpt.shape[-2:])
        if inpt.shape[-3] == 3:
            return functional.rgb_to_grayscale(inpt)
        raise ValueError(f"an image of {inpt.shape[-3]} channels cannot be made one of {self.count}")

    def extra_repr(self) -> str:
        """Return the argument."""
        return f"count={self.count}"


class Resize(v2.Transform):  # type: ignore[misc]
    """Resizes as the transforms of torchvision's weights do: v2's own rounds uint8 tensors otherwise.

    Args:
        size: Pixels of the shorter side, or [height, width].
        interpolation: One of torchvision's.
        antialias: Whether tensors are smoothed before they shrink; PIL images always are.
    """

    def __init__(self, size: int | list[int], interpolation: InterpolationMode, antialias: bool) -> None:
        super().__init__()
        self.size, self.interpolation, self.antialias = size, interpolation, antialias

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return one image, resized."""
        sides = [self.size] if isinstance(self.size, int) else self.size
        return older.resize(inpt, sides, self.interpolation, antialias=self.antialias)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"size={self.size}, interpolation={self.interpolation.value}, antialias={self.antialias}"


def evaluation(values: Mapping[str, Any]) -> v2.Compose:
    """Return the transform for evaluation; ``values`` are complete, by ``require_preprocessing``."""
    return v2.Compose([Channels(len(values["mean"])), *_framed(values), *_normalised(values)])


def training(values: Mapping[str, Any], augment: Mapping[str, Any]) -> v2.Compose:
    """Return the transform for training; both are complete, ``augment`` by :func:`require_augment`.

    Raises:
        ConfigError: If a random crop is asked for, and the preprocessing does not say of what size.
    """
    steps: list[Any] = [Channels(len(values["mean"]))]
    interpolation = InterpolationMode(values["interpolation"])
    if augment["scale"] is None:
        steps += _framed(values)
    else:
        crop = values["crop"] or values["size"]
        if crop is None:
            raise ConfigError("augment.scale: a random crop needs data.preprocessing.crop, its size in pixels")
        scale, ratio = tuple(augment["scale"]), tuple(augment["ratio"])
        options = {"interpolation": interpolation, "antialias": values["antialias"]}
        steps.append(v2.RandomResizedCrop(crop, scale=scale, ratio=ratio, **options))
    if augment["flip"]:
        steps.append(v2.RandomHorizontalFlip(augment["flip"]))
    if augment["policy"] == "trivial":
        steps.append(v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR))
    steps += _normalised(values)
    if augment["erase"]:
        steps.append(v2.RandomErasing(augment["erase"]))
    return v2.Compose(steps)


def require_augment(augment: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values of an augmentation in full: of a name, of one's own values, or of None, which is ``none``.

    Raises:
        ConfigError: If a name, key or value is wrong.
    """
    if augment is None or isinstance(augment, str):
        name = augment or "none"
        if name not in AUGMENTS:
            known = list(AUGMENTS)
            raise ConfigError(f"augment={name}: unknown.{closest(name, known)} It is one of {', '.join(known)}")
        return dict(AUGMENTS[name])
    known = list(AUGMENTS["none"])
    for key in augment:
        if key not in known:
            raise ConfigError(f"augment.{key}: unknown.{closest(str(key), known)} There are {', '.join(known)}")
    full = AUGMENTS["none"] | dict(augment)
    for key, most in (("scale", 1.0), ("ratio", 100.0)):
        pair = full[key]
        if key == "scale" and pair is None:
            continue
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(_is_number, pair)):
            raise ConfigError(f"augment.{key}={pair}: must be [least, most]")
        if not 0 < pair[0] <= pair[1] <= most:
            raise ConfigError(f"augment.{key}={pair}: must be [least, most], more than 0 and at most {most:g}")
    for key in ("flip", "erase"):
        if not _is_number(full[key]) or not 0 <= full[key] <= 1:
            raise ConfigError(f"augment.{key}={full[key]}: must be a probability, from 0 to 1")
    if full["policy"] not in (None, "trivial"):
        raise ConfigError(f"augment.policy={full['policy']}: must be null or trivial")
    return full


def _framed(values: Mapping[str, Any]) -> list[Any]:
    steps: list[Any] = []
    if values["size"] is not None:
        steps.append(Resize(values["size"], InterpolationMode(values["interpolation"]), values["antialias"]))
    if values["crop"] is not None:
        steps.append(v2.CenterCrop(values["crop"]))
    return steps


def _normalised(values: Mapping[str, Any]) -> list[Any]:
    return [v2.ToImage(), Float(), v2.Normalize(values["mean"], values["std"]), Plain()]


class Float(v2.Transform):  # type: ignore[misc]
    """Gives float32 from 0 to 1, divided as the transforms of torchvision's weights do it, to the last bit."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return one image as float32."""
        return wrap(older.convert_image_dtype(inpt, torch.float32), like=inpt)


class Plain(v2.Transform):  # type: ignore[misc]
    """Gives plain tensors, whose operations cost less than those of torchvision's images."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return one image as a plain tensor."""
        return inpt.as_subclass(Tensor)


def _pil_of(image: Image.Image, mode: str) -> Image.Image:
    if image.mode not in MODES:
        raise ValueError(f"an image of PIL's mode {image.mode} cannot be made {mode} without a choice of its range")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        white.alpha_composite(clear)
        image = white
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Tensor) -> Tensor:
    """Return an image whose last channel was its opacity, on white."""
    most = 1.0 if image.is_floating_point() else 255.0
    color, opacity = image[..., :-1, :, :].float(), image[..., -1:, :, :].float() / most
    mixed = color * opacity + most * (1 - opacity)
    return mixed.to(image.dtype) if image.is_floating_point() else mixed.round().to(image.dtype)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
