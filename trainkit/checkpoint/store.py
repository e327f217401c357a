"""The checkpoints of a run: ``step-N.ckpt`` files, and the links ``last.ckpt`` and ``best.ckpt``."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainkit.checkpoint.files import link_atomically, write_atomically
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Every, Moment, duration

FORMAT = 1
UNREADABLE = (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OSError)


class Store:
    """A folder of checkpoints, each written whole before an older one goes.

    Args:
        folder: Made when the first checkpoint is saved.
        every: How often to save besides at the end, such as ``"1ep"``, ``"500st"`` or ``"30min"``; None: only then.
        keep_last: How many of the newest to keep; the best one always stays.
    """

    def __init__(self, folder: str | Path, *, every: str | None = "1ep", keep_last: int = 2) -> None:
        if keep_last < 1:
            raise ConfigError(f"checkpoint.keep_last={keep_last}: must be at least 1")
        self.folder, self.keep_last = Path(folder), keep_last
        self._every = Every(duration(every) if every else None)

    @property
    def last(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.folder / "best.ckpt"

    def open(self, moment: Moment) -> None:
        """Make the folder, sweep out what a crash left half-written, and count what is due from ``moment`` on.

        Raises:
            ConfigError: If nothing can be written there, or a run that starts would write over another one.
        """
        if self.last.exists() and moment.epochs == 0 and moment.steps == 0:
            raise ConfigError(
                f"{self.folder} holds the checkpoints of a run: resume it, or give another run_dir to keep it"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".tmp-*"):
                leftover.unlink()
            probe = self.folder / ".tmp-probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(f"checkpoints cannot be written to {self.folder.absolute()}: {error.strerror}") from None
        self._every.start(moment)

    def is_due(self, moment: Moment) -> bool:
        """Say whether it is time for a regular checkpoint."""
        return self._every.is_due(moment)

    def save(self, state: dict[str, Any], step: int, *, best: bool = False) -> Path:
        """Write ``state``, tensors and plain types, as the newest checkpoint, and as the best one if it is.

        Raises:
            TrainingError: If a weight is not finite; what is saved is always good to go on from.
            OSError: As the file system gives it; older checkpoints stay.
        """
        if not _finite(state["model"]):
            raise TrainingError(
                f"step {step}: a weight is not finite, so nothing was saved; the last good ones are in {self.folder}. "
                "Try a smaller optimizer.lr or trainer.gradient_clip_val=1.0"
            )
        path = self.folder / f"step-{step:08d}.ckpt"
        write_atomically(path, lambda file: torch.save({"format": FORMAT, **state}, file))
        if best:  # before the last one: killed in between, the run goes on from before and finds it best again
            link_atomically(self.best, path.name)
        link_atomically(self.last, path.name)
        self._prune()
        return path

    def adopt_best(self, source: Path, step: int) -> bool:
        """Let ``best.ckpt`` name the checkpoint of ``step`` that stands beside ``source``, copied if that is elsewhere.

        Returns False if there is none: it was moved away, or a run went on from there and found a better one.
        """
        best = source.resolve().parent / f"step-{step:08d}.ckpt"
        if not best.is_file():
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        if best.parent != self.folder.resolve():
            write_atomically(self.folder / best.name, lambda file: file.write(best.read_bytes()))
        link_atomically(self.best, best.name)
        return True

    def _prune(self) -> None:
        kept = {link.resolve() for link in (self.last, self.best) if link.exists()}
        for old in sorted(self.folder.glob("step-*.ckpt"))[: -self.keep_last]:
            if old.resolve() not in kept:
                old.unlink()


class NoStore(Store):
    """The store of a run without a folder: nothing is ever due."""

    def __init__(self) -> None:
        super().__init__(os.devnull, every=None)

    def open(self, moment: Moment) -> None:
        """Need nothing."""

    def adopt_best(self, source: Path, step: int) -> bool:
        """Keep the record of the best, though not its weights."""
        return True

    def save(self, state: dict[str, Any], step: int, *, best: bool = False) -> Path:
        """Save nothing."""
        return Path()


def _finite(weights: dict[str, Any]) -> bool:
    """Say whether all weights are finite, by one host-device sync; a mask of 0 and -inf among the buffers may stay."""
    floats = [w for w in weights.values() if isinstance(w, Tensor) and w.is_floating_point()]
    norms = torch.stack([n.float() for n in torch._foreach_norm(floats)]).tolist() if floats else []
    suspects = [w for w, norm in zip(floats, norms, strict=True) if not isfinite(norm)]
    return all(bool(w.isfinite().all()) or bool(((w == 0) | w.isneginf()).all()) for w in suspects)


def find(path: str | Path, which: str = "last") -> Path:
    """Return the checkpoint that ``path`` means: a file, or the ``last`` or ``best`` one of a run or checkpoint folder.

    Raises:
        ConfigError: If there is none; the message names what is there.
    """
    path = Path(path)
    for candidate in (path, path / f"{which}.ckpt", path / "checkpoints" / f"{which}.ckpt"):
        if candidate.is_file():
            return candidate
    folder = path if path.is_dir() else path.parent
    near = ("*.ckpt", "checkpoints/*.ckpt", "*/checkpoints/last.ckpt")  # a whole tree may be all of the disk
    names = sorted(str(p.relative_to(folder)) for pattern in near for p in folder.glob(pattern))
    there = f"; there are {', '.join(names[:5])}" if names else ""
    raise ConfigError(f"resume={path}: no checkpoint there{there}")


def read(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's state on the CPU. Only tensors and plain types are read; code in the file never runs.

    Raises:
        ConfigError: If the file is no checkpoint of trainkit, was damaged, or is of a newer format.
    """
    path = find(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch.load checks no checksums
                raise ValueError(f"{damaged} is damaged")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{path}: cannot be read as a checkpoint: {reason}") from None
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise ConfigError(f"{path}: not a checkpoint of trainkit")
    if state["format"] > FORMAT:
        raise ConfigError(
            f"{path}: written by a newer trainkit (format {state['format']}; this one reads up to {FORMAT})"
        )
    return state
