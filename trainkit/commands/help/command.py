"""``--help``, the help of each command, and the recipes for whoever asks for nothing. No torch, no Hydra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

from trainkit.commands import COMMANDS, EVERYWHERE, FLAGS, SYNONYMS
from trainkit.commands.dispatch import PROGRAM, config_folders
from trainkit.commands.help.known_keys import keys_below, told
from trainkit.commands.help.layout import WIDTH, columns, section, wrapped
from trainkit.commands.help.outline import Outline, described_groups, file_of, outline
from trainkit.config.composing.recipes import groups, head, options, recipes
from trainkit.config.schema.keys import keys_of

USAGE = f"{PROGRAM} [COMMAND] recipe=NAME [GROUP=OPTION ...] [KEY=VALUE ...] [FLAGS]"

ABOUT = (
    "trainkit trains PyTorch models from configs. A recipe is a whole training: model, data, optimizer and all else."
    " Any part of it is exchanged by GROUP=OPTION and any value is set by KEY=VALUE; what is misspelt or does not fit"
    " is refused before anything starts. A run can be killed and goes on as if it had not been."
)

EXAMPLES = {
    f"{PROGRAM} recipe=mlp": "train, and test the best",
    f"{PROGRAM} recipe=mlp optimizer.lr=3e-4 trainer.max_epochs=5": "set values",
    f"{PROGRAM} recipe=mlp model=cnn schedule=one_cycle averaging=ema": "exchange parts",
    f"{PROGRAM} recipe=mlp run_dir=runs/one resume=auto": "repeat it until done",
    f"{PROGRAM} recipe=mlp optimizer.lr=1e-3,1e-2 seed=0,1 -m": "a sweep of four",
    f"{PROGRAM} eval resume=runs/one": "test a run again",
}

COMMON = (
    *("seed", "name", "run_dir", "resume", "test", "monitor.metric", "monitor.mode"),
    *("data.batch_size", "data.num_workers", "data.folder", "optimizer.lr", "optimizer.weight_decay"),
)
"""Keys that nearly everybody sets."""
USUAL = ("--multirun", "--config-dir", "--cfg", "--resolve", "--info", "--json", "--traceback", "--version", "--help")
"""Flags that the whole help lists; the others belong to single commands."""


def show_recipes(arguments: Sequence[str] = ()) -> int:
    """Print, to standard error, the recipes for whoever asked for nothing, and return exit code 2."""
    found = recipes(*config_folders(arguments))
    width = WIDTH - 4 - max((len(recipe.name) for recipe in found), default=0)
    body = columns({recipe.name: shorten(recipe.description, width, placeholder=" ...") for recipe in found})
    print(f"usage: {USAGE}\n{section('recipes', body)}\n\n{PROGRAM} --help says more", file=sys.stderr)
    return 2


def show_help(arguments: Sequence[str] = ()) -> int:
    """Print the whole help; config folders that the arguments name join in."""
    more = config_folders(arguments)
    tree = outline((), *more)
    names = [group for group in dict.fromkeys([*tree.choices, *groups(*more)]) if group not in ("recipe", "trainer")]
    listed = {group: f"{group_doc(group)}: {' '.join(options(group, *more))}".lstrip(": ") for group in names}
    trainer = {f"trainer.{name}": told(tree, f"trainer.{name}") for name in keys_below(tree, "trainer")}
    parts = [
        "\n".join(wrapped(ABOUT)),
        f"usage: {USAGE}",
        section("examples", columns(EXAMPLES, widest=75)),
        section("commands (COMMAND --help says more)", columns({n: c.summary for n, c in COMMANDS.items()})),
        section("recipes (help RECIPE says more)", recipe_table(*more)),
        section("groups (choose by GROUP=OPTION; help GROUP says more)", columns(listed)),
        section(
            "common keys (set by KEY=VALUE; help KEY says more)",
            columns({path: told(outline(["recipe=mlp"], *more), path) for path in COMMON}),
        ),
        section("the trainer's keys", columns(trainer)),
        section("flags", columns({_signature(flag): FLAGS[flag].doc for flag in USUAL})),
    ]
    print("\n\n".join(parts))
    return 0


def show_command(name: str) -> int:
    """Print the help of one command."""
    print(command_help(name))
    return 0


def command_help(name: str) -> str:
    """Return the help of one command: usage, arguments, flags, examples."""
    command = COMMANDS[name]
    flags = "" if name == "ckpt" else " [FLAGS]"
    usage = " ".join(word for word in (PROGRAM, name, command.usage) if word)
    parts = ["\n       ".join(wrapped(f"usage: {usage}{flags}", WIDTH - 7))]
    parts.append("\n".join(wrapped(f"{name}: {command.summary}.")))
    if command.notes:
        parts.append("\n".join(wrapped(command.notes)))
    if name == "ckpt":
        from trainkit.commands.ckpt import COMMANDS as INNER

        rows = {f"ckpt {inner} {words}": summary for inner, (words, summary) in INNER.items()}
        parts.append(section("commands", columns(rows, widest=58)))
    if command.takes_overrides:
        parts.append(section("arguments", columns(ARGUMENTS)))
    rows = {_signature(flag): FLAGS[flag].doc for flag in (*command.flags, *EVERYWHERE)}
    parts.append(section("flags, anywhere in the line", columns(rows)))
    if name in (keys_of({}, "") or {}):
        tree = outline(())
        keys = [f"{name}.{key}" for key in keys_below(tree, name)]
        parts.append(section("keys of its own", columns({path: told(tree, path) for path in keys})))
    parts.append(section("examples", "\n".join(f"  {PROGRAM} {example}" for example in command.examples)))
    return "\n\n".join(parts)


ARGUMENTS = {
    "recipe=NAME": "one of those that `trainkit recipes` lists, or the path of a YAML: recipe=./mine.yaml",
    "GROUP=OPTION": "another part, such as optimizer=sgd; GROUP=null or ~GROUP leaves it out",
    "KEY=VALUE": "a value, such as optimizer.lr=3e-4, 'model.hidden=[256,128]', trainer.max_time=null",
    "~KEY": "leave an entry out, such as ~callbacks.progress",
    "+KEY=VALUE": "add an entry of your own, such as +callbacks.mine={_target_: my_package.Mine}",
}


def recipe_table(*more: Path) -> str:
    """Return the recipes with what they are and what to expect of them."""
    rows = {}
    for recipe in recipes(*more):
        expected = recipe.note("Expected")
        rows[recipe.name] = [recipe.description, *([f"expected: {expected}"] if expected else [])]
    return columns(rows)


def group_doc(group: str) -> str:
    """Return what a config group is, empty where nothing is written of it."""
    known = keys_of({}, "") or {}
    doc = known[group].doc if group in known else described_groups().get(group, "")
    return doc.partition(";")[0].rstrip(".")


def option_rows(tree: Outline, group: str, *more: Path) -> dict[str, str]:
    """Return the options of a group with what the heads of their YAMLs say; a star is before the chosen one."""
    rows = {}
    for option in options(group, *more):
        path = file_of(group, option, *more)
        mark = "* " if tree.choices.get(group) == option else "  "
        rows[mark + option] = head(path).description if path else ""
    return rows


def _signature(flag: str) -> str:
    short = next((short for short, long in SYNONYMS.items() if long == flag), "")
    return f"{short + ', ' if short else ''}{flag} {FLAGS[flag].argument}".rstrip()
