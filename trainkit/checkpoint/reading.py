"""Finding checkpoints and reading them back: each is verified before it is trusted."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainkit.checkpoint.files import Written, link_atomically, remove, sync_folder, write_text
from trainkit.checkpoint.loading import load
from trainkit.checkpoint.manifest import CHECKPOINT, Manifest, manifest_path, read_manifest, step_in
from trainkit.checkpoint.migrations import FORMAT, migrated
from trainkit.errors import ConfigError, TrainingError, closest
from trainkit.timing import Moment

CORRUPT = ".corrupt"
FIRST_FORMAT_WITH_MANIFEST = 2
ATTEMPTS = 5
"""How often a link is followed anew whose file was pruned meanwhile by the run that goes on."""

logger = logging.getLogger("trainkit")


def find(path: str | Path, which: str = "last") -> Path:
    """Return the checkpoint that ``path`` means: a file, or the ``last`` or ``best`` one of a run or checkpoint folder.

    Raises:
        ConfigError: If there is none; the message names what is there.
    """
    path = Path(path)
    for candidate in (path, path / f"{which}.ckpt", path / "checkpoints" / f"{which}.ckpt"):
        if candidate.is_file():
            _file_of(candidate)
            return candidate
    folder = next((place for place in (path, path.parent, path.parent.parent) if place.is_dir()), path.parent)
    near = ("*.ckpt", "checkpoints/*.ckpt", "*/checkpoints/last.ckpt")  # a whole tree may be all of the disk
    names = sorted(str(p.relative_to(folder)) for pattern in near for p in folder.glob(pattern))
    there = f"; there are {', '.join(names[:5])}" if names else ""
    meant = closest(path.name, names).removeprefix(" ") if folder != path else ""
    raise ConfigError(f"resume={path}: no checkpoint there{there}{'. ' if meant else ''}{meant}")


def read(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's state on the CPU, its tensors mapped from the file; code in the file never runs.

    The file is held against the size and checksum in its manifest, or against its own checksums if it has none, such
    as a copy that was taken elsewhere. A state of an older format is returned in today's.

    Raises:
        ConfigError: If the file is no checkpoint of trainkit, was damaged, or is of a newer format.
    """
    path = find(path)
    file, reason = _file_of(path), ""
    for _ in range(ATTEMPTS):
        try:
            return migrated(_state_in(file, read_manifest(file)))
        except Foreign as error:
            raise ConfigError(f"{path}: {error}") from None
        except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
            reason = _line(error)
        before, file = file, _file_of(path)
        if file == before:
            break
    raise ConfigError(f"{path}: cannot be read as a checkpoint: {reason}")


def problem(path: Path) -> str | None:
    """Return what is wrong with one checkpoint's file in words, or None: then it is whole and can be read."""
    try:
        if path.is_symlink():
            return "it is a link"
        migrated(_state_in(path, read_manifest(path)))
    except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
        return _line(error)
    return None


def newest(folder: str | Path) -> Path | None:
    """Return the newest whole checkpoint in a folder of checkpoints, None if there never was one.

    Newer ones that are not whole are set aside as ``*.corrupt``, with one warning each, and the links are mended.

    Raises:
        TrainingError: If there are checkpoints, and none is whole; nothing is changed then.
    """
    folder = Path(folder)
    bad: dict[Path, str] = {}
    candidates: list[tuple[int, int, Path]] = []
    orphans: list[tuple[int, Path]] = []
    for path in checkpoints(folder):
        try:
            manifest = read_manifest(path)
            if not os.path.lexists(path):
                orphans.append((manifest.serial if manifest else 0, path))
            elif manifest is None:
                require_old_format(path)
                candidates.append((0, step_in(path.name), path))
            elif manifest.serial:  # a best one that was taken over is not where this run stands
                candidates.append((manifest.serial, manifest.step, path))
        except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
            bad[path] = _line(error)
    chosen, newest_serial = None, 0
    for serial, _, path in sorted(candidates, reverse=True):
        if not (reason := problem(path)):
            chosen, newest_serial = path, serial
            break
        bad[path] = reason
    if chosen is None:
        chosen = _committed_late(folder, bad)
    for number, path in orphans:
        if chosen is None or number > newest_serial:
            bad[path] = "its manifest is there, the file itself is missing"
        else:  # deleting it was cut short between the two
            remove(manifest_path(path))
    if chosen is not None:
        for path, reason in sorted(bad.items()):
            set_aside(path, reason, chosen)
        _mend_links(chosen)
        return chosen
    bad |= dict.fromkeys(folder.glob(f"step-*.ckpt{CORRUPT}*"), "it was set aside before")
    if bad:
        listed = "".join(f"\n  {path.name}: {reason}" for path, reason in sorted(bad.items()))
        raise TrainingError(
            f"{folder}: none of its checkpoints is whole, so the run cannot go on:{listed}\n"
            "Nothing was changed. Put a good copy back, or start anew with another run_dir"
        )
    return None


