"""Building the objects that a config describes, in the order in which they need each other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import nn
from torch.utils.data import IterableDataset

from trainkit.config.composing.compose import plain
from trainkit.config.parts import OPTIONAL, build_named, build_part, with_folder
from trainkit.config.targets.instantiate import DIRECTIVES, target_of
from trainkit.config.targets.signatures import signature_of
from trainkit.config.transferring import Started, freeze_plan, prepared, started
from trainkit.data import Loader, Source, Splits, keyed_stream, length
from trainkit.device import pick
from trainkit.errors import ConfigError
from trainkit.evaluator import Evaluator
from trainkit.keys import fold
from trainkit.objectives import Objective, penalised
from trainkit.optim import Schedule, make_schedule
from trainkit.settings import Settings
from trainkit.timing import duration
from trainkit.trainer import Trainer

LOADER_KEYS = ("num_workers", "pin_memory", "on_error", "max_errors", "changed", "timeout")
WORKER_KEYS = ("prefetch_factor", "persistent_workers")
"""Those of the loader that mean something only if there are workers."""
NEEDED: Mapping[str, tuple[str, ...]] = {
    "trainer": (),
    "data": ("datasets", "batch_size", "val_batch_size", "shuffle", "drop_last"),
    "penalty": ("l1", "l2"),
    "parameter_groups": (),
    "monitor": ("metric", "mode"),
}
"""Keys that a run reads, of nodes that it reads; trainkit's own files have them all."""


@dataclass(slots=True)
class Parts:
    """What a config gives before the Trainer."""

    config: dict[str, Any]
    settings: Settings
    model: nn.Module
    objective: Objective
    splits: Splits
    run_dir: Path | None
    start: Started
    """The same model, with what is known of its heads and weights."""

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


def build_parts(config: DictConfig, run_dir: Path | None = None, *, load: bool = True, download: bool = True) -> Parts:
    """Build the data sets, the model and the objective; the model's initial weights are keyed by the seed.

    Args:
        config: As it was composed.
        run_dir: The run folder.
        load: False where a checkpoint gives the model's weights, so that those of ``weights.source`` are not needed.
        download: False where data sets that are not there are an error, whatever ``data.download`` says.
    """
    values: dict[str, Any] = {group: {} for group in OPTIONAL} | plain(prepared(config))
    for name in ("model", "data", "objective", "optimizer"):
        if not values.get(name):
            raise ConfigError(f"{name}: nothing chosen; a recipe or {name}=OPTION does")
    _require_needed(values)
    _require_whole("seed", values["seed"], 0)
    for key, least in {"batch_size": 1, "val_batch_size": 1, "num_workers": 0}.items():
        _require_whole(f"data.{key}", values["data"].get(key, 0), least)
    settings = Settings.of(values["trainer"])
    pick(settings.device)
    splits = build_part(_of_data(values, download), "data.datasets")
    start = started(values, load)
    objective = build_part(values["objective"], "objective")
    if values["penalty"]["l1"] or values["penalty"]["l2"]:
        objective = penalised(objective, **values["penalty"])
    return Parts(values, settings, start.model, objective, splits, run_dir, start)


def build_trainer(parts: Parts, cls: type[Trainer] = Trainer) -> Trainer:
    """Build the rest of the config and the Trainer around it."""
    values, settings, run_dir = parts.config, parts.settings, parts.run_dir
    train_loader = parts.loader("train")
    assert train_loader is not None
    model = parts.model.to(pick(settings.device))  # before the optimizer, which may choose kernels by the device
    plan, groups = freeze_plan(values, model, parts.start.heads)
    optimizer = build_part(_fused(values["optimizer"], model), "optimizer", groups)
    loggers, store = [], None
    if run_dir is not None:
        loggers = list(build_named(values, "loggers", folder=run_dir / "tensorboard").values())
        store = build_part(with_folder(values["checkpoint"], "checkpoint", run_dir / "checkpoints"), "checkpoint")
    return cls(
        model,
        parts.objective,
        optimizer,
        train_loader,
        parts.loader("val"),
        schedule=_schedule(values["schedule"], optimizer, settings, length(train_loader)),
        averaging=build_part(values["averaging"], "averaging"),
        freeze=plan if plan.rules else None,
        metrics=build_named(values, "metrics") or None,
        callbacks=_observers(values),
        loggers=loggers,
        store=store,
        run_dir=run_dir,
        monitor=values["monitor"]["metric"],
        mode=values["monitor"]["mode"],
        seed=values["seed"],
        **values["trainer"],
    )


