"""The one module that calls Hydra: overrides, files, sweeps, and what ``--cfg`` and ``--info`` print.

Nothing else of trainkit imports it, so that another release of Hydra is met here alone. Of what Hydra does not
document as public this uses: the parser of overrides (``hydra.core.override_parser``), since each override is judged on
its own, and the loader's defaults list, since only it knows which file went where.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import hydra
import yaml
from hydra import initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from trainkit.config.composing.class_folders import register as register_class_folders
from trainkit.config.composing.recipes import folder
from trainkit.errors import ConfigError

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
"""Which 1.3 asks for, and later releases deprecate."""
PROVIDER = "trainkit"
ROOT = "config"
"""The file in trainkit's folder of configs from which every run starts."""
register_class_folders()

WRONG = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, AssertionError, AttributeError)
"""What a wrong file or override makes Hydra raise; the last four where it takes for granted how a file looks."""


class Parsed(NamedTuple):
    """An override, read by Hydra's grammar."""

    text: str
    sign: str
    """Empty, ``+``, ``++`` or ``~``."""
    key: str
    package: str | None
    value: Any
    """Plain; None where there is none."""
    has_value: bool
    values: tuple[str, ...] = ()
    """Those of a sweep, as they would be typed."""

    def one(self, value: str) -> str:
        """Return the override with one of its sweep's values."""
        return f"{self.name}={value}"

    @property
    def name(self) -> str:
        """What stands before the equals sign."""
        return f"{self.sign}{self.key}" + (f"@{self.package}" if self.package is not None else "")


class Entry(NamedTuple):
    """A file that Hydra composed, in their order."""

    name: str
    """Such as ``optimizer/adamw``."""
    package: str
    """Where its content went; empty for the top."""
    parent: str | None


class Base(NamedTuple):
    """A config of files alone."""

    config: DictConfig
    entries: tuple[Entry, ...]
    choices: dict[str, str | None]


class CompositionError(Exception):
    """What Hydra found wrong, taken apart.

    Attributes:
        group: The group, or the path of the config, that the message is about, if it is about one.
        option: What could not be found in it.
        options: Those that there are.
        file: A file that could not be read, with the line.
        parent: The config whose defaults list is wrong, such as ``recipe/mine``.
    """

    def __init__(
        self,
        message: str,
        *,
        group: str | None = None,
        option: str | None = None,
        options: Sequence[str] = (),
        file: Path | None = None,
        line: int | None = None,
        parent: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message)
        self.group, self.option, self.options = group, option, list(options)
        self.file, self.line, self.parent, self.path = file, line, parent, path


def parse(text: str) -> Parsed:
    """Read an override.

    Raises:
        ValueError: If Hydra's grammar cannot.
    """
    try:
        override = _parser().parse_overrides([text])[0]
    except HydraException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    name = override.get_key_element()
    sign = name[: len(name) - len(name.lstrip("+~"))]
    values = tuple(_values(override)) if override.is_sweep_override() else ()
    value = None if values else override.value()
    return Parsed(text, sign, override.key_or_group, override.package, value, "=" in text, values)


def named_by_hydra(path: str) -> list[str] | None:
    """Return what was probably meant by a key of Hydra's that it does not have, None if it has it or may have it."""
    kind: Any = HydraConf
    names = path.split(".")
    for place, name in enumerate(names[1:] if "/" not in path else (), 1):
        if not dataclasses.is_dataclass(kind):
            return None
        hints = get_type_hints(kind)
        if name not in hints:
            return [".".join([*names[:place], other, *names[place + 1 :]]) for other in hints]
        kind = hints[name]
    return None


@contextmanager
def _hydra() -> Iterator[None]:
    """Initialise Hydra, also within a job that Hydra runs, and leave it as it was."""
    kept = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder()), **VERSION_BASE):
            yield
    finally:
        GlobalHydra.instance().hydra = kept


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _values(override: Override) -> Iterator[str]:
    if override.is_interval_sweep():  # of a sweeper that draws from it
        interval = override.value()
        assert isinstance(interval, IntervalSweep)
        yield from (str(interval.start), str(interval.end))
        return
    with _hydra():
        override.config_loader = GlobalHydra.instance().config_loader()  # glob(*) asks for a group's options
        yield from override.sweep_string_iterator()


def search_path(folders: Sequence[Path]) -> list[str]:
    """Return the override that lets Hydra look for options in these folders too, whatever their names hold."""
    quoted = [str(path).replace("\\", "\\\\").replace('"', '\\"') for path in folders]
    entries = ",".join(f'"file://{path}"' for path in quoted)
    return [f"hydra.searchpath=[{entries}]"] if folders else []


def store(name: str, node: Mapping[str, Any], group: str | None = None, package: str | None = None) -> None:
    """Let Hydra find a config that lies in no folder of its own."""
    ConfigStore.instance().store(
        name=name, node=OmegaConf.create(dict(node)), group=group, package=package, provider=PROVIDER
    )


