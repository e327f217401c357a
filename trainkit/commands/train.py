"""``trainkit train``: read the line, compose and check its config, and only then import torch and train it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from trainkit.commands import COMMANDS
from trainkit.config.checking.check import check, sound
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.line import Line, read_line
from trainkit.config.composing.stored import compose_line


def main(arguments: Sequence[str]) -> int:
    """Train as the command line says and return the exit code."""
    line = read_line(arguments, commands=list(COMMANDS))
    if line.has("--cfg", "-c", "--info", "-i", "--resolve"):
        return _show(line, arguments)
    if line.sweeps:
        return _sweep(line)
    composed = compose_line(line)
    findings = sound(composed)
    from trainkit.commands.training import train

    return train(composed, line.shown, findings).exit_code


def _show(line: Line, arguments: Sequence[str]) -> int:
    """Print what ``--cfg`` or ``--info`` asks for, without secrets: what is printed is passed on."""
    from trainkit.config.checking.masking import hidden_lines, typed_secrets
    from trainkit.config.composing.sweeps import show

    told = StringIO()
    try:
        with redirect_stdout(told):
            show(line)
    finally:
        print(hidden_lines(told.getvalue(), typed_secrets(arguments)), end="")
    return 0


def _sweep(line: Line) -> int:
    """Train each job of a sweep, once all values of all of them were found sound."""
    from trainkit.config.composing.sweeps import run_sweep

    codes: list[int] = []

    def job(composed: Composed, overrides: list[str], folder: Path | None) -> float | None:
        findings = sound(composed)
        from trainkit.commands.training import train

        result = train(composed, [*overrides, *line.folder_flag], findings, folder)
        codes.append(result.exit_code)
        return result.metrics.get(composed.config.monitor.metric)

    run_sweep(line, job, check)
    return max(codes, default=0)
