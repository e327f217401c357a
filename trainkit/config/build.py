"""Building the objects that a config describes, in the order in which they need each other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from textwrap import shorten
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import IterableDataset

from trainkit.config.compose import plain
from trainkit.data import Loader, Source, Splits, keyed_stream, length
from trainkit.device import pick
from trainkit.errors import ConfigError
from trainkit.evaluator import Evaluator
from trainkit.keys import Streams, fold
from trainkit.objectives import Objective, penalised
from trainkit.optim import Schedule, make_schedule, parameter_groups
from trainkit.settings import Settings
from trainkit.timing import duration
from trainkit.trainer import Trainer

LOADER_KEYS = ("num_workers", "pin_memory", "on_error", "max_errors", "changed", "timeout")
WORKER_KEYS = ("prefetch_factor", "persistent_workers")
"""Those of the loader that mean something only if there are workers."""
OPTIONAL = ("schedule", "averaging", "callbacks", "loggers", "checkpoint", "metrics")
"""Groups that the command line may leave out: ``~averaging``."""


@dataclass(slots=True)
class Parts:
    """What a config gives before the Trainer."""

    config: dict[str, Any]
    settings: Settings
    model: nn.Module
    objective: Objective
    splits: Splits
    run_dir: Path | None

    def loader(self, name: str) -> Source | None:
        """Return the loader of ``train``, ``val`` or ``test``, None where there is no such data set."""
        dataset, data, training = getattr(self.splits, name), self.config["data"], name == "train"
        if dataset is None:
            return None
        keys = LOADER_KEYS + (WORKER_KEYS if data.get("num_workers") else ())
        options = {key: data[key] for key in keys if data.get(key) is not None}
        options.setdefault("pin_memory", pick(self.settings.device).type == "cuda")
        size = data["batch_size"] if training else data["val_batch_size"]
        shuffle, drop_last = training and data["shuffle"], training and data["drop_last"]
        seed = fold(self.config["seed"], name)
        if isinstance(dataset, IterableDataset):
            return keyed_stream(dataset, size, drop_last=drop_last, seed=seed, name=name, **options)
        return Loader(dataset, size, shuffle=shuffle, drop_last=drop_last, seed=seed, name=name, **options)


def build_parts(config: DictConfig, run_dir: Path | None = None) -> Parts:
    """Build the data sets, the model and the objective; the model's initial weights are keyed by the seed."""
    values: dict[str, Any] = {group: {} for group in OPTIONAL} | plain(config)
    for name in ("model", "data", "objective", "optimizer"):
        if not values.get(name):
            raise ConfigError(f"{name}: nothing chosen; a recipe or {name}=OPTION does")
    _require_whole("seed", values["seed"], 0)
    for key, least in {"batch_size": 1, "val_batch_size": 1, "num_workers": 0}.items():
        _require_whole(f"data.{key}", values["data"][key], least)
    settings = Settings.of(values["trainer"])
    pick(settings.device)
    splits = instantiate(values["data"]["datasets"], "data.datasets")
    streams = Streams()
    with streams.kept():
        streams.seed(fold(values["seed"], "model"))
        model = instantiate(values["model"], "model")
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model ({values['model']['_target_']}): gives a {type(model).__name__}, not a torch.nn.Module"
        )
    objective = instantiate(values["objective"], "objective")
    if values["penalty"]["l1"] or values["penalty"]["l2"]:
        objective = penalised(objective, **values["penalty"])
    return Parts(values, settings, model, objective, splits, run_dir)


def build_trainer(parts: Parts, cls: type[Trainer] = Trainer) -> Trainer:
    """Build the rest of the config and the Trainer around it."""
    values, settings, run_dir = parts.config, parts.settings, parts.run_dir
    train_loader = parts.loader("train")
    assert train_loader is not None
    model = parts.model.to(pick(settings.device))  # before the optimizer, which may choose kernels by the device
    groups = parameter_groups(model, **values["parameter_groups"])
    optimizer = instantiate(_fused(values["optimizer"], model), "optimizer", groups)
    callbacks = {
        name: instantiate(node, f"callbacks.{name}") for name, node in (values["callbacks"] or {}).items() if node
    }
    loggers = []
    if run_dir is not None:
        folder = {"folder": str(run_dir / "tensorboard")}
        nodes = {name: node for name, node in (values["loggers"] or {}).items() if node}
        loggers = [instantiate({**folder, **node}, f"loggers.{name}") for name, node in nodes.items()]
    store = None
    if run_dir is not None and values["checkpoint"]:
        store = instantiate({"folder": str(run_dir / "checkpoints"), **values["checkpoint"]}, "checkpoint")
    return cls(
        model,
        parts.objective,
        optimizer,
        train_loader,
        parts.loader("val"),
        schedule=_schedule(values["schedule"], optimizer, settings, length(train_loader)),
        averaging=instantiate(values["averaging"], "averaging") if values["averaging"] else None,
        metrics=_metrics(values["metrics"]),
        callbacks=callbacks,
        loggers=loggers,
        store=store,
        run_dir=run_dir,
        monitor=values["monitor"]["metric"],
        mode=values["monitor"]["mode"],
        seed=values["seed"],
        **values["trainer"],
    )


