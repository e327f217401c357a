"""The commands of the command line, one file each."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command: where its ``main(arguments) -> exit code`` lives, and a line for the help."""

    module: str
    summary: str


COMMANDS = {
    "train": Command("trainkit.commands.train", "train a recipe, restore the best weights and test them (the default)"),
    "eval": Command("trainkit.commands.eval", "test the weights of a run or checkpoint: eval recipe=NAME resume=PATH"),
}
