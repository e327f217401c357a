"""Image data sets: torchvision's own, and random augmentation of any image tensors."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from trainkit.data.splits import Splits
from trainkit.errors import ConfigError, closest
from trainkit.keys import fold, split

from .pictures import Augment, Transform, complete, transforms


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Apply random transforms to the image of a sample each time that it is read.

    The transforms draw from torch's global generator, which :class:`trainkit.Loader` seeds for each sample: sample i of
    epoch e looks the same in every run, for any number of workers.

    Args:
        images: Shape (samples, channels, height, width), values from 0 to 1.
        labels: Shape (samples,).
        transforms: Called in order, each with one image and returning one.
        mean: Subtracted from each channel after the transforms, which hence see values from 0 to 1.
        std: Divides each channel thereafter.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        transforms: Sequence[Transform],
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        self.images = images
        self.labels = labels
        self.transforms = list(transforms)
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index]
        for transform in self.transforms:
            image = transform(image)
        return (image - self.mean) / self.std, self.labels[index]


def image_dataset(
    images: Tensor,
    labels: Tensor,
    *,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
    augment: Transform | Sequence[Transform] | None = None,
) -> Dataset[Any]:
    """Make a data set of images that are normalised per channel, and augmented if asked.

    Without augmentation the images are normalised once and the result is a plain ``TensorDataset``, which the loader
    reads a whole batch at a time.

    Args:
        images: Shape (samples, channels, height, width), values from 0 to 1. Not kept unless augmented.
        labels: Shape (samples,).
        mean: Of each channel.
        std: Of each channel.
        augment: One transform or several, as those of ``torchvision.transforms.v2``.
    """
    if augment:
        return Augmented(images, labels, [augment] if callable(augment) else augment, mean, std)
    images = images.sub(torch.tensor(mean).view(-1, 1, 1)).div_(torch.tensor(std).view(-1, 1, 1))
    return TensorDataset(images, labels)


class Transformed(Dataset[tuple[Tensor, Tensor]]):
    """Make of each image, each time that it is read, what a network takes.

    Args:
        images: Bytes of shape (samples, channels, height, width).
        labels: Shape (samples,).
        transform: Called with one image; may draw from torch's global generator, as in :class:`Augmented`.
    """

    def __init__(self, images: Tensor, labels: Tensor, transform: Transform) -> None:
        self.images = images
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.labels[index]


class ImageSet(NamedTuple):
    """What the code needs to know about a data set of torchvision: where its files belong and how its pixels spread."""

    class_name: str
    folder: str
    files: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


_IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_CIFAR_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
IMAGE_SETS = {
    "mnist": ImageSet("MNIST", "MNIST/raw", _IDX_FILES, (0.1307,), (0.3081,)),
    "fashion_mnist": ImageSet("FashionMNIST", "FashionMNIST/raw", _IDX_FILES, (0.2860,), (0.3530,)),
    "cifar10": ImageSet(
        "CIFAR10", "cifar-10-batches-py", _CIFAR_FILES, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    ),
}


def torchvision_images(
    name: str,
    folder: str = "data",
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    augment: Augment | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    download: bool = True,
) -> Splits:
    """Read MNIST, Fashion-MNIST or CIFAR-10 through torchvision, downloading the files if they are missing.

    The images are float32 of shape (channels, height, width), normalised with the usual mean and deviation of the set
    unless ``preprocessing`` says others.

    Args:
        name: ``mnist``, ``fashion_mnist`` or ``cifar10``.
        folder: Where the files are, or go: each set has its own sub-folder there, named as torchvision names it.
        validation: Share of the official training images that becomes the validation set, from 0 (none) to below 1.
        split_seed: Which images those are.
        augment: Random transforms of the training images, which they see with values from 0 to 1; with a
            ``preprocessing`` also a name such as ``light``.
        preprocessing: What :func:`trainkit.transfer.require_preprocessing` takes, such as that of the weights. The
            images get its channels, and its size where it has one.
        download: Whether missing files may be fetched.

    Raises:
        ConfigError: If the name is unknown, the share is out of range, or the files are neither there nor to be had.
    """
    if name not in IMAGE_SETS:
        raise ConfigError(
            f"unknown image set {name!r}; known are {', '.join(IMAGE_SETS)}." + closest(name, [*IMAGE_SETS])
        )
    if not 0 <= validation < 1:
        raise ConfigError(
            f"data.datasets.validation={validation} must be at least 0 and below 1: it is a share of the images"
        )
    if isinstance(augment, str | Mapping) and preprocessing is None:
        raise ConfigError(f"data.augment={augment}: goes with a data.preprocessing; without one, give transforms")
    images, labels = _read(name, folder, train=True, download=download)
    train, val = split(len(images), (1 - validation, validation), fold(split_seed, "split"))
    test_images, test_labels = _read(name, folder, train=False, download=False)
    parts = [(images[train], labels[train]), (images[val], labels[val]), (test_images, test_labels)]
    if preprocessing is not None:
        training, evaluation = transforms(complete(preprocessing, None), augment)
        sets: list[Any] = [Transformed(*part, evaluation) for part in parts]
        sets[0].transform = training
    else:
        usual = {"mean": IMAGE_SETS[name].mean, "std": IMAGE_SETS[name].std}
        floats = [(part.float().div_(255), targets) for part, targets in parts]
        sets = [image_dataset(*part, **usual, augment=None if i else augment) for i, part in enumerate(floats)]
    return Splits(sets[0], sets[1] if len(val) else None, sets[2])


def _read(name: str, folder: str, *, train: bool, download: bool) -> tuple[Tensor, Tensor]:
    """Return the images, bytes of shape (samples, channels, height, width), and the labels, int64."""
    import torchvision  # costs a second to import: only for those who ask for its data

    image_set = IMAGE_SETS[name]
    try:
        with _patience(30), contextlib.redirect_stdout(io.StringIO()):  # torchvision prints a line per failed mirror
            source = getattr(torchvision.datasets, image_set.class_name)(folder, train=train, download=download)
    except Exception as error:  # no network, half a file, a wrong checksum, no right to write: one way out of all
        raise ConfigError(_missing(name, folder, download, error)) from error
    images = torch.as_tensor(source.data)
    images = images.permute(0, 3, 1, 2) if images.ndim == 4 else images.unsqueeze(1)
    return images, torch.as_tensor(source.targets, dtype=torch.int64)


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let a connection that gives no sign for so long fail; torchvision would wait for ever behind some firewalls."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _missing(name: str, folder: str, download: bool, error: Exception) -> str:
    """Say which files belong where, for someone who must bring them by hand."""
    image_set = IMAGE_SETS[name]
    place = Path(folder).absolute() / image_set.folder
    absent = [file for file in image_set.files if not (place / file).is_file()]
    reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
    if not absent:
        return (
            f"data={name}: the files in {place} cannot be read ({reason}). Delete them to have them fetched anew, "
            "or name another folder with data.folder=PATH."
        )
    attempt = f"The download failed: {reason}." if download else "data.download=false keeps them from being fetched."
    return (
        f"data={name}: these files are not in {place}: {', '.join(absent)}. {attempt} Put them there, unpacked, "
        f"or name the folder that has {image_set.folder} with data.folder=PATH. data=digits needs no download."
    )
