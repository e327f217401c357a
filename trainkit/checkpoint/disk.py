"""What the disk has to say, in words: how much is free, and why a file was not written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

SPACE = {errno.ENOSPC, errno.EDQUOT}
REASONS = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file of this size is not allowed (see ulimit -f)",
    errno.EIO: "the disk failed to read or write (I/O error)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "the folder is gone",
    errno.ESTALE: "the network file system lost the folder",
}


def reason(error: OSError, folder: Path, needed: int) -> str:
    """Return why a checkpoint of ``needed`` bytes could not be written to a folder, with its device and the figures."""
    why = REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    text = f"{why} on {device(folder)} ({folder})"
    if error.errno in SPACE:
        return f"{text}: needs {in_words(needed)}, {in_words(free(folder))} free"
    return f"{text}: needs {in_words(needed)}" if error.errno == errno.EFBIG else text


def free(folder: Path) -> int:
    """Return the bytes that may be written to the folder's file system; a folder that cannot be asked has none."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def device(folder: Path) -> str:
    """Return the device that a folder is on as ``mount`` names it, such as /dev/sda1, or else its mount point."""
    folder = Path(os.path.realpath(folder))
    try:
        number = os.stat(folder).st_dev
        wanted = f"{os.major(number)}:{os.minor(number)}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted and len(after.split()) > 1:
                return after.split()[1]
    except OSError:  # not Linux, or the folder is gone
        pass
    while not os.path.ismount(folder) and folder != folder.parent:
        folder = folder.parent
    return str(folder)


def in_words(size: int) -> str:
    """Return a number of bytes as a person reads it, such as ``412 MB``."""
    value, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if value >= 100 else f"{value:.3g} {units[0]}"
