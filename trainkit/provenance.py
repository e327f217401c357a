"""Where a run comes from: versions of what it ran with, and the commit of the code in the current folder."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from typing import Any

from trainkit import __version__

PATIENCE = 5.0
"""Seconds after which git is not waited for: a checkout on a slow network may take minutes to look through."""


def versions() -> dict[str, str]:
    """Return the versions of Python, trainkit and what computes, by name; torch need not be imported for it."""
    found = {"python": platform.python_version(), "trainkit": __version__}
    for name in ("torch", "numpy"):
        if (version := _version(name)) is not None:
            found[name] = version
    return found


def git_commit() -> str | None:
    """Return the commit of the current folder's checkout as this process met it first, None outside one."""
    return _checkout(os.getcwd())[0]


def git_dirty() -> bool | None:
    """Say whether tracked files differed from that commit, None where there is none."""
    return _checkout(os.getcwd())[1]


def about() -> dict[str, Any]:
    """Return where a checkpoint comes from, as plain types."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "git_commit": git_commit(),
        "git_dirty": git_dirty(),
    }


def _version(name: str) -> str | None:
    if name in sys.modules:
        return str(sys.modules[name].__version__)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@cache
def _checkout(folder: str) -> tuple[str | None, bool | None]:
    """Return the commit of a checkout and whether files differ from it; asked once, for the process runs that code."""
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        found = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    lines = found.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    if found.returncode != 0 or commit in (None, "(initial)"):
        return None, None
    return commit, any(not line.startswith("#") for line in lines)
