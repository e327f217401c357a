"""``trainkit train``: compose a config, train it, restore the best weights, test them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import nn

from trainkit.checkpoint.store import find
from trainkit.commands import run_folder
from trainkit.commands.report import Report, banner, final_table, model_table
from trainkit.config.build import Parts, build_parts, build_trainer
from trainkit.config.compose import compose, hydra_main, read_line, to_yaml
from trainkit.data import Loader
from trainkit.errors import ConfigError
from trainkit.trainer import Trainer

HYPERPARAMETERS = ("optimizer", "schedule", "model", "objective", "averaging", "penalty", "parameter_groups", "seed")
"""The groups whose values are listed beside the results."""
EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143}


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
    run_dir = None if config.trainer.fast_dev_run else sweep_folder or config.run_dir
    checkpoint = _checkpoint(config.resume, run_dir)
    parts = build_parts(config)
    if not config.trainer.fast_dev_run:
        parts.run_dir = run_folder.create(run_dir, config.name)
        run_folder.write_config(parts.run_dir, to_yaml(config), overrides)
    trainer = build_trainer(parts)
    report = Report(parts.run_dir)
    with report.logging():
        banner(report, trainer, config.name)
        report.print(_table_of(trainer))
        if checkpoint is not None:
            trainer.resume(checkpoint)
            report.print(f"resumed from {checkpoint} at step {trainer.counters.step}")
        elif config.resume == "auto":
            report.print(f"resume=auto: no checkpoint in {run_dir} yet, so this starts the run")
        try:
            trainer.fit()
            if trainer.ending.status != "preempted":
                _test(trainer, parts)
        finally:
            if parts.run_dir is not None:
                run_folder.write_summary(parts.run_dir, trainer, overrides)
        final_table(report, trainer, overrides, perf_counter() - started)
    return Result(dict(trainer.metrics), parts.run_dir, trainer.model, trainer.ending.status, trainer.ending.reason)


def main(arguments: Sequence[str]) -> int:
    """Train as the command line says and return the exit code."""
    line = read_line(arguments)
    if not line.flags:
        config = compose(None, *line.overrides, config_dir=line.config_dir)
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


def _checkpoint(resume: str | None, run_dir: str | Path | None) -> Path | None:
    """Return the checkpoint to go on from: none, the one of ``run_dir`` if there is any (auto), or the one named."""
    last = None if run_dir is None else Path(run_dir) / "checkpoints" / "last.ckpt"
    if resume == "auto":
        if last is None:
            raise ConfigError("resume=auto goes on with the run in run_dir: give run_dir=PATH too")
        return last if last.is_file() else None
    checkpoint = None if resume is None else find(resume)
    if (
        last is not None
        and last.is_file()
        and (checkpoint is None or checkpoint.parent.resolve() != last.parent.resolve())
    ):
        raise ConfigError(
            f"run_dir={run_dir}: holds a run already; resume=auto goes on with it, or give another run_dir"
        )
    return checkpoint


def _table_of(trainer: Trainer) -> str:
    assert isinstance(trainer.train_loader, Loader)
    with trainer.evaluating() as model, trainer.without_gradients():
        return model_table(model, trainer.to_device(trainer.train_loader.first()))


def _test(trainer: Trainer, parts: Parts) -> None:
    """Restore the best weights and test them, whatever ended the run."""
    trainer.restore_best()
    loader = parts.loader("test")
    if parts.config["test"] and loader is not None and trainer.settings.limit_test_batches != 0:
        trainer.test(loader)
    if trainer.run_dir is not None:
        values = flatten({name: parts.config[name] for name in HYPERPARAMETERS})
        for logger in trainer.loggers:
            logger.hyperparameters(values, trainer.metrics)
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