def build_evaluator(parts: Parts) -> Evaluator:
    """Build what evaluates the model without an optimizer."""
    metrics = _metrics(parts.config["metrics"])
    return Evaluator(parts.model, parts.objective, parts.settings, metrics=metrics, seed=parts.config["seed"])


def instantiate(node: Mapping[str, Any], path: str, *arguments: Any) -> Any:
    """Build the object of a ``_target_`` node, nested ones first.

    Raises:
        ConfigError: That names the config path and what the target said.
    """
    if "_target_" not in node:
        raise ConfigError(f"{path}: has no _target_, so it is not known what to build; {path}=OPTION chooses one")
    try:
        return hydra.utils.instantiate(dict(node), *arguments, _convert_="all")
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, ConfigError):
            cause = cause.__cause__
        if isinstance(cause, ConfigError):
            named = str(cause).startswith(path.split(".", 1)[0])
            raise ConfigError(str(cause) if named else f"{path}: {cause}") from None
        what = str(cause).strip() if cause is error else f"{type(cause).__name__}: {cause}"
        told = " ".join(line for line in what.splitlines() if not line.startswith("full_key"))
        raise ConfigError(f"{path} ({node['_target_']}): {told}{_given(node)}") from error


def _given(node: Mapping[str, Any]) -> str:
    """Return the arguments of a node in a line, for those who look for the wrong one."""
    values = {key: value for key, value in node.items() if not key.startswith("_")}
    shown = {key: value.get("_target_", value) if isinstance(value, dict) else value for key, value in values.items()}
    return shorten("; given " + ", ".join(f"{key}={value!r}" for key, value in shown.items()), 300) if shown else ""


def _require_whole(path: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigError(f"{path}={value}: must be a whole number, at least {least}")


def _metrics(node: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {name: instantiate(metric, f"metrics.{name}") for name, metric in node.items()} if node else None


def _fused(node: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Return the optimizer's node with ``fused: null`` decided: fused where the device has such kernels."""
    if "fused" not in node or node["fused"] is not None:
        return node
    target = _target(node, "optimizer")
    here = {p.device.type for p in model.parameters()}
    fits = here <= {"cpu", "cuda", "mps"} and all(p.is_floating_point() for p in model.parameters())
    rest = {key: value for key, value in node.items() if key != "fused"}
    return {**rest, "fused": True} if fits and "fused" in inspect.signature(target).parameters else rest


def _schedule(
    node: Mapping[str, Any] | None, optimizer: Any, settings: Settings, batches: int | None
) -> Schedule | None:
    if not node or not node.get("scheduler"):
        return None
    interval, warmup = node.get("interval", "step"), node.get("warmup") or 0  # one's own may leave them out
    per_epoch, total = settings.steps_per_epoch(batches), settings.total_steps(batches)
    units = total if interval == "step" or not total or not per_epoch else -(-total // per_epoch)
    target = _target(node["scheduler"], "schedule.scheduler")
    options = {key: value for key, value in node["scheduler"].items() if not key.startswith("_")}
    try:
        return make_schedule(target, optimizer, units, interval, _warmup_steps(warmup, per_epoch, total), **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"schedule.scheduler ({node['scheduler']['_target_']}): {error}") from error


def _warmup_steps(warmup: Any, per_epoch: int | None, total: int | None) -> int:
    """Return the warm-up in optimizer steps: given as such (int), as a share of the run (float) or as a duration."""
    try:
        if isinstance(warmup, str):
            return duration(warmup).steps(per_epoch)
    except ConfigError as error:
        raise ConfigError(f"schedule.warmup={warmup}: {error}") from None
    if warmup < 0 or (isinstance(warmup, float) and warmup > 1):
        raise ConfigError(
            f"schedule.warmup={warmup}: must be steps (a whole number), a share up to 1.0, or such as 500st"
        )
    if isinstance(warmup, int):
        return warmup
    if total is None:
        raise ConfigError(
            f"schedule.warmup={warmup}: a share of the run, whose length is not known; give such as 500st"
        )
    steps: int = round(warmup * total)
    return steps


def _target(node: Mapping[str, Any], path: str) -> Any:
    """Return what ``_target_`` names."""
    try:
        return resolve_name(node["_target_"])
    except Exception as error:  # an import may fail in any way
        raise ConfigError(f"{path}._target_={node.get('_target_')}: cannot be imported: {error}") from error
