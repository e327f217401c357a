"""Configs that come with a run folder or a checkpoint: read as data, held, and composed with one's own overrides."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from trainkit.config.composing.compose import Start, assemble
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.composition import Parsed, base, parse, store
from trainkit.config.composing.line import Line
from trainkit.config.composing.origins import Origin
from trainkit.config.composing.presets import rules_of_preset
from trainkit.config.composing.recipes import folder, groups
from trainkit.config.secrets import MASKED
from trainkit.errors import ConfigError
from trainkit.findings import Finding

MOST_BYTES = 1 << 20
NAME = "_stored"
COMPLETED = ("trainer", "check", "monitor", "penalty", "parameter_groups", "weights", "head", "freeze")
"""Groups whose keys may be newer than the run."""


def compose_line(line: Line) -> Composed:
    """Compose the config of a command line: its recipe's or, without one, that of the run which ``resume`` names.

    Raises:
        ConfigError: If the config that came with a run is missing or not to be trusted; all else is in the findings.
    """
    path = None if _recipe_given(line.overrides) else _named_run(line)
    return assemble(line) if path is None else assemble_stored(path, line)


def compose_stored(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    state: Mapping[str, Any] | None = None,
) -> Composed:
    """Compose the config that a run was stored with, held, and with overrides applied to it.

    Overrides are one's own and may do all that they may do to a recipe, such as choose another option of a group;
    ``trusted_packages=[my_package]`` names packages of one's own whose code the stored config may name.

    Args:
        path: A run folder or a checkpoint.
        overrides: As on the command line.
        config_dir: A folder with config groups of one's own, which overrides may choose from.
        state: The checkpoint's, if it was read already.

    Raises:
        ConfigError: If there is no such config, it is damaged, or not to be trusted.
    """
    return assemble_stored(path, Line(list(overrides), None if config_dir is None else str(config_dir)), state)


def assemble_stored(path: str | Path, line: Line, state: Mapping[str, Any] | None = None) -> Composed:
    """Compose a line over the config that a run was stored with; see :func:`compose_stored`."""
    from trainkit.config.targets.trust import hold, require_trustable  # with torch

    parsed = list(_readable(line.overrides))
    trust = _trusted(parsed)
    require_trustable(trust)
    stored = stored_config(path, state)
    body = {key: value for key, value in stored.items() if key not in ("hydra", "trusted_packages")}
    more = [] if line.config_dir is None else [Path(line.config_dir).absolute()]
    there, rules = groups(*more), rules_of_preset(body.get("freeze"), more)
    body |= {"run_dir": None, "resume": None}
    for override in parsed:
        _give_way(body, override, there)
    hold(body, trust, str(path))
    body = _unmasked(_completed(body, OmegaConf.to_container(base(()).config)))  # type: ignore[arg-type]
    if rules is not None and isinstance(body["freeze"], dict):
        body["freeze"] = {**body["freeze"], "rules": rules}
    defaults: list[Any] = ["_self_", *({group: None} for group in there)]
    store(NAME, {"defaults": defaults, **body})
    file = Path(path) / "config.yaml" if Path(path).is_dir() else Path(path)
    composed = assemble(line, Start(NAME, needs_recipe=False, origin=Origin(file=file.absolute())))
    composed.findings[:] = [_not_stored(finding) for finding in composed.findings]
    return composed


def _not_stored(finding: Finding) -> Finding:
    if finding.rule != "missing-value":
        return finding
    message, fix = "not stored with the run", f"Give it again, such as {finding.place}=VALUE"
    return Finding(rule=finding.rule, severity="error", place=finding.place, message=message, fix=fix)


def _readable(overrides: Sequence[str]) -> Iterator[Parsed]:
    for text in overrides:
        try:
            yield parse(text)
        except ValueError:
            continue  # composing tells it


def _trusted(parsed: Sequence[Parsed]) -> list[str]:
    """Return the packages that this command line trusts."""
    named = [override.value for override in parsed if override.key == "trusted_packages"]
    return [str(name) for name in named[-1]] if named and isinstance(named[-1], list) else []


def stored_config(path: str | Path, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the config that a checkpoint holds, else the ``config.yaml`` of its run folder, as plain values.

    Nothing in it was resolved, imported or held against anything.

    Args:
        path: A run folder or a checkpoint.
        state: The checkpoint's, if it was read already.

    Raises:
        ConfigError: If there is none, or it is not as trainkit writes it.
    """
    from trainkit.checkpoint import find, read  # with torch

    beside = Path(path) / "config.yaml"
    if state is None:
        checkpoint = find(path, "best") if (Path(path) / "checkpoints" / "best.ckpt").exists() else find(path)
        try:
            state = read(checkpoint)
        except ConfigError:
            if not beside.is_file():
                raise
            state = {}  # whoever reads the checkpoint itself says what is wrong with it, or takes an older one
    else:
        checkpoint = Path(path) if Path(path).is_file() else Path(path) / "checkpoints"
    about = state.get("about")
    text = about.get("config") if isinstance(about, dict) else None
    if text is not None:
        return _modern(_parsed_json(text, f"{checkpoint}: its config"))
    if not Path(path).is_dir():
        beside = Path(path).absolute().parent.parent / "config.yaml"
    try:
        return _modern(read_yaml(beside))
    except FileNotFoundError:
        raise ConfigError(f"{path}: holds no config, and there is no {beside}; name one by recipe=NAME") from None
    except OSError as error:
        raise ConfigError(f"{beside}: cannot be read: {error.strerror}") from None


