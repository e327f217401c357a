"""Sweeps, each value of which is checked before a job starts, and what ``--cfg`` and ``--info`` print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from trainkit.config.composing.compose import assemble
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.composition import Base, Job, Parsed, parse, run_hydra
from trainkit.config.composing.line import Line
from trainkit.config.composing.overrides import PATHS, TEXTS, read_override, unreadable
from trainkit.config.paths import at
from trainkit.config.schema.root import is_plain_name
from trainkit.errors import ConfigError
from trainkit.findings import Finding, FindingsError, errors_in

MOST_CHECKED = 500
"""Values that are checked before the first job starts; the rest are checked when their job comes."""


def sweep_values(line: Line) -> list[list[str]]:
    """Return overrides of single runs that have each value of a sweep once: the first values, then each further one.

    Those that cannot be read are left out.
    """
    read = _read(line)
    first = [entry.one(entry.values[0]) if entry.values else entry.text for entry in read]
    return [first, *_further(read, first)]


def _further(read: Sequence[Parsed], first: Sequence[str]) -> Iterator[list[str]]:
    for place, entry in enumerate(read):
        for value in entry.values[1:]:
            yield [*first[:place], entry.one(value), *first[place + 1 :]]


def _read(line: Line) -> list[Parsed]:
    found = []
    for text in line.overrides:
        with suppress(ValueError):  # which composed_sweep finds
            found.append(read_override(text))
    return found


def _unreadable(line: Line) -> Iterator[Finding]:
    for text in line.overrides:
        try:
            read_override(text)
        except ValueError:
            yield unreadable(text)


def composed_sweep(
    line: Line, check: Callable[[Composed], Sequence[Finding]] | None = None
) -> tuple[list[Composed], list[Finding]]:
    """Compose a run for each value of a sweep, and find all that is wrong with any.

    Args:
        line: A command line with ``-m``.
        check: Finds what else is wrong with a config; the findings that it has already may be among what it returns.

    Returns:
        The configs, the first values' first, and the findings, those of a further value only where they are new.
    """
    findings, cached = [*line.findings, *_unreadable(line)], dict[Any, Base]()
    composed: list[Composed] = []
    for overrides in sweep_values(line)[:MOST_CHECKED]:
        slips = [] if composed else line.slips
        one = assemble(Line(overrides, line.config_dir, flags=["-m"], slips=slips), cached=cached)
        composed.append(one)
        seen = {_same(finding) for finding in findings}
        told = one.findings if check is None else check(one)
        findings += [finding for finding in told if _same(finding) not in seen]
    return composed, [*findings, *_names(line), *_run_dirs(line)]


def _same(finding: Finding) -> tuple[object, ...]:
    """Return what makes a finding the same for two values; a key that there is not is so for all."""
    value = None if finding.rule == "unknown-key" else finding.value
    return finding.rule, finding.place, finding.message, value


def _names(line: Line) -> Iterator[Finding]:
    """Find names that would lead a sweep's folder elsewhere; Hydra makes that folder before any job starts."""
    for entry in _read(line):
        names = entry.values or ((entry.value,) if entry.has_value else ())
        if entry.key == "name" and not all(is_plain_name(str(name).strip("'\" ")) for name in names):
            value = entry.text.partition("=")[2][:200]
            message = "names a folder under runs/, so it must be a plain file name"
            yield Finding(rule="bad-name", severity="error", place="name", value=repr(value)[1:-1], message=message)


def _run_dirs(line: Line) -> Iterator[Finding]:
    for entry in _read(line):
        if entry.key == "run_dir" and (entry.values or entry.value is not None):
            yield Finding(
                rule="bad-override",
                severity="error",
                place="run_dir",
                value=entry.text.partition("=")[2],
                message="names the folder of one run",
                fix="The one of a sweep is hydra.sweep.dir=PATH",
            )


