"""Transfer learning in a config held against the network: the freeze plan, the weights, new heads, preprocessing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from trainkit.config.checking.fields import MISSING, Fields, Unclear, apply
from trainkit.config.checking.freezing import plan_findings
from trainkit.config.checking.monitored import kind_of
from trainkit.config.checking.networks import Network, is_known, network_of, quietly, told_as
from trainkit.config.composing.recipes import head
from trainkit.config.paths import at
from trainkit.config.targets.trusted import Trusted
from trainkit.errors import ConfigError
from trainkit.findings import Finding
from trainkit.transfer.heads import find_heads
from trainkit.transfer.loading import load_pretrained
from trainkit.transfer.preprocessing import resolve_preprocessing
from trainkit.transfer.sources import KEY, Pretrained, Source, find_source, read_source

LARGEST = 256 << 20
"""Bytes of a file that is read to be held against the network: some tenths of a second."""
ODD = (RuntimeError, TypeError, ValueError, KeyError, AttributeError)
"""What code of torch, or of one's own, may raise where tensors hold no data."""
BY_NAME = ("prefix", "rename", "allow")
WITHOUT_SOURCE = (*BY_NAME, "by_position")


def transfer_findings(fields: Fields, trusted: Trusted) -> list[Finding]:
    """Return what is wrong with the freeze plan, the weights, the head and the preprocessing of a config.

    The network is built without its numbers, weights on the disk are read where they are small, and nothing is fetched.

    Args:
        fields: The config, after its targets were found sound.
        trusted: Whose code it may name.
    """
    try:
        network = network_of(fields, trusted)
    except Unclear:
        network = Network()
    found = list(network.findings)

    def plan(fields: Fields) -> Iterator[Finding]:
        return plan_findings(fields, network)

    def weights(fields: Fields) -> Iterator[Finding]:
        return _weights(fields, network)

    def kept_head(fields: Fields) -> Iterator[Finding]:
        return _kept_head(fields, network)

    return [*found, *apply((plan, weights, kept_head, _unused_head), fields)]


def _weights(fields: Fields, network: Network) -> Iterator[Finding]:
    """Look for the weights, hold them against the network, and look for the preprocessing that belongs to them."""
    text = fields.get(KEY)
    if text is None:
        for name in WITHOUT_SOURCE:
            if fields.get(f"weights.{name}"):
                message = "has no effect without weights: weights.source=null"
                yield fields.finding("no-effect", f"weights.{name}", message, severity="warning")
        yield from _preprocessing(fields, None, network)
        return
    if fields.get("resume") is not None:  # a checkpoint gives all weights
        return
    if fields.get("weights.by_position") is True and fields.get("weights.rename"):
        message = "has no meaning with weights.by_position=true, which pairs by order alone"
        yield fields.finding("unfit-weights", "weights.rename", message, fix="Leave out one of the two")
        return
    try:
        source = find_source(str(text) if isinstance(text, int | float) else text)
    except ConfigError as error:
        found, first = told_as(fields, "bad-weights", error, KEY), _needed_first(fields)
        yield replace(found, fix=f"Run first: {first}") if first else found
        return
    if not source.is_here:
        yield _fetched(source)
        yield from _of_entry(fields, source, network)
        yield from _preprocessing(fields, source, network)
        return
    if source.file.stat().st_size > LARGEST:
        yield _unseen(f"{source.file.name} has {source.file.stat().st_size >> 20} MiB")
        if source.file.suffix != ".ckpt":
            yield from _preprocessing(fields, source, network)
        return
    try:
        with quietly():
            pretrained = read_source(source)
    except ConfigError as error:
        yield told_as(fields, "bad-weights", error, KEY)
        return
    yield from _held(fields, pretrained, network)
    yield from _preprocessing(fields, pretrained, network)


def _needed_first(fields: Fields) -> str:
    """Return the command that makes the weights, where the recipe that names them says so; else nothing."""
    origin = fields.origins.of(KEY)
    return head(origin.file).note("First") if origin is not None and origin.file is not None else ""


def _held(fields: Fields, pretrained: Pretrained, network: Network) -> Iterator[Finding]:
    """Hold weights against the network as a run does; copying into tensors without data does nothing."""
    model = network.model
    if model is None or not network.is_whole:
        return
    shared = sum(1 for _ in model.named_parameters(remove_duplicate=False)) - sum(1 for _ in model.parameters())
    if shared:
        yield _unseen("some of the network's parameters are shared")
        return
    try:
        with quietly():
            load_pretrained(
                model,
                pretrained,
                prefix=fields.get("weights.prefix"),
                rename=fields.get("weights.rename"),
                by_position=fields.get("weights.by_position") is True,
                allow=fields.get("weights.allow") or (),
                heads=network.new_heads,
            )
    except ConfigError as error:
        yield told_as(fields, "unfit-weights", error, KEY)
    except ODD as error:  # a module's own way of loading may need what tensors without data cannot do
        yield _unseen(f"{type(error).__name__} where the network's tensors hold no data")