def read_yaml(path: Path, kind: type = dict) -> Any:
    """Return what a YAML file of a run folder holds, plain values without aliases or tags.

    Raises:
        ConfigError: If it is not as trainkit writes it.
        OSError: As the file system gives it.
    """
    return _parsed_yaml(_text_of(path), str(path), kind)


def _recipe_given(overrides: Sequence[str]) -> bool:
    return any(re.match(r"\+{0,2}recipe=", override) for override in overrides)


def _named_run(line: Line) -> str | None:
    """Return the run folder or checkpoint that a line without a recipe means, None if it names none."""
    values = {override.key: override.value for override in _readable(line.overrides) if override.sign != "~"}
    resume, run_dir = values.get("resume"), values.get("run_dir")
    mode, _, source = str(resume or "").partition(":")
    if mode == "weights":
        return source or (str(run_dir) if run_dir else None)
    if resume == "auto":
        there = run_dir and any(Path(str(run_dir)).glob("checkpoints/*.ckpt"))
        return str(run_dir) if there else None
    return str(resume) if resume else None


def _give_way(body: dict[str, Any], override: Parsed, there: Mapping[str, Any]) -> None:
    """Take out of a stored config what an override replaces, so that it need not be held."""
    key = override.key
    if key in there and not isinstance(override.value, dict):
        body[key] = None
        return
    *parents, leaf = key.split(".")
    node: Any = body
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if isinstance(node, dict) and leaf in node and not isinstance(node[leaf], dict):
        node[leaf] = None


def _completed(body: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """Return the config with the keys that trainkit has learnt since it was stored, at their defaults."""
    groups = {entry.name for entry in folder().iterdir() if entry.is_dir()}  # one of these may have been left out
    groups.discard("freeze")  # left out, it is as `none`
    body = {**{key: value for key, value in usual.items() if key not in groups}, **body}
    for key in COMPLETED:
        if isinstance(body.get(key), dict):
            body[key] = {**usual[key], **body[key]}
    return body


def _modern(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of an older release as it is today: rules of parameter groups are the freeze plan's."""
    groups = config.get("parameter_groups")
    if not isinstance(groups, dict) or "rules" not in groups:
        return config
    rest = {key: value for key, value in groups.items() if key != "rules"}
    rules = groups["rules"]
    if not rules or not isinstance(rules, list):
        return {**config, "parameter_groups": rest}
    return {"freeze": {"rules": [_modern_rule(rule) for rule in rules]}, **config, "parameter_groups": rest}


def _modern_rule(rule: Any) -> Any:
    """Return a rule of a parameter group as one of a freeze plan, whose other options stand in a node of their own."""
    if not isinstance(rule, dict):
        return rule
    own = {key: value for key, value in rule.items() if key in ("match", "lr", "weight_decay")}
    options = {key: value for key, value in rule.items() if key not in own}
    return {**own, "options": options} if options else own


def _unmasked(node: Any) -> Any:
    """Return plain values with those that were secrets missing."""
    if isinstance(node, dict):
        return {key: _unmasked(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_unmasked(value) for value in node]
    return "???" if node == MASKED else node


def _text_of(path: Path) -> str:
    """Return the text of a file of modest size, and of no link, pipe or device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path}: is no regular file")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_BYTES:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text: {error}") from None


def _parsed_json(text: Any, where: str) -> dict[str, Any]:
    try:
        if not isinstance(text, str) or len(text) > MOST_BYTES:
            raise ValueError(f"it is no text of at most {MOST_BYTES:,} characters")
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError("it is no mapping")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is damaged: {str(error)[:200]}") from None
    return config


def _parsed_yaml(text: str, where: str, kind: type) -> Any:
    try:
        _require_plain_yaml(text)
        config = yaml.load(text, Loader=_Loader)
        if not isinstance(config, kind) and not (kind is list and config is None):
            raise ValueError(f"it is no {'mapping' if kind is dict else kind.__name__}")
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())[:300]}") from None
    return config


def _require_plain_yaml(text: str) -> None:
    """Refuse, while it is read and before anything is made of it, YAML that trainkit does not write."""
    from trainkit.config.targets.trust import DEPTH  # with torch

    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"line {line}: has an alias or anchor; a stored config has none")
        if getattr(event, "tag", None):
            raise ValueError(f"line {line}: has the tag {event.tag[:80]}; a stored config has none")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"line {line}: is nested more than {DEPTH} deep")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads numbers such as 1e-3 as OmegaConf writes them, which YAML 1.1 takes for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?)$"
    ),
    list("-+0123456789."),
)
