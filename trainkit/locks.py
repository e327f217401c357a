"""One process at a time in a run folder, by a lock that ends with the process, however it ends."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trainkit.errors import ConfigError

NAME = ".lock"
TAKEN = {errno.EACCES, errno.EAGAIN}
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

logger = logging.getLogger("trainkit")


@dataclass(slots=True)
class _Lock:
    descriptor: int
    process: int
    holders: int = 1


_held: dict[Path, _Lock] = {}
"""By folder. A POSIX lock belongs to the process and goes with any descriptor of the file, so there is one for all."""
_guard = threading.Lock()


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it is not there; in one process it may be held several times.

    The lock is of the POSIX kind: a child does not inherit it, so that a worker that outlives its run blocks nothing,
    and the kernel releases it when the process dies. The file stays; who held it last stands in it.

    Raises:
        ConfigError: If another process holds it, naming that one, or if the folder cannot be written.
    """
    path = Path(os.path.realpath(folder))
    with _guard:
        lock = _held.get(path)
        if lock is not None and lock.process == os.getpid():
            lock.holders += 1
        else:
            lock = _held[path] = _Lock(_acquired(path, folder), os.getpid())
    try:
        yield
    finally:
        with _guard:
            if lock.process == os.getpid():  # not in a child that was forked within
                lock.holders -= 1
                if not lock.holders:
                    del _held[path]
                    os.close(lock.descriptor)


def _acquired(path: Path, folder: str | Path) -> int:
    """Return a descriptor of the folder's lock file, locked."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be locked for this run: {error.strerror}") from None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise ConfigError(
                f"{folder}: {holder} trains in this folder. Wait for it, stop it, or give another run_dir"
            ) from None
        if error.errno not in UNSUPPORTED:
            os.close(descriptor)
            raise ConfigError(f"{folder}: cannot be locked for this run: {error.strerror}") from None
        logger.warning("%s: its file system has no locks, so a second run in this folder would go unnoticed", folder)
    me = {"pid": os.getpid(), "host": socket.gethostname(), "started": datetime.now().isoformat(" ", "seconds")}
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(me).encode() + b"\n", 0)
    except OSError:  # a full disk: the lock holds all the same, without a name
        logger.debug("%s: the lock does not say whose it is", folder)
    return descriptor


def _holder(descriptor: int) -> str:
    """Say who holds the lock, as far as the file tells: it may just be written, or be of anyone."""
    try:
        content = json.loads(os.pread(descriptor, 1000, 0))
        return f"process {int(content['pid'])} on {str(content['host'])[:100]}, started {str(content['started'])[:30]},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
