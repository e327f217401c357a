"""What a person reads: the banner before a run and the table after it. All of it goes into ``log.txt`` too."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainkit.commands.run_dir import quoted
from trainkit.commands.run_folder import command
from trainkit.config.checking.masking import masked_override
from trainkit.loggers import TensorBoard
from trainkit.trainer import Trainer
from trainkit.transfer import LoadReport
from trainkit.values import shown

log = logging.getLogger("trainkit")

UNTOLD = ("run_dir", "resume")
"""Changes that the banner tells elsewhere."""
MOST_CHANGES = 8


class Report:
    """Prints lines to standard output and to ``log.txt`` of the run folder."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else (folder / "log.txt").open("a", buffering=1, encoding="utf-8")
        self.warnings: list[str] = []
        """What was warned of while :meth:`logging` was entered."""

    def print(self, text: str) -> None:
        """Print a text of one or more lines."""
        try:
            print(text, flush=True)
        except BrokenPipeError:  # `| head` has read enough; the training goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        self.note(text)

    def note(self, text: str) -> None:
        """Write a text to ``log.txt`` alone; on a disk that is full the run goes on without."""
        if self._file is None:
            return
        try:
            print(text, file=self._file)
        except OSError as error:
            with suppress(OSError):  # what could not be written is tried again
                self._file.close()
            self._file = None
            log.warning("log.txt is not written any more: %s", error.strerror)

    def rows(self, rows: dict[str, str]) -> None:
        """Print a line for each row, its name in front."""
        self.print("\n".join(f"{name:<12}{text}" for name, text in rows.items()))

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Keep what is logged under ``trainkit`` meanwhile in the file, and show warnings on standard error."""
        shown = logging.StreamHandler()
        shown.setLevel(logging.WARNING)
        handlers = (shown, _Notes(self))
        before = log.level, log.propagate
        log.setLevel(logging.INFO)
        log.propagate = False
        for handler in handlers:
            log.addHandler(handler)
        try:
            yield
        finally:
            log.level, log.propagate = before
            for handler in handlers:
                log.removeHandler(handler)
            if self._file is not None:
                self._file.close()
                self._file = None


class _Notes(logging.Handler):
    """Sends what is logged to a report."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            self._report.warnings.append(text)
        self._report.note(text)


def banner(
    report: Report,
    trainer: Trainer,
    name: str,
    changed: Mapping[str, tuple[Any, Any]] | None = None,
    loaded: LoadReport | None = None,
) -> None:
    """Say what is about to be trained, on what, and where it is kept.

    Args:
        report: Where to.
        trainer: What trains it.
        name: The recipe's.
        changed: What the run changes of the recipe: path to (the recipe's value, this run's).
        loaded: What was done with the weights that it starts from; TensorBoard has it too.
    """
    parameters = list(trainer.model.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    total = sum(p.numel() for p in parameters)
    report.rows(
        {
            "recipe": name,
            **changed_row(changed or {}),
            "device": f"{trainer.device}, {trainer.settings.precision}",
            "parameters": f"{total:,}" + ("" if trainable == total else f", of which {_trained(trainer, trainable)}"),
            "steps": f"{trainer.total_steps or 'unknown'} ({trainer.steps_per_epoch or 'unknown'} an epoch)",
            "run folder": str(trainer.run_dir or "none, nothing is kept"),
        }
    )
    if loaded is not None:
        report.print(loaded.table())
        trainer.loggers.text("weights", loaded.markdown(), trainer.counters)


def _trained(trainer: Trainer, count: int) -> str:
    return f"{count:,} trained" + " at first" * any(group.changes for group in trainer.freeze.groups)


def changed_row(changed: Mapping[str, tuple[Any, Any]]) -> dict[str, str]:
    """Return the banner's row on what a run changes of its recipe; none if it is nothing. Secrets are masked."""
    texts = [
        masked_override(f"{path}={_short(new)}") + ("" if isinstance(old, dict) else f" ({_masked(path, old)})")
        for path, (old, new) in changed.items()
        if path not in UNTOLD
    ]
    if not texts:
        return {}
    rest = f"and {len(texts) - MOST_CHANGES} more, see config.yaml" if len(texts) > MOST_CHANGES else ""
    shown = ", ".join([*texts[:MOST_CHANGES], *([rest] if rest else [])])
    return {
        "changed": textwrap.fill(shown, 108, break_long_words=False, break_on_hyphens=False).replace(
            "\n", "\n" + " " * 12
        )
    }


def _short(value: Any) -> str:
    """Return a value in a few words: of an object its class."""
    if isinstance(value, Mapping) and "_target_" in value:
        return str(value["_target_"]).rpartition(".")[2]
    return textwrap.shorten(shown(value), 60, placeholder="...") or repr(value)


def _masked(path: str, value: Any) -> str:
    return masked_override(f"{path}={_short(value)}").partition("=")[2]


def model_table(model: nn.Module, batch: object) -> str:
    """Return torchinfo's table of the model's layers; a plain listing where torchinfo cannot follow the model."""
    import torchinfo

    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    try:
        columns = ("output_size", "num_params", "mult_adds")
        with torch.compiler.set_stance("force_eager"):  # else its hooks are compiled too
            seen = torchinfo.summary(model, input_data=[inputs], verbose=0, col_names=columns, depth=3)
        total = f"Total mult-adds: {seen.total_mult_adds:,} of a batch"  # torchinfo's own names no unit
        return re.sub("^Total mult-adds.*$", total, str(seen), count=1, flags=re.MULTILINE)
    except Exception as error:  # noqa: BLE001 - it fails in many ways, and a picture must not cost a run
        log.info("torchinfo cannot summarise this model: %s", error)
        return str(model)


def final_table(report: Report, trainer: Trainer, overrides: Sequence[str], seconds: float) -> None:
    """Say how the run ended, its best and test metrics, and the commands to go on with."""
    ended = f"{trainer.ending.status}: {trainer.ending.reason}, {trainer.counters.step} steps in {seconds:.1f} s"
    rows, best = {"ended": ended}, trainer.best
    if best.value is not None:
        rows["best"] = f"{best.metric} {best.value:.4f} in epoch {best.epoch}, step {best.step}"
    tested = {name: value for name, value in trainer.metrics.items() if name.startswith("test/")}
    if tested:
        rows["test"] = "  ".join(f"{name} {value:.4f}" for name, value in tested.items())
    if trainer.run_dir is not None:
        rest = [o for o in overrides if not o.startswith(("run_dir=", "resume="))]
        if any(isinstance(logger, TensorBoard) for logger in trainer.loggers):
            rows["look"] = f"{program('tensorboard')} --logdir {shlex.quote(str(trainer.run_dir))}"
        if trainer.store.best.is_file():
            rows["evaluate"] = command("eval", [*rest, f"resume={quoted(str(trainer.store.best))}"], program("python"))
        if trainer.store.last.is_file():
            rows["resume"] = again(trainer, overrides)
    report.rows(rows)


def again(trainer: Trainer, overrides: Sequence[str]) -> str:
    """Return the command that goes on with the run."""
    rest = [o for o in overrides if not o.startswith(("run_dir=", "resume="))]
    return command("train", [*rest, f"run_dir={quoted(str(trainer.run_dir))}", "resume=auto"], program("python"))


def program(name: str) -> str:
    """Return what a shell in this folder calls ``name`` of this environment by: its path where it is not activated."""
    here = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).absolute() == here:
        return name
    inside = here.is_relative_to(Path.cwd())
    return shlex.quote(str(here.relative_to(Path.cwd()) if inside else here))
