"""Loggers: metrics.jsonl and TensorBoard; anything with the methods of :class:`Logger` is one."""

from typing import Any

from trainkit.loggers.json_lines import JSONLines as JSONLines
from trainkit.loggers.logger import Axis as Axis
from trainkit.loggers.logger import Logger as Logger
from trainkit.loggers.logger import Loggers as Loggers


def __getattr__(name: str) -> Any:
    if name == "TensorBoard":  # its package is slow to import, so only when it is asked for
        from trainkit.loggers.tensorboard import TensorBoard

        return TensorBoard
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
