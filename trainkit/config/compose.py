"""Composing a config from a recipe and overrides: the one place that calls Hydra's composition."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trainkit.config.additions import require_no_slips
from trainkit.config.recipes import folder, require_recipe
from trainkit.errors import ConfigError, TrainingError, closest

VERSION_BASE = "1.3"
LONGEST_NAME = 200
"""Bytes; file systems take 255."""


@dataclass(slots=True)
class Line:
    """A command line, taken apart."""

    overrides: list[str]
    config_dir: str | None
    flags: list[str]
    """Those of Hydra, with their values."""
    trust: list[str] = field(default_factory=list)
    """Packages whose code a config that comes with a run may name."""

    @property
    def folder_flag(self) -> list[str]:
        """The flag that names the user's config folder, if any."""
        return [] if self.config_dir is None else ["--config-dir", self.config_dir]

    @property
    def shown(self) -> list[str]:
        """What a repetition of the line needs."""
        return [*self.overrides, *self.folder_flag, *(word for name in self.trust for word in ("--trust", name))]


def read_line(arguments: Sequence[str]) -> Line:
    """Take a command line apart; flags may stand anywhere."""
    line, rest = Line([], None, []), iter(arguments)
    for argument in rest:
        if argument in ("--config-dir", "-cd"):
            line.config_dir = next(rest, "")
        elif argument.startswith("--config-dir="):
            line.config_dir = argument.split("=", 1)[1]
        elif argument == "--trust":
            line.trust.append(next(rest, ""))
        elif argument.startswith("--trust="):
            line.trust.append(argument.split("=", 1)[1])
        elif argument.startswith("-") or ("=" not in argument and not argument.startswith("~")):
            line.flags.append(argument)
        else:
            line.overrides.append(argument)
    if line.config_dir is not None and not Path(line.config_dir).is_dir():
        raise ConfigError(f"--config-dir {line.config_dir}: there is no such folder")
    if line.flags and not any(flag.startswith("-") for flag in line.flags):
        raise ConfigError(f"{line.flags[0]}: neither a flag nor key=value")
    return line


def compose(recipe: str | None = None, *overrides: str, config_dir: str | Path | None = None) -> DictConfig:
    """Return the config of a recipe with overrides applied, as the command line would.

    Args:
        recipe: Name of a recipe; None if an override names it.
        overrides: Such as ``"trainer.max_epochs=1"``, ``"model=cnn"``, ``"~callbacks.progress"``.
        config_dir: A folder with config groups of your own, searched besides trainkit's.

    Raises:
        ConfigError: If the recipe, a group's option or a key does not exist, or a value cannot be read.
    """
    given = [f"recipe={recipe}", *overrides] if recipe else list(overrides)
    more = [Path(config_dir).absolute()] if config_dir else []
    chosen = [override.split("=", 1)[1] for override in given if re.match(r"\+?recipe=", override)]
    require_recipe(chosen[-1] if chosen else None, *more)
    base = [*(f"recipe={name}" for name in chosen[-1:]), *search_path(*more)]
    with composition_errors(base), initialize_config_dir(str(folder()), version_base=VERSION_BASE):
        config = hydra.compose("config", overrides=[*given, *search_path(*more)])
        OmegaConf.resolve(config)
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise ConfigError(f"{', '.join(missing)}: must be given a value")
    require_no_slips(plain(config), given)
    return config


def search_path(*folders: Path) -> list[str]:
    """Return the override that lets Hydra look for options in these folders too, whatever their names hold."""
    quoted = [str(path).replace("\\", "\\\\").replace('"', '\\"') for path in folders]
    entries = ",".join(f'"file://{path}"' for path in quoted)
    return [f"hydra.searchpath=[{entries}]"] if folders else []


def is_plain_name(name: str) -> bool:
    """Say whether a name can name a folder under ``runs/``, and no other."""
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set("/\\")
    return plain and 0 < len(name.encode()) <= LONGEST_NAME


def _require_plain_names(arguments: Sequence[str]) -> None:
    """Refuse a name that would lead a sweep's folder elsewhere; Hydra makes that folder before any job starts."""
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key.lstrip("+") == "name" and not all(is_plain_name(name.strip("'\" ")) for name in value.split(",")):
            raise ConfigError(f"name={value[:200]!r}: names a folder under runs/, so it must be a plain file name")


