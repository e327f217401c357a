"""Composing a config from a command line: all that is wrong with the line and the files at once, and who set what."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from trainkit.config.composing.choosing import NONE as NO_OPTION
from trainkit.config.composing.choosing import Choices
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.composition import ROOT, Base, CompositionError, Parsed, base, registered
from trainkit.config.composing.files import file_findings, other_options
from trainkit.config.composing.line import Line, read_line
from trainkit.config.composing.line import finding_of as finding_of_slip
from trainkit.config.composing.origins import Origin, Origins
from trainkit.config.composing.overrides import read_overrides
from trainkit.config.composing.recipes import file_of, groups, recipes
from trainkit.config.composing.replacing import outdated, without
from trainkit.config.composing.resolving import resolved
from trainkit.config.composing.setting import Setter
from trainkit.config.paths import is_there
from trainkit.config.schema.root import is_plain_name
from trainkit.findings import Finding
from trainkit.settings import Settings

__all__ = ["Composed", "Line", "adopt", "compose", "composed", "is_plain_name", "plain", "read_line", "to_yaml"]

NONE = ("recipe", "debug")
"""Groups that leave no node of their own."""


class Start(NamedTuple):
    """What a config starts from."""

    root: str = ROOT
    needs_recipe: bool = True
    origin: Origin | None = None
    """Of all values of a root that is no file of trainkit's."""
    laid: Mapping[str, Any] | None = None
    """Values that Python code gave, laid over the files."""


USUAL = Start()


def compose(recipe: Any = None, *overrides: str, config_dir: str | Path | None = None) -> DictConfig:
    """Return the config of a recipe with overrides applied, as the command line would, checked as it would be.

    Args:
        recipe: Name or path of a recipe; None if an override names it; or a config from Python: a mapping, a dataclass.
        overrides: Such as ``"trainer.max_epochs=1"``, ``"model=cnn"``, ``"~callbacks.progress"``.
        config_dir: A folder with config groups of your own, searched besides trainkit's.

    Raises:
        ConfigError: If anything is wrong; the message lists it all.
    """
    from trainkit.config.checking.check import require_sound

    return require_sound(composed_of(recipe, *overrides, config_dir=config_dir))


def composed_of(recipe: Any = None, *overrides: str, config_dir: str | Path | None = None) -> Composed:
    """Return what :func:`compose` composes, before it is checked."""
    if recipe is None or isinstance(recipe, str | Path):
        given = [f"recipe={recipe}", *overrides] if recipe else list(overrides)
        return composed(given, config_dir)
    return adopt(recipe, *overrides, config_dir=config_dir)


def composed(line: Line | Sequence[str], config_dir: str | Path | None = None) -> Composed:
    """Compose the config of a command line; what is wrong with it is in the findings and raises nothing.

    Args:
        line: A command line, or overrides alone.
        config_dir: A folder with config groups of one's own, where no line names it.
    """
    return assemble(_line(line, config_dir))


def adopt(config: Any, *overrides: str, config_dir: str | Path | None = None) -> Composed:
    """Compose a config that Python code gives, laid over the usual defaults.

    Args:
        config: A mapping, a ``DictConfig``, a dataclass or an instance of one, such as hydra-zen's ``builds`` make. A
            group may be named by its option: ``{"recipe": "mlp", "optimizer": "sgd"}``.
        overrides: As on the command line; they go before the config.
        config_dir: A folder with config groups of one's own.
    """
    line = _line(overrides, config_dir)
    try:
        if not isinstance(config, DictConfig):
            config = OmegaConf.structured(config) if not isinstance(config, Mapping) else OmegaConf.create(dict(config))
        given = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
        if not isinstance(given, dict):
            raise ValueError("is no mapping of keys")
    except Exception as error:  # noqa: BLE001 - whatever object it was given
        what = f"the config from Python cannot be read: {str(error).splitlines()[0]}"
        line.findings.append(Finding(rule="bad-config", severity="error", place="", message=what))
        given = {}
    there = _groups(_folders(line))
    chosen = {key: value for key, value in given.items() if key in there and isinstance(value, str)}
    laid = {str(key): value for key, value in given.items() if key not in chosen}
    left_out = [key for key, value in laid.items() if key in there and value is None and key not in NONE]
    if (
        not chosen
        and isinstance(laid.get("trainer"), dict)
        and set(laid["trainer"]) >= set(Settings.__dataclass_fields__)
    ):
        left_out += [key for key in there if key not in laid and key not in NONE]  # as it was composed, it is whole
    elif isinstance(laid.get("data"), dict) and "recipe" not in chosen:
        chosen["data"] = "default"  # which each data set's file starts from
    choices = [*(f"{key}={value}" for key, value in chosen.items()), *(f"~{key}" for key in left_out)]
    line.overrides[:0] = choices
    return assemble(
        line, Start(needs_recipe=False, laid={k: v for k, v in laid.items() if k not in (*left_out, *NONE)})
    )


