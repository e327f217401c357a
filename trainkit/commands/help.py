"""``--help``, and the list of recipes. Imports neither torch nor Hydra, so that it answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any

from trainkit.commands import COMMANDS
from trainkit.config.recipes import folder, options, recipes
from trainkit.settings import Settings

USAGE = "python -m trainkit [COMMAND] recipe=NAME [key=value ...]"

EXAMPLES = """\
  python -m trainkit recipe=mlp                                     train
  python -m trainkit recipe=mlp optimizer.lr=3e-4 trainer.max_epochs=5
  python -m trainkit recipe=mlp model.hidden=[256,128] data=mnist   another net on other data
  python -m trainkit recipe=mlp run_dir=runs/one resume=auto        repeat until done, whatever kills it
  python -m trainkit recipe=mlp optimizer.lr=1e-3,1e-2 seed=0,1 -m  a sweep
  python -m trainkit recipe=mlp --cfg job                           show the config"""

COMMON = {
    "seed": "all randomness comes from it (0)",
    "name": "names the folder of the run, runs/NAME/TIME",
    "run_dir": "the run folder itself",
    "resume": "auto (go on with run_dir), a run folder or a checkpoint; weights[:PATH] takes the weights alone",
    "test": "test the best weights at the end (true)",
    "monitor.metric, monitor.mode": "the metric that says which weights are best, and whether min or max is",
    "data.batch_size, data.num_workers, data.folder": "batches, the processes that fetch them, the downloaded files",
    "optimizer.lr": "the learning rate",
}

FLAGS = {
    "-m": "a sweep",
    "--cfg job, --info": "what Hydra composed, and from where",
    "--config-dir FOLDER": "groups of your own",
    "--trust PACKAGE": "code of yours that the config of a run may name, where no recipe is given",
    "--traceback, --help": "",
}


def main(arguments: Sequence[str]) -> int:
    """Print the help; the recipes alone, to stderr and with exit code 2, where nothing was asked for."""
    if not arguments:
        print(f"usage: {USAGE}\n\nrecipes:\n{_recipes()}\n\n--help says more", file=sys.stderr)
        return 2
    groups = sorted(
        path.name for path in folder().iterdir() if path.is_dir() and path.name not in ("recipe", "trainer")
    )
    defaults = _defaults()
    parts = [
        f"Train PyTorch models from configs.\n\n{USAGE}",
        f"examples:\n{EXAMPLES}",
        "commands:\n" + _columns({name: command.summary for name, command in COMMANDS.items()}),
        f"recipes:\n{_recipes()}",
        "groups (choose by GROUP=OPTION):\n" + _columns({group: " ".join(options(group)) for group in groups}),
        "common keys:\n" + _columns(COMMON),
        "the trainer's keys:\n" + _columns({f"trainer.{f.name}": _setting(f, defaults) for f in fields(Settings)}),
        f"flags:\n{_columns(FLAGS)}",
    ]
    print("\n\n".join(parts))
    return 0


def _recipes() -> str:
    return _columns({recipe.name: recipe.description for recipe in recipes()})


def _defaults() -> dict[str, str]:
    """Return the values of ``configs/trainer/default.yaml``, read without a YAML parser: it has one key a line."""
    lines = (folder() / "trainer" / "default.yaml").read_text().splitlines()
    pairs = [line.split("#")[0].partition(":") for line in lines]
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _setting(f: Field[Any], defaults: dict[str, str]) -> str:
    kind = str(f.type).replace("None", "null").replace(" | ", "|")
    return f"{f.metadata['doc']} [{'|'.join(f.metadata['choices']) or kind}, default {defaults[f.name]}]"


def _columns(rows: dict[str, str]) -> str:
    width = min(max(map(len, rows)), 36)
    return "\n".join(f"  {name.ljust(width)}  {text}".rstrip() for name, text in rows.items())
