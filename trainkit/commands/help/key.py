"""All that is known of one key: what it takes, its default, its value in a command line and what set it."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainkit.commands.dispatch import PROGRAM
from trainkit.commands.help.known_keys import Known, allowed_values, comment_on
from trainkit.commands.help.outline import Outline, outline
from trainkit.config.checking.masking import masked, masked_override
from trainkit.config.composing.origins import lines_of
from trainkit.config.composing.origins import shown as shown_file
from trainkit.config.composing.recipes import groups, options
from trainkit.config.paths import at, is_there
from trainkit.config.schema.keys import Key, all_keys, key_at, target_keys
from trainkit.config.secrets import is_secret
from trainkit.errors import ConfigError
from trainkit.values import described, misfit, shown

if TYPE_CHECKING:
    from trainkit.config.composing.composed import Composed
    from trainkit.config.composing.line import Line
    from trainkit.config.targets.signatures import Signature

ANYTHING = described(Any)
TRY = {"run_dir": "runs/one", "resume": "auto", "name": "first_try", "tags": "[first,wide]"}
"""Values worth showing, of keys that take any text."""
FACTS = ("data.classes", "data.outputs", "data.channels", "data.features", "data.size")
"""What is as the data are: another value is never worth a try."""


@dataclass(slots=True)
class Explained:
    """What there is to say of a key; an empty text where nothing is known."""

    path: str
    doc: str = ""
    takes: str = ""
    choices: list[str] = field(default_factory=list)
    default: str = ""
    default_set_by: str = ""
    value: str = ""
    """In the command line's recipe."""
    set_by: str = ""
    options: list[str] = field(default_factory=list)
    """``GROUP=OPTION`` that have it, where what is chosen has not."""
    target: str = ""
    """What takes it, where that is not trainkit's."""
    example: str = ""

    def rows(self) -> dict[str, str]:
        """Return the facts for people."""
        rows = {"takes": self.takes, "default": _with(self.default, self.default_set_by)}
        rows["at present"] = _with(self.value, f"set by {self.set_by}" if self.set_by else "")
        rows |= {"with": ", ".join(self.options), "of": self.target, "such as": self.example}
        return {name: text for name, text in rows.items() if text}

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {"kind": "key", **asdict(self)}


def explained_key(line: Line, tree: Outline, more: Sequence[Path], path: str) -> Explained | None:
    """Return what is known of a key, None if there is no such key.

    Args:
        line: The command line; the key's value is told if it names a recipe.
        tree: Its outline.
        more: Config folders besides trainkit's.
        path: Such as ``optimizer.lr``.

    Raises:
        FindingsError: If the line does not compose.
    """
    found, key = Explained(path), key_at(tree.config, path)
    composed = _composed(line)
    folders = [Path.cwd(), *(folder.parent for folder in more), *(composed.folders if composed is not None else [])]
    if key is None and not is_there(tree.config, path):
        key, tree = _in_other_options(found, line.overrides, tree, more)
    annotation, rules = (None, None) if key is None else (key.annotation, key.rules)
    if key is not None:
        found.doc, found.takes = key.doc, key.allowed
        found.choices = allowed_values(Known(key.doc, key))
        if key.default is not MISSING and not isinstance(key.default, dict):
            found.default = shown(key.default)
    else:
        live = live_signature(tree.config if composed is None else composed.plain, path, folders)
        if not is_there(tree.config, path) and (live is None or path.rpartition(".")[2] not in live[1].parameters):
            return None
        found.doc = comment_on(tree, path)
        annotation = None if live is None else _of_signature(found, *live)
    _default_of(found, line, more)
    if composed is not None and is_there(composed.plain, path):
        value = masked(at(composed.plain, path), path)
        found.value = shown(value)
        if isinstance(value, dict):
            found.value = str(value["_target_"]).rpartition(".")[2] if "_target_" in value else ""
        origin = composed.origins.of(path)
        if origin is not None:
            found.set_by = str(origin) if origin.override is None else f"override {masked_override(origin.override)}"
    present = at((composed.plain if composed is not None else tree.config), path)
    value = ""
    if isinstance(present, dict):
        value = "null" if "_target_" in present and found.default == "null" else ""
        found.takes = "" if found.takes == ANYTHING else found.takes
    elif path not in FACTS and not is_secret(path) and "[" not in path and not _is_in_nothing(tree.config, path):
        usual = key.default if present is None and key is not None and type(key.default) in (int, float) else present
        value = _example(found, usual, annotation, rules)
    if value:
        found.example = f"{PROGRAM} {shlex.join([*_line_of(line, found, tree, more), f'{path}={value}'])}"
    return found