def _of_entry(fields: Fields, source: Source, network: Network) -> Iterator[Finding]:
    """Hold weights of torchvision that are not in its cache against the network, by the one that they belong to."""
    model = network.model
    if model is None or not network.is_whole or any(fields.get(f"weights.{name}") for name in BY_NAME):
        return
    theirs = _network_of_entry(source.entry)
    if theirs is None:
        return
    if fields.get("weights.by_position") is True:
        tensors = {name: torch.zeros((), dtype=t.dtype).expand(t.shape) for name, t in theirs.state_dict().items()}
        yield from _held(fields, Pretrained(source.name, tensors, entry=source.entry), network)
        return
    own = {name: parameter.shape for name, parameter in model.named_parameters()}
    given = {name: parameter.shape for name, parameter in theirs.named_parameters()}
    names = [name for name in {**own, **given} if not network.holds(name)]
    wrong = [name for name in names if own.get(name) != given.get(name)]
    fits = len(names) - len(wrong)
    if 2 * fits < len(names):
        message = f"these are weights of another network: {fits} of {len(names)} names fit"
        yield fields.finding("unfit-weights", KEY, message, fix=f"They are those of {_name_of(source.entry)}")
    elif wrong:
        message = f"the weights do not fit the model: {fits} of {len(names)} names fit, and {wrong[0]} does not"
        last = all(any(name.startswith(f"{head}.") for head in _heads(model)) for name in wrong)
        fix = "head.outputs=${data.outputs} replaces the last layer by a new one" if last else ""
        yield fields.finding("unfit-weights", KEY, message, fix=fix)


def _heads(model: nn.Module) -> list[str]:
    try:
        return find_heads(model)
    except ConfigError:
        return []


def _network_of_entry(entry: Any) -> nn.Module | None:
    """Return the network that an entry of torchvision belongs to, without its data."""
    from torchvision import models

    try:
        with quietly(), torch.device("meta"):
            model: nn.Module = models.get_model(_name_of(entry), weights=None)
    except ODD:  # another kind of network, or one that cannot be built so: its weights are looked at in the run
        return None
    known = sum(parameter.numel() for parameter in model.parameters()) == entry.meta.get("num_params")
    return model if known else None


def _name_of(entry: Any) -> str:
    """Return the name of the network that an entry of torchvision belongs to."""
    return type(entry).__name__.removesuffix("_Weights").lower()


def _preprocessing(fields: Fields, weights: Source | Pretrained | None, network: Network) -> Iterator[Finding]:
    """Hold ``data.preprocessing`` against the weights that it is to be taken from."""
    place = "data.preprocessing"
    setting, datasets = fields.get(place), fields.get("data.datasets")
    if setting is None or (isinstance(setting, str) and setting != "auto"):
        return
    if not isinstance(datasets, Mapping) or "preprocessing" not in datasets:
        if setting == "auto":
            message, fix = "the function at data.datasets takes no preprocessing", f"{place}=null"
            yield fields.finding("unknown-preprocessing", place, message, fix=fix)
        return
    try:
        values = resolve_preprocessing(setting, weights, network.model)
    except ConfigError as error:
        yield told_as(fields, "unknown-preprocessing", error, place)
        return
    if values is None and weights is None and network.model is not None:
        message = "nothing is known of how images are prepared without weights: weights.source=null"
        effect = "they are not normalised"
        yield fields.finding("unknown-preprocessing", place, message, severity="warning", effect=effect)


def _kept_head(fields: Fields, network: Network) -> Iterator[Finding]:
    """Hold the last layer that a network keeps against the classes of the data."""
    model, classes = network.model, fields.number("data.classes")
    if (
        model is None
        or network.replaced
        or not network.is_whole
        or classes is None
        or kind_of(fields) != "classification"
    ):
        return
    if not is_known(at(fields.config, "model")) or _says_its_width(fields):
        return
    path = next(iter(_heads(model)), None)
    if path is None:
        return
    layer = model.get_submodule(path)
    width: Any = getattr(layer, "out_features", None) or getattr(layer, "out_channels", classes)
    if width == classes:
        return
    fewer = width < classes
    message = f"keeps the model's last layer {path} of {width} outputs, and the data have {classes:g} classes"
    fix, effect = f"head.outputs={classes:g} makes a new one", "" if fewer else "the rest is never right"
    severity: Any = "error" if fewer else "warning"
    yield fields.finding("unfit-head", "head.outputs", message, severity=severity, effect=effect, fix=fix)


def _says_its_width(fields: Fields) -> bool:
    from trainkit.config.checking.crosschecks import widths

    return next(widths(fields), None) is not None


def _unused_head(fields: Fields) -> Iterator[Finding]:
    """Warn of options of a new head where there is none."""
    if fields.get("head.outputs") is not None or isinstance(fields.get("head.name"), Mapping):
        return
    for name, usual in (("init", "default"), ("dropout", None)):
        value = fields.get(f"head.{name}")
        if value not in (usual, None, MISSING):
            message = "has no effect while head.outputs=null keeps the model's own head"
            yield fields.finding(
                "no-effect",
                f"head.{name}",
                message,
                severity="warning",
                fix="head.outputs=${data.outputs} makes a new one",
            )


def _fetched(source: Source) -> Finding:
    """Return that weights are fetched, and what to do on a machine that cannot."""
    message = f"not in the cache: a run fetches {source.file.name} into {source.file.parent}"
    fix = f"Offline, put it there (from {source.entry.url}), or name a copy of it: {KEY}=PATH"
    return Finding(rule="not-here-yet", severity="info", place=KEY, message=message, fix=fix)


def _unseen(why: str) -> Finding:
    message = f"not looked at whether they fit the model: {why}"
    return Finding(rule="not-looked-at", severity="info", place=KEY, message=message)