def run_sweep(
    line: Line,
    job: Callable[[Composed, list[str], Path | None], Any],
    check: Callable[[Composed], Sequence[Finding]] | None = None,
) -> None:
    """Run a sweep by Hydra's sweeper; its ``hydra/sweeper`` and ``hydra/launcher`` may be any.

    Args:
        job: Called for each run with its config, the overrides that led to it, and the folder that the sweep gives it;
            what it returns is the sweeper's to optimise.
        line: A command line with ``-m``.
        check: Finds what else is wrong with a config.

    Raises:
        FindingsError: If anything is wrong with any value; no job was started.
        ConfigError, TrainingError: What the first job to fail raised; the sweep ends with it.
    """
    composed, findings = composed_sweep(line, check)
    if errors_in(findings):
        raise FindingsError(findings)
    names = {key: value for one in composed for key, value in one.typed.items()}
    added = set().union(*(one.added for one in composed))

    def task(hydra_job: Job) -> Any:
        overrides = [_as_typed(text, names, added) for text in hydra_job.overrides]
        one = assemble(Line(overrides, line.config_dir))
        return job(one, overrides, hydra_job.folder)

    try:
        run_hydra(task, [*_for_hydra(line, composed, added), *_folder(line, composed[0]), "--multirun"])
    except ConfigError as error:
        if "BasicSweeper does not support" not in str(error):
            raise
        text = next((entry.text for entry in _read(line) if "interval(" in entry.text), "")
        fix = "Give values, such as 0.1,0.2,0.3 or range(1,5), or choose a sweeper that draws: hydra/sweeper=optuna"
        raise ConfigError(f"{text}: Hydra's own sweeper cannot draw from an interval. {fix}") from None


def _folder(line: Line, first: Composed) -> list[str]:
    """Return what names the folder of a sweep whose ``name`` is known in its jobs alone."""
    name = str(OmegaConf.to_container(first.raw, resolve=False)["name"]) if first.raw is not None else ""  # type: ignore[index, call-overload]
    if "${hydra:" not in name or any(entry.key == "hydra.sweep.dir" for entry in _read(line)):
        return []
    of_recipe = (first.of_recipe() or {}).get("name", "unnamed")
    return [f"hydra.sweep.dir=runs/{of_recipe}/sweeps/${{now:%Y-%m-%d_%H-%M-%S}}"]


def show(line: Line) -> None:
    """Print what ``--cfg`` or ``--info`` asks for.

    Raises:
        FindingsError: If anything is wrong with the line.
    """
    if line.has("--resolve") and not line.has("--cfg", "-c"):
        raise ConfigError("--resolve: goes with --cfg job")
    if line.sweeps:
        flag = next(flag for flag in line.flags if flag in ("--cfg", "-c", "--info", "-i"))
        raise ConfigError(f"{flag}: shows the config of one run; leave out -m, and give each key one value")
    one = assemble(line)
    one.require()
    if line.value("--cfg", "-c") == "job":
        _print(one, line.value("-p", "--package"), resolve=line.has("--resolve"))
    else:
        run_hydra(lambda job: None, [*_for_hydra(line, [one], one.added), *line.flags])


def _print(composed: Composed, package: str | None, resolve: bool) -> None:
    """Print the config of a run, or the part of it that is at a path, as ``--cfg job`` of Hydra does."""
    config: Any = composed.config if resolve else composed.raw
    if package not in (None, "_global_"):
        config = OmegaConf.select(config, package) if package else None
        if not isinstance(config, DictConfig | ListConfig):
            raise ConfigError(f"--package {package}: there is no such node in the config")
        print(f"# @package {package}")
    print(OmegaConf.to_yaml(config), end="")


def _for_hydra(line: Line, composed: Sequence[Composed], added: set[str]) -> list[str]:
    """Return a line as Hydra takes it: new keys with ``++``, recipes by path by the name that it knows them by."""
    back = {typed: text for one in composed for text, typed in one.typed.items()}
    words = []
    for entry in _read(line):
        if entry.values and entry.key == "recipe":
            names = [_value(back.get(entry.one(value), entry.one(value))) for value in entry.values]
            words.append(f"{entry.name}={','.join(names)}")
        elif entry.text in back:
            words.append(back[entry.text])
        elif entry.key in added and not entry.sign:
            words.append(f"++{entry.text}")
        elif isinstance(entry.value, list) and any(_is_node(one, entry.key) for one in composed):
            words += [f"~{entry.key}", f"+{entry.key}={_value(entry.text)}"]  # Hydra lays no list over a mapping
        elif entry.key in (*TEXTS, *PATHS) and not entry.values and not _is_hydras(entry.text):
            words.append(f'{entry.name}="{_value(entry.text)}"')
        else:
            words.append(entry.text)
    return [*words, *line.folder_flag]


def _is_node(composed: Composed, path: str) -> bool:
    """Say whether a recipe has a mapping at a path."""
    return isinstance(at(composed.of_recipe() or {}, path), dict)


def _is_hydras(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _value(text: str) -> str:
    return text.partition("=")[2]


def _as_typed(text: str, names: dict[str, str], added: set[str]) -> str:
    key = text.partition("=")[0]
    if text in names:
        return names[text]
    if key.startswith("~"):
        return text.removesuffix("=null")  # which Hydra's sweeper adds
    return text[2:] if key.startswith("++") and key[2:] in added else text
