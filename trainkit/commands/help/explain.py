"""``trainkit help WORD``: what a key, group, recipe, command or rule is; with a recipe, what a key is there and why."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainkit.commands import COMMANDS, words_of
from trainkit.commands.dispatch import PROGRAM
from trainkit.commands.help import rules
from trainkit.commands.help.command import command_help, group_doc, option_rows, show_help
from trainkit.commands.help.key import Explained, explained_key, known_paths, live_signature
from trainkit.commands.help.known_keys import in_first_item, items_below, keys_below, told, told_of_item
from trainkit.commands.help.layout import columns, section, wrapped
from trainkit.commands.help.outline import outline
from trainkit.commands.recipes import listed
from trainkit.config.checking.masking import hidden, masked, secrets_of, typed_secrets
from trainkit.config.composing.line import Line, read_line
from trainkit.config.composing.recipes import groups, options
from trainkit.config.paths import at
from trainkit.errors import ConfigError, nearest
from trainkit.values import shown


def main(arguments: Sequence[str]) -> int:
    """Explain what the line names and return the exit code.

    Raises:
        ConfigError: If there is nothing of that name, or the line is wrong.
    """
    places = words_of(list(arguments))
    topics = [arguments[place].rstrip(".") for place in places]
    rest = [argument for place, argument in enumerate(arguments) if place not in places]
    line = read_line(rest, {"--json": None}).require()
    topics = topics or _topics_of(line.overrides)
    if not topics:
        return show_help(arguments)
    guide = Guide(line)
    answers = [guide.answer(topic) for topic in topics]
    secrets = typed_secrets(arguments) | secrets_of(guide.tree.config)
    if line.has("--json"):
        found = [_without(answer[1], secrets) for answer in answers]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
    else:
        print(hidden("\n\n".join(answer[0] for answer in answers), secrets))
    return 0


def _without(value: Any, secrets: set[str]) -> Any:
    """Return plain values without secrets."""
    if isinstance(value, dict):
        return {name: _without(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_without(item, secrets) for item in value]
    return hidden(value, secrets) if isinstance(value, str) else value


Answer = tuple[str, dict[str, Any]]
"""A text for people, and the same as plain values."""


class Guide:
    """Explains words in the light of one command line."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.more = [Path(line.config_dir).absolute()] if line.config_dir else []
        self.tree = outline(line.overrides, *self.more)
        self.program = shlex.join([*PROGRAM.split(), *line.folder_flag])

    def answer(self, topic: str) -> Answer:
        """Return what there is to say of a word.

        Raises:
            ConfigError: If there is nothing to say.
        """
        if topic in COMMANDS:
            about = COMMANDS[topic]
            facts = {"summary": about.summary, "usage": about.usage, "examples": list(about.examples)}
            return command_help(topic), {"kind": "command", "name": topic, **facts}
        if topic == "rules":
            return rules.table(), {"kind": "rules", "names": rules.names()}
        if text := rules.page(topic):
            return text, {"kind": "rule", "name": topic, "page": text}
        if topic in groups(*self.more):
            return self._group(topic)
        if row := next((row for row in listed(*self.more) if row["name"] == topic), None):
            return self._recipe(row)
        if found := explained_key(self.line, self.tree, self.more, in_first_item(self.tree, topic)):
            return self._key(found)
        return self._elsewhere(topic)

    def _recipe(self, row: dict[str, Any]) -> Answer:
        name = row["name"]
        mine, usual = outline([f"recipe={name}"], *self.more), outline((), *self.more)
        rows = {"file": row["file"]}
        for note in row["notes"]:
            word, colon, text = note.partition(":")
            plain = colon and word.isalpha()
            rows[word.lower() if plain else "note"] = " ".join((text if plain else note).split())
        chosen = {g: o for g, o in mine.choices.items() if g != "recipe" and o != usual.choices.get(g)}
        rows["chooses"] = " ".join(f"{group}={option}" for group, option in chosen.items())
        sets = _leaves(mine.own("recipe"))
        rows["sets"] = " ".join(f"{path}={shown(value)}" for path, value in sets.items() if path != "name")
        rows["details"] = f"{self.program} recipe={name} --cfg job; {self.program} help KEY recipe={name}"
        text = "\n".join([*wrapped(f"{name}: {row['description']}"), "", columns(rows)])
        return text, {"kind": "recipe", **row, "chooses": chosen, "sets": sets}

    def _group(self, group: str) -> Answer:
        doc, chosen = group_doc(group), self.tree.choices.get(group)
        head = f"{group}: {doc}." if doc else f"{group}:"
        parts = ["\n".join([*wrapped(f"{head} Choose by {group}=OPTION{' (* at present)' if chosen else ''}.")])]
        rows = option_rows(self.tree, group, *self.more)
        parts.append(columns(rows))
        keys = self._keys_of(group)
        if keys and group != "recipe":
            title = f"keys of {group}={chosen}" if chosen else "keys"
            parts.append(section(title, columns(keys)))
        elif group not in ("recipe", "debug") and not at(self.tree.config, group):
            parts.append(
                f"{self.program} help {group} {group}={options(group, *self.more)[0]} lists the keys of an option"
            )
        parts += self._of_items(group)
        plain = {name.strip("* "): text for name, text in rows.items()}
        return "\n\n".join(parts), {"kind": "group", "name": group, "doc": doc, "options": plain, "chosen": chosen}

    def _keys_of(self, path: str) -> dict[str, str]:
        """Return a line for each key of a node, and of the nodes in it."""
        rows = {}
        for name in keys_below(self.tree, path):
            whole = f"{path}.{name}"
            inner = self._keys_of(whole)
            if not inner or isinstance(at(self.tree.config, whole), type(None)):
                rows[whole] = told(self.tree, whole)
            rows |= inner
        return rows

    def _of_items(self, path: str) -> list[str]:
        """Return a section for each list at a path or right below it whose items have keys."""
        places = [path, *(f"{path}.{name}" for name in keys_below(self.tree, path))]
        found = {place: items_below(self.tree, place) for place in places}
        return [
            section(f"keys of each of {place}", columns({name: told_of_item(key) for name, key in keys.items()}))
            for place, keys in found.items()
            if keys
        ]

    def _key(self, found: Explained) -> Answer:
        parts = ["\n".join(wrapped(f"{found.path}: {found.doc or 'nothing is written of it.'}"))]
        if rows := found.rows():
            parts.append(columns(rows))
        if keys := self._keys_of(found.path):
            parts.append(section("keys", columns(keys)))
        parts += self._of_items(found.path)
        return "\n\n".join(parts), found.as_dict()

    def _elsewhere(self, topic: str) -> Answer:
        """Return what is known of a word that is an option, or the last part of a key's path.

        Raises:
            ConfigError: With what comes close, if it is neither.
        """
        chosen = [f"{group}={topic}" for group in groups(*self.more) if topic in options(group, *self.more)]
        if len(chosen) == 1:
            group = chosen[0].partition("=")[0]
            self.tree = outline([*self.line.overrides, chosen[0]], *self.more)
            return self._group(group)
        paths = [*known_paths(self.line.overrides, self.more), *self._arguments(topic)]
        named = [path for path in paths if path.rpartition(".")[2] == topic]
        if len(named) == 1 and (found := explained_key(self.line, self.tree, self.more, named[0])):
            others = nearest(topic, [path for path in paths if path != named[0]], 0.85, 3)
            text, plain = self._key(found)
            return f"{text}\n\nsee also {', '.join(others)}" if others else text, {**plain, "see_also": others}
        if several := [*chosen, *named]:
            rows = dict.fromkeys(chosen, "an option")
            for path in named:
                known = explained_key(self.line, self.tree, self.more, path)
                doc = known.doc if known else ""
                rows[path] = doc + (f" (with {', '.join(known.options)})" if known and known.options else "")
            text = f"{topic}: more than one thing is called so.\n\n{columns(rows)}"
            return text, {"kind": "several", "name": topic, "names": several}
        recipes = [row["name"] for row in listed(*self.more)]
        words = [*COMMANDS, *groups(*self.more), *recipes, *paths, *rules.names()]
        near = nearest(topic, words, 0.6, 3)
        said = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"{PROGRAM} --help lists what there is."
        raise ConfigError(f"{topic}: there is no such key, group, recipe, command or rule. {said}")

    def _arguments(self, topic: str) -> list[str]:
        """Return the keys that the target around a key takes, where the schema does not know it."""
        parent = topic.rpartition(".")[0]
        live = live_signature(self.tree.config, topic, [Path.cwd(), *(folder.parent for folder in self.more)])
        return [] if live is None else [f"{parent}.{name}" for name in live[1].names]


def _topics_of(overrides: Sequence[str]) -> list[str]:
    """Return what a line without words asks about: the keys that it sets, or its recipe."""
    keys = [override.partition("=") for override in overrides]
    named = [key.lstrip("+~") for key, _, _ in keys if key.lstrip("+") != "recipe"]
    return named or [value for key, _, value in keys if key.lstrip("+") == "recipe"]


def _leaves(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, Mapping) and "_target_" not in value:
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = masked(value, str(name))
    return found
