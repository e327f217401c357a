"""Where a replay starts from: the checkpoint before the step, and the config under which the step was taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from trainkit.autopsy import examined, read_bundle, replayed, seen_in
from trainkit.autopsy.bundle import VALUES, folder_of
from trainkit.checkpoint import Store, read
from trainkit.checkpoint.index import present_in
from trainkit.checkpoint.manifest import CHECKPOINT, Manifest
from trainkit.commands.going_on import kept_configs
from trainkit.commands.replay_report import Replay
from trainkit.config.build import build_parts, build_trainer
from trainkit.config.checking.check import sound
from trainkit.config.checking.masking import masked_override
from trainkit.config.composing.compose import plain
from trainkit.config.composing.composed import Composed
from trainkit.config.composing.line import Line
from trainkit.config.composing.stored import assemble_stored, compose_line, read_yaml
from trainkit.config.parts import build_part
from trainkit.config.transferring import prepared, started
from trainkit.device import pick
from trainkit.errors import ConfigError
from trainkit.objectives import penalised
from trainkit.settings import Settings

OBSERVERS = ("callbacks", "diagnostics", "loggers")
"""Parts of a config that a replay does without, so that nobody has to trust them."""


class Origin(NamedTuple):
    """Where a replay starts."""

    path: Path | None
    """The checkpoint; None for the start of the run."""
    state: dict[str, Any]
    skipped: list[str]
    """What was wrong with nearer ones."""


def of_run(run: str, step: int, line: Line, debug: bool = False) -> Replay:
    """Rebuild a step of the run in a folder.

    Args:
        run: The run folder; nothing is written into it.
        step: Counted from 1.
        line: One's own overrides, such as ``trusted_packages=[mine]``.
        debug: Open ``pdb`` in the objective.

    Raises:
        ConfigError: If there is no such run or step, no checkpoint before it, or the config is not to be trusted.
    """
    folder = Path(run)
    if not (folder / "checkpoints").is_dir() and not (folder / "config.yaml").is_file():
        near = sorted(str(path.parent) for path in folder.parent.glob("*/config.yaml"))
        there = f"; there are {', '.join(near[:3])}" if near else ""
        raise ConfigError(f"run={run}: no run folder there{there}")
    taken = _steps_taken(folder)
    if step > taken:
        raise ConfigError(f"step={step}: the run in {run} took {taken} steps")
    config, values, since = _config_at(folder, step)
    origin = _origin(folder, step, values, since)
    composed = _composed(folder, json.dumps({**values, **{name: {} for name in OBSERVERS if name in values}}), line)
    ready = prepared(composed.config, values)
    parts = build_parts(ready, load=origin.path is None)
    trainer, until, logged = build_trainer(parts), _until(folder, step), _logged(folder)
    with TemporaryDirectory() as scratch:
        if trainer.settings.on_nonfinite == "rollback" and until is not None:
            trainer.store = _store(values, Path(scratch) / "checkpoints", origin.path)
        else:
            until = None
        seen = replayed(trainer, step, origin.state or None, debug=debug, logged=logged, until=until)
    notes = _notes(origin, line, config)
    if seen.differs:
        notes.append(f"THIS IS NOT THE STEP AS IT WAS: {seen.differs}; the code, the data or the device is another")
    if not seen.failed and _has_failed(folder, step, seen.batch):
        notes.append("in the run this step failed (see its autopsy): something that no checkpoint holds is behind it")
    return Replay(seen, str(folder), None if origin.path is None else str(origin.path), notes)


def _logged(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """Return what the run logged at each step."""
    found: dict[int, list[dict[str, Any]]] = {}
    with suppress(OSError, UnicodeDecodeError), open(folder / "metrics.jsonl", encoding="utf-8") as records:
        for text in records:
            with suppress(ValueError):
                record = json.loads(text)
                if isinstance(record, dict) and type(record.get("step")) is int and "train/loss" in record:
                    found.setdefault(record["step"], []).append(record)
    return found


def _until(folder: Path, step: int) -> int | None:
    """Return the batches in all of the first checkpoint after a step; None if there is none."""
    for manifest in _line_of(folder):
        with suppress(ConfigError, KeyError):
            if manifest.step >= step:
                return int(read(folder / "checkpoints" / manifest.name)["counters"]["total_batches"])
    return None


def _store(values: Mapping[str, Any], scratch: Path, start: Path | None) -> Store:
    """Return a store elsewhere that goes on from a checkpoint as the run's own did: to it a run may go back."""
    scratch.mkdir()
    for file in [] if start is None else [start, start.with_suffix(".json")]:
        shutil.copy2(file, scratch)
    store: Store = build_part({**values["checkpoint"], "folder": str(scratch), "background": False}, "checkpoint")
    return store


