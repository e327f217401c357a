"""Configs that come with a run folder or a checkpoint: read as data, held, and composed with one's own overrides."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from trainkit.checkpoint import find, read
from trainkit.config.additions import require_no_slips
from trainkit.config.compose import VERSION_BASE, Line, compose, composition_errors, plain, search_path
from trainkit.config.recipes import folder, options
from trainkit.config.trust import DEPTH, hold, require_trustable
from trainkit.errors import ConfigError

MOST_BYTES = 1 << 20
MASKED = "***"
"""What stands in a stored config in place of a secret."""
NAME = "_stored"
COMPLETED = ("trainer", "monitor", "penalty", "parameter_groups")
"""Groups whose keys may be newer than the run."""


def compose_line(line: Line) -> DictConfig:
    """Return the config of a command line: its recipe's or, without one, that of the run which ``resume`` names.

    Raises:
        ConfigError: If the config is wrong, missing, or not to be trusted.
    """
    path = None if _recipe_given(line.overrides) else _named_run(line)
    if path is None:
        if line.trust and _recipe_given(line.overrides):
            raise ConfigError("--trust is for a config that comes with a run; this line gives a recipe of its own")
        return compose(None, *line.overrides, config_dir=line.config_dir)
    return compose_stored(path, line.overrides, line.trust, config_dir=line.config_dir)


def compose_stored(
    path: str | Path,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
    *,
    config_dir: str | Path | None = None,
    state: Mapping[str, Any] | None = None,
) -> DictConfig:
    """Return the config that a run was stored with, held, and with overrides applied to it.

    Overrides are one's own and may do all that they may do to a recipe, such as choose another option of a group.

    Args:
        path: A run folder or a checkpoint.
        overrides: As on the command line.
        trust: Packages of one's own whose code the stored config may name.
        config_dir: A folder with config groups of one's own, which overrides may choose from.
        state: The checkpoint's, if it was read already.

    Raises:
        ConfigError: If there is no such config, it is damaged or not to be trusted, or an override is wrong.
    """
    require_trustable(trust)
    body = {key: value for key, value in stored_config(path, state).items() if key != "hydra"}
    more = [Path(config_dir).absolute()] if config_dir else []
    groups = sorted({entry.name for root in (folder(), *more) for entry in root.iterdir() if options(entry.name, root)})
    with composition_errors():
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    body |= {"run_dir": None, "resume": None}
    for override in parsed:
        _give_way(body, override, groups)
    hold(body, trust, str(path))
    search = search_path(*more)
    with composition_errors(), initialize_config_dir(str(folder()), version_base=VERSION_BASE):
        usual = OmegaConf.to_container(hydra.compose("config"))
        body = _completed(body, usual)  # type: ignore[arg-type]
        defaults: list[Any] = ["_self_", *({group: None} for group in groups if group != "hydra")]
        ConfigStore.instance().store(name=NAME, node={"defaults": defaults, **body})
        config = hydra.compose(NAME, overrides=[*overrides, *search])
        OmegaConf.resolve(config)
    if absent := sorted([*OmegaConf.missing_keys(config), *_masked(OmegaConf.to_container(config), "")]):
        raise ConfigError(f"{', '.join(absent)}: not stored with the run; give it again, such as {absent[0]}=VALUE")
    require_no_slips(plain(config), list(overrides))
    return config


def stored_config(path: str | Path, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the config that a checkpoint holds, else the ``config.yaml`` of its run folder, as plain values.

    Nothing in it was resolved, imported or held against anything.

    Args:
        path: A run folder or a checkpoint.
        state: The checkpoint's, if it was read already.

    Raises:
        ConfigError: If there is none, or it is not as trainkit writes it.
    """
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
        return _parsed_json(text, f"{checkpoint}: its config")
    if not Path(path).is_dir():
        beside = Path(path).absolute().parent.parent / "config.yaml"
    try:
        config: dict[str, Any] = read_yaml(beside)
        return config
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
    with composition_errors():
        parsed = OverridesParser.create().parse_overrides(list(line.overrides))
    values = {override.key_or_group: override.value() for override in parsed if not override.is_delete()}
    resume, run_dir = values.get("resume"), values.get("run_dir")
    mode, _, source = str(resume or "").partition(":")
    if mode == "weights":
        return source or (str(run_dir) if run_dir else None)
    if resume == "auto":
        there = run_dir and any(Path(str(run_dir)).glob("checkpoints/*.ckpt"))
        return str(run_dir) if there else None
    return str(resume) if resume else None


def _give_way(body: dict[str, Any], override: Override, groups: Sequence[str]) -> None:
    """Take out of a stored config what an override replaces, so that it need not be held."""
    key = override.get_key_element().lstrip("+~")
    if key in groups and not isinstance(override.value(), dict):
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
    body = {**{key: value for key, value in usual.items() if key not in groups}, **body}
    for key in COMPLETED:
        if isinstance(body.get(key), dict):
            body[key] = {**usual[key], **body[key]}
    return body


def _masked(node: Any, path: str) -> Iterator[str]:
    """Yield the keys whose values were secrets."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        if value == MASKED:
            yield f"{path}{key}"
        yield from _masked(value, f"{path}{key}.")


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
