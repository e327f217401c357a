"""``resume=``: which checkpoint a run goes on from, what has changed since, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainkit.checkpoint import find, newest, read
from trainkit.checkpoint.foreign import read_any
from trainkit.checkpoint.index import holds_a_run
from trainkit.commands.ckpt.line import printable
from trainkit.commands.report import Report
from trainkit.commands.run_dir import RECORDS
from trainkit.config.composing.stored import stored_config
from trainkit.config.differences import Difference, differences, require_no_refusal, table
from trainkit.errors import ConfigError
from trainkit.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from."""

    path: Path
    state: dict[str, Any]
    weights_only: bool = False
    """Whether the weights alone are taken, and everything else begins anew."""


def origin_of(resume: str | None, run_dir: str | Path | None) -> Origin | None:
    """Return what ``resume`` means: null, ``auto``, ``weights[:PATH]``, or the path of a run folder or checkpoint.

    Raises:
        ConfigError: If there is no such checkpoint, it is damaged, or a new run would write over one in ``run_dir``.
        TrainingError: If all checkpoints of the run that ``auto`` is to go on with are damaged.
    """
    checkpoints = None if run_dir is None else Path(run_dir) / "checkpoints"
    mode, _, source = (resume or "").partition(":")
    if mode in ("auto", "weights") and not source and checkpoints is None:
        raise ConfigError(f"resume={resume} goes on with the run in run_dir: give run_dir=PATH too")
    if mode == "weights":
        path = find(source or run_dir or "")
        return Origin(path, read_any(path), weights_only=True)
    if resume == "auto":
        last = newest(checkpoints) if checkpoints is not None else None
        return None if last is None else Origin(last, read(last))
    found = None if resume is None else find(resume)
    here = found is not None and checkpoints is not None and found.resolve().parent == checkpoints.resolve()
    if checkpoints is not None and holds_a_run(checkpoints) and not here:
        raise ConfigError(
            f"run_dir={run_dir}: holds a run already; resume=auto goes on with it, or give another run_dir"
        )
    return None if found is None else Origin(found, read(found))


def changed(origin: Origin, values: dict[str, Any]) -> list[Difference]:
    """Return what differs from the config that the checkpoint was written under, each with its verdict.

    Raises:
        ConfigError: If a difference is refused; the message is the table of all.
    """
    stored = config_of(origin.path, origin.state)
    if not stored:
        return []
    found = differences(stored, values)
    require_no_refusal(found)
    return found


def config_of(path: str | Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config in a checkpoint; an empty one for that of a Trainer without, of a former release, or foreign.

    Raises:
        ConfigError: If it is damaged.
    """
    about = state.get("about")
    return stored_config(path, state) if isinstance(about, dict) and about.get("config") else {}


def configs_before(origin: Origin | None, config: str) -> list[tuple[int, str]]:
    """Return the configs that a run was under before it goes on with another, each with its last step: for a replay."""
    if origin is None or origin.weights_only:
        return []
    earlier, last = kept_configs(origin.state), origin.state.get("about", {}).get("config")
    if not isinstance(last, str) or last == config:
        return earlier
    return [*earlier, (int(origin.state["counters"]["step"]), last)]


def kept_configs(state: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Return the configs that a checkpoint tells of besides its own, each with its last step, oldest first."""
    about = state.get("about")
    kept = about.get("earlier", []) if isinstance(about, dict) else []
    return [
        (step, text)
        for step, text in (pair for pair in kept if isinstance(pair, list | tuple) and len(pair) == 2)
        if type(step) is int and isinstance(text, str)
    ]


def loaded_before(origin: Origin | None) -> dict[str, Any]:
    """Return what the run that goes on began with, as its checkpoint tells it; empty where weights were loaded anew."""
    if origin is None or origin.weights_only:
        return {}
    try:
        told = json.loads(origin.state["about"]["weights"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def go_on(report: Report, trainer: Trainer, origin: Origin | None, changes: Sequence[Difference]) -> None:
    """Give the trainer the state that it goes on from, and say so."""
    if origin is None:
        return
    if origin.weights_only:
        trainer.load_weights(origin.state)
        report.print(f"weights of {origin.path}; everything else begins anew")
    else:
        trainer.resume(origin.path, origin.state)
        report.print(f"resumed from {origin.path} at step {trainer.counters.step}")
        if changes:
            report.print("changed since then:\n" + "\n".join(map(printable, table(changes).splitlines())))
    origin.state.clear()  # mapped from a file, whose room would not be free again once it is pruned


def set_aside(origin: Origin, folder: Path) -> Origin:
    """Move the records of the run in ``folder``, if there are any, to ``before-N`` in it; nothing is lost."""
    if not (folder / "checkpoints").is_dir():
        return origin
    number = next(n for n in range(1, 10**6) if not (folder / f"before-{n}").exists())
    aside = folder / f"before-{number}"
    aside.mkdir()
    for name in RECORDS:  # the checkpoints last: killed in between, the next start still finds a run here
        if (folder / name).exists():
            (folder / name).rename(aside / name)
    if not origin.path.exists():
        return replace(origin, path=aside / origin.path.relative_to(folder))
    return origin
