"""Images in one folder for each class, as ``torchvision.datasets.ImageFolder`` and most tutorials have them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from trainkit.data.splits import Splits
from trainkit.errors import ConfigError, closest
from trainkit.keys import fold, split

from .pictures import Augment, Transform, complete, pixels_of, read_picture, transforms

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
VALIDATION = ("val", "valid")
"""What the folder of the validation images may be called."""

Samples = list[tuple[str, int]]


class ImageFiles(Dataset[tuple[Tensor, int]]):
    """Reads picture files, each with the class that it belongs to.

    Args:
        samples: Path and class index of each.
        classes: Names of the classes, by index.
        transform: Makes of a picture, uint8 of shape (3, height, width), what the network takes.
        random: Whether the transform draws, from torch's global generator, which :class:`trainkit.Loader` seeds for
            each sample; it is called at each reading then.
        keep: Decode all of them now and keep them in memory, transformed unless that is random.

    Raises:
        ValueError: If one that is to be kept cannot be read; one that is not says so when it is asked for.
    """

    def __init__(
        self,
        samples: Samples,
        classes: Sequence[str],
        transform: Transform,
        *,
        random: bool = False,
        keep: bool = False,
    ) -> None:
        self.samples, self.classes = list(samples), list(classes)
        self.transform, self.random = transform, random
        self._kept = [self._read(path) for path, _ in self.samples] if keep else None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        image = self._read(path) if self._kept is None else self._kept[index]
        return self.transform(image) if self.random else image, label

    def _read(self, path: str) -> Tensor:
        picture = read_picture(path)
        result: Tensor = picture if self.random else self.transform(picture)
        return result


def image_folder(
    folder: str | Path,
    *,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    split_seed: int = 0,
    size: int | None = 224,
    classes: int | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    augment: Augment | None = None,
    cache_limit: int = 512,
) -> Splits:
    """Read the images of a folder that has one folder for each class, or ``train``, ``val`` and ``test`` with such.

    The classes are numbered in the order of their names. All images come out as float32 of shape (channels, height,
    width): grey, palette and CMYK ones are turned into RGB, transparent ones lie on white, turned ones stand upright.
    Folders and files whose names begin with a dot are left out.

    Args:
        folder: The folder. If it has ``train``, the files in ``val`` (or ``valid``) and ``test`` are the validation and
            test sets; where ``val`` is missing, a share of the training images becomes it, as ``fractions`` says.
        fractions: Shares of the training, validation and test sets of each class, where the folder has no split.
        split_seed: Which images go where.
        size: Height and width in pixels, where ``preprocessing`` does not say them.
        classes: How many there must be; None takes what there are.
        preprocessing: What :func:`trainkit.transfer.require_preprocessing` takes, such as that of the weights.
        augment: Of the training images: a name such as ``light``, values, or transforms of one's own.
        cache_limit: MiB of images that may stay in memory in each set; sets that need more, and all with 0, are decoded
            at each reading.

    Raises:
        ConfigError: If the folder, its class folders or images are missing, or one of those to be kept is damaged.
    """
    steps = complete(preprocessing, size)
    training, evaluation = transforms(steps, augment)
    root = Path(folder)
    parts, names = _parts(root, _possible(fractions), split_seed)
    if classes is not None and classes != len(names):
        raise ConfigError(f"data.classes={classes}: {root} has {len(names)} class folders: {_listed(names)}")
    sets: list[ImageFiles | None] = []
    for samples, transform in zip(parts, (training, evaluation, evaluation), strict=True):
        random = transform is not evaluation
        try:
            keep = _fits(samples, steps, random, cache_limit)
            sets.append(ImageFiles(samples, names, transform, random=random, keep=keep) if samples else None)
        except ValueError as error:
            advice = "take it away; or data.cache_limit=0 with data.on_error=skip leaves such files out in passing"
            raise ConfigError(f"data.folder={folder}: {error}; {advice}") from None
    train, val, test = sets
    assert train is not None
    return Splits(train, val, test)


def class_names(folder: str | Path) -> list[str]:
    """Return the names of the classes that a folder of images has, sorted; none where it has no class folders."""
    root = Path(folder)
    return _folders(root / "train" if _is_split(root) else root)


def _possible(fractions: Sequence[float]) -> Sequence[float]:
    if len(fractions) != 3 or min(fractions) < 0 or sum(fractions) > 1 + 1e-9 or fractions[0] <= 0:
        raise ConfigError(
            f"data.datasets.fractions={list(fractions)}: give the shares of the training, validation and test sets, "
            "three numbers that sum to at most 1, the first above 0"
        )
    return fractions


def _parts(root: Path, fractions: Sequence[float], split_seed: int) -> tuple[list[Samples], list[str]]:
    """Return the samples of the training, validation and test sets, and the names of the classes."""
    if not root.is_dir():
        near = closest(root.name, [path.name for path in root.parent.iterdir()]) if root.parent.is_dir() else ""
        raise ConfigError(f"data.folder={root}: there is no such folder.{near} It must have one folder for each class")
    if not _is_split(root):
        files, names = _labelled(root)
        return _dealt(files, names, fractions, split_seed), names
    train, names = _labelled(root / "train")
    others = [
        next((root / name for name in either if (root / name).is_dir()), None) for either in (VALIDATION, ["test"])
    ]
    val, test = ([] if path is None else _labelled(path, names)[0] for path in others)
    if others[0] is None and fractions[1]:
        whole = fractions[0] + fractions[1]
        train, val, _ = _dealt(train, names, (fractions[0] / whole, fractions[1] / whole, 0.0), split_seed)
    return [train, val, test], names


def _is_split(root: Path) -> bool:
    """Say whether ``train`` is a part of the data: a class of that name would have images in it, not folders."""
    train = root / "train"
    return train.is_dir() and bool(_folders(train)) and not any(_is_image(path.name) for path in train.iterdir())


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _labelled(root: Path, known: Sequence[str] | None = None) -> tuple[Samples, list[str]]:
    """Return the images below ``root`` with their classes: those of its folders, or some of the ``known`` ones."""
    names = _folders(root)
    if not names:
        images = sum(_is_image(path.name) for path in root.iterdir())
        there = f"its {images} images must lie in such, of which" if images else "it must have such, of which"
        raise ConfigError(f"data.folder: {root} has no class folders; {there} each has the name of a class")
    if known is not None and (strange := [name for name in names if name not in known]):
        raise ConfigError(
            f"data.folder: {root / strange[0]} is a class that the training images do not have."
            f"{closest(strange[0], list(known))} They have {_listed(known)}"
        )
    classes, samples = list(known or names), []
    for name in names:
        files = _images_below(root / name)
        if not files and known is None:
            raise ConfigError(
                f"data.folder: {root / name} has no images, so there is nothing to learn that class from; "
                f"take it away, or put some there ({' '.join(SUFFIXES)})"
            )
        samples += [(path, classes.index(name)) for path in files]
    return samples, classes


def _images_below(folder: Path) -> list[str]:
    """Return the paths of the images in a folder and those below it, sorted; links are followed, each folder once."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            found += [os.path.join(place, name) for name in files if _is_image(name)]
        seen.add(real)
    return sorted(found)


