"""``${class_folders:FOLDER}``: the number of class folders, so that a config knows its classes when it is composed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import omegaconf
from omegaconf import OmegaConf

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Of pictures, in small letters."""


def class_folders(folder: object) -> int | None:
    """Return how many class folders a folder of pictures has, None where it has none.

    Where it is split, into ``train`` and others, those of ``train`` count. Hidden folders are none.

    Args:
        folder: As :func:`trainkit.recipes.data.image_folder` takes it.
    """
    if not isinstance(folder, str):
        return None
    train, pictures = _inside(Path(folder) / "train")
    return train if train and not pictures else _inside(Path(folder))[0] or None


def _inside(folder: Path) -> tuple[int, bool]:
    """Return how many folders one holds, and whether it holds pictures itself."""
    folders, pictures = 0, False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                shown = not entry.name.startswith(".")
                folders += shown and entry.is_dir()
                pictures |= shown and entry.name.lower().endswith(SUFFIXES)
    except (OSError, ValueError):
        return 0, False
    return folders, pictures


def register() -> None:
    """Make the resolver known to OmegaConf."""
    present = omegaconf.__version__.startswith("2.3.")  # a later release takes the older name for the same
    take: Any = OmegaConf.register_new_resolver if present else OmegaConf.register_resolver
    take("class_folders", class_folders, replace=True)
