"""Data sets of the recipes: each function returns three sets as :class:`trainkit.data.Splits`."""

from .embedded import auto_mpg, digits
from .images import Augmented, image_dataset, torchvision_images

__all__ = ["Augmented", "auto_mpg", "digits", "image_dataset", "torchvision_images"]
