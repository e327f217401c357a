"""The schema of what transfer learning builds: data sets of pictures, networks by name, adapters, teachers."""

from __future__ import annotations

from typing import Any

from trainkit.config.schema.transferring import PREPROCESSING, Preprocessing
from trainkit.values import REQUIRED, key, part


@part
class FreezeTable:
    """Shows the freeze plan at the start and at each change."""

    _target_: str = "trainkit.callbacks.FreezeTable"
    console: Any = key(None, "Where to write, a rich Console; null: the standard output.", node=True)


@part
class ImageFolder:
    """Pictures of your own: a folder for each class, or train, val and test with such."""

    _target_: str = "trainkit.recipes.data.image_folder"
    folder: str = key(REQUIRED, "Where the class folders are, or train, val and test.")
    fractions: list[float] = key(
        [0.6, 0.2, 0.2],
        "Shares of the training, validation and test sets, where the folder has no split.",
        least=0,
        most=1,
        length=3,
    )
    split_seed: int = key(0, "Which pictures go where.", least=0)
    size: int | None = key(224, "Pixels of the shorter side, and of both after the crop.", least=1)
    classes: int | None = key(None, "How many class folders there must be; null: any number.", least=1)
    preprocessing: Any = key(None, "What is done to every picture.", kind=PREPROCESSING, within=Preprocessing)
    augment: Any = key(None, "Random transform of the training pictures, or a list of them.")
    cache_limit: int = key(512, "MiB of decoded pictures that may stay in memory.", least=0)


@part
class Photographs(ImageFolder):
    """204 pictures of birds, fruit, insects, mammals and vehicles."""

    _target_: str = "trainkit.recipes.data.photographs"
    folder: str = key("data/photographs", "Where the class folders are, or go.")
    source: str = key("/usr/share/tuxpaint/stamps", "Where Debian's tuxpaint-stamps-default puts them.")


@part
class TorchvisionModel:
    """A classification network of torchvision by its name, untrained."""

    _target_: str = "trainkit.recipes.networks.torchvision_model"
    name: str = key(REQUIRED, "Such as resnet18, efficientnet_b0 or vit_b_16.")
    outputs: int = key(REQUIRED, "Number of classes.", least=1)


@part
class TimmModel:
    """A classification network of timm by its name, untrained."""

    _target_: str = "trainkit.recipes.networks.timm_model"
    name: str = key(REQUIRED, "Such as resnet18, tf_efficientnet_lite0 or vit_tiny_patch16_224.")
    outputs: int = key(REQUIRED, "Number of classes.", least=1)
    channels: int = key(3, "Channels of the images.", least=1)


@part
class Adapted:
    """A network whose linear layers and convolutions get low-rank adapters."""

    _target_: str = "trainkit.recipes.adapters.adapted"
    model: Any = key(REQUIRED, "The network, an nn.Module.", node=True)
    match: Any = key("*", "Globs over the names of the layers that get one.", kind=str | list[str])
    rank: int = key(4, "Of the change that each weight can undergo.", least=1)
    alpha: float = key(8.0, "Strength: the change is multiplied with alpha / rank.", more_than=0)
    skip: list[str] = key([], "Globs over the names of those that get none.")


@part
class Distilled:
    """The objective of a network that has a teacher."""

    _target_: str = "trainkit.recipes.distillation.distilled"
    loss: Any = key(REQUIRED, "That of the labels, such as one of torch.nn.", node=True)
    teacher: Any = key(REQUIRED, "A network that gives scores of the same classes.", node=True)
    weights: str | None = key(REQUIRED, "The teacher's: a run folder, a checkpoint or a file of weights.")
    temperature: float = key(4.0, "Softens the probabilities of both.", more_than=0)
    share: float = key(0.9, "Of the teacher in the loss; the labels have the rest.", least=0, most=1)


TRANSFER: tuple[type, ...] = (
    *(FreezeTable, ImageFolder, Photographs, TorchvisionModel, TimmModel, Adapted, Distilled),
)
TAKES_MORE = (TorchvisionModel, TimmModel)
"""Those that hand over what else they are given."""
