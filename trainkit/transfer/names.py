"""From the names in a file to those of a model: a part of the file, renaming, old names, and order alone."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from trainkit.checkpoint.weights import shape_of
from trainkit.errors import ConfigError, closest

WILDCARDS = re.compile(r"([*?])")
OLD_NAMES = ((re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),)
"""Names in files of torchvision from before a module was renamed, where the module itself does not know them."""


def matches(pattern: str, name: str) -> bool:
    """Say whether a pattern means a name: a glob over all of it, or the path of a module or tensor.

    Args:
        pattern: ``*`` stands for any characters, dots included, ``?`` for one; without these, ``fc`` means ``fc`` and
            all in it.
        name: The name of a tensor.
    """
    return re.fullmatch(_expression(pattern), name) is not None


def under(names: Iterable[str], prefix: str | None) -> dict[str, str]:
    """Return the names in a file that begin with a prefix, by what is left of them.

    Names that a wrapper put ``module.`` or ``_orig_mod.`` before are known without it, too.

    Args:
        names: The names in the file.
        prefix: Such as ``backbone.``; None for all names as they are.

    Raises:
        ConfigError: If none begins with it; it names what they begin with.
    """
    names = list(names)
    if not prefix:
        return {name: name for name in names}
    for spelled in dict.fromkeys((f"{prefix.removesuffix('.')}.", prefix)):
        for known in ({name: name for name in names}, _bared(names)):
            found = {plain.removeprefix(spelled): name for name, plain in known.items() if plain.startswith(spelled)}
            found.pop("", None)
            if found:
                return found
    starts = list(dict.fromkeys(f"{name.rpartition('.')[0].partition('.')[0]}." for name in names if "." in name))
    near = closest(prefix, starts) or f" They begin with {', '.join(starts[:6])}"
    raise ConfigError(f"weights.prefix={prefix}: no name in the file begins with it.{near}")


def renamed(names: Mapping[str, str], rules: Mapping[str, str]) -> dict[str, str]:
    """Return names by what the first rule that matches makes of them; others stay.

    Args:
        names: Names in the file, by what is known of them so far.
        rules: From a glob (``encoder.*``), whose wildcards the new name repeats in order (``backbone.*``), or from the
            path of a module or tensor (``encoder``), to the new one; ``encoder.*`` to ``*`` takes a prefix off.

    Raises:
        ConfigError: If a rule matches nothing, has more wildcards than it has matches for, or two names become one.
    """
    compiled = {old: re.compile(_expression(old)) for old in rules}
    used: set[str] = set()
    fresh: dict[str, str] = {}
    for name, original in names.items():
        new = name
        for old, expression in compiled.items():
            if found := expression.fullmatch(name):
                new = _replaced(old, rules[old], found)
                used.add(old)
                break
        if new in fresh:
            raise ConfigError(f"weights.rename: {fresh[new]} and {original} would both become {new}")
        fresh[new] = original
    for old in rules:
        if old not in used:
            paths = _paths(names)
            near = closest(old, [path for path in paths if path.count(".") == old.count(".")]) or closest(old, paths)
            first = " (an earlier rule takes what it matches)" if any(map(compiled[old].fullmatch, names)) else ""
            raise ConfigError(f"weights.rename.{old}: matches no name in the file{first}.{near}")
    return fresh


def translated(model: nn.Module, given: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the names that a model's own modules make of the old names in a file: today's name by the file's.

    Modules that were renamed inside know their old names while they load (``_load_from_state_dict``, or a hook that
    runs before it). They are asked on copies without contents, so that nothing is loaded.

    Args:
        model: Left as it is.
        given: Tensors by name; not written to.
        metadata: The versions of the modules that wrote the file, by path, as ``state_dict()._metadata``.
    """
    state: dict[str, Any] = {name: value.detach() for name, value in given.items() if isinstance(value, Tensor)}
    origins = {id(value): name for name, value in state.items()}
    for path, module in model.named_modules():
        if isinstance(module, LazyModuleMixin):  # its hook would give it its shapes
            continue
        prefix = f"{path}." if path else ""
        version = dict(metadata.get(path, {}))
        hooks = list(module._load_state_dict_pre_hooks.values())
        own = type(module)._load_from_state_dict
        if not own.__module__.startswith("torch.nn.modules."):
            try:
                empty = copy.deepcopy(module, {id(t): _empty(t) for t in _tensors(module)})
                hooks.append(empty._load_from_state_dict)
            except (RuntimeError, TypeError, ValueError, AttributeError):
                continue
        for hook in hooks:
            attempt = dict(state)
            try:
                with warnings.catch_warnings(), torch.no_grad():
                    warnings.simplefilter("ignore")
                    hook(attempt, prefix, version, False, [], [], [])
            except (RuntimeError, TypeError, ValueError, KeyError, AttributeError):
                continue
            state = attempt
    names = {origins[id(value)]: name for name, value in state.items() if id(value) in origins}
    for name in given:
        now = names.setdefault(name, name)
        for old, new in OLD_NAMES:
            names[name] = old.sub(new, now)
    return names


