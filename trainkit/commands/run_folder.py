"""The run folder: ``config.yaml``, ``overrides.yaml``, ``summary.json`` and ``log.txt``."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from trainkit.checkpoint.files import write_text
from trainkit.errors import ConfigError
from trainkit.trainer import Trainer

SECRETS = ("token", "password", "secret", "key")


def create(run_dir: str | Path | None, name: str) -> Path:
    """Make a run folder: ``run_dir``, or a new ``runs/NAME/TIME`` under the current folder.

    Raises:
        ConfigError: If it cannot be made or written to, or the name would lead out of ``runs/``.
    """
    if run_dir is None and (not name or name.startswith(".") or set(name) & set("/\\\n\0")):
        raise ConfigError(f"name={name!r}: names a folder under runs/, so it must be a plain file name")
    try:
        if run_dir is not None:
            folder = Path(run_dir)
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = _fresh(Path("runs") / name)
        probe = folder / ".tmp-probe"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"run_dir={run_dir or 'runs/' + name}: cannot be written to: {reason}") from None
    return folder


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
    """Write the resolved config and the overrides that led to it."""
    write_text(folder / "config.yaml", config)
    write_text(folder / "overrides.yaml", "".join(f"- {json.dumps(override)}\n" for override in overrides))


def write_summary(folder: Path, trainer: Trainer, overrides: Sequence[str]) -> dict[str, Any]:
    """Write ``summary.json``: how the run ended and with what numbers."""
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
        "command": command("train", overrides),
        "versions": versions(),
        "git_commit": git_commit(),
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def command(name: str, overrides: Sequence[str], python: str = "python") -> str:
    """Return a command line that a shell takes, with the values of secrets masked."""
    shown = []
    for override in overrides:
        key, equals, _ = override.partition("=")
        secret = equals and any(word in key.lower().rsplit(".", 1)[-1] for word in SECRETS)
        shown.append(shlex.quote(f"{key}=***" if secret else override))
    return " ".join([f"{python} -m trainkit", *([] if name == "train" else [name]), *shown])


def versions() -> dict[str, str]:
    """Return the versions of Python, trainkit and torch."""
    import torch

    from trainkit import __version__

    return {"python": sys.version.split()[0], "trainkit": __version__, "torch": str(torch.__version__)}


def git_commit() -> str | None:
    """Return the commit of the current folder's checkout, None outside one."""
    try:
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None