def _is_in_nothing(config: Mapping[str, Any], path: str) -> bool:
    """Say whether the node around a key is null, so that the key cannot be set alone."""
    parent = path.rpartition(".")[0]
    return bool(parent) and is_there(config, parent) and at(config, parent) is None


def known_paths(overrides: Sequence[str], more: Sequence[Path]) -> list[str]:
    """Return the paths of all keys that there are, whichever options are chosen."""
    paths: dict[str, None] = {}
    choices: list[list[str]] = [[]]
    choices += [[f"{g}={o}"] for g in groups(*more) if g != "recipe" for o in options(g, *more)]
    for choice in choices:
        tree = outline([*overrides, *choice], *more)
        paths |= dict.fromkeys(key.path for key in all_keys(tree.config) if not key.name.startswith("_"))
        paths |= dict.fromkeys(_paths_in(tree.config))
    return list(paths)


def _paths_in(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        if not str(name).startswith("_") and f"{prefix}{name}" != "hydra":
            yield f"{prefix}{name}"
            if isinstance(value, Mapping):
                yield from _paths_in(value, f"{prefix}{name}.")


def _composed(line: Line) -> Composed | None:
    """Return the config of a line that names a recipe."""
    if not any(override.lstrip("+").startswith("recipe=") for override in line.overrides):
        return None
    from trainkit.config.composing.compose import composed

    found = composed(line)
    found.require()
    return found


def _in_other_options(
    found: Explained, overrides: Sequence[str], tree: Outline, more: Sequence[Path]
) -> tuple[Key | None, Outline]:
    """Look for a key in the options that are not chosen; the first that has it explains it."""
    first: tuple[Key | None, Outline] = (None, tree)
    for group in groups(*more):
        if not found.path.startswith(f"{group.replace('/', '.')}.") and group != "debug":  # which sets keys anywhere
            continue
        for option in options(group, *more):
            other = outline([*overrides, f"{group}={option}"], *more)
            key = key_at(other.config, found.path)
            if key is None and not is_there(other.config, found.path):
                continue
            found.options.append(f"{group}={option}")
            first = first if len(found.options) > 1 else (key, other)
    return first


def _default_of(found: Explained, line: Line, more: Sequence[Path]) -> None:
    """Note the value that a key has before a recipe or an override sets it."""
    names = [group for group in groups(*more) if group not in ("recipe", "debug")]
    kept = [override for override in line.overrides if override.partition("=")[0].lstrip("+") in names]
    chosen = outline(line.overrides, *more).choices
    parts = [f"{group}={option}" for group, option in chosen.items() if option and group in names]
    usual = outline([*parts, *kept, *found.options[:1]], *more)
    if not is_there(usual.config, found.path):
        return
    value = masked(at(usual.config, found.path), found.path)
    if isinstance(value, dict):
        found.default = ""
        return
    found.default = "none, it must be given" if value == "???" else shown(value)
    found.default_set_by = _place(usual, found.path)


def _place(tree: Outline, path: str) -> str:
    """Return the file and line that set a value in an outline."""
    for group, file in reversed(tree.files.items()):
        inside = path.removeprefix(f"{group.replace('/', '.')}.")
        for name, number in lines_of(file):
            if name == (inside if inside != path else path):
                return shown_file(file, number)
    return ""


def live_signature(config: Mapping[str, Any], path: str, folders: Sequence[Path]) -> tuple[Any, Signature] | None:
    """Return the target that takes a key, where the schema does not know it, and its signature; imports torch.

    Returns:
        None if there is no such target, or it is not to be had.
    """
    node = at(config, path.rpartition(".")[0])
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str) or target_keys(target) is not None:
        return None
    from trainkit.config.targets.lookup import resolve
    from trainkit.config.targets.signatures import signature_of
    from trainkit.config.targets.trusted import Trusted

    try:
        built = resolve(target, Trusted.of(config, folders))
    except ConfigError:  # whoever checks or trains is told why
        return None
    return built, signature_of(built)


