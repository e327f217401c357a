"""The names in a folder of checkpoints: what is there, what is free, and what is taken over from another folder."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from trainkit.checkpoint.files import CHUNK, Stream, Written, remove, write_atomically, write_text
from trainkit.checkpoint.manifest import Manifest, manifest_path, read_manifest, step_in
from trainkit.checkpoint.reading import CORRUPT, checkpoints, require_old_format
from trainkit.timing import Moment

logger = logging.getLogger("trainkit")


def present_in(folder: Path) -> tuple[Manifest, ...]:
    """Return what the manifests in a folder say, and the files of a release that wrote none."""
    found = []
    for path in checkpoints(folder):
        with suppress(ValueError, OSError):  # what is wrong with a damaged one is said when it would be read
            manifest = read_manifest(path)
            if manifest is None and is_of_old_format(path):
                manifest = _adopted(path.name, None, Written(path.stat().st_size, ""))
            if manifest is not None:
                found.append(manifest)
    return tuple(found)


def holds_a_run(folder: Path) -> bool:
    """Say whether there is anything that a run saved, whole or not.

    A best checkpoint taken over does not count, nor a very first one whose save was cut short before its manifest.
    """
    if os.path.lexists(folder / "last.ckpt") or any(folder.glob(f"step-*.ckpt{CORRUPT}*")):
        return True
    serials = {one.name: one.serial for one in present_in(folder)}
    committed = [path for path in checkpoints(folder) if os.path.lexists(manifest_path(path))]
    others = [path for path in checkpoints(folder) if path not in committed]
    taken_over = all(serials.get(path.name) == 0 for path in committed)
    return not taken_over or len(others) > 1 or any(is_of_old_format(path) for path in others)


def free_path(folder: Path, step: int) -> Path:
    """Return where a checkpoint of this step can be written: over what a crash left, never over one that counts."""
    path, number = folder / f"step-{step:08d}.ckpt", 1
    while os.path.lexists(manifest_path(path)) or is_of_old_format(path) or path.is_dir():
        number += 1
        path = folder / f"step-{step:08d}-{number}.ckpt"
    return path


def is_of_old_format(path: Path) -> bool:
    """Say whether this is a checkpoint of a release that wrote no manifests."""
    try:
        require_old_format(path)
    except (ValueError, OSError):
        return False
    return True


def of_step(folder: Path, step: int) -> Path | None:
    """Return the checkpoint of a step: the one that ``best.ckpt`` names, if it is of that step, or else the newest."""
    best = folder / "best.ckpt"
    linked = os.readlink(best) if best.is_symlink() else ""
    found = [path for path in checkpoints(folder) if step_in(path.name) == step and path.is_file()]
    serials = {one.name: one.serial for one in present_in(folder)}
    return max(found, key=lambda path: (path.name == linked, serials.get(path.name, 0)), default=None)


def take_over(source: Path, folder: Path) -> Path | None:
    """Copy a checkpoint into ``folder``, where it does not count as a state of the run; None if it is damaged."""
    try:
        origin = read_manifest(source)
    except ValueError:
        return None
    known = origin.files[source.name] if origin else None
    for one in present_in(folder):
        if known in one.files.values():  # copied before, by a start that died at once
            return folder / one.name
    path = free_path(folder, step_in(source.name))
    with open(source, "rb") as file:
        written = write_atomically(path, partial(_copy, file))
    if known not in (None, written):
        remove(path)
        logger.warning("%s: its checksum is wrong, so it cannot be kept as the best so far", source)
        return None
    write_text(manifest_path(path), _adopted(path.name, origin, written).text())
    return path


def _adopted(name: str, origin: Manifest | None, written: Written) -> Manifest:
    moment = origin.moment if origin else Moment(0.0, step_in(name), 0.0)
    return Manifest(name, 0, moment, origin.score if origin else None, False, False, {name: written})


def _copy(source: IO[bytes], target: Stream) -> None:
    while data := source.read(CHUNK):
        target.write(data)