def _committed_late(folder: Path, bad: dict[Path, str]) -> Path | None:
    """Give the newest file that only lacks a manifest one, where there is nothing better, and return it.

    The very first save of a run may have been cut short just before its manifest.
    """
    known = [path for path in checkpoints(folder) if path in bad and not os.path.lexists(manifest_path(path))]
    for path in sorted(known, key=lambda path: step_in(path.name), reverse=True):
        if problem(path) is None:
            with _opened(path) as file:
                written = Written(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())
            moment = Moment(0.0, step_in(path.name), 0.0)
            manifest = Manifest(path.name, 1, moment, None, False, True, {path.name: written})
            with suppress(OSError):  # in a folder that cannot be written, it is found anew each time
                write_text(manifest_path(path), manifest.text())
            reason = bad.pop(path)
            logger.warning("%s: %s; it is whole by its own checksums, so it is gone on from", path.name, reason)
            return path
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder by name: every file that is there or that a manifest speaks for."""
    names = os.listdir(folder) if folder.is_dir() else []
    stems = {name.removesuffix(".json") + ".ckpt" if name.endswith(".json") else name for name in names}
    return sorted(folder / name for name in stems if CHECKPOINT.fullmatch(name))


class Foreign(ValueError):
    """A file that is whole, but no checkpoint of this trainkit."""


def _state_in(path: Path, manifest: Manifest | None) -> dict[str, Any]:
    """Return the state in a file as it was saved, verified."""
    for name, written in manifest.files.items() if manifest else ():
        with _opened(path.with_name(name)) as file:
            if (size := os.fstat(file.fileno()).st_size) != written.size:
                raise ValueError(f"{name} has {size} bytes instead of {written.size}")
            if hashlib.file_digest(file, "sha256").hexdigest() != written.sha256:
                raise ValueError(f"the checksum of {name} is wrong: it was damaged or changed")
    with _opened(path):
        state = load(path)
    if manifest is None:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch.load checks no checksums
                raise ValueError(f"{damaged} is damaged")
    if not isinstance(state, dict) or type(state.get("format")) is not int or state["format"] < 1:
        raise Foreign("not a checkpoint of trainkit")
    if not isinstance(state.get("about", {}), dict):
        raise Foreign("not a checkpoint of trainkit: what it is about is no dict")
    if state["format"] > FORMAT:
        about = state.get("about")
        versions = about.get("versions") if isinstance(about, dict) else None
        version = versions.get("trainkit") if isinstance(versions, dict) else None
        writer = f"trainkit {version}" if isinstance(version, str) else "a newer trainkit"
        raise Foreign(f"written by {writer} (format {state['format']}; this one reads up to {FORMAT})")
    return state


def _opened(path: Path) -> Any:
    """Open a plain file, not a folder, or a pipe, which would block, or a link, which may lead anywhere."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path.name} is a {'folder' if stat.S_ISDIR(mode) else 'link or a device'}, not a file")
    return open(path, "rb")


def _file_of(path: Path) -> Path:
    """Return the file that ``last.ckpt`` or ``best.ckpt`` names, which must stand beside it, or ``path`` itself."""
    if not path.is_symlink():
        return path
    target = os.readlink(path)
    if Path(target).name != target or target in ("", ".", "..") or path.with_name(target).is_symlink():
        raise ConfigError(f"{path}: is a link that leads out of its folder, to {target}; name that file itself")
    return path.with_name(target)


def require_old_format(path: Path) -> None:
    """Refuse a file without a manifest, unless it was written when there were none; damaged files raise many errors."""
    with _opened(path):
        state = load(path)
    if not isinstance(state, dict) or state.get("format") not in range(1, FIRST_FORMAT_WITH_MANIFEST):
        raise ValueError("it has no manifest: that was lost, or the save was cut short")


def set_aside(path: Path, reason: str, chosen: Path) -> None:
    """Give a damaged checkpoint the suffix ``.corrupt``, and say why, and from which one the run goes on."""
    number, suffix = 1, CORRUPT
    while os.path.lexists(f"{path}{suffix}") or os.path.lexists(f"{manifest_path(path)}{suffix}"):
        number, suffix = number + 1, f"{CORRUPT}-{number + 1}"
    done = f"set aside as {path.name}{suffix}"
    try:
        for old in (path, manifest_path(path)):
            if os.path.lexists(old):
                os.replace(old, f"{old}{suffix}")
        sync_folder(path.parent)
    except OSError as error:
        done = f"it cannot be set aside ({error.strerror})"
    logger.warning("%s: %s; %s, going on from %s", path.name, reason, done, chosen.name)


def _mend_links(chosen: Path) -> None:
    """Let ``last.ckpt`` name the newest checkpoint, and ``best.ckpt`` the best of those that are there."""
    folder, known = chosen.parent, {}
    for path in checkpoints(folder):
        with suppress(ValueError, OSError):
            known[path.name] = read_manifest(path)
    manifest = known.get(chosen.name)
    scored = [(m.score, -m.serial, name) for name, m in known.items() if m is not None and m.score is not None]
    best = folder / "best.ckpt"
    named = os.readlink(best) if best.is_symlink() else best.name if best.exists() else ""
    if manifest is not None and manifest.best:  # killed between this manifest and the link
        named_now = chosen.name
    elif named in known and (folder / named).is_file():
        named_now = named
    else:
        named_now = max(scored)[2] if scored else ""
    try:
        if named_now and named_now != named:
            link_atomically(best, named_now)
        elif not named_now and best.is_symlink():
            remove(best)
        last = folder / "last.ckpt"
        if not last.is_symlink() or os.readlink(last) != chosen.name:
            link_atomically(last, chosen.name)
    except OSError as error:
        logger.warning("%s: its links cannot be mended: %s", folder, error.strerror)


def _line(error: Exception) -> str:
    """Return an error's first line, since damaged files make long ones."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
