"""``trainkit eval``: test the weights of a run or checkpoint under the config that the command line gives."""

from __future__ import annotations

from collections.abc import Sequence

from trainkit.checkpoint import read
from trainkit.checkpoint.store import find
from trainkit.config.build import build_evaluator, build_parts
from trainkit.config.compose import compose, read_line
from trainkit.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Print the test metrics and return the exit code."""
    line = read_line(arguments)
    if line.flags:
        raise ConfigError(f"eval takes no {line.flags[0]}; only key=value and --config-dir")
    config = compose(None, *line.overrides, config_dir=line.config_dir)
    if config.resume is None:
        raise ConfigError("eval needs weights: resume=RUN_FOLDER or resume=CHECKPOINT")
    parts = build_parts(config)
    loader = parts.loader("test") or parts.loader("val")
    if loader is None:
        raise ConfigError("eval needs data: this config has neither a test nor a validation set")
    state = read(find(config.resume, "best"))
    evaluator = build_evaluator(parts)
    evaluator.load_weights(state)
    values = evaluator.test(loader)
    print("  ".join(f"{name} {value:.4f}" for name, value in values.items()))
    return 0
