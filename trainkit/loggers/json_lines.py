"""``metrics.jsonl``: one JSON object a record."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from trainkit.checkpoint.files import write_text
from trainkit.loggers.logger import Axis

if TYPE_CHECKING:
    from trainkit.state import Counters

_ENCODER = json.JSONEncoder(allow_nan=False)


class JSONLines:
    """Writes records ``{"step", "epoch", "time", NAME: value, ...}``, time in seconds since 1970.

    JSON knows no NaN: such a value is null and its name stands in ``"non_finite"``.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / "metrics.jsonl"
        self._file: TextIO | None = None

    def log(self, values: dict[str, float], counters: Counters, axis: Axis) -> None:
        """Append a record."""
        broken = {name: str(value) for name, value in values.items() if not math.isfinite(value)}
        record: dict[str, Any] = {"step": counters.step, "epoch": counters.epoch_number, "time": round(time.time(), 3)}
        record |= {name: None if name in broken else value for name, value in values.items()}
        if broken:
            record["non_finite"] = broken
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", buffering=1)  # by line, so that a kill loses none
        self._file.write(_ENCODER.encode(record) + "\n")

    def image(self, name: str, image: Any, counters: Counters) -> None:
        """Leave pictures to others."""

    def hyperparameters(self, parameters: dict[str, Any], metrics: dict[str, float]) -> None:
        """Leave them to ``config.yaml`` and ``summary.json``."""

    def rewind(self, counters: Counters) -> None:
        """Drop the records after ``counters``, and a line that a crash cut off."""
        self.close()  # the file is about to be replaced
        if not self._path.exists():
            return
        steps = [(line, _step(line)) for line in self._path.read_text().splitlines()]
        kept = [line for line, step in steps if step is not None and step < counters.step]
        if counters.logged_step == counters.step:
            kept += [line for line, step in steps if step == counters.step][: counters.logged]
        write_text(self._path, "".join(line + "\n" for line in kept))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _step(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
