"""What a model starts from: the preprocessing that belongs to its weights, a new head, and the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from trainkit.checkpoint.weights import hinted
from trainkit.config.composing.compose import plain
from trainkit.config.parts import build_part
from trainkit.config.targets.instantiate import target_of
from trainkit.config.targets.signatures import signature_of
from trainkit.errors import ConfigError
from trainkit.keys import Streams, fold
from trainkit.optim import FreezePlan
from trainkit.optim.groups import START
from trainkit.transfer import (
    LoadReport,
    find_source,
    load_pretrained,
    read_source,
    replace_heads,
    resolve_preprocessing,
    same_classes,
)

AUTO = "auto"
DEFAULTS: dict[str, dict[str, Any]] = {
    "weights": {"source": None, "prefix": None, "rename": {}, "by_position": False, "allow": []},
    "head": {"name": None, "outputs": None, "init": "default", "dropout": None},
}
"""What a config means that says nothing of them, such as one that an older release stored."""
KNOBS = [name for name in signature(FreezePlan).parameters if name not in ("head", "decay_norm_and_bias")]


@dataclass(slots=True)
class Started:
    """A model, and what it starts from."""

    model: nn.Module
    heads: list[str] = field(default_factory=list)
    """Names of its last layers, where the config says which they are."""
    loaded: LoadReport | None = None
    """What was done with the weights; None where none were loaded."""


def prepared(config: DictConfig, stored: Mapping[str, Any] | None = None) -> DictConfig:
    """Return a config in which ``data.preprocessing`` says itself what is done to every picture.

    Args:
        config: Complete; it is not changed.
        stored: That of the run which goes on, or whose weights are taken. Where it has values, they are meant by
            ``auto``, wherever the weights of that run came from.

    Raises:
        ConfigError: If the values are wrong, or nobody knows what ``auto`` is.
    """
    data = config.get("data")
    setting = OmegaConf.to_container(data).get("preprocessing") if isinstance(data, DictConfig) else None  # type: ignore[union-attr]
    if not isinstance(setting, dict | str):
        return config
    datasets = data.get("datasets")
    if not isinstance(datasets, DictConfig) or "preprocessing" not in datasets:
        if setting != AUTO:  # a key of the user's own
            return config
        raise ConfigError("data.preprocessing=auto: the function at data.datasets takes none, so null is meant")
    given = OmegaConf.to_container(datasets).get("preprocessing")  # type: ignore[union-attr]
    found = _meant(config, setting, stored or {})
    config = config.copy()
    OmegaConf.update(config, "data.preprocessing", found, merge=False, force_add=True)
    if given in (setting, AUTO):
        OmegaConf.update(config, "data.datasets.preprocessing", found, merge=False, force_add=True)
    return config


def _meant(config: DictConfig, setting: Any, stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values that ``data.preprocessing`` means."""
    before = (stored.get("data") or {}).get("preprocessing")
    if setting != AUTO or isinstance(before, Mapping):
        return resolve_preprocessing(before if setting == AUTO else setting, None)
    name = (config.get("weights") or DEFAULTS["weights"]).get("source")
    if name is None:
        return resolve_preprocessing(AUTO, None, _model(plain(config)))
    source = find_source(name)
    try:
        return resolve_preprocessing(AUTO, source)
    except ConfigError:  # a network of timm knows the usual values, which the message then proposes
        return resolve_preprocessing(AUTO, source, _model(plain(config)))


def started(values: Mapping[str, Any], load: bool = True) -> Started:
    """Build the model with its head and, where it is to begin with them, load its weights.

    Initial weights are drawn from generators keyed by the seed, those of a new head by one of its own. A new head
    begins with them, unless the weights come from a run on the same classes.

    Args:
        values: The config as plain values.
        load: False where a checkpoint gives all weights, so that the structure alone is needed.

    Raises:
        ConfigError: If the model, the head or the weights cannot be, or do not fit each other.
    """
    weights, head = (DEFAULTS[name] | (values.get(name) or {}) for name in ("weights", "head"))
    found = Started(_model(values))
    name = head.pop("name")
    replaced = isinstance(name, Mapping) or head["outputs"] is not None
    if replaced:
        streams = Streams()
        with streams.kept():
            streams.seed(fold(values["seed"], "head"))
            found.heads = replace_heads(found.model, name=name, **head)
    elif name is not None:
        found.heads = [name] if isinstance(name, str) else list(name)
    source = weights.pop("source")
    if source is not None and load:
        pretrained = read_source(find_source(source))
        with hinted(dict(values), {}):
            new = found.heads if replaced else []
            keep = same_classes(values, pretrained.config)
            found.loaded = load_pretrained(found.model, pretrained, heads=new, keep_heads=keep, **weights)
    return found


def _model(values: Mapping[str, Any]) -> nn.Module:
    streams = Streams()
    with streams.kept():
        streams.seed(fold(values["seed"], "model"))
        model: nn.Module = build_part(values["model"], "model")
    return model


def freeze_plan(values: Mapping[str, Any], model: nn.Module, heads: list[str]) -> tuple[FreezePlan, list[Any]]:
    """Return the freeze plan and the parameter groups for the optimizer; what is frozen at first takes no gradients.

    Args:
        values: The config as plain values.
        model: On the device that it is trained on.
        heads: What ``@head`` stands for; none: the last stage.

    Raises:
        ConfigError: If the plan does not fit the model.
    """
    knobs = {name: value for name, value in (values.get("freeze") or {}).items() if name in KNOBS}
    decay = values["parameter_groups"]["decay_norm_and_bias"]
    plan = FreezePlan(**knobs, head=heads or None, decay_norm_and_bias=decay)
    groups = plan.parameter_groups(model, _rate(values["optimizer"]))
    for group in plan.groups:
        for parameter in group.parameters.values():
            parameter.requires_grad_(group.holds(START, 0))
    return plan, groups


def _rate(node: Mapping[str, Any]) -> float | None:
    """Return the optimizer's rate: the config's, else its own default; None where neither is a number."""
    rate = node.get("lr")
    if "lr" not in node and "_target_" in node:
        known = signature_of(target_of(node, "optimizer")).parameters.get("lr")
        rate = known.default if known else None
    return float(rate) if isinstance(rate, int | float) else None
