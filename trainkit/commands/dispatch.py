"""Which command a command line means. Flags may stand anywhere, also before the command, and so may overrides."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from trainkit.commands import COMMANDS, CONFIG_DIR, SYNONYMS, words_of
from trainkit.config.composing.recipes import groups, options, recipes
from trainkit.errors import ConfigError, nearest

PROGRAM = "python -m trainkit"


def command_of(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command's name, ``train`` where there is none, and the other arguments.

    Raises:
        ConfigError: If the first word is no command, or there are two commands.
    """
    rest = list(arguments)
    places = words_of(rest)
    if not places:
        return "train", rest
    name = rest.pop(places[0])
    if name not in COMMANDS:
        if any("=" in argument and not argument.startswith("-") for argument in arguments[: places[0]]):
            return "train", list(arguments)  # a word among overrides: whoever reads the line says so
        raise ConfigError(unknown(name, places[0], arguments))
    if not COMMANDS[name].own_words:
        others = [arguments[place] for place in places[1:] if arguments[place] in COMMANDS]
        if others:
            raise ConfigError(f"{name}, {', '.join(others)}: one command at a time")
    return name, rest


def unknown(word: str, place: int, arguments: Sequence[str]) -> str:
    """Return what to say of a word that stands in a command's place and is none."""
    found, meant = config_folders(arguments), _meant(word, arguments)
    behind = arguments[place + 1 :]
    if not meant and "." in word and not behind[:1]:
        return f"{word}: a key needs a value: {word}=VALUE; `{PROGRAM} help {word}` explains it"
    if not meant and behind and len(behind[0].split("=")) == 1 and behind[0][:1] not in "-+~" and _is_key(word, found):
        meant, behind = f"{word}={behind[0]}", behind[1:]
    if meant:
        line = shlex.join([*arguments[:place], meant, *behind])
        return f"{word}: is no command. Did you mean {meant!r}? Such as: {PROGRAM} {line}"
    names = [recipe.name for recipe in recipes(*found)]
    near = nearest(word, [*COMMANDS, *names])
    if near and near[0] not in COMMANDS:
        return f"{word}: no such command. Did you mean 'recipe={near[0]}'? Commands: {', '.join(COMMANDS)}"
    said = f" Did you mean {near[0]!r}?" if near else ""
    return f"{word}: no such command.{said} Commands: {', '.join(COMMANDS)}"


def config_folders(arguments: Sequence[str]) -> list[Path]:
    """Return the folders that ``--config-dir`` names, those that are there."""
    return [Path(os.path.abspath(name)) for name in _named_folders(arguments) if name and Path(name).is_dir()]


def names_config_folder(arguments: Sequence[str]) -> bool:
    """Say whether a line has ``--config-dir``."""
    return bool(_named_folders(arguments))


def shortest(folder: str | os.PathLike[str]) -> str:
    """Return a folder as one would name it from the current one."""
    here, there = Path(os.path.abspath(".")), Path(os.path.abspath(folder))
    return str(there.relative_to(here)) if there.is_relative_to(here) else str(there)


def _named_folders(arguments: Sequence[str]) -> list[str]:
    named, rest = [], iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if SYNONYMS.get(flag, flag) == CONFIG_DIR:
            named.append(value if equals else next(rest, ""))
    return named


def project_folders(arguments: Sequence[str]) -> list[str]:
    """Return where the user's own code may lie: the current folder, and beside config folders and recipe files."""
    beside = [path.parent for path in config_folders(arguments)]
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key.lstrip("+") == "recipe" and "/" in value and Path(value).is_file():
            beside.append(Path(os.path.abspath(value)).parent)
    with suppress(FileNotFoundError):  # it was deleted; what follows fails where it needs one
        beside.insert(0, Path(os.getcwd()))
    return list(dict.fromkeys(map(str, beside)))


def _meant(word: str, arguments: Sequence[str]) -> str:
    """Return the override that a word means without a doubt, an empty string where there is none."""
    found = config_folders(arguments)
    if word in [recipe.name for recipe in recipes(*found)]:
        return f"recipe={word}"
    with suppress(OSError):  # of a word that no file can be called
        if word.endswith((".yaml", ".yml")) and Path(word).is_file():
            return f"recipe={word if '/' in word else './' + word}"
        if (Path(word) / "checkpoints").is_dir() or (word.endswith(".ckpt") and Path(word).is_file()):
            return f"resume={word}"
    for group in groups(*found):
        if word in options(group, *found) and word not in ("default", "none"):
            return f"{group}={word}"
    return ""


def _is_key(word: str, more: Sequence[Path]) -> bool:
    """Say whether a word is a config group or looks like a key, as in ``recipe mlp`` or ``optimizer.lr 3e-4``."""
    from trainkit.config.schema.keys import keys_of

    return word in groups(*more) or word.partition(".")[0] in {*groups(*more), *(keys_of({}, "") or ())}
