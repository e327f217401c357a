"""Real photographs in class folders that a Debian package carries: birds, fruit, insects, mammals and vehicles."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from trainkit.data.splits import Splits
from trainkit.errors import ConfigError

from .folders import image_folder

PACKAGE = "tuxpaint-stamps-default"
STAMPS = "/usr/share/tuxpaint/stamps"
"""Where that package puts its pictures."""
CLASSES = {
    "birds": "animals/birds",
    "fruit": "food/fruit",
    "insects": "animals/insects",
    "mammals": "animals/mammals",
    "vehicles": "vehicles",
}


def photographs(folder: str | Path = "data/photographs", *, source: str | Path = STAMPS, **options: Any) -> Splits:
    """Read 204 pictures of five classes, most of them photographs cut out of their background.

    They are the stamps of Tux Paint, from Debian's package ``tuxpaint-stamps-default`` (GPL-2), which is not a part of
    trainkit: install it, and links to its folders are laid into ``folder`` at the first run.

    Args:
        folder: Where the class folders are, or go.
        source: Where the package has put its pictures.
        options: Those of :func:`image_folder`.

    Raises:
        ConfigError: If the pictures are neither in ``folder`` nor in ``source``, or as :func:`image_folder` does.
    """
    if not Path(folder).is_dir():
        lay(folder, source)
    return image_folder(folder, **options)


def lay(folder: str | Path, source: str | Path = STAMPS) -> None:
    """Make a folder with one link for each class to the pictures of the package, copies where links cannot be.

    Raises:
        ConfigError: If the package's pictures are not there, or the folder cannot be made.
    """
    root, stamps = Path(folder), Path(source).absolute()
    if missing := [place for place in CLASSES.values() if not (stamps / place).is_dir()]:
        raise ConfigError(
            f"data.folder={folder}: there is no such folder, and {stamps / missing[0]} is not there either, from which "
            f"it could be made; on Debian or Ubuntu: apt-get install {PACKAGE}. data=image_folder reads any photographs"
        )
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(dir=root.parent, prefix=".photographs-"))
        try:
            made.chmod(0o755)
            for name, place in CLASSES.items():
                _link(made / name, stamps / place)
            made.rename(root)  # whole or not at all
        except OSError:
            shutil.rmtree(made)
            if not root.is_dir():  # else another run was quicker
                raise
    except OSError as error:
        raise ConfigError(f"data.folder={folder}: the folder cannot be made: {error}") from None


def _link(link: Path, folder: Path) -> None:
    """Make a link to a folder, or a copy of it where the system or the file system has no links."""
    try:
        link.symlink_to(folder, target_is_directory=True)
    except OSError:
        shutil.copytree(folder, link)
