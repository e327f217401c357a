"""``trainkit eval``: test the weights of a run or checkpoint, under a recipe or the config that came with them."""

from __future__ import annotations

from collections.abc import Sequence

from trainkit.config.checking.check import sound
from trainkit.config.composing.line import read_line
from trainkit.config.composing.stored import compose_line
from trainkit.errors import ConfigError

NEEDS = "eval needs weights: resume=RUN_FOLDER or resume=CHECKPOINT"


def main(arguments: Sequence[str]) -> int:
    """Print the test metrics and return the exit code."""
    line = read_line(arguments, takes={})
    if not any(override.lstrip("+").startswith("resume=") for override in line.overrides):
        line.require()
        raise ConfigError(NEEDS)
    composed = compose_line(line)
    sound(composed)
    if composed.config.resume is None:
        raise ConfigError(NEEDS)
    from trainkit.checkpoint.foreign import read_any
    from trainkit.checkpoint.weights import hinted
    from trainkit.commands.going_on import config_of
    from trainkit.config.build import build_evaluator, build_parts
    from trainkit.config.transferring import prepared

    state = read_any(composed.config.resume, "best")
    config = prepared(composed.config, config_of(composed.config.resume, state))
    parts = build_parts(config, load=False)
    loader = parts.loader("test") or parts.loader("val")
    if loader is None:
        raise ConfigError("eval needs data: this config has neither a test nor a validation set")
    evaluator = build_evaluator(parts)
    with hinted(parts.config, state):
        evaluator.load_weights(state)
    values = evaluator.test(loader)
    print("  ".join(f"{name} {value:.4f}" for name, value in values.items()))
    return 0
