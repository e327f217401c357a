"""Data sets of the recipes: each function returns three sets as :class:`trainkit.data.Splits`."""

from .embedded import auto_mpg, digits
from .folders import ImageFiles, class_names, image_folder
from .images import Augmented, image_dataset, torchvision_images
from .photographs import photographs
from .pictures import read_picture

__all__ = [
    "Augmented",
    "ImageFiles",
    "auto_mpg",
    "class_names",
    "digits",
    "image_dataset",
    "image_folder",
    "photographs",
    "read_picture",
    "torchvision_images",
]