def _has_failed(folder: Path, step: int, batch: int) -> bool:
    """Say whether there is an autopsy of a step that began at this batch."""
    with suppress(OSError, ValueError, AttributeError):
        return bool(json.loads((folder_of(folder, step) / VALUES).read_text()).get("batch") == batch)
    return False


def of_bundle(path: str, line: Line, debug: bool = False) -> Replay:
    """Take the step of an autopsy again.

    Raises:
        ConfigError: If there is none, or its config is not to be trusted.
    """
    bundle = read_bundle(path)
    config = bundle.state["about"].get("config")
    if not isinstance(config, str) and not _has_recipe(line):
        raise ConfigError(f"bundle={path}: holds no config: it is of a Trainer made in Python; name one by recipe=NAME")
    composed = _composed(Path(path), config if isinstance(config, str) else "{}", line)
    values: dict[str, Any] = plain(prepared(composed.config, _parsed(config, path) if isinstance(config, str) else {}))
    objective = build_part(values["objective"], "objective")
    penalty = values.get("penalty") or {"l1": 0.0, "l2": 0.0}
    if penalty["l1"] or penalty["l2"]:
        objective = penalised(objective, **penalty)
    device = pick(Settings.of(values["trainer"]).device)
    model = started(values, load=False).model.to(device)
    if hasattr(objective, "to"):
        objective.to(device)
    step = bundle.step(model, objective, device)
    seen = seen_in(step, bundle.told, debug=debug)
    seen.failed, seen.autopsy = str(bundle.told.get("what", "")), examined(step)
    return Replay(seen, str(bundle.path), str(bundle.path), [])


def _has_recipe(line: Line) -> bool:
    return any(override.lstrip("+").startswith("recipe=") for override in line.overrides)


def _composed(path: Path, config: str, line: Line) -> Composed:
    """Compose one's own recipe, if the line names one, or else the stored config, held as ``eval`` holds it."""
    composed = compose_line(line) if _has_recipe(line) else assemble_stored(path, line, {"about": {"config": config}})
    sound(composed)
    return composed


def _steps_taken(folder: Path) -> int:
    """Return the last step that a run took or tried, as its checkpoints and records say."""
    steps = [manifest.step for manifest in present_in(folder / "checkpoints")]
    with suppress(OSError, ValueError, AttributeError):
        summary = json.loads((folder / "summary.json").read_text())
        if type(summary.get("steps")) is int:
            steps.append(summary["steps"] + (summary.get("status") == "failed"))
    with suppress(OSError, UnicodeDecodeError), open(folder / "metrics.jsonl", encoding="utf-8") as records:
        for record in records:
            with suppress(ValueError, AttributeError):
                step = json.loads(record).get("step")
                steps.append(step if type(step) is int else 0)
    return max(steps, default=0)