def by_position(own: Mapping[str, Any], given: Mapping[str, Any], differ: Sequence[str]) -> dict[str, str]:
    """Return the name in the file for each of a model's tensors, by order alone; ``num_batches_tracked`` is left out.

    Args:
        own: The model's tensors by name.
        given: The file's.
        differ: Patterns of the model's tensors that need not agree, such as those of a new head. They take part in the
            order if the file has as many tensors as the model with them, else the file is taken to lack them.

    Raises:
        ConfigError: If the numbers or the shapes do not agree, at the first place where they differ.
    """
    ours = [name for name, value in own.items() if isinstance(value, Tensor) and not _counts(name)]
    theirs = [name for name, value in given.items() if isinstance(value, Tensor) and not _counts(name)]
    fixed = [name for name in ours if not any(matches(pattern, name) for pattern in differ)]
    if len(theirs) not in (len(ours), len(fixed)):
        raise ConfigError(
            f"weights.by_position=true: the file has {len(theirs)} tensors and the model {len(ours)}"
            + (f", {len(fixed)} without its heads" if len(fixed) < len(ours) else "")
            + ", num_batches_tracked left out; by order alone they cannot be told apart"
        )
    chosen = ours if len(theirs) == len(ours) else fixed
    for place, (name, other) in enumerate(zip(chosen, theirs, strict=True)):
        if own[name].shape != given[other].shape and name in fixed:
            is_last = len({own_name.rpartition(".")[0] for own_name in chosen[place:]}) == 1
            cure = "\nonly the last layer differs: head.outputs=${data.outputs} replaces it by a new one" * is_last
            raise ConfigError(
                f"weights.by_position=true: tensor {place + 1} of {len(chosen)} is {other} ({shape_of(given[other])}) "
                f"in the file and {name} ({shape_of(own[name])}) in the model{cure}"
            )
    return dict(zip(chosen, theirs, strict=True))


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern, with a group for each wildcard, or for what follows a path."""
    if not WILDCARDS.search(pattern):
        path = pattern.removesuffix(".")
        return re.escape(path) + (r"(\..+)?" if path == pattern else r"(\..+)")
    groups = {"*": "(.*)", "?": "(.)"}
    return "".join(groups.get(part, re.escape(part)) for part in WILDCARDS.split(pattern))


def _replaced(old: str, new: str, found: re.Match[str]) -> str:
    """Return the new name, whose wildcards stand for what those of the old one matched."""
    if not WILDCARDS.search(old):
        return (new.removesuffix(".") + (found[1] or "")).removeprefix(".")
    values = list(found.groups())
    parts = WILDCARDS.split(new)
    if len(parts) // 2 > len(values):
        raise ConfigError(f"weights.rename.{old}={new}: has more wildcards than {old}")
    return "".join(values.pop(0) if part in ("*", "?") else part for part in parts)


def _bared(names: Iterable[str]) -> dict[str, str]:
    """Return names without the wrappers that all of them carry."""
    bare = {name: name.replace("_orig_mod.", "") for name in names}
    while bare and all(name.startswith("module.") for name in bare.values()):
        bare = {name: rest.removeprefix("module.") for name, rest in bare.items()}
    return bare


def _paths(names: Iterable[str]) -> list[str]:
    """Return names and the paths of the modules above them, for close matches."""
    paths: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        paths |= dict.fromkeys(".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        paths |= dict.fromkeys(".".join(parts[:depth]) + ".*" for depth in range(1, len(parts)))
    return list(paths)


def _counts(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _empty(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
