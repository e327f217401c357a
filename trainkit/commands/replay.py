"""``trainkit replay``: rebuild a step of a run from the checkpoint before it, or from an autopsy, and show it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from trainkit.config.composing.line import Line, read_line
from trainkit.errors import ConfigError

FLAGS: dict[str, tuple[str, ...] | None] = {"--json": None, "--debug": None}
NEEDS = "replay needs run=RUN_FOLDER step=NUMBER, or bundle=AUTOPSY_FOLDER"
KEYS = ("run", "step", "bundle")


@dataclass(slots=True)
class Asked:
    """What the command line asks for."""

    line: Line
    values: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """Print the step and return the exit code."""
    asked = _read(arguments)
    as_json, debug = asked.line.has("--json"), asked.line.has("--debug")
    asked.line.flags = []
    from trainkit.commands import replayed_step

    if "bundle" in asked.values:
        found = replayed_step.of_bundle(asked.values["bundle"], asked.line, debug)
    else:
        step = asked.values["step"]
        if not step.isdecimal() or int(step) < 1:
            raise ConfigError(f"step={step}: must be a whole number, at least 1")
        found = replayed_step.of_run(asked.values["run"], int(step), asked.line, debug)
    print(json.dumps(found.as_dict(), indent=2, allow_nan=False) if as_json else found.text())
    return 0


def _read(arguments: Sequence[str]) -> Asked:
    """Take the command's own keys from the line.

    Raises:
        ConfigError: If one is missing or too many.
    """
    line = read_line(arguments, FLAGS).require()
    asked, rest = Asked(line), []
    for override in line.overrides:
        key, _, value = override.partition("=")
        if key in KEYS:
            asked.values[key] = value
        elif key.lstrip("+") in ("resume", "run_dir"):
            raise ConfigError(f"{override}: {NEEDS}; leave {key} out")
        else:
            rest.append(override)
    line.overrides = rest
    given = set(asked.values)
    if given not in ({"run", "step"}, {"bundle"}):
        raise ConfigError(NEEDS + (f"; given were {', '.join(sorted(given))}" if given else ""))
    return asked
