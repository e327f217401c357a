"""``trainkit train``: compose a config, train it, restore the best weights, test them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import nn

from trainkit.checkpoint.weights import hinted
from trainkit.commands import run_folder
from trainkit.commands.going_on import changed, go_on, origin_of, set_aside
from trainkit.commands.masking import masked
from trainkit.commands.report import Report, again, banner, final_table, model_table
from trainkit.config.build import Parts, build_parts, build_trainer
from trainkit.config.compose import compose, hydra_main, plain, read_line, to_yaml
from trainkit.config.stored import compose_line
from trainkit.data import Loader
from trainkit.errors import ConfigError
from trainkit.locks import held
from trainkit.signals import EXIT_CODES
from trainkit.trainer import Trainer

log = logging.getLogger("trainkit")

HYPERPARAMETERS = ("optimizer", "schedule", "model", "objective", "averaging", "penalty", "parameter_groups", "seed")
"""The groups whose values are listed beside the results."""


@dataclass(slots=True)
class Result:
    """What a run gives."""

    metrics: dict[str, float]
    """The last value of each metric, such as ``test/accuracy``."""
    run_dir: Path | None
    model: nn.Module
    """With the best weights, where a validation chose some."""
    status: str
    stop_reason: str


def run(recipe: str | None = None, *overrides: str, config_dir: str | Path | None = None) -> Result:
    """Train a recipe as ``python -m trainkit`` does and return the result.

    Args:
        recipe: Name of a recipe.
        overrides: As on the command line: ``"trainer.max_epochs=1"``.
        config_dir: A folder with config groups of your own.

    Raises:
        ConfigError: If the config is wrong; nothing was started.
        TrainingError: If the training failed; what was saved stays.
    """
    given = [f"recipe={recipe}", *overrides] if recipe else list(overrides)
    return run_config(compose(recipe, *overrides, config_dir=config_dir), given)


def run_config(config: Any, overrides: Sequence[str], sweep_folder: Path | None = None) -> Result:
    """Train what a composed config describes; ``overrides`` are told to the reader and kept with the run."""
    started = perf_counter()
    run_dir = None if config.trainer.fast_dev_run else run_folder.possible(sweep_folder or config.run_dir)
    with ExitStack() as stack:
        if run_dir is not None and Path(run_dir).is_dir():
            stack.enter_context(held(Path(run_dir)))
        origin = origin_of(None if config.resume is None else str(config.resume), run_dir)
        values = masked(plain(config))
        changes = [] if origin is None or origin.weights_only else changed(origin, values)
        parts = build_parts(config)
        if not config.trainer.fast_dev_run:
            parts.run_dir = run_folder.create(run_dir, config.name)
            stack.enter_context(held(parts.run_dir))
            run_folder.sweep(parts.run_dir)
        if origin is not None and origin.weights_only and parts.run_dir is not None:
            origin = set_aside(origin, parts.run_dir)
        trainer = build_trainer(parts)
        trainer.store.about |= {"config": json.dumps(values), "command": run_folder.command("train", overrides)}
        report = Report(parts.run_dir)
        with report.logging():
            banner(report, trainer, config.name)
            report.print(_table_of(trainer))
            with hinted(parts.config, {} if origin is None else origin.state):
                go_on(report, trainer, origin, changes)
            if origin is None and config.resume == "auto":
                report.print(f"resume=auto: no checkpoint in {run_dir} yet, so this starts the run")
            if parts.run_dir is not None:
                run_folder.write_config(parts.run_dir, to_yaml(values), overrides)
            _train(report, trainer, parts, overrides, values)
            final_table(report, trainer, overrides, perf_counter() - started)
    return Result(dict(trainer.metrics), parts.run_dir, trainer.model, trainer.ending.status, trainer.ending.reason)


def _train(report: Report, trainer: Trainer, parts: Parts, overrides: Sequence[str], values: dict[str, Any]) -> None:
    """Fit and test, and write ``summary.json`` whatever comes."""
    try:
        trainer.fit()
        if trainer.ending.status != "preempted":
            _test(trainer, parts, values)
    except BaseException as error:
        if trainer.ending.status in ("completed", "stopped"):  # the training ended well, the test did not
            trainer.ending.fail(error)
        report.note(f"{type(error).__name__}: {error}")
        if trainer.store.last.is_file():
            report.rows({"resume": again(trainer, overrides)})
        raise
    finally:
        if parts.run_dir is not None:
            try:
                run_folder.write_summary(parts.run_dir, trainer, overrides, report.warnings)
            except OSError as error:  # which must not hide why the run ended
                log.warning("summary.json was not written: %s", error.strerror)


def main(arguments: Sequence[str]) -> int:
    """Train as the command line says and return the exit code."""
    line = read_line(arguments)
    if not line.flags:
        config = compose_line(line)
        return _exit_code(run_config(config, line.shown))
    if {"-m", "--multirun"} & set(line.flags) and any(o.startswith("run_dir=") for o in line.overrides):
        raise ConfigError("run_dir names the folder of one run; the one of a sweep is hydra.sweep.dir=PATH")
    codes: list[int] = []

    def job(config: Any, overrides: Sequence[str], sweep_folder: Path | None) -> float | None:
        result = run_config(config, [*overrides, *line.folder_flag], sweep_folder)
        codes.append(_exit_code(result))
        return result.metrics.get(config.monitor.metric)

    hydra_main(job, [*line.overrides, *line.folder_flag, *line.flags])  # Hydra wants its flags at the end
    return max(codes, default=0)


def _exit_code(result: Result) -> int:
    return EXIT_CODES.get(result.stop_reason, 0) if result.status == "preempted" else 0


def _table_of(trainer: Trainer) -> str:
    if not isinstance(trainer.train_loader, Loader):
        return str(trainer.model)  # a stream of samples, of which the first would be lost
    with trainer.evaluating() as model, trainer.without_gradients():
        return model_table(model, trainer.to_device(trainer.train_loader.first()))


def _test(trainer: Trainer, parts: Parts, values: dict[str, Any]) -> None:
    """Restore the best weights and test them, whatever ended the run."""
    trainer.restore_best()
    loader = parts.loader("test")
    if parts.config["test"] and loader is not None and trainer.settings.limit_test_batches != 0:
        trainer.test(loader)
    if trainer.run_dir is not None:
        shown = flatten({name: values[name] for name in HYPERPARAMETERS if name in values})
        trainer.loggers.hyperparameters(shown, trainer.metrics)
        trainer.close()


def flatten(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by dotted path, without targets and nulls; lists stay whole."""
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{key}.")
        elif value is not None and not key.startswith("_"):
            leaves[f"{prefix}{key}"] = value
    return leaves
