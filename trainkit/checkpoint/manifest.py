"""The manifest beside each checkpoint: what was saved when, with its size and checksum.

A checkpoint counts from the moment at which its manifest appears. A manifest may come from anywhere, so it is bounded
before it is parsed, held against its own checksum, and can name plain files of its own folder only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from trainkit.checkpoint.files import Written
from trainkit.timing import Moment

MANIFEST_FORMAT = 1
MOST_BYTES = 1 << 20
MOST_FILES = 4096
KEYS = {"format", "serial", "step", "epochs", "seconds", "score", "best", "regular", "files", "checksum"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
CHECKPOINT = re.compile(r"step-([0-9]{8,})(?:-([0-9]+))?\.ckpt")
"""The names that the store gives, such as ``step-00000340.ckpt``, and ``step-00000340-2.ckpt`` where that was taken."""
BIGGEST = 2**63


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a checkpoint without opening it."""

    name: str
    """Of the checkpoint's file."""
    serial: int
    """Counts the saves of a folder: the highest is the newest, whatever its step. 0 for a best one taken over."""
    moment: Moment
    score: float | None
    """How good it is, higher is better; None if nothing was measured."""
    best: bool
    """Whether it was the best one when it was saved."""
    regular: bool
    """Whether it belongs to the run as planned, unlike that of a signal or of a repeated attempt."""
    files: dict[str, Written]

    @property
    def step(self) -> int:
        return self.moment.steps

    @property
    def size(self) -> int:
        return sum(written.size for written in self.files.values())

    def text(self) -> str:
        """Return the manifest as JSON, with a checksum of its own."""
        epochs, step, seconds = self.moment
        content = {
            "format": MANIFEST_FORMAT,
            "serial": self.serial,
            "step": step,
            "epochs": epochs,
            "seconds": seconds,
            "score": self.score,
            "best": self.best,
            "regular": self.regular,
            "files": {name: written._asdict() for name, written in self.files.items()},
        }
        return json.dumps({**content, "checksum": _checksum(content)}, indent=1) + "\n"


def manifest_path(checkpoint: Path) -> Path:
    """Return where the manifest of a checkpoint stands."""
    return checkpoint.with_suffix(".json")


def step_in(name: str) -> int:
    """Return the step in a checkpoint's name."""
    match = CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else 0


def read_manifest(checkpoint: Path) -> Manifest | None:
    """Return the manifest of a checkpoint's file, None if there is none.

    Raises:
        ValueError: If it is damaged, names other files, or is none of a checkpoint; the message says why.
        OSError: As the file system gives it.
    """
    path = manifest_path(checkpoint)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"its manifest {path.name} is no file")
        data = file.read(MOST_BYTES + 1)
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        return _parsed(json.loads(data.decode()), checkpoint.name)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its manifest {path.name} is damaged: {str(error)[:200]}") from None


def _parsed(content: Any, name: str) -> Manifest:
    if not isinstance(content, dict) or not _is_count(content.get("format")):
        raise ValueError("it is no manifest")
    if content["format"] > MANIFEST_FORMAT:
        raise ValueError(
            f"written by a newer trainkit (manifest format {content['format']}; this one reads {MANIFEST_FORMAT})"
        )
    if content.keys() != KEYS:
        raise ValueError(f"it has {', '.join(sorted(map(str, content)))[:100]} instead of {', '.join(sorted(KEYS))}")
    checksum = content.pop("checksum")
    if checksum != _checksum(content):
        raise ValueError("its checksum is wrong")
    for key in ("serial", "step"):
        if not _is_count(content[key]):
            raise ValueError(f"{key} must be a whole number from 0 on")
    for key in ("epochs", "seconds"):
        if not _is_number(content[key]) or content[key] < 0:
            raise ValueError(f"{key} must be a number from 0 on")
    if content["score"] is not None and not _is_number(content["score"]):
        raise ValueError("score must be a number or null")
    for key in ("best", "regular"):
        if not isinstance(content[key], bool):
            raise ValueError(f"{key} must be true or false")
    moment = Moment(float(content["epochs"]), content["step"], float(content["seconds"]))
    files = _files(content["files"], name)
    score, best, regular = content["score"], content["best"], content["regular"]
    return Manifest(name, content["serial"], moment, score, best, regular, files)


def _files(content: Any, name: str) -> dict[str, Written]:
    if not isinstance(content, dict) or not 0 < len(content) <= MOST_FILES:
        raise ValueError("files must name the checkpoint's file")
    for file, entry in content.items():
        if not NAME.fullmatch(file):  # no folder, no parent, no hidden file
            raise ValueError(f"{file[:100]!r} is no plain file name")
        if not isinstance(entry, dict) or entry.keys() != {"size", "sha256"} or not _is_count(entry["size"]):
            raise ValueError(f"{file} must have a size and a sha256")
        if not isinstance(entry["sha256"], str) or not re.fullmatch("[0-9a-f]{64}", entry["sha256"]):
            raise ValueError(f"{file} must have a sha256 of 64 digits")
    if name not in content:
        raise ValueError(f"it is the manifest of {', '.join(content)[:100]}, not of {name}")
    return {file: Written(**entry) for file, entry in content.items()}


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < BIGGEST


def _is_number(value: Any) -> bool:
    return (type(value) is float and isfinite(value)) or (type(value) is int and abs(value) < BIGGEST)
