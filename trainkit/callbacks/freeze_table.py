"""The table of a freeze plan: what trains, at what rate, and when that changes."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from trainkit.callbacks.callback import Callback
from trainkit.callbacks.progress import StandardOutput

if TYPE_CHECKING:
    from trainkit.objectives import Output
    from trainkit.trainer import Trainer

log = logging.getLogger("trainkit")

COLUMNS = ("group", "parameters", "trained", "lr", "weight decay", "norm", "when")
WIDEST = 40
"""Characters of a group's name that are shown."""


class FreezeTable(Callback):
    """Shows the freeze plan at the start and at each change: on the terminal, in ``log.txt`` and in the loggers.

    A run without a plan has no table.

    Args:
        console: Where to write; None takes the standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._seen = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Show what the plan begins, or goes on, with."""
        self._show(trainer)

    def on_step_end(self, trainer: Trainer, output: Output) -> None:
        """Show the table again after the first step of a new phase."""
        if trainer.freeze.changes != self._seen:
            self._show(trainer)

    def _show(self, trainer: Trainer) -> None:
        self._seen = trainer.freeze.changes
        rows = trainer.freeze.table()
        if not rows:
            return
        lines = freeze_table(rows)
        log.info("step %d:\n%s", trainer.counters.step, "\n".join(lines))
        for line in lines:
            (self._console or StandardOutput()).print(Text(line), soft_wrap=True)
        trainer.loggers.text("freeze", _markdown(rows), trainer.counters)


def freeze_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a plan's table in plain text; the first are of the columns' names."""
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    right = (1, 3, 4)
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name = row["group"] if len(row["group"]) <= WIDEST else f"{row['group'][: WIDEST - 3]}..."
    rate = "" if row["lr"] is None else f"{row['lr']:.3g}"
    decay = "" if row["weight_decay"] is None else f"{row['weight_decay']:g}"
    return name, f"{row['parameters']:,}", "yes" if row["trainable"] else "no", rate, decay, row["norm"], row["when"]


def _markdown(rows: Sequence[dict[str, Any]]) -> str:
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(_cells(row) for row in rows)]
    escaped = ([re.sub(r"([|*_])", r"\\\1", cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