def _dealt(samples: Samples, names: Sequence[str], fractions: Sequence[float], split_seed: int) -> list[Samples]:
    """Deal the images of each class on its own, so that each set has its share of all; sorted by path."""
    parts: list[Samples] = [[], [], []]
    for label, name in enumerate(names):
        own = [sample for sample in samples if sample[1] == label]
        dealt = split(len(own), fractions, fold(split_seed, "split", name))
        if not len(dealt[0]):
            raise ConfigError(
                f"data.datasets.fractions={[round(share, 4) for share in fractions]}: none of the {len(own)} images "
                f"of the class {name!r} would be trained on; raise the first share, or bring more of them"
            )
        for part, chosen in zip(parts, dealt, strict=True):
            part += [own[i] for i in chosen.tolist()]
    return parts


def _fits(samples: Samples, preprocessing: Mapping[str, Any], random: bool, cache_limit: int) -> bool:
    """Say whether the images may be kept: floats in their final size, or bytes as they are where they are augmented.

    Raises:
        ValueError: If a file that must be asked how large it is cannot be read.
    """
    limit, shape = cache_limit * 2**20, preprocessing["crop"] or preprocessing["size"]
    if shape is not None and not random:
        height, width = (shape, shape) if isinstance(shape, int) else shape
        return len(samples) * len(preprocessing["mean"]) * height * width * 4 <= limit
    for path, _ in samples:
        limit -= (3 if random else 12) * pixels_of(path)
        if limit < 0:
            return False
    return True


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
