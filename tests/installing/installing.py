"""Wheels and environments of their own, made without the network, for the tests of what is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ("trainkit", "configs", "recipes", "template")


def elsewhere() -> dict[str, str]:
    """Return this environment without what leads to the checkout."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    """Run a program that must end with an exit code; return what it printed, errors included."""
    process = subprocess.run(
        command, cwd=cwd, env=elsewhere(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.returncode == code, process.stdout[-3000:]
    return process.stdout


def copied_checkout(folder: Path) -> Path:
    """Copy the sources, so that neither the build nor an old build/ folder meets the real ones."""
    for name in SHIPPED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def built(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree into a folder."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, source, cwd=source)
    return next(folder.glob("*.whl"))


def made_environment(folder: Path) -> Path:
    """Make an environment that borrows all that this one has, after its own packages; return its ``bin``."""
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def install(bin_folder: Path, *what: str | Path) -> None:
    """Install wheels or source trees into an environment, and nothing that they need."""
    pip = (sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *what, cwd=bin_folder)
