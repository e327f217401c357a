"""What a command line can go on with: commands, flags, recipes, options, keys and values. No torch, no Hydra."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from trainkit.commands import COMMANDS, CONFIG_DIR, EVERYWHERE, FLAGS, SYNONYMS, words_of
from trainkit.commands.dispatch import config_folders
from trainkit.commands.help import rules
from trainkit.commands.help.known_keys import allowed_values, keys_below
from trainkit.commands.help.outline import Outline, described_groups, file_of, outline
from trainkit.config.composing.recipes import groups, head, options
from trainkit.config.paths import at
from trainkit.forms import WEIGHT_FILES
from trainkit.values import shown

FOLDERS = ("run_dir", "data.folder", "hydra.sweep.dir")
"""Keys whose values are folders."""
LONGEST = 60
"""Letters of a value that is offered."""


class Candidate(NamedTuple):
    """A word that the line could go on with."""

    text: str
    doc: str = ""
    ends: bool = True
    """Whether the word ends there; else more of it follows, and no space."""


def candidates(before: Sequence[str], current: str, after: Sequence[str] = ()) -> list[Candidate]:
    """Return the words that may stand where the cursor is.

    Args:
        before: The words before, without the program's name.
        current: The word at the cursor, as far as the cursor.
        after: The words behind.
    """
    found = _Completer(list(before), list(after)).of(current)
    unique = {candidate.text: candidate for candidate in found if candidate.text.startswith(current)}
    return list(unique.values())


class _Completer:
    """Finds candidates for one line."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        self.before = before
        line = [*before, *after]
        places = words_of(before)
        self.command = before[places[0]] if places and before[places[0]] in COMMANDS else None
        self.words = [before[place] for place in places if before[place] != self.command]
        self.more = config_folders(line)
        self.overrides = [word for word in line if ("=" in word and not word.startswith("-")) or word.startswith("~")]

    def of(self, current: str) -> Iterator[Candidate]:
        previous = self.before[-1] if self.before else ""
        flag = FLAGS.get(SYNONYMS.get(previous, previous))
        if flag is not None and flag.argument and not current.startswith("-"):
            yield from self._of_flag(SYNONYMS.get(previous, previous), current)
            if not flag.argument.startswith("["):
                return
        if current.startswith("--") and "=" in current:
            name, _, value = current.partition("=")
            yield from _behind(f"{name}=", self._of_flag(name, value))
        elif current.startswith("-"):
            yield from self._flags()
        elif self.command in ("completion", "ckpt", "new"):
            yield from self._own_words(current)
        else:
            yield from self._words(current)

    def _of_flag(self, name: str, value: str) -> Iterator[Candidate]:
        if name == CONFIG_DIR:
            yield from paths(value, folders=True)
        elif name == "--package":
            yield from (Candidate(group) for group in groups(*self.more))
        elif name in FLAGS:
            yield from (Candidate(choice) for choice in FLAGS[name].values)

    def _flags(self) -> Iterator[Candidate]:
        if self.command == "ckpt":
            from trainkit.commands.ckpt import COMMANDS as INNER

            usage = INNER[self.words[0]][0] if self.words and self.words[0] in INNER else ""
            names = [word.strip("[]") for word in usage.split() if "--" in word]
        else:
            names = list(COMMANDS[self.command or "train"].flags)
        names += [*EVERYWHERE, *(["--version"] if self.command is None else [])]
        for name in names:
            if name not in self.before:
                yield Candidate(name, FLAGS[name].doc if name in FLAGS else "")

    def _own_words(self, current: str) -> Iterator[Candidate]:
        if self.command == "completion":
            yield from (Candidate(shell) for shell in ("bash", "zsh", "fish") if not self.words)
        elif self.command == "ckpt" and not self.words:
            from trainkit.commands.ckpt import COMMANDS as INNER

            yield from (Candidate(name, summary) for name, (_, summary) in INNER.items())
        else:
            yield from paths(current, folders=self.command == "new")

    def _words(self, current: str) -> Iterator[Candidate]:
        if self.command is None and "=" not in current:
            yield from (Candidate(name, command.summary) for name, command in COMMANDS.items())
        if self.command == "help" and not self.words and "=" not in current:
            yield from self._topics(current)
            yield Candidate("recipe=", "explain it as it is in this recipe", ends=False)
            return
        if self.command is not None and not COMMANDS[self.command].takes_overrides:
            return
        sign = current[: len(current) - len(current.lstrip("+~"))]
        key, equals, value = current[len(sign) :].partition("=")
        tree = outline(self.overrides, *self.more)
        if equals:
            yield from _behind(f"{sign}{key}=", self._values(tree, key, value))
        else:
            yield from _behind(sign, self._keys(tree, key, sign))

    def _topics(self, current: str) -> Iterator[Candidate]:
        """Yield what ``help`` explains: keys as without a value, groups, commands, recipes, rules."""
        tree = outline(self.overrides, *self.more)
        parent = current.rpartition(".")[0]
        if not parent:
            yield from (Candidate(name, command.summary) for name, command in COMMANDS.items())
            yield from self._options("recipe")
            yield from (Candidate(name, doc) for name, doc in described_groups().items())
            yield Candidate("rules", "what check looks for in a training")
            yield from (Candidate(name, doc) for name, doc in rules.rows().items())
        for name, key in keys_below(tree, parent).items():
            path = f"{parent}.{name}" if parent else name
            yield Candidate(path, key.doc)
            if keys_below(tree, path):
                yield Candidate(f"{path}.", key.doc, ends=False)

    def _keys(self, tree: Outline, key: str, sign: str) -> Iterator[Candidate]:
        """Yield keys, one level at a time: ``optimizer.`` first, then ``optimizer.lr=``."""
        parent = key.rpartition(".")[0]
        docs = described_groups()
        names = list(groups(*self.more)) if not parent else []
        for group in names:
            if group == "recipe" and sign != "~" and not any(word.startswith("recipe=") for word in self.overrides):
                yield Candidate("recipe=", docs.get(group, ""), ends=False)
        for name, found in keys_below(tree, parent).items():
            path = f"{parent}.{name}" if parent else name
            if path == "hydra" and not key:
                continue
            inner = bool(keys_below(tree, path))
            if name in names and sign != "~":
                yield Candidate(f"{name}=", docs.get(name, ""), ends=False)
            if inner and not (sign == "~" and parent):
                yield Candidate(f"{path}.", found.doc or docs.get(name, ""), ends=False)
            if sign == "~":
                yield Candidate(path, found.doc)
            elif not inner:
                yield Candidate(f"{path}=", found.doc, ends=False)
        for group in names:
            if group not in tree.config and group != "recipe" and sign != "~":
                yield Candidate(f"{group}=", docs.get(group, ""), ends=False)

    def _values(self, tree: Outline, key: str, value: str) -> Iterator[Candidate]:
        group = key.partition("@")[0]
        done, comma, _ = value.rpartition(",") if "[" not in value else ("", "", "")
        if group == "recipe":
            yield from paths(value, endings=(".yaml", ".yml")) if value[:1] in (".", "/", "~") else self._options(group)
        elif group in groups(*self.more):
            yield from _behind(done + comma, self._options(group))
            if tree.choices.get(group) is not None or group not in tree.choices:
                yield Candidate("null", "none")
        elif key == "resume":
            yield from _resumable(value)
        elif key == "weights.source":
            yield from _weights(value)
        elif key in FOLDERS:
            yield from paths(value, folders=True)
        elif value.startswith((".", "/", "~")):
            yield from paths(value)
        else:
            yield from _behind(done + comma, _plain_values(tree, key))

    def _options(self, group: str) -> Iterator[Candidate]:
        for option in options(group, *self.more):
            path = file_of(group, option, *self.more)
            yield Candidate(option, head(path).description if path else "")


