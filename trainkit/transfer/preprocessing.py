"""The preprocessing that belongs to weights: how large and how normalised the images were that they were trained on.

Images prepared otherwise give no error and no warning, only worse results; so it travels with the weights, as plain
values that a config can hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from trainkit.errors import ConfigError, closest
from trainkit.transfer.sources import Pretrained, Source, read_source

if TYPE_CHECKING:
    from torchvision.transforms import v2

KEY = "data.preprocessing"
DEFAULTS: dict[str, Any] = {"size": None, "crop": None, "interpolation": "bilinear", "antialias": True}
"""Keys that may be left out, and what they are then; ``mean`` and ``std`` must be given."""
INTERPOLATIONS = ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "box", "hamming")
USUAL = "{size: 256, crop: 224, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"
TIMM_CROP = 0.875
"""What a timm model means that names no ``crop_pct``."""
MOST = 16384


def resolve_preprocessing(
    setting: Any, weights: Source | Pretrained | None, model: nn.Module | None = None
) -> dict[str, Any] | None:
    """Return the preprocessing that ``data.preprocessing`` means, as values to store with the run.

    Args:
        setting: ``auto`` for what belongs to the weights, None for none, or the values themselves.
        weights: What ``weights.source`` names, read or not; None without one.
        model: The network, which may be one of timm.

    Raises:
        ConfigError: If the values are wrong, or ``auto`` meets weights that do not say how their images were prepared.
    """
    if setting is None:
        return None
    if setting != "auto":
        return require_preprocessing(setting)
    found = preprocessing_for(weights, model)
    if found is None and weights is not None and _is_silent(weights):
        raise ConfigError(unknown_preprocessing(weights.name, model))
    return found


def preprocessing_for(weights: Source | Pretrained | None, model: nn.Module | None = None) -> dict[str, Any] | None:
    """Return the preprocessing that belongs to weights, or to a timm model where no weights are named.

    Args:
        weights: An entry of torchvision has its own; a checkpoint of trainkit that of its run, in its config's
            ``data.preprocessing``; other files have none. A checkpoint that was not read yet is read.
        model: Asked for timm's ``pretrained_cfg`` only if there are no other weights.

    Returns:
        ``size`` (pixels of the shorter side, or [height, width], or None), ``crop`` (pixels of a square in the middle,
        or [height, width], or None), ``mean`` and ``std`` of each channel (of values from 0 to 1), ``interpolation``
        and ``antialias``; None where nothing is known.

    Raises:
        ConfigError: If the weights are not a classifier's, or a stored config holds wrong values.
    """
    if weights is None:
        return _of_timm(model)
    if weights.entry is not None:
        return _of_entry(weights.name, weights.entry)
    if isinstance(weights, Source):
        if weights.file.suffix != ".ckpt":
            return None
        weights = read_source(weights)
    data = weights.config.get("data") if weights.config else None
    stored = data.get("preprocessing") if isinstance(data, Mapping) else None
    if not isinstance(stored, Mapping):
        return None
    return require_preprocessing(stored, f"{KEY} of {weights.name}")


def unknown_preprocessing(source: str, model: nn.Module | None = None) -> str:
    """Return the text for weights that do not say how their images were prepared.

    Args:
        source: What the weights are called.
        model: A timm model's own values are proposed.
    """
    try:
        usual = _of_timm(model)
    except ConfigError:
        usual = None
    shown = "{" + ", ".join(f"{key}: {value}" for key, value in usual.items()) + "}" if usual else USUAL
    whose = "this network's usual ones are" if usual else "such as"
    return (
        f"{KEY}=auto: {source} does not say how the images were prepared that it was trained on. Give the values, "
        f"{whose} {KEY}={shown}, or null if the data set prepares them"
    )


def require_preprocessing(values: Any, key: str = KEY) -> dict[str, Any]:
    """Return values of a preprocessing in full, as new plain lists and numbers.

    Args:
        values: With the keys that :func:`preprocessing_for` returns; ``mean`` and ``std`` have 1 or 3 numbers each.
        key: What the errors call them.

    Raises:
        ConfigError: If a key is unknown or missing, or a value impossible.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{key}={values!r}: must be auto, null, or values such as {USUAL}")
    known = ["size", "crop", "mean", "std", "interpolation", "antialias"]
    for name in values:
        if name not in known:
            raise ConfigError(f"{key}.{name}: unknown.{closest(str(name), known)} There are {', '.join(known)}")
    full = DEFAULTS | dict(values)
    interpolation = full["interpolation"]
    if interpolation not in INTERPOLATIONS:
        near = closest(str(interpolation), INTERPOLATIONS)
        raise ConfigError(
            f"{key}.interpolation={interpolation}: unknown.{near} It is one of {', '.join(INTERPOLATIONS)}"
        )
    if type(full["antialias"]) is not bool:
        raise ConfigError(f"{key}.antialias={full['antialias']}: must be true or false")
    size, crop = (_pixels(full[name], f"{key}.{name}") for name in ("size", "crop"))
    if crop is None and isinstance(size, int):
        raise ConfigError(
            f"{key}.crop: needed, or size as [height, width]; else images keep sides of different lengths"
        )
    mean, std = (_numbers(full.get(name), f"{key}.{name}") for name in ("mean", "std"))
    if len(mean) != len(std):
        raise ConfigError(f"{key}.std={std}: has {len(std)} numbers, and mean has {len(mean)}")
    if min(std) <= 0:
        raise ConfigError(f"{key}.std={std}: must be positive")
    if max(map(abs, mean)) > 5 or max(std) > 5:
        raise ConfigError(f"{key}: mean={mean} and std={std} are of values from 0 to 255; divide them by 255")
    keys = {"size": size, "crop": crop, "mean": mean, "std": std}
    return keys | {"interpolation": interpolation, "antialias": full["antialias"]}


