"""The commands of the command line, one file each."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command: where its ``main(arguments) -> exit code`` lives, and a line for the help."""

    module: str
    summary: str


COMMANDS = {
    "train": Command("trainkit.commands.train", "train a recipe, restore the best weights and test them (the default)"),
    "eval": Command(
        "trainkit.commands.eval",
        "test the weights of a run or checkpoint: eval resume=PATH [recipe=NAME]",
    ),
    "ckpt": Command("trainkit.commands.ckpt", "checkpoints: ckpt inspect|verify|diff|average|export PATH..."),
    "verify-resume": Command(
        "trainkit.commands.verify_resume",
        "prove on a recipe that killed runs end as unbroken ones [--steps 40] [--kills 3] [--seed 0] [--keep]",
    ),
}
