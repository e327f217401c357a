"""The commands of the command line, one file each, and the flags. Read by the dispatch, the help and the completion."""

from __future__ import annotations

from typing import NamedTuple


class Flag(NamedTuple):
    """A flag: what stands after it, and a line for the help."""

    argument: str
    """Name of the value that follows, in square brackets where it may be left out; empty for a switch."""
    doc: str
    values: tuple[str, ...] = ()
    """All that may stand there, where that is known."""


class Command(NamedTuple):
    """A command: where its ``main(arguments) -> exit code`` lives, and what the help says of it."""

    module: str
    summary: str
    usage: str
    """What stands after its name."""
    examples: tuple[str, ...]
    """Whole command lines, without ``python -m trainkit``."""
    flags: tuple[str, ...] = ()
    """Those of :data:`FLAGS` that it takes, besides ``--help`` and ``--traceback``."""
    own_words: bool = False
    """Whether words without ``=`` may stand after it."""
    takes_overrides: bool = True
    """Whether ``recipe=NAME`` and ``KEY=VALUE`` may."""
    notes: str = ""
    """More for its own help."""


CONFIG_DIR = "--config-dir"
SYNONYMS = {"-cd": CONFIG_DIR, "-m": "--multirun", "-c": "--cfg", "-i": "--info", "-p": "--package", "-h": "--help"}
"""Short forms of flags."""

FLAGS = {
    "--multirun": Flag("", "a sweep: one run for each combination of values with commas"),
    CONFIG_DIR: Flag("FOLDER", "a folder with recipes and groups of your own"),
    "--cfg": Flag("WHAT", "show the config and train nothing: job, hydra or all", ("job", "hydra", "all")),
    "--resolve": Flag("", "with --cfg: show what ${...} stands for"),
    "--package": Flag("GROUP", "with --cfg: show this part alone, such as optimizer"),
    "--info": Flag(
        "[WHAT]",
        "what Hydra composed, and from where",
        ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    ),
    "--json": Flag("", "print for programs"),
    "--strict": Flag("", "exit code 2 for warnings too"),
    "--deep": Flag("", "train copies for some tens of steps too, and tell a verdict: check.deep=true"),
    "--steps": Flag("NUMBER", "steps of each run"),
    "--kills": Flag("NUMBER", "real kills of the run that is cut"),
    "--seed": Flag("NUMBER", "of the moments at which it is killed"),
    "--debug": Flag("", "open pdb in the objective of the step"),
    "--keep": Flag("", "keep the runs' folders"),
    "--traceback": Flag("", "show whole tracebacks, as TRAINKIT_DEBUG=1 does"),
    "--version": Flag("", "print the version"),
    "--help": Flag("", "this; after a command, that command's help"),
}
EVERYWHERE = ("--help", "--traceback")
"""Flags that every command takes."""

COMMANDS = {
    "train": Command(
        "trainkit.commands.train",
        "train a recipe, restore the best weights and test them (the default)",
        "recipe=NAME [GROUP=OPTION ...] [KEY=VALUE ...]",
        ("recipe=mlp optimizer.lr=3e-4 trainer.max_epochs=5", "recipe=mlp optimizer.lr=1e-3,1e-2 seed=0,1 -m"),
        ("--multirun", CONFIG_DIR, "--cfg", "--resolve", "--package", "--info"),
        notes="Without recipe=NAME, resume=PATH goes on under the config that is kept with that run.",
    ),
    "eval": Command(
        "trainkit.commands.eval",
        "test the weights of a run or checkpoint",
        "resume=PATH [recipe=NAME] [KEY=VALUE ...]",
        ("eval resume=runs/one", "eval recipe=mlp resume=weights.pt data.val_batch_size=64"),
        (CONFIG_DIR,),
        notes="Without recipe=NAME it goes by the config that is kept with the run.",
    ),
    "check": Command(
        "trainkit.commands.check",
        "find what is wrong with a config, or with -m in any of a sweep, and with the training that it describes",
        "recipe=NAME [GROUP=OPTION ...] [KEY=VALUE ...]",
        ("check recipe=mlp model=cnn optimizer.lr=1e-3", "check --config-dir configs recipe=mine --json"),
        (CONFIG_DIR, "--json", "--strict", "--deep", "--multirun"),
        notes="A sound config's data, model and optimizer are built, your own code too, and tried on copies for a few "
        "steps; nothing is trained, fetched or written. A finding of a training ends with its [RULE]: help RULE "
        "explains it, 'check.ignore=[RULE@PLACE]' leaves it out. With -m only the configs are looked at.",
    ),
    "help": Command(
        "trainkit.commands.help.explain",
        "explain a key, group, recipe, command or rule of check; with recipe=NAME also what set a key",
        "[KEY | GROUP | RECIPE | COMMAND | RULE | rules] [recipe=NAME] [KEY=VALUE ...]",
        ("help trainer.precision", "help optimizer.lr recipe=mlp", "help schedule", "help mlp", "help rules"),
        (CONFIG_DIR, "--json"),
        own_words=True,
    ),
    "recipes": Command(
        "trainkit.commands.recipes",
        "list the recipes with what to expect of them",
        "",
        ("recipes", "recipes --config-dir configs --json"),
        (CONFIG_DIR, "--json"),
        takes_overrides=False,
    ),
    "new": Command(
        "trainkit.commands.new",
        "write a small project of your own that trains at once",
        "FOLDER",
        ("new my-project",),
        own_words=True,
        takes_overrides=False,
    ),
    "ckpt": Command(
        "trainkit.commands.ckpt",
        "look into checkpoints, verify, compare, average and export them",
        "inspect|verify|diff|average|export PATH...",
        ("ckpt inspect runs/one", "ckpt export runs/one --out weights.pt"),
        own_words=True,
        takes_overrides=False,
    ),
    "verify-resume": Command(
        "trainkit.commands.verify_resume",
        "prove on a recipe that killed runs end as unbroken ones",
        "recipe=NAME [KEY=VALUE ...] [--steps 40] [--kills 3] [--seed 0] [--keep]",
        ("verify-resume recipe=mlp", "verify-resume recipe=mlp data.num_workers=2 --kills 5"),
        (CONFIG_DIR, "--steps", "--kills", "--seed", "--keep"),
    ),
    "replay": Command(
        "trainkit.commands.replay",
        "rebuild a step of a run, or of an autopsy, and show its batch, predictions and gradients",
        "run=RUN step=NUMBER | bundle=AUTOPSY [KEY=VALUE ...]",
        ("replay run=runs/one step=1234", "replay bundle=runs/one/autopsy/step-00001234 --debug"),
        (CONFIG_DIR, "--json", "--debug"),
        notes="It goes on silently from the checkpoint before the step, under the config that is kept with the run, "
        "and writes nothing.",
    ),
    "completion": Command(
        "trainkit.commands.completion.command",
        "print the script that lets your shell complete trainkit's lines: bash, zsh or fish",
        "bash|zsh|fish",
        ("completion bash",),
        own_words=True,
        takes_overrides=False,
    ),
}


def words_of(arguments: list[str]) -> list[int]:
    """Return where in a command line words stand that are no flag, no value of one, and no override."""
    places, follows = [], False
    for place, argument in enumerate(arguments):
        if follows:
            follows = False
            continue
        flag = FLAGS.get(SYNONYMS.get(argument, argument))
        after = arguments[place + 1] if place + 1 < len(arguments) else ""
        if flag is not None and flag.argument:
            follows = after in flag.values if flag.argument.startswith("[") else True
        elif argument and "=" not in argument and argument[0] not in "-+~":
            places.append(place)
    return places