def _of_signature(found: Explained, built: Any, signature: Signature) -> Any:
    """Note what a signature and a docstring say of a key and return its annotation."""
    name = found.path.rpartition(".")[2]
    found.target = f"{built.__module__}.{built.__qualname__}" if hasattr(built, "__qualname__") else str(built)
    parameter = signature.parameters.get(name)
    if parameter is None:
        return None
    found.takes = described(parameter.annotation)
    found.default = "none, it must be given" if parameter.required else shown(parameter.default)
    found.doc = documented(built, name) or found.doc
    return parameter.annotation


def documented(built: Any, name: str) -> str:
    """Return what a docstring says of an argument, in the styles of Google, NumPy and Sphinx; empty if nothing."""
    texts = [inspect.getdoc(built) or "", inspect.getdoc(getattr(built, "__init__", None)) or ""]
    word = re.escape(name)
    for text in texts:
        for pattern in (
            rf"^[ \t]*:param[^:\n]*\b{word}:[ \t]*(?P<doc>.+(?:\n[ \t]{{4,}}.+)*)",
            rf"^(?P<lead>[ \t]*)\**`*{word}`*\**(?:[ \t]*\([^\n]*?\))?:[ \t]+(?P<doc>.+(?:\n(?P=lead)[ \t]+.+)*)",
            rf"^(?P<lead>[ \t]*){word}[ \t]*:[^\n]*\n(?P<doc>(?P=lead)[ \t]+.+(?:\n(?P=lead)[ \t]+.+)*)",
        ):
            if match := re.search(pattern, text, re.MULTILINE):
                return " ".join(match["doc"].split())
    return ""


def _line_of(line: Line, found: Explained, tree: Outline, more: Sequence[Path]) -> list[str]:
    """Return what an example needs before the key: the recipe, and the option that has the key."""
    given = [override for override in line.overrides if override.startswith("recipe=")]
    words = [*(given or ["recipe=mlp" if not more else "recipe=NAME"]), *found.options[:1]]
    group, usual = found.path.partition(".")[0], outline(words, *more)
    known = is_there(usual.config, found.path) or key_at(usual.config, found.path) is not None
    if not known and tree.choices.get(group) not in (None, usual.choices.get(group)):
        words.append(f"{group}={tree.choices[group]}")
    return [*line.folder_flag, *words]


def _example(found: Explained, present: Any, annotation: Any, rules: Mapping[str, Any] | None) -> str:
    """Return a value other than the present one that the key takes; empty where none can be guessed."""
    if found.path in TRY:
        return TRY[found.path]
    listed = isinstance(present, list)
    for choice in found.choices:
        if choice not in (shown(present), "null"):
            return f"[{choice}]" if listed else choice
    if annotation is None or found.takes.startswith(("text", ANYTHING)):
        return ""
    for guess in _guesses(present):
        if guess != present and not misfit(guess, annotation, rules):
            return str(shown(guess)).replace(", ", ",")
    return ""


def _guesses(present: Any) -> list[Any]:
    """Return values near the present one, and then the usual ones of each type."""
    near: list[Any] = _near(present)
    if isinstance(present, list) and present:
        whole = all(type(item) is int for item in present)
        near = [[item * 2 for item in present]] if whole else [[*present[:-1], item] for item in _near(present[-1])]
    return [*near, 10, 0.1, 1, "1ep", "10min", "500st"]


def _near(number: Any) -> list[Any]:
    """Return what one would try instead of a number: half of what 0.9 lacks of 1, a third of a learning rate."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return []
    if isinstance(number, int):
        return [number * 2, number // 2] if number else [1]
    if number == 0:
        return [0.1, 0.01]
    if 0.5 < number < 1:
        return [float(f"{1 - 2 * (1 - number):.6g}")]
    return [float(f"{number / 3:.1g}"), number * 2]


def _with(text: str, more: str) -> str:
    return f"{text} ({more})" if text and more else text
