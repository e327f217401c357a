"""Where a run may be kept, judged before anything is written. Imports no torch."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from trainkit.errors import ConfigError

RECORDS = ("config.yaml", "overrides.yaml", "summary.json", "metrics.jsonl", "log.txt", "tensorboard", "checkpoints")
"""What a run writes into its folder."""


def possible(run_dir: str | Path | None) -> Path | None:
    """Return the path of a ``run_dir`` as it was given, refused if it cannot be meant; nothing is written.

    Raises:
        ConfigError: If it leads out of the current folder by ``..``, is a file, no path at all, or has links in it.
    """
    if run_dir is None:
        return None
    path, shown = Path(str(run_dir)), str(run_dir)[:200]  # run_dir=2026 is a number to a config
    if not str(run_dir).isprintable() or not str(run_dir).strip():
        raise ConfigError(f"run_dir={shown!r}: must be the path of a folder, without control characters")
    if ".." in path.parts and not path.is_absolute():
        raise ConfigError(f"run_dir={shown}: leads out of the current folder; if that is meant: {path.resolve()}")
    try:
        found = path.stat()
    except FileNotFoundError:
        return path
    except (OSError, ValueError) as error:
        raise ConfigError(f"run_dir={shown}: cannot be a folder: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"run_dir={shown}: is a file; a run needs a folder")
    for name in RECORDS:  # a stranger's run folder could have this run write to any file of yours
        if (path / name).is_symlink():
            raise ConfigError(f"run_dir={shown}: its {name} is a link that leads out of the run folder; make it plain")
    return path


def quoted(text: str) -> str:
    """Return a text as an override's value that is read as that very text, whatever is in it."""
    if re.fullmatch(r"[\w./-]+", text, re.ASCII) and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    escaped = text.replace('\\"', '\\\\"').replace('"', '\\"')
    return f'"{escaped}"'