def registered() -> dict[str, list[str]]:
    """Return the options of groups that Python code put into Hydra's ``ConfigStore``, besides Hydra's and ours."""
    found: dict[str, list[str]] = {}
    for group, entries in ConfigStore.instance().repo.items():
        if isinstance(entries, dict) and group != "hydra":
            names = [name.removesuffix(".yaml") for name, node in entries.items() if _of_others(node)]
            found |= {group: names} if names else {}
    return found


def _of_others(node: Any) -> bool:
    return not isinstance(node, dict) and node.provider not in ("hydra", PROVIDER)


def base(choices: Sequence[str], folders: Sequence[Path] = (), root: str = ROOT) -> Base:
    """Compose the files that choices among groups' options lead to.

    Args:
        choices: Overrides that choose options, such as ``recipe=mlp``, or that are Hydra's own.
        folders: Config folders of the user's.
        root: The config to start from.

    Raises:
        CompositionError: If a file cannot be found or read.
    """
    overrides = [*choices, *search_path(folders)]
    with _hydra(), reading():
        loader = GlobalHydra.instance().config_loader()
        with _noted(loader) as defaults:
            config = hydra.compose(root, overrides=overrides, return_hydra_config=True)
        if not defaults:
            defaults = loader.compute_defaults_list(root, overrides, RunMode.RUN).defaults
        chosen = {str(group): option for group, option in config.hydra.runtime.choices.items()}
        with open_dict(config):
            del config["hydra"]
    entries = tuple(
        Entry(str(default.config_path), default.package or "", default.parent)
        for default in defaults
        if not str(default.config_path).startswith("hydra/")
    )
    return Base(config, entries, {group: option for group, option in chosen.items() if not group.startswith("hydra/")})


@contextmanager
def _noted(loader: Any) -> Iterator[list[Any]]:
    """Note the files that Hydra composes as it does so, for to ask for them anew reads all of them once more.

    The list stays empty with a release of Hydra that goes about it in another way.
    """
    name, found = "_compose_config_from_defaults_list", list[Any]()
    inner = getattr(loader, name, None)
    if inner is None:
        yield found
        return

    def noting(*arguments: Any, **named: Any) -> Any:
        found.extend(named.get("defaults", arguments[0] if arguments else ()))
        return inner(*arguments, **named)

    setattr(loader, name, noting)
    try:
        yield found
    finally:
        delattr(loader, name)


@contextmanager
def reading(file: Path | None = None) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into a :class:`CompositionError`; ``file`` is what is being read."""
    try:
        yield
    except MissingConfigException as error:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        parent = str(error).partition("In '")[2].partition("':")[0] or None
        options = [str(name) for name in error.options or ()]
        raise CompositionError(str(error), group=group, option=option, options=options, parent=parent) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where, line = (file, None) if mark is None else (Path(mark.name), mark.line + 1)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise CompositionError(what, file=where, line=line) from error
    except OSError as error:
        raise CompositionError(error.strerror or str(error), file=file or Path(str(error.filename))) from error
    except RecursionError as error:
        raise CompositionError("a defaults list leads back to the file that it is in") from error
    except WRONG as error:
        cause = error.__cause__ or error
        text = " ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
        within = text.partition("In '")[2].partition("'")[0] or None
        named = text.partition("Could not override '")[2].partition("'")[0] or None
        key = getattr(cause, "full_key", None)
        raise CompositionError(text, group=named, parent=within, path=key, file=file) from error


class Job(NamedTuple):
    """One run of a sweep."""

    overrides: list[str]
    """Those that Hydra ran it with."""
    folder: Path | None
    """Where a sweep puts it."""


def run_hydra(job: Callable[[Job], Any], arguments: Sequence[str]) -> None:
    """Run Hydra's own command line: sweeps (``-m``), ``--cfg job``, ``--info`` and the rest.

    Args:
        job: Called for each run.
        arguments: The command line without the program's name, read by :mod:`trainkit.config.composing.line`.

    Raises:
        ConfigError: If Hydra refuses it all the same.
        Exception: What the first job to fail raised; a sweep ends with it.
    """
    failures: list[Exception] = []

    def task(config: DictConfig) -> Any:
        now = HydraConfig.get()
        sweeping = now.mode is not None and now.mode.name == "MULTIRUN"
        if failures:
            return None
        try:
            return job(Job(list(now.overrides.task), Path(now.runtime.output_dir) if sweeping else None))
        except Exception as error:  # noqa: BLE001 - past Hydra, which would print more than it says
            failures.append(error)
            return None

    before, sys.argv = sys.argv, ["trainkit", *arguments]
    outer = HydraConfig.instance().cfg
    full = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors reach us, who tell them better
    task.__module__ = "trainkit"
    try:
        hydra.main(str(folder()), ROOT, **VERSION_BASE)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    finally:
        HydraConfig.instance().cfg = outer
        sys.argv = before
        if full is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full
    if failures:
        raise failures[0]
