"""What a config that came with a run or checkpoint may build. It is data from anywhere: its words are held against a
list before anything that they name is imported, and against what they turn out to be before anything is called.

The judgement of ``trusted.py``, which one's own configs are held to, holds here too; this is the stricter rule on top.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset

from trainkit.callbacks import Callback
from trainkit.checkpoint import Store
from trainkit.config.composing.recipes import folder
from trainkit.config.schema.keys import DIRECTIVES
from trainkit.config.targets.trusted import BLOCKED, Trusted, reason_by_object, under, untrustable
from trainkit.data import Splits
from trainkit.errors import ConfigError
from trainkit.optim import WeightAverage

LIBRARIES = ("torch.nn", "torch.optim", "torchvision.models", "torchvision.transforms", "torchvision.datasets")
OWN = tuple(f"trainkit.recipes.{name}" for name in ("models", "data", "networks", "adapters", "distillation"))
"""Never ``trainkit`` as a whole: in a checkout, whatever lies beside the package can be imported as a part of it."""
PUBLIC = tuple(f"trainkit.{unit}" for unit in ("callbacks", "checkpoint", "data", "loggers", "metrics", "optim"))
"""Of these the names that they export, and no module within them."""
UNPICKLING = ("torchvision.datasets.lsun",)
"""Modules that run what a file of the data set's folder says."""
NEVER = frozenset({"torch", "numpy", "hydra", "omegaconf", "torchvision", "trainkit", "yaml", "pip", "setuptools"})
DEPTH, ENTRIES = 50, 100_000
ROLES: dict[str, tuple[type, ...]] = {
    "model": (nn.Module,),
    "objective": (nn.Module,),
    "optimizer": (Optimizer,),
    "schedule.scheduler": (LRScheduler,),
    "averaging": (WeightAverage,),
    "checkpoint": (Store,),
    "data.datasets": (Splits,),
    "callbacks.*": (Callback,),
}
SHAPES: dict[str, tuple[str, ...]] = {
    "loggers.*": ("log", "image", "hyperparameters", "rewind", "close"),
    "metrics.*": ("reset", "update", "compute"),
}
"""The methods of those that are no subclass of anything."""
PARTS = (nn.Module, Dataset, Enum)
"""What may stand anywhere within another object, besides the transforms of torchvision."""
WRITERS = ("callbacks", "checkpoint", "loggers")
PLACES = ("folder", "path", "file", "filename", "dir", "directory", "log_dir", "run_dir", "root", "save_dir")

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def require_trustable(packages: Sequence[str]) -> None:
    """Refuse what ``trusted_packages`` cannot mean for a stored config: no package of one's own.

    Raises:
        ConfigError: That says so.
    """
    for package in packages:
        reason = untrustable(package)
        if not reason and (package.split(".")[0] in NEVER or not _is_plain(package)):
            reason = "can be made to do anything by a config from elsewhere; trust a package of your own"
        if reason:
            raise ConfigError(f"trusted_packages=[{package}]: {package} {reason}")


def hold(config: Mapping[str, Any], trust: Sequence[str] = (), where: str = "the run") -> None:
    """Refuse a config that would build anything but parts of a training.

    Args:
        config: Plain dicts, lists and values.
        trust: Packages of one's own whose classes and functions it may name too, as ``trusted_packages`` of the command
            line has them; what the config itself has there counts for nothing.
        where: What it came with, for the message.

    Raises:
        ConfigError: That names the key, its value, and what would allow it. Nothing that is refused was imported.
    """
    require_trustable(trust)
    _require_plain(config, where)
    targets = list(_targets(config, ()))
    for path, target in targets:
        if not isinstance(target, str) or _root(target, trust) is None:
            raise _refusal(path, target, where)
    for path, target in targets:
        found = _resolve(path, str(target), where)
        if reason := _unfit(path, str(target), found, trust):
            raise _refusal(path, target, where, reason)


def _refusal(path: Sequence[str], target: object, where: str, reason: str = "") -> ConfigError:
    key = ".".join((*path, "_target_"))
    roots = ", ".join(("trainkit", *LIBRARIES))
    top = str(target).split(".", 1)[0]
    package = top if _WORD.fullmatch(top) and not untrustable(top) and top not in NEVER else "my_package"
    return ConfigError(
        f"{key}={str(target)[:100]!r}: {where} may not have this built{': ' if reason else ''}{reason}. Its config is "
        f"held to the parts of a training in {roots}; if the code is yours: trusted_packages=[{package}]"
    )


def _root(target: str, trust: Sequence[str]) -> str | None:
    """Return the allowed root that a name lies under, by its text alone."""
    if not _is_plain(target) or under(target, BLOCKED):
        return None
    for root in (*LIBRARIES, *OWN, *trust):
        if target.startswith(f"{root}."):
            return root
    if any(target in names for names in _exact().values()):
        return target
    parent = target.rpartition(".")[0]
    return parent if parent in PUBLIC else None


def _is_plain(name: str) -> bool:
    return all(_WORD.fullmatch(part) for part in name.split("."))


@cache
def _exact() -> dict[str, frozenset[str]]:
    """Return the targets that stand in trainkit's own configs, by their group; functions are allowed by these alone."""
    found: dict[str, set[str]] = {}
    for file in folder().rglob("*.yaml"):
        group, text = file.relative_to(folder()).parts[0], file.read_text(encoding="utf-8")
        nodes = {group: text}
        if "@package _global_" in text:  # such as a recipe, whose nodes are of other groups
            nodes = dict(re.findall(r"^(\w+):((?:\n[ #].*|\n(?=\n))*)", text, re.MULTILINE))
        for name, node in nodes.items():
            found.setdefault(name, set()).update(re.findall(r"_target_: *([\w.]+)", node))
    return {group: frozenset(names) for group, names in found.items()}


