"""The run folder: ``config.yaml``, ``overrides.yaml``, ``summary.json`` and ``log.txt``."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trainkit.checkpoint.files import TEMPORARY, probe, write_text
from trainkit.commands.run_dir import possible
from trainkit.config.checking.masking import masked_override
from trainkit.config.schema.root import is_plain_name
from trainkit.data import Loader
from trainkit.errors import ConfigError
from trainkit.locks import NAME as LOCK
from trainkit.provenance import git_commit, versions
from trainkit.trainer import Trainer


def create(run_dir: str | Path | None, name: str) -> Path:
    """Make a run folder: ``run_dir``, or a new ``runs/NAME/TIME`` under the current folder.

    Raises:
        ConfigError: If it cannot be made or written to, or the name would lead out of ``runs/``.
    """
    run_dir = possible(run_dir)
    name = str(name)
    if run_dir is None and not is_plain_name(name):
        raise ConfigError(f"name={name[:200]!r}: names a folder under runs/, so it must be a plain file name")
    try:
        if run_dir is not None:
            folder = run_dir
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _fresh(Path("runs") / name)
        probe(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"run_dir={str(run_dir or 'runs/' + name)[:200]}: cannot be written to: {reason}") from None
    return folder


def standing(run_dir: Path | None, name: str) -> Path:
    """Return the folder that a run folder would be made in or below: the nearest one that is there."""
    place = Path("runs") / name if run_dir is None else run_dir
    return next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())


def withdraw(folder: Path, standing: Path) -> None:
    """Remove a run folder that was just made and holds nothing but its lock, and those around it below ``standing``.

    One that holds anything else, or was there before, stays.
    """
    around = [folder.absolute(), *folder.absolute().parents]
    below = around[: around.index(standing.absolute())] if standing.absolute() in around else []
    if not below or {entry.name for entry in folder.iterdir()} - {LOCK}:
        return
    (folder / LOCK).unlink(missing_ok=True)
    for made in below:
        try:
            made.rmdir()
        except OSError:  # another run is in it
            return


def sweep(folder: Path) -> None:
    """Delete what a run that was killed in a folder left half-written; whoever calls it has the folder's lock.

    Raises:
        ConfigError: If it cannot be deleted.
    """
    for place in (folder, folder / "tensorboard"):
        for leftover in () if place.is_symlink() else place.glob(f"{TEMPORARY}*"):
            try:
                leftover.unlink()
            except OSError as error:
                raise ConfigError(f"{leftover}: was left by a killed run, and cannot be deleted: {error}") from None


def _fresh(parent: Path) -> Path:
    """Return a new folder named by the time, also when two runs start within one second."""
    parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1000):
        folder = parent / (f"{stamp}_{number}" if number else stamp)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise OSError(f"no free name like {parent / stamp}")


def write_config(folder: Path, config: str, overrides: Sequence[str]) -> None:
    """Write the resolved config, in which secrets are masked already, and the overrides that led to it."""
    write_text(folder / "config.yaml", config)
    shown = [masked_override(override) for override in overrides]
    write_text(folder / "overrides.yaml", "".join(f"- {json.dumps(override)}\n" for override in shown))


def write_summary(
    folder: Path,
    trainer: Trainer,
    overrides: Sequence[str],
    warnings: Sequence[str] = (),
    weights: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write ``summary.json``: how the run ended and with what numbers, and what was warned of on the way.

    Args:
        folder: The run folder.
        trainer: After the training.
        overrides: Those of the command line.
        warnings: What was warned of.
        weights: What was loaded at the run's start, as a :class:`trainkit.transfer.LoadReport` tells it.
    """
    counters, best = trainer.counters, trainer.best
    summary = {
        "status": trainer.ending.status,
        "stop_reason": trainer.ending.reason,
        "metrics": {name: value if math.isfinite(value) else None for name, value in trainer.metrics.items()},
        "best": None
        if best.value is None
        else {"metric": best.metric, "value": best.value, "epoch": best.epoch, "step": best.step},
        "steps": counters.step,
        "epochs": counters.epoch,
        "seconds": round(counters.seconds, 3),
        "samples_per_second": round(counters.samples / max(counters.seconds, 1e-9), 1),
        "seed": trainer.seed,
        "weights": dict(weights) if weights else None,
        "freeze": trainer.freeze.table(),
        "warnings": [*warnings, *_left_out(trainer)],
        "command": command("train", overrides),
        "versions": versions(),
        "git_commit": git_commit(),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def _left_out(trainer: Trainer) -> list[str]:
    """Say how many samples ``data.on_error=skip`` left out."""
    loaders = [loader for loader in (trainer.train_loader, trainer.val_loader) if isinstance(loader, Loader)]
    return [
        f"data.{loader.name}: samples left out because they raised: {loader.errors}"
        for loader in loaders
        if loader.errors
    ]


def command(name: str, overrides: Sequence[str], python: str = "python") -> str:
    """Return a command line that a shell takes, with the values of secrets masked."""
    shown = [shlex.quote(masked_override(override)) for override in overrides]
    return " ".join([f"{python} -m trainkit", *([] if name == "train" else [name]), *shown])
