"""Picture files as tensors, whatever mode they are of, and the transforms that make them what a network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from trainkit.errors import ConfigError
from trainkit.transfer.preprocessing import eval_transform, require_preprocessing, train_transform

if TYPE_CHECKING:
    from PIL.Image import Image

Transform = Callable[[Any], Any]
Augment = str | Mapping[str, Any] | Transform | Sequence[Transform]
"""A name or values that :func:`trainkit.transfer.train_transform` takes, or transforms of one's own."""


def complete(preprocessing: Mapping[str, Any] | None, size: int | None) -> dict[str, Any]:
    """Return a preprocessing in full.

    Args:
        preprocessing: That of the weights, or None: pictures of three channels with values from 0 to 1.
        size: Height and width in pixels where it says neither ``size`` nor ``crop``; None leaves them as they are.

    Raises:
        ConfigError: If it cannot be.
    """
    if isinstance(preprocessing, str):
        raise ConfigError(
            f"data.preprocessing={preprocessing}: nothing is known here of weights to which a preprocessing belongs; "
            "give null, or {mean: [...], std: [...]} and what else differs"
        )
    given: dict[str, Any] = {"mean": [0.0] * 3, "std": [1.0] * 3} if preprocessing is None else dict(preprocessing)
    if given.get("size") is None and given.get("crop") is None:
        given |= {"size": size, "crop": size}
    return require_preprocessing(given)


def transforms(preprocessing: Mapping[str, Any], augment: Augment | None) -> tuple[Transform, Transform]:
    """Return the transform of the training images and that of all others, of which the latter draws nothing.

    Args:
        preprocessing: In full, as :func:`complete` returns it.
        augment: What happens to training images. Transforms of one's own are called in order, each with one image
            in its final size with values from 0 to 1, and must return one of that size.

    Raises:
        ConfigError: If the augmentation is unknown.
    """
    evaluation: Any = eval_transform(preprocessing)
    if not augment:
        return evaluation, evaluation
    if isinstance(augment, str | Mapping):
        return train_transform(preprocessing, augment), evaluation
    from torchvision.transforms import v2

    steps = list(evaluation.transforms)
    place = next(i for i, step in enumerate(steps) if isinstance(step, v2.Normalize))
    own = [augment] if callable(augment) else list(augment)
    return v2.Compose([*steps[:place], *own, *steps[place:]]), evaluation


def read_picture(path: str | Path) -> Tensor:
    """Return a picture file as uint8 of shape (3, height, width), upright, as it looks on white paper.

    Raises:
        ValueError: That names the file, if it is no picture, damaged, or of a kind that cannot be shown.
    """
    from PIL import Image, ImageOps

    with _telling(path), Image.open(path) as file:
        picture = on_white(ImageOps.exif_transpose(file))
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).contiguous()


def pixels_of(path: str | Path) -> int:
    """Return of how many pixels a picture file is, as its head says.

    Raises:
        ValueError: That names the file, if it is no picture.
    """
    from PIL import Image

    with _telling(path), Image.open(path) as file:
        return file.width * file.height


@contextmanager
def _telling(path: str | Path) -> Iterator[None]:
    """Turn what PIL's readers raise into a ``ValueError`` that names the file."""
    from PIL import Image

    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as a picture: {' '.join(str(error).split())}") from None


def on_white(picture: Image) -> Image:
    """Return a picture of any mode in RGB; what is transparent shows white.

    Raises:
        ValueError: If its pixels are floats, whose range nobody knows.
    """
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floats, of which it is not known what is white")
    if picture.mode.startswith("I"):  # 16 bits, of which PIL's own conversion would cut off all above 255
        grey = numpy.asarray(picture).astype(numpy.int64).clip(0, 65535) // 257
        return Image.fromarray(grey.astype(numpy.uint8)).convert("RGB")
    if picture.has_transparency_data:
        whole = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    return picture.convert("RGB")
