"""``trainkit ckpt``: look into checkpoints, verify, compare, average and export them. Nothing in them is trusted."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from trainkit.errors import ConfigError, closest

COMMANDS = {
    "inspect": ("PATH... [--config] [--tensors] [--json]", "what is in a checkpoint, and where it comes from"),
    "verify": ("PATH... [--json]", "every file of a run against its manifest; exit code 1 if one is bad"),
    "diff": ("ONE OTHER [--all] [--json]", "what differs between two; exit code 0 if nothing does, else 1"),
    "average": ("PATH PATH... --out FILE [--force]", "the equal average of the weights, as a checkpoint"),
    "export": ("PATH --out FILE [--force]", "the weights alone, averaged ones where they are: .pt or .safetensors"),
}


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands above and return the exit code."""
    name, *rest = arguments or [""]
    if name not in COMMANDS:
        problem = f"{name}: no such command.{closest(name, list(COMMANDS))}" if name else "which command?"
        raise ConfigError(f"ckpt {problem}\n{_usage()}")
    module = importlib.import_module(f"{__name__}.{name}")
    return int(module.main(rest))


def _usage() -> str:
    left = {name: f"  ckpt {name} {arguments}" for name, (arguments, _) in COMMANDS.items()}
    width = max(map(len, left.values()))
    return "\n".join(f"{left[name]:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
