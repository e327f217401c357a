"""The arguments of ``trainkit ckpt``, and how it prints: sizes in units, and no control characters of strangers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from trainkit.commands.ckpt import COMMANDS
from trainkit.errors import ConfigError, closest


@dataclass(slots=True)
class Arguments:
    """What stands after ``trainkit ckpt COMMAND``."""

    paths: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    out: Path | None = None


def parsed(command: str, arguments: Sequence[str], least: int = 1, most: int | None = None) -> Arguments:
    """Return the arguments of a command, taken apart by its line in ``COMMANDS``.

    Raises:
        ConfigError: With the usage, if one is unknown, missing or too many.
    """
    usage = f"usage: trainkit ckpt {command} {COMMANDS[command][0]}"
    known = [word.strip("[]") for word in COMMANDS[command][0].split() if "--" in word]
    found, rest = Arguments(), iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            found.paths.append(argument)
        elif flag not in known:
            raise ConfigError(f"ckpt {command} takes no {argument}.{closest(flag, known)}\n{usage}")
        elif flag == "--out":
            found.out = Path(value if equals else next(rest, ""))
        else:
            found.flags.add(flag)
    if len(found.paths) < least or (most is not None and len(found.paths) > most):
        wanted = f"{least} or more paths" if most is None else f"{least} path{'s' * (least > 1)}"
        raise ConfigError(f"ckpt {command} needs {wanted}, not {len(found.paths)}\n{usage}")
    if "--out" in known and (found.out is None or not found.out.name):
        raise ConfigError(f"ckpt {command} needs --out FILE\n{usage}")
    return found


def target(found: Arguments) -> Path:
    """Return the file to write, which must not be there unless ``--force`` says so.

    Raises:
        ConfigError: If it is there, or cannot be.
    """
    out = found.out
    assert out is not None
    if out.is_dir() or not out.parent.is_dir():
        raise ConfigError(f"--out {out}: {'is a folder' if out.is_dir() else f'there is no folder {out.parent}'}")
    if (out.exists() or out.is_symlink()) and "--force" not in found.flags:
        raise ConfigError(f"--out {out}: is there already; --force writes over it")
    return out


def printable(value: object) -> str:
    """Return a text that a terminal shows as it is: what would move its cursor or colour it is escaped."""
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def table(rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Return rows in columns, numbers to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(c[:1].isdigit() or c in ("", "-") for c in column[1:]) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)) for row in cells
    )
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def sized(number: float) -> str:
    """Return a number of bytes for people: ``3.9 kB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def shape(tensor: Tensor) -> str:
    """Return a shape such as ``128x64``."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a state holds by dotted path: tensors and plain values, and empty containers."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    if not inner or not len(value):
        yield path, value
        return
    for key, item in inner:
        yield from leaves(item, f"{path}.{key}" if path else str(key))


def print_json(value: Any) -> None:
    """Print plain values as JSON; what is not finite becomes text, since JSON knows none."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False, default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value
