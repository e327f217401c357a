"""``trainkit ckpt diff``: what differs between two checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from trainkit.callbacks.recorder import is_of_the_clock
from trainkit.checkpoint.foreign import read_any
from trainkit.commands.ckpt.line import leaves, parsed, print_json, printable, shape, table

ROWS = 20
ABSENT = object()
OF_THE_RUN = ("about", "config.run_dir", "config.resume")
"""What differs between any two runs, and says nothing of their results."""


@dataclass(slots=True)
class Difference:
    """One thing that is not the same in both."""

    name: str
    one: str
    other: str
    largest: float | None = None
    """The largest absolute difference of two tensors of one shape."""


def main(arguments: Sequence[str]) -> int:
    """Print what differs and return 0 if nothing does, else 1."""
    found = parsed("diff", arguments, 2, 2)
    states = [_flat(read_any(path)) for path in found.paths]
    differences, same = compared(*states)
    if "--json" in found.flags:
        print_json({"equal": not differences, "same": same, "differences": [asdict(d) for d in differences]})
        return int(bool(differences))
    if not differences:
        print(f"equal: {same['tensors']} tensors bit for bit, and {same['values']} values")
        return 0
    rows = differences if "--all" in found.flags else differences[:ROWS]
    cells = [(d.name, d.one, d.other, "" if d.largest is None else f"{d.largest:.3g}") for d in rows]
    print(table([("what", found.paths[0], found.paths[1], "largest difference"), *cells]))
    more = len(differences) - len(rows)
    print(f"and {more} more; --all shows them" if more else "", end="\n" if more else "")
    print(f"{len(differences)} differ; {same['tensors']} tensors are equal bit for bit, and {same['values']} values")
    return 1


def compared(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[list[Difference], dict[str, int]]:
    """Return what differs between two flat states, values first, and how many tensors and values do not."""
    values: list[Difference] = []
    tensors: list[Difference] = []
    same = {"tensors": 0, "values": 0}
    for name in dict.fromkeys([*one, *other]):
        if is_of_the_clock(name) or any(name == out or name.startswith(f"{out}.") for out in OF_THE_RUN):
            continue
        a, b = one.get(name, ABSENT), other.get(name, ABSENT)
        is_tensor = isinstance(a, Tensor) or isinstance(b, Tensor)
        if _equal(a, b):
            same["tensors" if is_tensor else "values"] += 1
        else:
            into = tensors if is_tensor else values
            into.append(Difference(name, _told(a, b), _told(b, a), _largest(a, b)))
    return values + tensors, same


def _flat(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a state holds by name, the config it was made with in front."""
    about = state.get("about")
    text = about.get("config") if isinstance(about, dict) else None
    try:
        config = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        config = text  # compared as it stands
    return dict(_with_config(config, state))


def _with_config(config: Any, state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if config:
        yield from leaves(config, "config")
    for name, part in state.items():
        yield from leaves(part, name)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bits(a), _bits(b))
    return type(a) is type(b) and (a == b or a != a) and not isinstance(a, Tensor)


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor, by which NaN equals itself and 0.0 does not equal -0.0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _largest(a: Any, b: Any) -> float | None:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.shape != b.shape or not a.numel():
        return None
    if a.is_complex() or b.is_complex():
        return float((a.to(torch.complex128) - b.to(torch.complex128)).abs().max())
    return float((a.to(torch.float64) - b.to(torch.float64)).abs().max())


def _told(value: Any, beside: Any) -> str:
    if value is ABSENT:
        return "-"
    if isinstance(value, Tensor):
        alone = not isinstance(beside, Tensor) or value.dtype != beside.dtype
        return f"{shape(value)} {str(value.dtype).removeprefix('torch.')}" if alone else shape(value)
    text = printable(json.dumps(value, default=str))
    return text if len(text) <= 40 else f"{text[:37]}..."