def _resolve(path: Sequence[str], target: str, where: str) -> Any:
    """Return what a name means, walking through modules of that very name and classes only."""
    parts = target.split(".")
    try:
        found: Any = import_module(parts[0])
        for count, part in enumerate(parts[1:], 2):
            name = ".".join(parts[:count])
            if isinstance(found, ModuleType) and not hasattr(found, part):
                found = import_module(name)
            else:
                found = getattr(found, part)
            if isinstance(found, ModuleType) and found.__name__ != name:
                raise _refusal(path, target, where, f"it leads to {found.__name__}")
    except (ImportError, AttributeError) as error:
        raise _refusal(path, target, where, f"it cannot be imported ({error})") from None
    return found


def _unfit(path: tuple[str, ...], target: str, found: Any, trust: Sequence[str]) -> str:
    """Return why what a name means may not stand where it does; empty if it may."""
    real = f"{getattr(found, '__module__', '?')}.{getattr(found, '__qualname__', '?')}"
    trusted = any(real.startswith(f"{root}.") for root in trust)
    if reason := reason_by_object(found, target, Trusted(tuple(trust))):
        return f"it {reason}"
    known = (*LIBRARIES, *OWN, *PUBLIC, "trainkit.objectives")
    if not trusted and not any(real.startswith(f"{root}.") for root in known):
        return f"it is really {real}"
    if real.rpartition(".")[0].startswith(UNPICKLING):
        return "it unpickles files of the folder that it is given"
    if not isinstance(found, type):
        if trusted and isinstance(found, FunctionType):
            return ""
        if target in _exact().get(path[0], ()) or (path[0] == "model" and _builds_model(target, found)):
            return ""
        return f"it is a {type(found).__name__} that trainkit's own configs do not name there"
    return "" if _has_role(path, found, trusted) else f"it is no {_role_name(path)}"


def _builds_model(target: str, found: Any) -> bool:
    """Say whether a function is one of torchvision's registered makers of models."""
    if not target.startswith("torchvision.models."):
        return False
    from torchvision.models import get_model_builder, list_models

    name = target.rpartition(".")[2]
    return name in list_models() and get_model_builder(name) is found


def _pattern(path: tuple[str, ...]) -> str:
    return f"{path[0]}.*" if len(path) == 2 and path[0] in ("callbacks", "loggers", "metrics") else ".".join(path)


def _role_name(path: tuple[str, ...]) -> str:
    role = ROLES.get(_pattern(path))
    if role is not None:
        return f"{role[0].__module__.split('.')[0]} {role[0].__name__}"
    return {"loggers.*": "Logger", "metrics.*": "Metric"}.get(_pattern(path), "part of one")


def _has_role(path: tuple[str, ...], found: type, trusted: bool) -> bool:
    pattern = _pattern(path)
    if pattern in ROLES:
        return issubclass(found, ROLES[pattern])
    if pattern in SHAPES:
        return all(callable(getattr(found, method, None)) for method in SHAPES[pattern])
    within = {"optimizer": (Optimizer,), "schedule": (LRScheduler,)}.get(path[0], ())
    transform = found.__module__.startswith("torchvision.transforms.")
    return trusted or transform or issubclass(found, (*PARTS, *within))


def _targets(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and value of each ``_target_``, at any depth, in lists too."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield path, value
            else:
                yield from _targets(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _targets(value, (*path, str(number)))


def _require_plain(config: Mapping[str, Any], where: str) -> None:
    """Refuse what a resolved config does not hold: text that wants resolving, directives, places to write to."""
    count = 0

    def visit(node: Any, path: tuple[str, ...]) -> None:
        nonlocal count
        count += 1
        name = ".".join(path)[:200]
        if len(path) > DEPTH or count > ENTRIES:
            raise ConfigError(f"{where}: its config is nested more than {DEPTH} deep or has over {ENTRIES:,} entries")
        if isinstance(node, Mapping):
            for key, value in node.items():
                _require_key(key, path, value, where)
                visit(value, (*path, key))
        elif isinstance(node, list):
            for number, value in enumerate(node):
                visit(value, (*path, str(number)))
        elif isinstance(node, str) and "${" in node:
            raise ConfigError(f"{name}={node[:100]!r}: {where} has text that wants resolving; a stored config has none")
        elif node is not None and type(node) not in (str, int, float, bool):
            raise ConfigError(f"{name}: {where} has a {type(node).__name__} there; a stored config has plain values")

    visit(config, ())


def _require_key(key: Any, path: tuple[str, ...], value: Any, where: str) -> None:
    name = ".".join((*path, str(key)))[:200]
    if not isinstance(key, str):
        raise ConfigError(f"{name}: {where} has a key that is no text")
    unknown = re.fullmatch(r"_\w*_", key) and key not in DIRECTIVES
    if unknown or (key == "_partial_" and not isinstance(value, bool)) or (not path and key == "defaults"):
        raise ConfigError(f"{name}: {where} has a directive that a stored config does not have")
    if path and path[0] in WRITERS and key.lower() in PLACES and value is not None:
        raise ConfigError(f"{name}={str(value)[:100]!r}: {where} may not say where to write; {name}=PATH here may")
