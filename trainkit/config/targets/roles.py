"""What each place of a config is for: what its target must give, and where a misplaced one belongs."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, Sampler

from trainkit.callbacks import Callback
from trainkit.checkpoint import Store
from trainkit.config.targets.signatures import Signature, returned, signature_of
from trainkit.data import Splits
from trainkit.objectives import Output, Penalised, Supervised
from trainkit.optim import NoAverage, WeightAverage

LOGGER = ("log", "image", "hyperparameters", "rewind", "close")
METRIC = ("reset", "update", "compute")
LOSS = "objective: {{_target_: trainkit.objectives.supervised, loss: {{_target_: {}}}}}"
PARTIAL = "Take out {0}._partial_, or set {0}._partial_=false"


@dataclass(frozen=True, slots=True)
class Role:
    """What a place is for."""

    name: str
    """With its article, such as ``a model``."""
    wanted: str
    """What must stand there, such as ``a torch.nn.Module``."""
    kinds: tuple[type, ...] = ()
    """Classes of which it must be an object."""
    methods: tuple[str, ...] = ()
    """Where there are no such classes: what its objects must be able to do."""
    supplied: tuple[str, ...] = ()
    """Arguments by name that trainkit gives, if they are taken and nobody else gave them."""
    leading: int = 0
    """Arguments by position that trainkit gives before all others."""


ROLES: Mapping[str, Role] = {
    "model": Role("a model", "a torch.nn.Module", (nn.Module,)),
    "data.datasets": Role(
        "the data", "a function that returns trainkit.data.Splits", (Splits,), ("train", "val", "test")
    ),
    "objective": Role("an objective", "a function objective(model, batch) -> Output", methods=("__call__",)),
    "objective.loss": Role("a loss", "a function loss(predictions, targets)", methods=("__call__",)),
    "optimizer": Role("an optimizer", "a torch.optim.Optimizer", (Optimizer,), leading=1),
    "schedule.scheduler": Role("a scheduler", "a torch.optim.lr_scheduler.LRScheduler", (LRScheduler,), leading=1),
    "averaging": Role("a weight average", "a trainkit.optim.WeightAverage", (WeightAverage, NoAverage)),
    "checkpoint": Role("a store", "a trainkit.checkpoint.Store", (Store,), supplied=("folder",)),
    "callbacks.*": Role("a callback", "a trainkit.Callback", (Callback,)),
    "diagnostics.*": Role("a diagnostic", "a trainkit.Callback", (Callback,)),
    "loggers.*": Role("a logger", f"an object with {', '.join(LOGGER)}", methods=LOGGER, supplied=("folder",)),
    "metrics.*": Role("a metric", f"an object with {', '.join(METRIC)}", methods=METRIC),
}


def pattern_of(path: str) -> str:
    """Return the place of which ``path`` is one: ``callbacks.*`` for ``callbacks.progress``."""
    parts = path.split(".")
    return f"{parts[0]}.*" if len(parts) == 2 and f"{parts[0]}.*" in ROLES else path


def role_of(path: str) -> Role | None:
    """Return what a place is for; None for nested ones, whose annotation says it."""
    return ROLES.get(pattern_of(path))


def place_of(kind: Any) -> str:
    """Return in words where an object of this class belongs, with a comma in front; empty if that is not known."""
    if not isinstance(kind, type):
        return ""
    places: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (Optimizer, "an optimizer, which belongs at optimizer"),
        (LRScheduler, "a scheduler, which belongs at schedule.scheduler"),
        (Callback, "a callback, which belongs at callbacks.NAME"),
        ((WeightAverage, NoAverage), "a weight average, which belongs at averaging"),
        (Store, "a store of checkpoints, which belongs at checkpoint"),
        ((Supervised, Penalised), "an objective, which belongs at objective"),
        (Splits, "the three data sets, which belong at data.datasets"),
        (DataLoader, "a loader, which trainkit makes itself of the sets of data.datasets"),
        ((Dataset, Sampler), "a data set, which a function at data.datasets returns in trainkit.data.Splits"),
    )
    for kinds, words in places:
        if issubclass(kind, kinds):
            return words
    if issubclass(kind, nn.Module):
        if is_loss(kind):
            return "a loss, which belongs at objective.loss"
        if kind.__module__.startswith("torchvision.transforms"):
            return "a transform of the data, which belongs at data.augment"
        return "a module, which belongs at model"
    if _has(kind, LOGGER):
        return "a logger, which belongs at loggers.NAME"
    return "a metric, which belongs at metrics.NAME" if _has(kind, METRIC) else ""


def result_of(found: Any, partial: bool = False) -> Any:
    """Return the class of what building gives; None where that is not known.

    Args:
        found: What the target names.
        partial: Whether a function is given that still takes arguments.
    """
    if partial:
        return functools.partial
    if isinstance(found, functools.partial):
        return result_of(found.func)
    if isinstance(found, type):
        return found
    if not callable(found):
        return type(found)
    annotation = returned(found)
    kinds = [kind for kind in classes_of(annotation) or () if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else None


def classes_of(annotation: Any) -> tuple[type, ...] | None:
    """Return the classes that an annotation allows; None where it allows what no class says."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [classes_of(kind) for kind in get_args(annotation)]
        return None if None in inner else tuple(kind for kinds in inner if kinds for kind in kinds)
    if annotation is None:
        return (type(None),)
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type) or kind in (object, Any) or getattr(kind, "_is_protocol", False):
        return None
    return (kind,)


