"""``trainkit.check(model, ...)``: what is wrong with a training of plain PyTorch objects, before it starts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, SequentialSampler, default_collate

from trainkit.errors import ConfigError
from trainkit.findings import Finding, ordered
from trainkit.inspection import first_step, learning, probes, reading, step
from trainkit.inspection.clock import PAUSES
from trainkit.inspection.folding import folded
from trainkit.inspection.loop import evaluation, parameters, schedules, thawing, train_step
from trainkit.inspection.reading.contracts import uninitialised
from trainkit.inspection.source import own_line
from trainkit.inspection.step import trial
from trainkit.inspection.subject import Stuck, Subject, found
from trainkit.inspection.untouched import copied, kept_generators, quiet

Rule = Callable[[Subject], Iterable[Finding]]
FAMILIES: tuple[tuple[Rule, ...], ...] = (
    first_step.RULES,
    reading.RULES,
    probes.RULES,
    parameters.RULES,
    thawing.RULES,
    train_step.RULES,
    schedules.RULES,
    evaluation.RULES,
    step.RULES,
    learning.RULES,
    trial.RULES,
)
"""All rules, in the order in which they look."""


def inspect(
    model: nn.Module,
    *,
    loss: Callable[..., Any] | None = None,
    train_set: Any = None,
    val_set: Any = None,
    optimizer: Optimizer | Sequence[Optimizer] | Callable[[nn.Module], Any] | None = None,
    scheduler: Any = None,
    scheduler_interval: Literal["step", "epoch"] = "epoch",
    collate: Callable[[list[Any]], Any] | None = None,
    batch_size: int = 32,
    shuffle: bool = True,
    num_workers: int = 0,
    drop_last: bool = False,
    epochs: int | None = None,
    train_step: Callable[..., Any] | None = None,
    evaluate: Callable[..., Any] | None = None,
    deep: bool = False,
    ignore: Sequence[str] = (),
) -> list[Finding]:
    """Return what is wrong with a training, or may be: errors first. It leaves no trace on what it is given.

    A batch is ``(inputs, target)``; a tuple of inputs is passed as ``model(*inputs)``.

    Args:
        model: Any module.
        loss: ``loss(output, target)``.
        train_set, val_set: Data sets. Or loaders: then their data sets, and the training loader's own batch size,
            order, workers and ``collate_fn`` in place of those here.
        optimizer: The optimizer, a list of several, or the function that makes it of the model.
        scheduler: The scheduler, a list of several, or the function that makes it of the optimizer.
        scheduler_interval: Whether the scheduler steps once a ``"step"`` or once an ``"epoch"``.
        collate: Makes a batch of samples; torch's own if not given.
        batch_size: Samples in a batch.
        shuffle: Whether training shuffles.
        num_workers: Processes that load.
        drop_last: Whether a smaller last batch is left out.
        epochs: How long training is to last.
        train_step: The user's own ``train_step(model, batch, loss, optimizer)``, which gives the loss.
        evaluate: The user's own ``evaluate(model, val_set)``.
        deep: Whether to train copies for some tens of steps; the last finding, ``learnability``, tells their verdict.
        ignore: Findings to leave out: ``"rule@place"``, ``"rule"`` or ``"@place"``, each with ``*`` for anything.

    Raises:
        ConfigError: If ``model`` is no module.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model: must be an nn.Module, and {type(model).__name__} is none")
    if missing := uninitialised(model):
        return missing
    line = own_line(sys._getframe(1))
    subject = Subject(model, loss, train_set, val_set, interval=scheduler_interval, collate=collate, deep=deep)
    subject.batch_size, subject.shuffle, subject.num_workers = batch_size, shuffle, num_workers
    subject.drop_last, subject.epochs, subject.train_step, subject.evaluate = drop_last, epochs, train_step, evaluate
    subject.given, subject.caller = model, None if line is None else line.file
    _unload(subject)
    _attach(subject, optimizer, scheduler)
    return findings_of(subject, ignore)


def findings_of(subject: Subject, ignore: Sequence[str] = ()) -> list[Finding]:
    """Return what all rules find, those of one cause folded into one, without what is to be ignored."""
    with _eagerly(), PAUSES:
        found = [finding for family in FAMILIES for rule in family for finding in _applied(rule, subject)]
    subject.let_go()
    return ordered(finding for finding in folded(found) if not _ignored(finding, ignore))


def _eagerly() -> AbstractContextManager[Any]:
    """Run compiled models as they are written: what is looked at are their operations, and a compiler takes long."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _applied(rule: Rule, subject: Subject) -> list[Finding]:
    try:
        return list(rule(subject))
    except Stuck:
        return []  # first_step tells why
    except Exception as error:  # noqa: BLE001 - a rule that meets what it does not know must not end the others
        name = f"{rule.__module__.rpartition('.')[2]}.{getattr(rule, '__name__', rule)}"
        message = f"could not be tried: {type(error).__name__}: {error}"
        return [found("rule-failed", f"check: {name}", message, severity="info")]


def _unload(subject: Subject) -> None:
    """Take the data sets out of loaders, and how the training loader loads."""
    loader, val = subject.train_set, subject.val_set
    if isinstance(val, DataLoader):
        subject.val_set = val.dataset
    if not isinstance(loader, DataLoader):
        return
    subject.train_set, subject.num_workers, subject.drop_last = loader.dataset, loader.num_workers, loader.drop_last
    subject.batch_size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or subject.batch_size
    subject.shuffle = not isinstance(loader.sampler, SequentialSampler)
    subject.collate = None if loader.collate_fn is default_collate else loader.collate_fn


def _attach(subject: Subject, optimizer: Any, scheduler: Any) -> None:
    """Take the optimizers and schedulers; functions make them of a copy of the model, which then is the subject."""
    made = callable(optimizer) and not isinstance(optimizer, Optimizer)
    if made:
        subject.make_optimizer = optimizer
        with kept_generators(), quiet():
            (subject.model,) = copied(subject.model)
            optimizer = optimizer(subject.model)
    subject.optimizers = _several(optimizer)
    if made and subject.given is not None and _train(subject.optimizers, subject.given):
        subject.model = subject.given  # made before, whatever the function is given
    if callable(scheduler) and not hasattr(scheduler, "step"):
        subject.make_scheduler = scheduler
        if not made:
            subject.model, subject.optimizers = copied(subject.model, subject.optimizers)
        with kept_generators(), quiet():
            scheduler = scheduler(subject.optimizers[0] if len(subject.optimizers) == 1 else subject.optimizers)
    subject.schedulers = _several(scheduler)


def _train(optimizers: list[Any], model: nn.Module) -> bool:
    """Say whether some optimizers hold parameters of a model."""
    held = {id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    return any(id(parameter) in held for parameter in model.parameters())


def _several(thing: Any) -> list[Any]:
    if thing is None:
        return []
    if isinstance(thing, dict):
        return list(thing.values())
    return list(thing) if isinstance(thing, list | tuple) else [thing]


def _ignored(finding: Finding, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        rule, _, place = pattern.partition("@")
        if fnmatchcase(finding.rule, rule or "*") and fnmatchcase(finding.place, place or "*"):
            return True
    return False
