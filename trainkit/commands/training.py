"""A run: what a checked config describes is trained, its best weights are restored and tested. Imports torch."""

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
from trainkit.commands.going_on import changed, config_of, configs_before, go_on, loaded_before, origin_of, set_aside
from trainkit.commands.report import Report, again, banner, final_table, model_table
from trainkit.commands.run_dir import possible
from trainkit.commands.trial import require_fitting
from trainkit.config.build import Parts, build_evaluator, build_parts, build_trainer
from trainkit.config.checking.check import raw_of, size_findings, sound
from trainkit.config.checking.masking import masked
from trainkit.config.composing.compose import composed_of, plain, to_yaml
from trainkit.config.composing.composed import Composed
from trainkit.config.paths import at
from trainkit.config.transferring import prepared
from trainkit.data import Loader
from trainkit.errors import ConfigError
from trainkit.failures import First, look_at_data
from trainkit.findings import Finding, FindingsError, errors_in
from trainkit.locks import held
from trainkit.signals import EXIT_CODES
from trainkit.trainer import Trainer

log = logging.getLogger("trainkit")

HYPERPARAMETERS = (
    *("optimizer", "schedule", "freeze", "model", "weights", "head", "objective", "averaging", "penalty"),
    *("parameter_groups", "seed"),
)
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

    @property
    def exit_code(self) -> int:
        """What the command line ends with."""
        return EXIT_CODES.get(self.stop_reason, 0) if self.status == "preempted" else 0


def run(recipe: Any = None, *overrides: str, config_dir: str | Path | None = None) -> Result:
    """Train a recipe as ``python -m trainkit`` does and return the result.

    Args:
        recipe: Name or path of a recipe; or a config: a mapping, a ``DictConfig``, a dataclass, what hydra-zen builds.
        overrides: As on the command line: ``"trainer.max_epochs=1"``.
        config_dir: A folder with config groups of your own.

    Raises:
        ConfigError: If the config is wrong; nothing was started.
        TrainingError: If the training failed; what was saved stays.
    """
    composed = composed_of(recipe, *overrides, config_dir=config_dir)
    return train(composed, composed.overrides, sound(composed))


def train(
    composed: Composed, overrides: Sequence[str], findings: Sequence[Finding] = (), sweep_folder: Path | None = None
) -> Result:
    """Train what a composed config describes.

    Args:
        composed: The config, found sound.
        overrides: What is told to the reader, and kept with the run.
        findings: What may be wrong with the config all the same.
        sweep_folder: The folder that a sweep gives the run.
    """
    started, config = perf_counter(), composed.config
    run_dir = None if config.trainer.fast_dev_run else possible(sweep_folder or config.run_dir)
    with ExitStack() as stack:
        if run_dir is not None and Path(run_dir).is_dir():
            stack.enter_context(held(Path(run_dir)))
        origin = origin_of(None if config.resume is None else str(config.resume), run_dir)
        config = prepared(config, {} if origin is None else config_of(origin.path, origin.state))
        values = masked(plain(config))
        changes = [] if origin is None or origin.weights_only else changed(origin, values)
        parts = build_parts(config, load=origin is None)
        loaded = loaded_before(origin) if parts.start.loaded is None else parts.start.loaded.as_dict()
        findings = [*findings, *_sizes(composed, parts)]
        starts = origin is None or origin.weights_only
        first = _look(parts) if starts else First()
        there = run_folder.standing(run_dir, str(config.name))
        if not config.trainer.fast_dev_run:
            parts.run_dir = run_folder.create(run_dir, str(config.name))
            stack.enter_context(held(parts.run_dir))
            run_folder.sweep(parts.run_dir)
        if origin is not None and origin.weights_only and parts.run_dir is not None:
            origin = set_aside(origin, parts.run_dir)
        try:
            trainer = build_trainer(parts)
        except ConfigError:
            if parts.run_dir is not None:  # nothing was started, so nothing stays
                run_folder.withdraw(parts.run_dir, there)
            raise
        trainer.looked_at = starts
        told = json.dumps(values)
        trainer.store.about |= {"config": told, "command": run_folder.command("train", overrides)}
        trainer.store.about |= {"earlier": earlier} if (earlier := configs_before(origin, told)) else {}
        trainer.store.about |= {"weights": json.dumps(loaded)} if loaded else {}
        report = Report(parts.run_dir)
        with report.logging():
            banner(report, trainer, str(config.name), _changed(composed), parts.start.loaded)
            _warn(findings)
            report.print(_table_of(trainer, first))
            with hinted(parts.config, {} if origin is None else origin.state):
                go_on(report, trainer, origin, changes)
            if origin is None and config.resume == "auto":
                report.print(f"resume=auto: no checkpoint in {run_dir} yet, so this starts the run")
            if parts.run_dir is not None:
                run_folder.write_config(parts.run_dir, to_yaml(values), overrides)
            first.forget()
            _train(report, trainer, parts, overrides, values, loaded)
            final_table(report, trainer, overrides, perf_counter() - started)
    return Result(dict(trainer.metrics), parts.run_dir, trainer.model, trainer.ending.status, trainer.ending.reason)


def _changed(composed: Composed) -> dict[str, tuple[Any, Any]]:
    """Return what the run changes of its recipe, without what follows another key by ``${...}``: that key says it."""
    raw = raw_of(composed)

    def follows(path: str) -> bool:
        parts = path.split(".")
        around = [at(raw, ".".join(parts[:depth])) for depth in range(1, len(parts) + 1)]
        return any(isinstance(value, str) and "${" in value for value in around)

    changed = composed.changed
    return {path: pair for path, pair in changed.items() if composed.origins.by_override(path) or not follows(path)}


def _sizes(composed: Composed, parts: Parts) -> list[Finding]:
    """Return what may be wrong now that the number of samples is known.

    Raises:
        FindingsError: That lists what is.
    """
    findings = size_findings(composed, parts.splits.train)
    if errors_in(findings):
        raise FindingsError(findings)
    return findings


def _look(parts: Parts) -> First:
    """Look at the data before anything is written, and return the first batch."""
    train_loader = parts.loader("train")
    assert train_loader is not None
    evaluator = build_evaluator(parts)
    first = look_at_data(evaluator, train_loader, parts.loader("val"))
    if isinstance(train_loader, Loader):
        require_fitting(evaluator, parts, first.of(train_loader, evaluator.to_device))
    return first


def _table_of(trainer: Trainer, first: First) -> str:
    if not isinstance(trainer.train_loader, Loader):
        return str(trainer.model)  # a stream of samples, of which the first would be lost
    with trainer.evaluating() as model, trainer.without_gradients():
        return model_table(model, first.of(trainer.train_loader, trainer.to_device))


def _warn(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity == "warning":
            log.warning("%s", finding)


def _train(
    report: Report,
    trainer: Trainer,
    parts: Parts,
    overrides: Sequence[str],
    values: dict[str, Any],
    loaded: dict[str, Any],
) -> None:
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
                run_folder.write_summary(parts.run_dir, trainer, overrides, report.warnings, loaded)
            except OSError as error:  # which must not hide why the run ended
                log.warning("summary.json was not written: %s", error.strerror)


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
