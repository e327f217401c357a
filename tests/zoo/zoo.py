"""Programs with one silent bug each, their repairs, and correct programs that a nervous checker flags.

A program of ``programs/`` has ``build()``, which gives model, data sets, loss, ``make_optimizer`` and more. ``BUG`` is
None in a correct one, else what a good finding has to say. ``FIX`` holds the smallest repair as replacements in the
source; a repaired program is a correct one too, but for those that are ``ODD``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedTensorMixin

from trainkit.findings import Finding
from trainkit.inspection import inspect as inspected

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))
TAKEN = set(inspect.signature(inspected).parameters)


@dataclass(frozen=True)
class Program:
    """One program, as it is or repaired."""

    path: Path
    parts: dict[str, Any]
    bug: dict[str, Any] | None
    source: str
    fix: list[tuple[str, str]]
    odd: bool

    @property
    def line(self) -> int:
        """The line at fault."""
        assert self.bug is not None
        start = self.source.index("\n}\n", self.source.index("BUG = {"))
        after = self.source.index("FIX = [", start) if "FIX = [" in self.source else start
        position = self.source.index(self.bug["code"], self.source.index("\n]\n", after) if self.fix else after)
        return self.source.count("\n", 0, position) + 1


def load(path: Path) -> Program:
    """Import a program and build what it trains."""
    spec = importlib.util.spec_from_file_location(f"zoo_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    torch.manual_seed(0)  # a network may begin badly by chance
    bug, fix = module.BUG, getattr(module, "FIX", [])
    return Program(path, module.build(), bug, path.read_text(), fix, getattr(module, "ODD", False))


def repaired(program: Program, folder: Path) -> Program:
    """Write the repaired program into a folder and load it."""
    head, _, body = program.source.partition("\nFIX = [")
    _, _, body = body.partition("\n]\n")
    for old, new in program.fix:
        assert body.count(old) == 1, f"{program.path.name}: {old!r} occurs {body.count(old)} times"
        body = body.replace(old, new)
    head = re.sub(r"BUG = \{.*?\n\}", "BUG = None", head, flags=re.DOTALL)
    path = folder / program.path.name
    path.write_text(f"{head}\nFIX: list = []\n{body}")
    return load(path)


def checked(program: Program, **more: Any) -> list[Finding]:
    """Check a program as a user would."""
    parts = {**program.parts, **more}
    parts["optimizer"] = parts.pop("make_optimizer", None)
    parts["scheduler"] = parts.pop("make_scheduler", None)
    return inspected(parts.pop("model"), **{name: value for name, value in parts.items() if name in TAKEN})


def traces(program: Program) -> dict[str, Any]:
    """Return all that a check may not change, to be compared: generators, parameters, buffers, modes, hooks, data."""
    model = program.parts["model"]
    modules = dict(model.named_modules())
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": repr(np.random.get_state()),
        "random": random.getstate(),
        "weights": {name: _bits(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())},
        "identity": [(name, id(tensor)) for name, tensor in model.named_parameters()],
        "gradients": {name: (each.requires_grad, each.grad is None) for name, each in model.named_parameters()},
        "modes": {path: module.training for path, module in modules.items()},
        "attributes": {path: sorted(vars(module)) for path, module in modules.items()},
        "hooks": {path: _hooks(module) for path, module in modules.items()},
        "data": {name: _held(program.parts.get(name)) for name in ("train_set", "val_set")},
        "settings": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_anomaly_enabled()),
    }


def _hooks(module: torch.nn.Module) -> list[int]:
    return [len(value) for key, value in vars(module).items() if "hooks" in key]


def _bits(tensor: Any) -> Any:
    if isinstance(tensor, UninitializedTensorMixin):
        return "uninitialised"
    array = np.ascontiguousarray(
        tensor.detach().contiguous().view(torch.uint8).numpy() if tensor.dim() else tensor.detach().numpy()
    )
    return hashlib.sha256(array.tobytes()).hexdigest()


def _held(thing: Any, depth: int = 0) -> Any:
    """Return what a data set holds: tensors and arrays by their bits, generators by their state, numbers as such."""
    if isinstance(thing, torch.Tensor):
        return _bits(thing)
    if isinstance(thing, np.ndarray):
        return (
            len(thing) if thing.dtype == object else hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()
        )
    if isinstance(thing, torch.Generator):
        return thing.get_state().tolist()
    if isinstance(thing, np.random.Generator):
        return repr(thing.bit_generator.state)
    if isinstance(thing, random.Random):
        return thing.getstate()
    if depth > 3 or isinstance(thing, type) or callable(thing):
        return type(thing).__name__
    if isinstance(thing, dict):
        return {str(key): _held(value, depth + 1) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_held(each, depth + 1) for each in thing]
    held = getattr(thing, "__dict__", None)
    return repr(thing) if held is None else {key: _held(value, depth + 1) for key, value in held.items()}


def finds(finding: Finding, program: Program) -> bool:
    """Say whether a finding is the one: severity, place or line, a word of the cause; and the rule where it is said."""
    bug = program.bug
    assert bug is not None
    text = f"{finding.place} {finding}"
    at_line = finding.file is not None and Path(finding.file).name == program.path.name and finding.line == program.line
    place = bug["where"].lower() in text.lower() or at_line
    words = any(word.lower() in text.lower() for word in bug["keywords"])
    return finding.severity == bug["severity"] and place and words and bug.get("rule") in (None, finding.rule)