def eval_transform(preprocessing: Mapping[str, Any]) -> v2.Compose:
    """Return the transform for evaluation: resize, crop from the middle, to float32, normalise.

    It takes PIL images and uint8 or float tensors (channels, height, width) of 1 or 3 channels, with or without alpha,
    and gives float32 tensors with as many channels as ``mean`` has. For a torchvision entry the result is that of the
    entry's own transform. Transparent pixels become white.

    Args:
        preprocessing: By :func:`preprocessing_for`.

    Raises:
        ConfigError: If a value is impossible.
    """
    from trainkit.transfer.transforms import evaluation

    return evaluation(require_preprocessing(preprocessing))


def train_transform(
    preprocessing: Mapping[str, Any], augment: str | Mapping[str, Any] | None = "standard"
) -> v2.Compose:
    """Return the transform for training: augmented, and else as for evaluation.

    Args:
        preprocessing: By :func:`preprocessing_for`.
        augment: The name of one of :data:`trainkit.transfer.transforms.AUGMENTS`, or values of its keys: ``scale`` (the
            share of the area that a random crop takes, [least, most]; None for the crop of evaluation), ``ratio`` (of
            its sides), ``flip`` (probability), ``policy`` (None or ``trivial``, Müller and Hutter 2021) and ``erase``
            (probability of erasing a rectangle, Zhong et al. 2017). None augments nothing.

    Raises:
        ConfigError: If a value is impossible.
    """
    from trainkit.transfer.transforms import require_augment, training

    return training(require_preprocessing(preprocessing), require_augment(augment))


def _of_entry(name: str, entry: Any) -> dict[str, Any]:
    """Return the values of a torchvision entry's transform."""
    preset = entry.transforms()
    if type(preset).__name__ != "ImageClassification":
        raise ConfigError(
            f"{KEY}=auto: {name} is prepared by {type(preset).__name__}, which is not for classification; "
            f"give null and let the data set do it, or values such as {USUAL}"
        )
    values = {
        "size": _unpacked(preset.resize_size),
        "crop": _unpacked(preset.crop_size),
        "mean": list(preset.mean),
        "std": list(preset.std),
        "interpolation": preset.interpolation.value,
        "antialias": bool(preset.antialias),
    }
    return require_preprocessing(values, f"{KEY} of {name}")


def _of_timm(model: nn.Module | None) -> dict[str, Any] | None:
    """Return the values of a timm model's ``pretrained_cfg``; timm itself is not imported."""
    config: Any = getattr(model, "pretrained_cfg", None)
    config = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(config, Mapping) or not {"input_size", "mean", "std"} <= config.keys():
        return None
    height, width = (int(side) for side in config["input_size"][-2:])
    share, mode = config.get("crop_pct") or TIMM_CROP, config.get("crop_mode") or "center"
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        raise ConfigError(
            f"{KEY}=auto: this timm model's crop_mode={mode} with input_size={list(config['input_size'])} cannot "
            f"be said as a size and a crop; give values such as {USUAL}"
        )
    scaled = [math.floor(side / share) for side in (height, width)]
    values = {
        "size": scaled if mode == "squash" else scaled[0],
        "crop": height if height == width else [height, width],
        "mean": list(config["mean"]),
        "std": list(config["std"]),
        "interpolation": config.get("interpolation") or "bilinear",
    }
    return require_preprocessing(values, f"{KEY} of the timm model")


def _is_silent(weights: Source | Pretrained) -> bool:
    """Say whether weights come from a file that is no checkpoint of a trainkit run."""
    if weights.entry is not None:
        return False
    if isinstance(weights, Source):
        return weights.file.suffix != ".ckpt" or read_source(weights).config is None
    return weights.config is None


def _unpacked(sides: Any) -> Any:
    return sides[0] if len(sides) == 1 else list(sides)


def _pixels(value: Any, key: str) -> int | list[int] | None:
    sides = list(value) if isinstance(value, list | tuple) else [value]
    if value is None:
        return None
    if not all(type(side) is int and 1 <= side <= MOST for side in sides) or len(sides) not in (1, 2):
        raise ConfigError(f"{key}={value}: must be pixels, 1 to {MOST}, or [height, width]")
    return sides[0] if len(sides) == 1 else sides


def _numbers(value: Any, key: str) -> list[float]:
    if value is None:
        raise ConfigError(f"{key}: not given; a number for each channel, of values from 0 to 1")
    numbers = list(value) if isinstance(value, list | tuple) else []
    right = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    if len(numbers) not in (1, 3) or not right:
        raise ConfigError(f"{key}={value}: must be a list of 1 or 3 numbers, one for each channel")
    return [float(number) for number in numbers]
