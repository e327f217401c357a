"""A config's training as a subject of the inspection: its parts are built, and nothing is trained or written."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainkit.config.build import build_parts, build_trainer
from trainkit.config.composing.composed import Composed
from trainkit.data import Loader
from trainkit.errors import ConfigError
from trainkit.findings import Finding
from trainkit.inspection import Ran, Subject, findings_of
from trainkit.objectives import Supervised
from trainkit.optim import Schedule
from trainkit.trainer import Trainer


def inspected(composed: Composed) -> list[Finding]:
    """Return what is wrong with the training that a sound config describes, or may be.

    Args:
        composed: A config without errors.
    """
    try:
        trainer = build_trainer(build_parts(composed.config))
    except ConfigError as error:
        place, _, message = str(error).partition(": ")
        return [Finding(rule="cannot-build", severity="error", place=place, message=message or str(error))]
    subject = subject_of(trainer)
    options = composed.plain["check"]
    subject.deep = options["deep"]
    return findings_of(subject, options["ignore"])


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
    if isinstance(val, Loader):
        subject.val_set = val.dataset
    schedule = trainer.schedule
    if isinstance(schedule, Schedule) and not schedule.warmup:  # with one it begins later than its own curve says
        subject.schedulers = [schedule.scheduler]
        per_epoch = isinstance(schedule.scheduler, ReduceLROnPlateau) or not schedule.per_step
        subject.interval = "epoch" if per_epoch else "step"
    trainer.model.train()
    trainer.freeze.attach(trainer.optimizer, trainer.steps_per_epoch, trainer.moment)
    subject.held = frozenset(path for path, module in trainer.model.named_modules() if not module.training)
    if type(trainer).train_step is not Trainer.train_step:
        subject.epochs = None  # what a step is, it alone knows
    return subject


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
