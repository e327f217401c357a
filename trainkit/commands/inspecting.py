"""A config's training as a subject of the inspection: its parts are built, and nothing is trained or written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainkit.config.build import build_parts, build_trainer
from trainkit.config.checking.datasets import fetched, is_own, splits_findings
from trainkit.config.checking.networks import downloads, quietly
from trainkit.config.composing.composed import Composed
from trainkit.config.paths import at
from trainkit.config.targets.trusted import Trusted
from trainkit.data import Loader
from trainkit.errors import ConfigError, TrainingError
from trainkit.findings import Finding, errors_in
from trainkit.inspection import Ran, Subject, findings_of
from trainkit.objectives import Supervised
from trainkit.optim import Schedule
from trainkit.optim.clipping import ALGORITHMS
from trainkit.trainer import Trainer
from trainkit.transfer import find_source

TOLD = re.compile(r"(?P<place>[a-z_][\w.\[\]]*)(?: \((?P<target>[\w.]+)\))?: (?P<message>.*)", re.DOTALL)
"""``PLACE: message`` or ``PLACE (TARGET): message``."""


def inspected(composed: Composed, told: Sequence[Finding] = ()) -> list[Finding]:
    """Return what is wrong with the training that a sound config describes, or may be.

    All of it is built, code of one's own too. Nothing is fetched, and what is built prints nothing.

    Args:
        composed: A config without errors, whose data sets are there if they are trainkit's own.
        told: What may be wrong with it, as is known already.
    """
    plain, found = composed.plain, list[Finding]()
    if reason := downloads(plain["model"], Trusted.of(plain, [Path.cwd(), *composed.folders])):
        message = f"not built, and so the training is not inspected: {reason}"
        return [Finding(rule="not-looked-at", severity="info", place="model", message=message)]
    with quietly():
        try:
            parts = build_parts(composed.config, load=_weights_are_here(plain), download=False)
            if is_own(composed):
                found = splits_findings(composed, parts.splits)
            trainer = None if errors_in(found) else build_trainer(parts)
        except (ConfigError, TrainingError) as error:
            return [_unbuilt(composed, str(error))]
        if trainer is None:
            return found
        subject = subject_of(trainer)
        subject.deep = plain["check"]["deep"]
        if any(finding.place.startswith("schedule") for finding in told):  # one cause, one finding
            subject.schedulers = []
        return [*found, *findings_of(subject, plain["check"]["ignore"])]


def _weights_are_here(plain: Mapping[str, Any]) -> bool:
    """Say whether the model is to start from weights that need not be fetched, and that no checkpoint replaces."""
    source = at(plain, "weights.source")
    return source is not None and plain["resume"] in (None, "auto") and find_source(source).is_here


def _unbuilt(composed: Composed, error: str) -> Finding:
    """Return why something cannot be built; a data set that may be fetched is only not here yet."""
    told = TOLD.match(error)
    place, message = (told["place"], told["message"]) if told else ("", error)
    if place == "data.datasets" and composed.plain["data"]["datasets"].get("download"):
        return fetched()
    if told and told["target"]:
        message = f"{told['target']} raises {message}"
    return Finding(rule="cannot-build", severity="error", place=place, message=message)


def subject_of(trainer: Trainer) -> Subject:
    """Return what a Trainer trains."""
    loader, val, settings = trainer.train_loader, trainer.val_loader, trainer.settings
    subject = Subject(trainer.model.to("cpu"), optimizers=[trainer.optimizer], epochs=settings.max_epochs)
    if isinstance(trainer.objective, Supervised):
        subject.loss = trainer.objective.loss
    else:
        subject.loss, subject.objective = trainer.objective, _by_objective
    if isinstance(loader, Loader):
        subject.train_set, subject.collate = loader.dataset, loader.collate_fn
        subject.batch_size, subject.shuffle = loader.batch_size, loader.shuffle
        subject.drop_last = loader.drop_last
    if isinstance(val, Loader) and not settings.overfit_batches:  # which validates on what it trains on, by design
        subject.val_set = val.dataset
    if settings.gradient_clip_val is not None:
        subject.clip = partial(_clipped, ALGORITHMS[settings.gradient_clip_algorithm], settings.gradient_clip_val)
    _schedule(subject, trainer)
    trainer.model.train()
    trainer.freeze.attach(trainer.optimizer, trainer.steps_per_epoch, trainer.moment)
    subject.held = frozenset(path for path, module in trainer.model.named_modules() if not module.training)
    subject.planned = bool(trainer.freeze.table())
    if type(trainer).train_step is not Trainer.train_step:
        subject.epochs = None  # what a step is, it alone knows
    return subject


def _schedule(subject: Subject, trainer: Trainer) -> None:
    """Give the subject the scheduler where it steps once a batch or epoch; else the rate without its warm-up."""
    schedule, loader = trainer.schedule, trainer.train_loader
    if not isinstance(schedule, Schedule):
        return
    if schedule.warmup:  # it begins later than its own curve says
        for group, rate in zip(trainer.optimizer.param_groups, schedule.targets, strict=True):
            group["lr"] = rate
    elif isinstance(loader, Loader) and trainer.steps_per_epoch == len(loader):
        subject.schedulers = [schedule.scheduler]
        per_epoch = isinstance(schedule.scheduler, ReduceLROnPlateau) or not schedule.per_step
        subject.interval = "epoch" if per_epoch else "step"


def _clipped(clip: Callable[[list[Tensor], float], Tensor], limit: float, gradients: list[Tensor]) -> None:
    clip(gradients, limit)


def _by_objective(model: nn.Module, objective: Any, batch: Any) -> Ran:
    """Run an objective, and keep what the model gave on the way."""
    given: list[Any] = []
    handle = model.register_forward_hook(lambda module, inputs, output: given.append(output))
    try:
        output = objective(model, batch)
    finally:
        handle.remove()
    outputs = given[-1] if given else output.predictions
    return Ran(outputs, output.targets, output.loss)