def _plain_values(tree: Outline, key: str) -> Iterator[Candidate]:
    """Yield the values that a key may have, and the one that it has."""
    parent, _, leaf = key.rpartition(".")
    known = keys_below(tree, parent).get(leaf)
    present: Any = at(tree.config, key)
    text = "" if isinstance(present, dict) or known is None else shown(present)
    for choice in allowed_values(known) if known is not None else ():
        yield Candidate(choice, "at present" if choice == text else "")
    if text and len(text) <= LONGEST and "$" not in text:
        yield Candidate(text.replace(", ", ","), "at present")


def _resumable(value: str) -> Iterator[Candidate]:
    yield Candidate("auto", "go on with run_dir if it has begun")
    yield Candidate("weights:", "take the weights alone", ends=False)
    start = "weights:" if value.startswith("weights:") else ""
    yield from _behind(start, paths(value.removeprefix("weights:")))


def _weights(value: str) -> Iterator[Candidate]:
    """Yield where weights come from: files and folders, and torchvision's names, class by class."""
    yield from paths(value, endings=WEIGHT_FILES)
    yield Candidate("package:", "a file inside an installed package: NAME/PATH", ends=False)
    yield Candidate("null", "none")
    named = weights_of_torchvision()
    kind, point, _ = value.partition(".")
    if not point:
        yield from (Candidate(f"{name}.", "weights of torchvision", ends=False) for name in named)
    yield from (Candidate(f"{kind}.{name}", "weights of torchvision") for name in named.get(kind, ()))


@cache
def weights_of_torchvision() -> dict[str, list[str]]:
    """Return the names of torchvision's weights by class, read off its files: to import it takes a second."""
    spec = find_spec("torchvision")
    found: dict[str, list[str]] = {}
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(place, "models").rglob("*.py")):
            for kind, body in re.findall(
                r"^class (\w+)\(WeightsEnum\):\n((?:(?:    .*)?\n)*)", file.read_text(), re.MULTILINE
            ):
                found[kind] = re.findall(r"^    (\w+) = ", body, re.MULTILINE)
    return found


def paths(typed: str, folders: bool = False, endings: tuple[str, ...] = ()) -> Iterator[Candidate]:
    """Yield the files and folders that a path may go on with; a folder ends with a slash and invites more.

    Args:
        typed: The path as far as it was typed; ``~`` stays as it is.
        folders: Offer folders only.
        endings: Offer files with these endings only.
    """
    start = typed.rpartition("/")[2]
    prefix = typed[: len(typed) - len(start)]
    try:
        entries = sorted(os.scandir(Path(prefix or ".").expanduser()), key=lambda entry: entry.name)
    except (OSError, RuntimeError):  # no such folder, or no such user's
        return
    for entry in entries:
        if entry.name.startswith(".") and not start.startswith("."):
            continue
        if entry.is_dir():
            yield Candidate(f"{prefix}{entry.name}/", ends=False)
        elif not folders and entry.name.endswith(endings or ("",)):
            yield Candidate(prefix + entry.name)


def _behind(prefix: str, found: Iterable[Candidate]) -> Iterator[Candidate]:
    for candidate in found:
        yield candidate._replace(text=prefix + candidate.text)
