"""``trainkit eval``: test the weights of a run or checkpoint, under a recipe or the config that came with them."""

from __future__ import annotations

from collections.abc import Sequence

from trainkit.checkpoint.foreign import read_any
from trainkit.checkpoint.weights import hinted
from trainkit.config.build import build_evaluator, build_parts
from trainkit.config.compose import read_line
from trainkit.config.stored import compose_line
from trainkit.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Print the test metrics and return the exit code."""
    line = read_line(arguments)
    if line.flags:
        raise ConfigError(f"eval takes no {line.flags[0]}; only key=value, --config-dir and --trust")
    if not any(override.lstrip("+").startswith("resume=") for override in line.overrides):
        raise ConfigError("eval needs weights: resume=RUN_FOLDER or resume=CHECKPOINT")
    config = compose_line(line)
    if config.resume is None:
        raise ConfigError("eval needs weights: resume=RUN_FOLDER or resume=CHECKPOINT")
    state = read_any(config.resume, "best")
    parts = build_parts(config)
    loader = parts.loader("test") or parts.loader("val")
    if loader is None:
        raise ConfigError("eval needs data: this config has neither a test nor a validation set")
    evaluator = build_evaluator(parts)
    with hinted(parts.config, state):
        evaluator.load_weights(state)
    values = evaluator.test(loader)
    print("  ".join(f"{name} {value:.4f}" for name, value in values.items()))
    return 0
