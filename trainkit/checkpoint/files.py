"""Files that appear whole or not at all, whenever the process dies or the power goes.

Everything goes through the functions of ``os``, one call for each operation of the file system, so that a test can
stop the world before any of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

CHUNK = 1 << 20
TEMPORARY = ".tmp-"
"""What the name of an unfinished file begins with; the next start sweeps them out."""


class Written(NamedTuple):
    """What a file holds."""

    size: int
    sha256: str


class Stream:
    """A file that is being written: counts and hashes what goes in, chunk by chunk while it is in the cache.

    ``write`` never raises. Some writers, such as ``torch.save``, bury the error of a file under one of their own
    when they close it; so the first error is kept here, what follows is dropped, and ``finish`` raises it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._waiting = descriptor, bytearray()
        self._digest, self._size = hashlib.sha256(), 0
        self._error: BaseException | None = None

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take in bytes; they reach the file system in chunks."""
        view = memoryview(data).cast("B")
        if self._error is None:
            try:
                if len(view) < CHUNK:
                    self._waiting += view
                if len(view) >= CHUNK or len(self._waiting) >= CHUNK:
                    self._pass_on()
                if len(view) >= CHUNK:
                    self._put(view)
            except BaseException as error:  # noqa: BLE001 - a KeyboardInterrupt would get lost too; finish raises it
                self._error = error
        return len(view)

    def flush(self) -> None:
        """Do nothing: ``finish`` flushes."""

    def finish(self) -> Written:
        """Put everything on the disk and return what the file holds; raises the first error there was."""
        if self._error is None:
            self._pass_on()
            os.fsync(self._descriptor)
            return Written(self._size, self._digest.hexdigest())
        raise self._error

    def _pass_on(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        self._put(memoryview(waiting))

    def _put(self, view: memoryview) -> None:
        for start in range(0, len(view), CHUNK):
            chunk = view[start : start + CHUNK]
            self._digest.update(chunk)
            self._size += len(chunk)
            while chunk:
                chunk = chunk[os.write(self._descriptor, chunk) :]


def write_atomically(path: Path, write: Callable[[Stream], object]) -> Written:
    """Write a file beside ``path`` and rename it onto ``path`` once it is on the disk; return its size and checksum.

    Raises:
        OSError: As the file system gives it; what was at ``path`` before is still there.
    """
    temporary = _temporary(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            stream = Stream(descriptor)
            write(stream)
            written = stream.finish()
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    sync_folder(path.parent)
    return written


def write_text(path: Path, text: str) -> Written:
    """Write a text file atomically."""
    return write_atomically(path, lambda stream: stream.write(text.encode()))


def link_atomically(link: Path, target: str) -> None:
    """Let the symbolic link name ``target``, a file beside it; at every moment it names the old or the new one."""
    temporary = _temporary(link)
    remove(temporary)
    try:
        os.symlink(target, temporary)
        os.replace(temporary, link)
    except BaseException:
        remove(temporary)
        raise
    sync_folder(link.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder with its parents, each of which survives a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with suppress(FileExistsError):  # another process was quicker; a file of this name fails below
            os.mkdir(folder)
        sync_folder(folder)
        sync_folder(folder.parent)


def probe(folder: Path) -> None:
    """Do once in ``folder`` all that a checkpoint needs: create, write, sync, rename, link, delete.

    Raises:
        OSError: As the file system gives it, if one of them is not possible there.
    """
    path, link = folder / f"{TEMPORARY}probe", folder / f"{TEMPORARY}probe-link"
    try:
        write_text(path, "probe")
        link_atomically(link, path.name)
    finally:
        remove(link)
        remove(path)


def remove(path: Path) -> None:
    """Delete a file if it is there and can be; a temporary one that cannot is swept out at the next start."""
    with suppress(OSError):
        os.unlink(path)


def _temporary(path: Path) -> Path:
    """Return the name under which a file is made: in the same folder, since a rename works within a file system."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
