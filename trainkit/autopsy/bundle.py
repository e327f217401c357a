"""An autopsy on the disk: the batch, the weights of before and the keys, from which the step can be taken again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor, nn

from trainkit.autopsy.report import Autopsy
from trainkit.autopsy.step import Step, tensors_in
from trainkit.checkpoint.files import write_atomically, write_text
from trainkit.checkpoint.loading import load
from trainkit.checkpoint.plain import Unsavable, survey
from trainkit.checkpoint.weights import fit
from trainkit.device import map_tensors, mover
from trainkit.errors import ConfigError
from trainkit.keys import Streams
from trainkit.objectives import Objective
from trainkit.precision import Precision

FOLDER, STEP, TEXT, VALUES = "autopsy", "step.pt", "report.txt", "report.json"
FORMAT = 1
MOST_BYTES = 1 << 28
"""Of the weights, and of the batches; more than that is left to the checkpoints and the data."""


def folder_of(run_dir: Path, step: int) -> Path:
    """Return where the autopsy of a step is kept."""
    return run_dir / FOLDER / f"step-{step:08d}"


def keep(
    folder: Path, step: Step, autopsy: Autopsy, told: Mapping[str, Any], about: Mapping[str, Any]
) -> dict[str, str]:
    """Write an autopsy; return what could not be kept, and why.

    Args:
        folder: Made.
        step: The one that was looked into, as it was before.
        autopsy: What was found.
        told: Plain values of the run: step, epoch, losses and so on.
        about: What a checkpoint says it is about; its config builds the model again.

    Raises:
        OSError: As the file system gives it.
    """
    batches, model = [map_tensors(batch, lambda tensor: tensor.detach().cpu()) for batch in step.batches], step.model
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    left_out = _left_out(batches, weights)
    content = {
        "format": FORMAT,
        "about": {"config": about["config"]} if isinstance(about.get("config"), str) else {},
        "told": json.loads(json.dumps(told, default=str)),
        "precision": step.precision.name,
        "keys": list(step.keys),
        "samples": [list(indices) for indices in step.samples],
        "batches": None if "batches" in left_out else batches,
        "model": None if "weights" in left_out else weights,
        "trained": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
        "still": _still(step),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / STEP, lambda stream: torch.save(content, cast(IO[bytes], stream)))
    values = {**told, "autopsy": autopsy.as_dict(), "left_out": left_out}
    write_text(folder / VALUES, json.dumps(values, indent=2, default=str) + "\n")
    write_text(folder / TEXT, f"step {told['step']}: {told['what']}\n{autopsy.text()}\n")
    return left_out


@dataclass(frozen=True, slots=True)
class Bundle:
    """What :func:`keep` wrote."""

    path: Path
    state: dict[str, Any]

    @property
    def told(self) -> dict[str, Any]:
        told = self.state.get("told")
        return told if isinstance(told, dict) else {}

    def step(self, model: nn.Module, objective: Objective, device: torch.device) -> Step:
        """Return the step, with the model's weights set to those of before.

        Raises:
            ConfigError: If they do not fit the model, or something was too large to be kept.
        """
        state = self.state
        if state["model"] is None or state["batches"] is None:
            lacks = "weights" if state["model"] is None else "batch"
            raise ConfigError(f"{self.path}: its {lacks} could not be kept; replay run=RUN step=N makes it again")
        model.load_state_dict(fit(model, state["model"]))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in state["trained"])
        still = [module for name, module in model.named_modules() if name in state["still"]]

        def hold() -> None:
            for module in still:
                module.training = False

        model.to(device)
        batches = [mover(device)(batch) for batch in state["batches"]]
        precision = Precision(state["precision"], device)
        return Step(model, objective, precision, Streams(device), batches, state["keys"], state["samples"], hold)


def read_bundle(path: str | Path) -> Bundle:
    """Return the bundle in a folder, or in its ``step.pt``; code in it never runs.

    Raises:
        ConfigError: If there is none, or it is damaged.
    """
    path = Path(path)
    file = path / STEP if path.is_dir() else path
    if not file.is_file():
        near = sorted(str(found.parent) for found in path.glob(f"**/{FOLDER}/*/{STEP}")) if path.is_dir() else []
        there = f"; there are {', '.join(near[:3])}" if near else ""
        raise ConfigError(f"bundle={path}: no autopsy there{there}")
    try:
        state = load(file)
    except Exception as error:  # noqa: BLE001 - a file made to mislead fails in any way
        raise ConfigError(f"bundle={path}: cannot be read: {(str(error).splitlines() or [''])[0][:300]}") from None
    kinds = {
        "about": dict,
        "told": dict,
        "precision": str,
        "keys": list,
        "samples": list,
        "trained": list,
        "still": list,
    }
    sound = isinstance(state, dict) and state.get("format") == FORMAT
    if not sound or not all(type(state.get(name)) is kind for name, kind in kinds.items()):
        raise ConfigError(f"bundle={path}: is no autopsy of this trainkit")
    if not {"batches", "model"} <= state.keys() or state["precision"] not in ("fp32", "bf16", "fp16"):
        raise ConfigError(f"bundle={path}: is no autopsy of this trainkit")
    return Bundle(path, state)


def _left_out(batches: list[Any], weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return what is too large or not plain enough to be kept, and why."""
    found: dict[str, str] = {}
    for name, tensors in {"batches": tensors_in(batches).values(), "weights": weights.values()}.items():
        if (size := sum(tensor.numel() * tensor.element_size() for tensor in tensors)) > MOST_BYTES:
            found[name] = f"{size / 2**20:,.0f} MiB, more than {MOST_BYTES >> 20}"
    try:
        survey(batches)
    except Unsavable as error:
        found.setdefault("batches", str(error)[:200])
    return found


def _still(step: Step) -> list[str]:
    """Return the names of the modules that are in eval mode while the model trains."""
    with step.untouched():
        return [name for name, module in step.model.named_modules() if not module.training]