def _line_of(folder: Path) -> list[Manifest]:
    """Return the checkpoints that led to where the run stands, oldest first: none that a resume left behind."""
    found: list[Manifest] = []
    for manifest in sorted(present_in(folder / "checkpoints"), key=lambda one: one.serial, reverse=True):
        if manifest.serial and (not found or manifest.step <= found[-1].step):
            found.append(manifest)
    try:
        last = read_yaml(folder / "config.yaml")  # of the latest start
    except (OSError, ConfigError):
        return found[::-1]
    resumed = CHECKPOINT.fullmatch(Path(str(last.get("resume"))).name)

    def is_left(manifest: Manifest) -> bool:
        """Say whether a start that named an earlier checkpoint left this one behind."""
        if resumed is None or manifest.step <= int(resumed[1]):
            return False
        with suppress(ConfigError):
            return bool(_config_in(read(folder / "checkpoints" / manifest.name)) != last)
        return False

    return [manifest for manifest in found[::-1] if not is_left(manifest)]


def _config_at(folder: Path, step: int) -> tuple[str, dict[str, Any], int]:
    """Return the config that a step was taken under, as text and values, and after which step it came to hold.

    A resume may have changed it since, or before.
    """
    later = next((one for one in _line_of(folder) if one.step >= step), None)
    if later is not None:
        with suppress(ConfigError):
            state = read(folder / "checkpoints" / later.name)
            earlier, about = kept_configs(state), state.get("about")
            if isinstance(about, dict) and isinstance(about.get("config"), str):
                text = next((text for until, text in earlier if until >= step), about["config"])
                since = max((until for until, _ in earlier if until < step), default=0)
                return text, _parsed(text, str(folder)), since
    try:
        values: dict[str, Any] = read_yaml(folder / "config.yaml")
    except OSError:
        raise ConfigError(
            f"run={folder}: holds no config: it was trained from Python, where "
            "trainkit.autopsy.replayed(trainer, step, state) does it"
        ) from None
    return json.dumps(values), values, 0


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: its config is damaged")
    return values


def _origin(folder: Path, step: int, values: Mapping[str, Any], since: int) -> Origin:
    """Return the nearest whole checkpoint before a step, or the start of the run.

    Args:
        folder: The run folder.
        step: Counted from 1.
        values: The config that the step was taken under.
        since: The step after which that came to hold; 0 for the start.

    Raises:
        ConfigError: If there is none, and the run did not begin with what this config says.
    """
    skipped: list[str] = []
    for manifest in reversed([one for one in _line_of(folder) if one.step < step]):
        path = folder / "checkpoints" / manifest.name
        try:
            return Origin(path, read(path), skipped)
        except ConfigError as error:
            skipped.append(str(error))
    if since:
        raise ConfigError(
            f"step={step}: there is no checkpoint of {folder} from step {since} on, after which the run went on with "
            "another config, up to it; checkpoint.keep_last and keep_every say how many stay"
        )
    begun = values.get("resume")
    if begun not in (None, "auto"):
        raise ConfigError(
            f"step={step}: there is no checkpoint of {folder} before it, and the run began with resume={begun}, "
            "not with the weights that its config gives"
        )
    return Origin(None, {}, skipped)


def _config_in(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config that a checkpoint was written under; None where it holds none."""
    about = state.get("about")
    text = about.get("config") if isinstance(about, dict) else None
    return _parsed(text, "the checkpoint") if isinstance(text, str) else None


def _notes(origin: Origin, line: Line, config: str) -> list[str]:
    """Return what may make the step another one than it was."""
    notes = [f"passed over for an older one: {reason}" for reason in origin.skipped]
    if own := [text for text in line.overrides if not text.lstrip("+").startswith("trusted_packages=")]:
        notes.append(f"changed on this line: {' '.join(map(masked_override, own))}")
    about = origin.state.get("about")
    if not isinstance(about, dict):
        return notes
    versions = about.get("versions")
    was = versions.get("torch") if isinstance(versions, dict) else None
    import torch

    if was is not None and was != str(torch.__version__):
        notes.append(f"the run had torch {was}, this is {torch.__version__}: bits may differ")
    if isinstance(about.get("config"), str) and about["config"] != config:
        notes.append("the config changed since the checkpoint; the step goes by the later one")
    return notes
