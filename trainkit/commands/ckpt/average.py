"""``trainkit ckpt average``: the equal average of the weights of several checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainkit.checkpoint.foreign import read_any, write_torch
from trainkit.checkpoint.migrations import FORMAT
from trainkit.checkpoint.reading import find
from trainkit.checkpoint.weights import evaluated
from trainkit.commands.ckpt.line import parsed, shape, sized, table, target
from trainkit.errors import ConfigError

ROWS = 5


def main(arguments: Sequence[str]) -> int:
    """Write the average of the weights as a checkpoint that ``eval`` takes, and return the exit code.

    Of a run folder the best checkpoint is meant, and of a checkpoint with averaged weights those. The method is that of
    "Model soups" (Wortsman et al. 2022), uniform. Numbers that are whole, such as the batches that a batch norm has
    seen, are taken from the last.
    """
    found = parsed("average", arguments, 2)
    out = target(found)
    if out.suffix != ".ckpt":
        raise ConfigError(f"--out {out}: the average is a checkpoint, so its name must end in .ckpt")
    files = [str(find(path, "best")) for path in found.paths]
    states = [read_any(path, "best") for path in found.paths]
    weights = averaged({file: evaluated(state) for file, state in zip(files, states, strict=True)})
    about = {**(states[-1].get("about") or {}), "averaged": files}
    state = {"format": FORMAT, "about": about, "model": weights, "averaging": {}}
    write_torch(out, state)
    print(f"{out}: the average of {len(files)} checkpoints, {len(weights)} tensors, {sized(out.stat().st_size)}")
    return 0


def averaged(weights: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the equal average of several sets of weights, given by the name of their file.

    Sums are taken in float64, so that the order does not matter in the weights' own precision.

    Raises:
        ConfigError: If names, shapes or types differ, or a weight is not finite.
    """
    files, sets = list(weights), list(weights.values())
    _require_alike(files, sets)
    result: dict[str, Any] = {}
    known: dict[tuple[int, ...], Tensor] = {}
    for name, last in sets[-1].items():
        if not isinstance(last, Tensor) or not (last.is_floating_point() or last.is_complex()):
            result[name] = last
            continue
        places = tuple(one[name].untyped_storage().data_ptr() + one[name].storage_offset() for one in sets)
        if places not in known or not last.numel() or known[places].shape != last.shape:  # tied ones stay tied
            exact = torch.complex128 if last.is_complex() else torch.float64
            total = torch.zeros(last.shape, dtype=exact)
            for file, one in zip(files, sets, strict=True):
                if not one[name].isfinite().all():
                    raise ConfigError(f"{file}: {name} is not finite; the average would not be either")
                total += one[name]
            known[places] = (total / len(sets)).to(last.dtype)
        result[name] = known[places]
    return result


def _require_alike(files: Sequence[str], sets: Sequence[Mapping[str, Any]]) -> None:
    first = sets[0]
    for file, other in zip(files[1:], sets[1:], strict=True):
        names = [name for name in dict.fromkeys([*first, *other]) if _kind(first, name) != _kind(other, name)]
        if names:
            rows = [(name, _kind(first, name), _kind(other, name)) for name in names[:ROWS]]
            more = f"\n  and {len(names) - ROWS} more" if len(names) > ROWS else ""
            listed = table([("name", files[0], file), *rows], "  ")
            raise ConfigError(f"{file}: its weights are not those of the same model:\n{listed}{more}")


def _kind(weights: Mapping[str, Any], name: str) -> str:
    value = weights.get(name)
    if isinstance(value, Tensor):
        return f"{shape(value)} {str(value.dtype).removeprefix('torch.')}"
    return "-" if name not in weights else type(value).__name__