def assemble(line: Line, start: Start = USUAL, cached: dict[Any, Base] | None = None) -> Composed:
    """Compose a line from where it starts: choices of options first, then each value on its own.

    Args:
        line: The command line.
        start: What it starts from.
        cached: Bases that were composed already, for several lines that are much alike.
    """
    folders = _folders(line)
    choices = Choices(_groups(folders), folders)
    findings = [*line.findings]
    values: list[Parsed] = []
    read = read_overrides(line, findings, choices.groups)
    choices.has_sweeper = any(parsed.key == "hydra/sweeper" for parsed in read)
    for parsed in read:
        parsed = parsed._replace(package=None) if parsed.package == parsed.key else parsed
        (choices.choose if _is_choice(parsed, choices.groups) else values.append)(parsed)
    if start.needs_recipe and not choices.recipe and not choices.unsure:
        names = ", ".join(recipe.name for recipe in recipes(*folders))
        message = f"no recipe was given. Recipes: {names}; run such as: python -m trainkit recipe={recipes()[0].name}"
        findings.append(Finding(rule="missing-recipe", severity="error", place="", message=message))
        choices.unsure.add("*")
    bases = {} if cached is None else cached
    files = _base(choices, start, bases)
    origins = Origins()
    for entry in files.entries:
        if entry.name == start.root and start.origin is not None:
            _set_all(origins, OmegaConf.to_container(files.config, resolve=False), start.origin)
        elif (path := file_of(entry.name, choices.folders, choices.given)) is not None:
            origins.read(path, entry.package)
    config = files.config
    if origins.replaced:
        tree: Any = OmegaConf.to_container(config, resolve=False)
        config = OmegaConf.create(without(tree, outdated(tree, origins.replaced)))
    if start.laid:
        laid = copy.deepcopy(dict(start.laid))
        config = OmegaConf.create(_laid(OmegaConf.to_container(config, resolve=False), laid, "", origins))
    return _finished(line, choices, values, files._replace(config=config), origins, findings, bases)


def _finished(
    line: Line,
    choices: Choices,
    values: list[Parsed],
    files: Base,
    origins: Origins,
    findings: list[Finding],
    bases: dict[Any, Base],
) -> Composed:
    read = " ".join(parsed.text for parsed in values)
    setter = Setter(files.config, origins, choices.groups, partial(other_options, files, choices), read, choices.unsure)
    of_files = file_findings(files, choices, origins, setter)
    whole = {parsed.key for parsed in values}
    for parsed in sorted(values, key=lambda parsed: not _names_target(parsed, whole)):  # what it takes decides the rest
        setter.apply(parsed)
    setter.finish()
    findings += [*choices.findings, *of_files, *setter.findings]
    config, unresolved = resolved(setter.config, origins, setter.keys, choices.unsure, line.sweeps)
    findings += [*unresolved, *(finding_of_slip(slip, _cure(slip.cure, setter)) for slip in line.slips)]
    project = [path.parent for path in choices.folders] + [path.parent for path in choices.given.values()]
    alone = [parsed.text for parsed in read_overrides(line, []) if parsed.key == "recipe"]
    of_recipe = partial(_alone, alone, line.config_dir, bases) if alone else (lambda: None)
    return Composed(
        config=config,
        origins=origins,
        findings=findings,
        folders=list(dict.fromkeys(project)),
        overrides=list(line.overrides),
        raw=setter.config,
        choices={group: _own_name(group, option, choices) for group, option in files.choices.items()},
        of_recipe=of_recipe,
        added=setter.added,
        typed=choices.typed,
    )


def _names_target(parsed: Parsed, whole: set[str]) -> bool:
    parent, _, leaf = parsed.key.rpartition(".")
    return leaf == "_target_" and parent not in whole


