"""The network of a config without its numbers: its modules and the shapes of its parameters, for rules about names.

It is built on torch's meta device, which holds no data: a large network takes a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from trainkit.config.checking.fields import Fields
from trainkit.config.paths import at
from trainkit.config.targets.instantiate import instantiate, target_of
from trainkit.config.targets.signatures import signature_of
from trainkit.config.targets.trusted import Trusted
from trainkit.errors import ConfigError, TrainingError
from trainkit.findings import Finding
from trainkit.keys import Streams
from trainkit.transfer.heads import replace_heads

KNOWN = ("torch.", "torchvision.", "timm.", "trainkit.")
"""Whose networks begin at random, unless an argument says otherwise."""
FETCHING = ("pretrained", "pretrained_backbone", "weights", "weights_backbone")
"""What arguments are called that let a network of torchvision or timm download its weights."""


@dataclass(slots=True)
class Network:
    """What is known of the network of a config before it is built."""

    model: nn.Module | None = None
    """On the meta device, with its new heads where these could be made; None where it was not looked at."""
    heads: list[str] = field(default_factory=list)
    """The layers that ``head`` puts into it, or only names."""
    replaced: bool = False
    """Whether ``head`` puts new layers into it."""
    is_whole: bool = True
    """False where its heads could not be made, so that its last layers are others than a run's."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def new_heads(self) -> list[str]:
        """The layers that are new in it."""
        return self.heads if self.replaced else []

    def holds(self, name: str) -> bool:
        """Say whether a parameter is one of a new head."""
        return any(name.startswith(f"{head}.") for head in self.new_heads)


def network_of(fields: Fields, trusted: Trusted) -> Network:
    """Return the network of a config, and what its building and its heads showed to be wrong.

    The global generators stay as they are, and what the network prints is not shown.

    Args:
        fields: The config; ``model`` was held against its targets already, and is no part of it that is wrong.
        trusted: Whose code it may name.

    Raises:
        Unclear: If something in ``model`` is wrong, as somebody else has said.
    """
    node, found = fields.get("model"), Network()
    if not isinstance(node, Mapping) or "_target_" not in node:
        return found
    if reason := downloads(node, trusted):
        found.findings.append(_unseen(reason))
        return found
    try:
        model = _built(node, trusted, "meta")
    except ConfigError as error:
        found.findings.append(_why_not(fields, node, trusted, error))
        return found
    except TrainingError as error:
        found.findings.append(_unseen(str(error)))
        return found
    if not isinstance(model, nn.Module):
        return found
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        found.findings.append(_unseen("some of its layers take their shapes from the first batch"))
        return found
    found.model = model
    _with_heads(fields, found)
    return found


def is_known(node: Any) -> bool:
    """Say whether all that a node builds is torch's, torchvision's, timm's or trainkit's."""
    return all(isinstance(target, str) and target.startswith(KNOWN) for target in _targets(node))


def told_as(fields: Fields, rule: str, error: ConfigError, place: str) -> Finding:
    """Return an error of the engine's as a finding: at the place that it names, with its cure apart.

    Args:
        fields: The config.
        rule: Name of the rule.
        error: ``PLACE=VALUE: what is wrong. Did you mean 'x'?``; of several lines the last one is a cure.
        place: Where it is if the text names none.
    """
    first, *rest = str(error).splitlines()
    cure = rest[-1] if rest and not rest[-1].startswith("  ") else ""
    if named := re.match(r"([a-z_]\w*(?:\.[\w.*?]+|\[\d+\])*)(?==|: )", first):
        told = first[named.end() :]
        place, value = named[1], at(fields.config, named[1])
        given = next((f"={v}: " for v in (str(value), repr(value)) if told.startswith(f"={v}: ")), None)
        rest_of_it = told.partition(": ")[2]
        if told.startswith("=") and isinstance(value, Mapping | list):  # one of several: the text says which
            rest_of_it = told[1:]
        first = told[len(given) :] if given else rest_of_it
    message, meant, near = first.partition(" Did you mean ")
    fix = f"Did you mean {near}" if meant else ""
    return fields.finding(rule, place, message.rstrip("."), fix=fix or cure)


def written_at(fields: Fields, place: str) -> str:
    """Return where a value was written: ``freeze.thaw`` for a place that holds ``${freeze.thaw}``."""
    refers = re.fullmatch(r"\$\{([\w.]+)\}", str(at(fields.raw, place)))
    return refers[1] if refers else place


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let nothing be printed, warned of or drawn from the global generators."""
    with Streams().kept(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _built(node: Mapping[str, Any], trusted: Trusted, device: str) -> Any:
    with quietly(), torch.device(device):
        return instantiate(node, "model", trusted=trusted)


def _why_not(fields: Fields, node: Mapping[str, Any], trusted: Trusted, error: ConfigError) -> Finding:
    """Return why a network could not be built without data: an error if that would happen with data, too."""
    if isinstance(error.__cause__, ConfigError):  # trainkit's own words, such as those for a name that there is not
        try:
            _built(node, trusted, "cpu")
        except ConfigError as again:
            if str(again) == str(error):
                return told_as(fields, "bad-model", error, "model")
    cause = type(error.__cause__ or error).__name__
    return _unseen(f"{cause} where its tensors hold no data")


def _with_heads(fields: Fields, network: Network) -> None:
    """Put new heads into the network, or note which layers are called its head."""
    node, model = at(fields.config, "head"), network.model
    if not isinstance(node, Mapping) or model is None:
        return
    name, outputs = fields.get("head.name"), fields.get("head.outputs")
    if outputs is None and not isinstance(name, Mapping):
        names = [name] if isinstance(name, str) else list(name or ())
        known = [path for path, _ in model.named_modules() if path]
        if all(path in known for path in names):
            network.heads = names
            return
        outputs = 1  # any: only to be told what is wrong with the name
    options = {key: fields.get(f"head.{key}") for key in ("init", "dropout") if fields.get(f"head.{key}") is not None}
    try:
        with quietly(), torch.device("meta"):
            network.heads = replace_heads(model, outputs, name=name, **options)
        network.replaced = True
    except ConfigError as error:
        network.findings.append(told_as(fields, "unknown-head", error, "head.name"))
        network.is_whole = False


def downloads(node: Any, trusted: Trusted) -> str:
    """Return which argument in a node would download weights while it is built; empty if none would."""
    for inner in _nodes(node):
        try:
            signature = signature_of(target_of(inner, "model", trusted))
        except ConfigError:
            continue
        for name in FETCHING:
            parameter = signature.parameters.get(name)
            given = inner.get(name, None if parameter is None else parameter.default)
            if given is True or (isinstance(given, str | Enum) and given):
                return f"{name} lets it fetch weights when a run starts"
    return ""


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)


def _targets(value: Any) -> Iterator[Any]:
    return (node["_target_"] for node in _nodes(value))


def _unseen(why: str) -> Finding:
    message = f"not looked at, so names of its layers are not checked: {why}"
    return Finding(rule="not-looked-at", severity="info", place="model", message=message)