def is_loss(kind: type) -> bool:
    """Say whether a class is one of torch's losses, or made of one."""
    return any(base.__module__ == "torch.nn.modules.loss" for base in kind.__mro__)


def misfit_of_role(found: Any, path: str, node: Mapping[str, Any]) -> tuple[str, str]:
    """Return why a target does not suit its place, and the cure; two empty texts if it may suit."""
    role = role_of(path)
    if not callable(found):
        what = "a module" if isinstance(found, types.ModuleType) else f"the value {found!r}"[:60]
        return f"is {what}, and nothing that can be called", ""
    if isinstance(found, type) and inspect.isabstract(found):
        absent = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        return f"is abstract: a class of your own must define {absent}", ""
    if role is None:
        return "", ""
    partial = node.get("_partial_") is True
    if path == "objective":
        return _misfit_of_objective(found, partial, node)
    kind = result_of(found, partial)
    if partial and path != "objective.loss":
        return f"gives a function, but {role.name} is wanted, {role.wanted}", PARTIAL.format(path)
    if kind is None or _suits(kind, role):
        return _unfinished(found, kind, path)
    return f"{_is(found, kind)}; {role.name} must be {role.wanted}", _cure(path, kind)


def fits_at_last(value: Any, path: str) -> bool:
    """Say whether an object that was built suits its place."""
    role = role_of(path)
    if role is None or (role.kinds and isinstance(value, role.kinds)):
        return True
    return bool(role.methods) and all(hasattr(value, name) for name in role.methods)


def _unfinished(found: Any, kind: Any, path: str) -> tuple[str, str]:
    if path == "model" and _cannot_be_called(found.func if isinstance(found, functools.partial) else found):
        return "defines no forward, so it cannot be called with a batch; a model must", ""
    if path == "model" and isinstance(kind, type) and is_loss(kind):
        return f"is {place_of(kind)}; a model must be called with inputs alone", ""
    if path == "objective.loss" and isinstance(kind, type) and issubclass(kind, Supervised | Penalised):
        return "is an objective; a loss must be a function loss(predictions, targets)", "Give the loss itself"
    return "", ""


def _cannot_be_called(found: Any) -> bool:
    """Say whether a class of modules defines no forward; what a function returns may well have one of its own."""
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        return False
    return found.forward is nn.Module.forward and found.__call__ is nn.Module.__call__


def _suits(kind: Any, role: Role) -> bool:
    if not isinstance(kind, type) or kind in (object, type):
        return True
    if role.kinds and issubclass(kind, role.kinds):
        return True
    # a function may be annotated with less than it gives: with a class from which a suitable one comes
    if any(issubclass(wanted, kind) for wanted in role.kinds) and not issubclass(kind, tuple):
        return True
    return bool(role.methods) and _has(kind, role.methods)


def _has(kind: type, names: tuple[str, ...]) -> bool:
    declared = {name for base in kind.__mro__ for name in (*vars(base), *getattr(base, "__annotations__", ()))}
    return declared.issuperset(names)


def _is(found: Any, kind: type) -> str:
    words = place_of(kind)
    if isinstance(found, type):
        return f"is {words}" if words else "is another thing"
    return f"gives {words or named(kind)}"


def named(kind: type) -> str:
    """Return the name of a class with its article."""
    return f"a{'n' * (kind.__name__[:1] in 'AEIOUaeiou')} {kind.__name__}"


def _cure(path: str, kind: type) -> str:
    if path == "data.datasets" and issubclass(kind, Dataset):
        return "Write a function that returns trainkit.data.Splits(train, val, test), and name it here"
    return ""


def _misfit_of_objective(found: Any, partial: bool, node: Mapping[str, Any]) -> tuple[str, str]:
    """Judge what is called as ``objective(model, batch)``."""
    role = ROLES["objective"]
    wanted = f"{role.name} must be {role.wanted}"
    kind = found if isinstance(found, type) else None if partial else result_of(found)
    if partial and not isinstance(found, type):
        left = _left(signature_of(found), node)
        return ("", "") if left else (f"does not take model and batch; {wanted}", "")
    if partial:
        return f"gives a class that is called with model and batch; {wanted}", PARTIAL.format("objective")
    if kind is None:
        return "", ""
    if issubclass(kind, nn.Module) and _is_bare_loss(kind):
        return f"is a loss of predictions and targets; {wanted}", f"Write {LOSS.format(node['_target_'])}"
    if issubclass(kind, Tensor | Output | Optimizer | Dataset | Callback) or not _has(kind, ("__call__",)):
        return f"{_is(found, kind)}; {wanted}", _partial_cure(found, kind)
    return "", ""


def _partial_cure(found: Any, kind: type) -> str:
    gives = not isinstance(found, type) and issubclass(kind, Output | Tensor)
    return "objective._partial_=true hands over the function itself" if gives else ""


def _left(signature: Signature, given: Mapping[str, Any]) -> bool:
    """Say whether a function can be called with two arguments by position."""
    positional = signature.positional
    if not signature.open_positions and len(positional) < 2:
        return False
    return not any(parameter.required and parameter.name not in given for parameter in positional[2:])


def _is_bare_loss(kind: type) -> bool:
    """Say whether a module is called with predictions and targets, not with a model and a batch."""
    if kind.__module__.startswith("torch.nn"):
        return True
    forward: Callable[..., Any] = kind.forward  # type: ignore[attr-defined]
    names = signature_of(forward).names
    if {"model", "batch"} & set(names):
        return False
    annotation = returned(forward)
    return is_loss(kind) or (isinstance(annotation, type) and issubclass(annotation, Tensor))