def _of_data(values: dict[str, Any], download: bool) -> Any:
    node = values["data"]["datasets"]
    fetches = not download and isinstance(node, Mapping) and "download" in node
    return {**node, "download": False} if fetches else node


def _observers(values: dict[str, Any]) -> dict[str, Any]:
    """Build the callbacks, and the diagnostics after them: an entry of each may have the same name."""
    diagnostics = build_named(values, "diagnostics")
    return build_named(values, "callbacks") | {f"diagnostics.{name}": entry for name, entry in diagnostics.items()}


def build_evaluator(parts: Parts) -> Evaluator:
    """Build what evaluates the model without an optimizer."""
    metrics = build_named(parts.config, "metrics") or None
    return Evaluator(parts.model, parts.objective, parts.settings, metrics=metrics, seed=parts.config["seed"])


def _require_needed(values: Mapping[str, Any]) -> None:
    """Refuse a config without what a run reads, as Python code may make one."""
    cure = "trainkit.compose(RECIPE) gives a config that has it"
    if "seed" not in values:
        raise ConfigError(f"seed: must be given; {cure}")
    for name, keys in NEEDED.items():
        node = values.get(name)
        if not isinstance(node, Mapping):
            wrong = "must be given" if name not in values else f"must be a mapping, not {node!r}"
            raise ConfigError(f"{name}: {wrong}; {cure}")
        for key in keys:
            if key not in node:
                raise ConfigError(f"{name}.{key}: must be given; {cure}")


def _require_whole(path: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigError(f"{path}={value}: must be a whole number, at least {least}")


def _fused(node: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """Return the optimizer's node with ``fused: null`` decided: fused where the device has such kernels."""
    if "fused" not in node or node["fused"] is not None:
        return node
    names = signature_of(target_of(node, "optimizer")).names
    here = {p.device.type for p in model.parameters()}
    fits = here <= {"cpu", "cuda", "mps"} and all(p.is_floating_point() for p in model.parameters())
    rest = {key: value for key, value in node.items() if key != "fused"}
    return {**rest, "fused": True} if fits and "fused" in names else rest


def _schedule(
    node: Mapping[str, Any] | None, optimizer: Any, settings: Settings, batches: int | None
) -> Schedule | None:
    if not node or not node.get("scheduler"):
        return None
    interval, warmup = node.get("interval", "step"), node.get("warmup") or 0  # one's own may leave them out
    per_epoch, total = settings.steps_per_epoch(batches), settings.total_steps(batches)
    units = total if interval == "step" or not total or not per_epoch else -(-total // per_epoch)
    scheduler = node["scheduler"]
    if "_target_" not in scheduler:
        raise ConfigError("schedule.scheduler: has no _target_, so it is not known what to build")

    def built(optimizer: Any, **options: Any) -> Any:
        filled = {**scheduler, **options}
        return build_part(filled, "schedule.scheduler", optimizer)

    built.__signature__ = _signature(target_of(scheduler, "schedule.scheduler"))  # type: ignore[attr-defined]
    options = {key: value for key, value in scheduler.items() if key not in DIRECTIVES}
    return make_schedule(built, optimizer, units, interval, _warmup_steps(warmup, per_epoch, total), **options)


def _signature(target: Any) -> inspect.Signature:
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):  # of C, say: then nothing is filled in
        return inspect.Signature()


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
