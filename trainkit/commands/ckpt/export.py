"""``trainkit ckpt export``: the weights alone, for any program."""

from __future__ import annotations

from collections.abc import Sequence

from trainkit.checkpoint.foreign import KINDS, read_any, write_weights
from trainkit.checkpoint.reading import find
from trainkit.checkpoint.weights import evaluated
from trainkit.commands.ckpt.line import parsed, sized, target
from trainkit.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Write the weights to evaluate, the averaged ones where there are such, and return the exit code."""
    found = parsed("export", arguments, 1, 1)
    out = target(found)
    if out.suffix not in KINDS:
        raise ConfigError(f"--out {out}: the suffix says what to write, so it must be {' or '.join(KINDS)}")
    source, state = find(found.paths[0], "best"), read_any(found.paths[0], "best")
    weights = evaluated(state)
    tied = write_weights(out, weights)
    kind = "weights" if weights is state["model"] else "averaged weights"
    print(f"{out}: {len(weights) - len(tied)} tensors, {sized(out.stat().st_size)}, the {kind} of {source}")
    for name, same in tied.items():
        print(f"left out {name}: it is {same}, to which the model ties it")
    return 0