def hydra_main(job: Callable[[DictConfig, Sequence[str], Path | None], Any], arguments: Sequence[str]) -> None:
    """Run Hydra's own command line: sweeps (``-m``), ``--cfg job``, ``--info``, ``--config-dir`` and the rest.

    Args:
        job: Called for each config with the overrides that led to it, and the folder that a sweep gave it if any.
        arguments: The command line without the program's name.

    Raises:
        ConfigError, TrainingError: What the first job to fail raised; a sweep ends with it.
    """

    _require_plain_names(arguments)
    failures: list[Exception] = []

    def task(config: DictConfig) -> Any:
        now = HydraConfig.get()
        sweeping = now.mode is not None and now.mode.name == "MULTIRUN"
        if failures:
            return None
        try:
            with composition_errors():
                OmegaConf.resolve(config)
            return job(config, list(now.overrides.task), Path(now.runtime.output_dir) if sweeping else None)
        except (ConfigError, TrainingError) as error:  # past Hydra, which would print more than it says
            failures.append(error)
            return None

    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors reach us, who tell them better
    before, sys.argv = sys.argv, ["trainkit", *arguments]
    task.__module__ = "trainkit"
    try:
        with composition_errors():
            hydra.main(str(folder()), "config", version_base=VERSION_BASE)(task)()
    finally:
        sys.argv = before
    if failures:
        raise failures[0]


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the config as plain dicts and lists."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def to_yaml(config: DictConfig | dict[str, Any]) -> str:
    """Return the config, or plain values, as YAML."""
    return OmegaConf.to_yaml(config)


@contextmanager
def composition_errors(base: Sequence[str] = ()) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into one clear :class:`ConfigError`; ``base`` chooses the recipe."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, base)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override"):  # Hydra's; any other comes from what was run
            raise
        raise ConfigError("GROUP=OPTION: an option is a name; ~GROUP leaves a group out") from error


def _explain(error: BaseException, base: Sequence[str]) -> str:
    cause = error.__cause__ or error
    text = f"{error}\n{cause}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        there = [str(name) for name in error.options or ()]
        return f"{group}={option}: there is no such option.{closest(option, there)} Options: {', '.join(sorted(there))}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; write KEY=VALUE, in quotes where a shell or Hydra would split it"
    if match := re.search(r"Interpolation key '([^']+)' not found", text):
        return f"${{{match[1]}}}: there is no such key to take a value from.{_closest_key(match[1], base)}"
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    if match := re.search(r"Could not delete from config\. '([^']+)'", text):
        return f"~{match[1]}: there is no such key, or its value is null.{_closest_key(match[1], base)}"
    if match := re.search(r"Could not override '([^']+)'", text):
        key = getattr(cause, "full_key", None) or match[1]  # of {...} the one key in it
        return f"{key}: there is no such key.{_closest_key(key, base) or f' +{key}=VALUE adds one.'}"
    if match := re.search(r"Could not find '([^']+)'", text):
        return f"{match[1]}: there is no such config group or option"
    return str(error).strip().splitlines()[0]


def _closest_key(key: str, base: Sequence[str]) -> str:
    """Return a hint at the key nearest to ``key`` among those of the recipe: one beside it, one of its name, any."""
    with initialize_config_dir(str(folder()), version_base=VERSION_BASE):
        keys = [k for k in _keys(OmegaConf.to_container(hydra.compose("config", overrides=list(base))), "") if k != key]
    keys += [path.name for path in folder().iterdir() if path.is_dir()]  # a group that nobody chose from is no key yet
    parent, _, leaf = key.rpartition(".")
    beside = [k for k in keys if k.rpartition(".")[0] == parent]
    same_leaf = [k for k in keys if k.rpartition(".")[2] == leaf]
    return closest(key, beside, cutoff=0.8) or (f" Did you mean {same_leaf[0]!r}?" if same_leaf else closest(key, keys))


def _keys(node: Any, prefix: str) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, dict) else ():
        yield prefix + str(name)
        yield from _keys(value, f"{prefix}{name}.")