def _alone(overrides: list[str], config_dir: str | None, bases: dict[Any, Base]) -> dict[str, Any]:
    return assemble(_line(overrides, config_dir), cached=bases).plain


def _line(line: Line | Sequence[str], config_dir: str | Path | None) -> Line:
    if isinstance(line, Line):
        return line
    given = Line(list(line), None if config_dir is None else str(config_dir))
    if config_dir is not None and not Path(config_dir).is_dir():
        message = f"--config-dir {config_dir}: there is no such folder"
        given.findings.append(Finding(rule="bad-folder", severity="error", place="", message=message))
    return given


def _folders(line: Line) -> list[Path]:
    found = [] if line.config_dir is None else [Path(line.config_dir).absolute()]
    return [path for path in found if path.is_dir()]


def _groups(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Return the options of all groups: those of files, and those that Python code registered with Hydra."""
    found = groups(*folders)
    for name, options in registered().items():
        found[name] = sorted({*found.get(name, ()), *options})
    return found


def _is_choice(parsed: Parsed, there: Mapping[str, Sequence[str]]) -> bool:
    if parsed.key == "hydra" or parsed.key.startswith(("hydra.", "hydra/")):
        return True
    return parsed.key in there and not isinstance(parsed.value, dict)


def _cure(cure: str, setter: Setter) -> str:
    """Return what a slip most likely means, with its key where the config has it."""
    key, equals, value = cure.partition("=")
    path = key.lstrip("+")
    if not equals or key.startswith("-") or path in setter.groups or is_there(setter.tree, path):
        return cure
    meant = setter.keys().meant(path)
    return f"{meant}={value}" if meant else cure


# ---------------------------------------------------------------------- files


def _base(choices: Choices, start: Start, cached: dict[Any, Base]) -> Base:
    """Compose the files; where one is wrong, find it, and compose without what led to it."""
    for _ in range(len(choices.overrides) + 2):
        key = (start.root, *choices.overrides, *map(str, choices.folders))
        try:
            found = cached.get(key) or base(choices.overrides, choices.folders, start.root)
        except CompositionError as error:
            choices.findings.append(choices.finding_of(error))
            _give_up(choices, error)
            continue
        cached[key] = found
        return found._replace(config=OmegaConf.create(_untyped(found.config)))
    return Base(OmegaConf.create({}), (), {})


def _untyped(config: DictConfig) -> dict[str, Any]:
    """Return plain values: what an option of a dataclass takes is judged by the schema and the signature, like all."""
    return OmegaConf.to_container(config, resolve=False, enum_to_str=True)  # type: ignore[return-value]


def _give_up(choices: Choices, error: CompositionError) -> None:
    """Leave out the choice that led to an error, or all where that cannot be told."""
    for override in choices.overrides:
        group, _, option = override.lstrip("+").partition("=")
        path = file_of(f"{group}/{option}", choices.folders, choices.given)
        if f"{group}/{option}" == error.parent or (path is not None and path == error.file) or group == error.group:
            choices.overrides.remove(override)
            choices.unsure.add("*" if group == "recipe" else group)
            return
    choices.overrides[:] = []
    choices.unsure.add("*")


def _laid(node: Any, over: Any, path: str, origins: Origins) -> Any:
    """Return plain values with others laid over them; one with a target replaces what is there whole."""
    same = isinstance(node, dict) and isinstance(over, Mapping) and ("_target_" not in over or not path)
    if not same:
        origins.set(path, over, None)
        return over
    for key, value in over.items():
        node[key] = _laid(node.get(key), value, f"{path}.{key}" if path else str(key), origins)
    return node


def _own_name(group: str, option: str | None, choices: Choices) -> str | None:
    if option == NO_OPTION:
        return None
    path = choices.given.get(f"{group}/{option}")
    return option if path is None else path.stem


def _set_all(origins: Origins, node: Any, origin: Origin) -> None:
    for key, value in node.items() if isinstance(node, Mapping) else ():
        origins.set(str(key), value, origin)


# ---------------------------------------------------------------------- plain values


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the config as plain dicts and lists."""
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def to_yaml(config: DictConfig | dict[str, Any]) -> str:
    """Return the config, or plain values, as YAML."""
    return OmegaConf.to_yaml(config)
