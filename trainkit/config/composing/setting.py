"""Setting values on a composed config, one at a time, so that each that is wrong is found and the rest holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from trainkit.config.composing.composition import Parsed
from trainkit.config.composing.origins import Origin, Origins
from trainkit.config.composing.replacing import is_another, untaken
from trainkit.config.composing.suggestions import MAIN, OF_NUMBER, Keys, nearest
from trainkit.config.paths import at, is_there
from trainkit.config.schema import keys as schema
from trainkit.findings import Finding
from trainkit.values import judged

NAMED = ("callbacks", "diagnostics", "loggers", "metrics")
"""Groups that hold named entries, of which there may be any number."""
MISSING = "???"
LISTED = 12
"""Keys that a message lists at most."""


@dataclass
class Setter:
    """Sets values and notes who did."""

    config: DictConfig
    origins: Origins
    groups: Mapping[str, Sequence[str]]
    others: Callable[[str], Mapping[str, Collection[str]]]
    """Returns the other options of a group, and the keys that each one's file has."""
    read: str = ""
    """All overrides in one, to look for interpolations that read a key of one's own."""
    unsure: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    """Keys that were not there and needed no plus."""
    left_out: dict[str, tuple[Parsed, Any]] = field(default_factory=dict)
    """Keys that overrides took out, with what stood there; another may give them anew."""
    dropped: set[str] = field(default_factory=set)
    """Keys that trainkit's files gave to a target which another one replaced."""
    _tree: dict[str, Any] | None = None

    @property
    def tree(self) -> dict[str, Any]:
        """The config as plain values, interpolations unresolved."""
        if self._tree is None:
            self._tree = OmegaConf.to_container(self.config, resolve=False)  # type: ignore[assignment]
        assert self._tree is not None
        return self._tree

    def apply(self, parsed: Parsed) -> None:
        """Set or delete a value, or find what is wrong with the override."""
        if parsed.package is not None:
            message = "there is no such group to choose an option of"
            self._wrong(parsed, f"{parsed.key}@{parsed.package}", message, rule="unknown-option")
        elif not parsed.key.strip("."):
            self._wrong(parsed, "", "has no key; write KEY=VALUE", rule="bad-override")
        elif parsed.sign == "~":
            self._delete(parsed)
        else:
            self._set(parsed, parsed.key, parsed.value)

    def roots(self) -> set[str]:
        """Return the keys that a config may have at the top, groups besides."""
        return {*(schema.keys_of(self.tree, "") or {})}

    def keys(self) -> Keys:
        """Return all keys there are, to look for the one that was meant."""
        return Keys(self.tree, self.groups, tuple(self._declared()))

    def _declared(self) -> Iterator[str]:
        for path in ["", *_nodes(self.tree, "")]:
            for name in schema.keys_of(self.tree, path) or {}:
                yield f"{path}.{name}" if path else name

    # ------------------------------------------------------------------ deleting

    def _delete(self, parsed: Parsed) -> None:
        path = parsed.key
        if path in self.dropped:
            return
        if not is_there(self.tree, path):
            self._unknown(parsed, path, "~")
            return
        there = at(self.tree, path)
        if parsed.has_value and parsed.value != there:
            self._wrong(parsed, path, f"its value is {_shown(there)}, so this leaves nothing out", f"Write ~{path}")
            return
        parent, _, leaf = path.rpartition(".")
        self.left_out[path] = parsed, there
        node = OmegaConf.select(self.config, parent) if parent else self.config
        with open_dict(self.config):
            del node[int(leaf) if isinstance(node, ListConfig) else leaf]
        self._tree = None
        self.origins.set(path, None, Origin(override=parsed.text))

    def finish(self) -> None:
        """Find what was left out, was not given anew, and cannot be spared."""
        for path, (parsed, before) in self.left_out.items():
            parent, _, leaf = path.rpartition(".")
            key = (schema.keys_of(self.tree, parent) or {}).get(leaf)
            if key is None or path in self.groups or is_there(self.tree, path) or not self._stands(parent):
                continue
            built = is_there(self.tree, f"{parent}._target_" if parent else "_target_")
            spare = key.default is not dataclasses.MISSING if built else key.default is None and parent == "data"
            if not spare:
                default = ", or null" if before is None else ""
                fix = f"Give it another value{default}: {path}=VALUE"
                if isinstance(before, dict) and path in MAIN:
                    fix = f"Its keys are set one by one: {path}.{MAIN[path]}=VALUE"
                self._wrong(parsed, path, "cannot be left out", fix)

    def _stands(self, parent: str) -> bool:
        return not parent or isinstance(at(self.tree, parent), dict)

    # ------------------------------------------------------------------ setting

    def _set(self, parsed: Parsed, path: str, value: Any) -> None:
        there = is_there(self.tree, path)
        before = at(self.tree, path)
        if (there and value == MISSING) or is_another(value, before):
            self._put(parsed, path, value)
        elif isinstance(value, dict) and isinstance(before, dict) and value and not self._is_table(path, before):
            for key, inner in value.items():
                self._set(parsed, f"{path}.{key}", inner)
        elif there and isinstance(before, dict) and not isinstance(value, dict | list) and value is not None:
            word = isinstance(value, str) and ("${" in value or not self._is_node(path, before))
            if not word and not self._has_a_word(path, value):
                self._whole_node(parsed, path, before)
            else:
                self._put(parsed, path, value)
        elif there or self._may_be_added(parsed, path, value):
            if not there:
                self.added.add(path)
            self._put(parsed, path, value)
            if path.endswith("._target_") and before not in (None, value):
                self._fit(parsed, path.rpartition(".")[0], str(value))

    def _fit(self, parsed: Parsed, path: str, target: str) -> None:
        """Take out of a node what trainkit's own files gave to its former target and its new one does not take."""
        for key in untaken(self.tree, at(self.tree, path), path, target, self.origins):
            with open_dict(self.config):
                del OmegaConf.select(self.config, path)[key]
            self.origins.set(f"{path}.{key}", None, Origin(override=parsed.text))
            self.dropped.add(f"{path}.{key}")
        self._tree = None

    def _is_node(self, path: str, before: Mapping[str, Any]) -> bool:
        """Say whether a mapping is one of keys or an object to build, which no text can stand for."""
        return "_target_" in before or schema.keys_of(self.tree, path) is not None or path in self.groups

    def _is_table(self, path: str, before: Mapping[str, Any]) -> bool:
        """Say whether a node is a table of the user's own names, which may have dots, and has none yet."""
        key = schema.key_at(self.tree, path)
        return not before and key is not None and schema.keys_of(self.tree, path) is None and "entries" not in key.rules

    def _has_a_word(self, path: str, value: Any) -> bool:
        """Say whether a node of keys may be a word instead, such as auto."""
        key = schema.key_at(self.tree, path)
        return key is not None and "within" in key.rules and judged(value, key.annotation, key.rules) is None

    def _put(self, parsed: Parsed, path: str, value: Any) -> None:
        try:
            # a mapping is merged into one of the same target alone; a list and a mapping could not be merged at all
            before = at(self.tree, path)
            merge = isinstance(value, dict) and isinstance(before, dict) and not is_another(value, before)
            OmegaConf.update(self.config, path, value, merge=merge, force_add=True)
        except (OmegaConfBaseException, TypeError, ValueError, AssertionError) as error:
            self._wrong(parsed, path, str(error).splitlines()[0], rule="bad-override")
            return
        self._tree = None
        self.origins.set(path, value, Origin(override=parsed.text))

    def _whole_node(self, parsed: Parsed, path: str, before: Mapping[str, Any]) -> None:
        """Find a value that was given to a node of keys."""
        shown = _shown(parsed.value)
        main = MAIN.get(path, next((str(key) for key in before if not str(key).startswith("_")), ""))
        main = OF_NUMBER.get(path, main) if type(parsed.value) is int else main
        fix = f"Did you mean '{path}.{main}={shown}'? " if main and path in MAIN else ""
        leave = f"; {path}=null leaves it out" if "_target_" in before else ""
        if path == "data.preprocessing":
            leave = f"; or {path}=auto"
        message = "is no single value but has keys of its own"
        self._wrong(parsed, path, message, f"{fix}{_listed(before)}{leave}", "wrong-type")

    def _may_be_added(self, parsed: Parsed, path: str, value: Any) -> bool:
        """Say whether a key that is not there may be added; if not, it is found unknown."""
        parent, _, leaf = path.rpartition(".")
        if path in self.left_out and self._stands(parent):
            return True
        if not parent:
            return self._may_be_root(parsed, path, value)
        node = at(self.tree, parent)
        if isinstance(node, str) and (alias := re.fullmatch(r"\$\{([\w.]+)\}", node)):
            self._wrong(parsed, path, f"{parent} takes its value from {alias[1]}", f"Did you mean '{alias[1]}.{leaf}'?")
            return False
        if not isinstance(node, dict):
            if is_there(self.tree, parent) and node is not None and not isinstance(node, list):
                self._no_node(parsed, path, parent, node)
                return False
            built = isinstance(value, dict) and "_target_" in value
            if parent in NAMED or (node is None and built) or self._is_new_entry(parent, leaf):
                return True
            self._unknown(parsed, path)
            return False
        known = schema.keys_of(self.tree, parent)
        if (known is not None and leaf in known) or leaf in schema.DIRECTIVES:
            return True
        if leaf in self.groups.get(parent, ()):
            self._unknown(parsed, path)
            return False
        if known is not None and any(is_there(self.tree, f"{root}.{leaf}") for root in ("trainer", "optimizer")):
            self._unknown(parsed, path)
            return False
        if known is not None and (schema.is_closed(self.tree, parent) or self._of_another(parent, leaf)):
            self._unknown(parsed, path)
            return False
        if isinstance(value, dict) and "_target_" in value:
            return True
        siblings = [str(key) for key in node if not str(key).startswith("_")]
        near = nearest(leaf, [*siblings, *(known or {})], cutoff=schema.ALIKE if known is None else 0.6)
        if "_target_" in node and near is None and not (leaf.startswith("_") and nearest(leaf, schema.DIRECTIVES)):
            return True  # the signature of the target judges it
        if near is None and "_target_" not in node and parsed.sign and parent not in NAMED:
            return True
        self._unknown(parsed, path)
        return False

    def _is_new_entry(self, parent: str, leaf: str) -> bool:
        """Say whether overrides build an entry of callbacks, loggers or metrics key by key."""
        named = parent.rpartition(".")[0] in NAMED
        return named and (leaf == "_target_" or f"{parent}._target_=" in self.read)

    def _may_be_root(self, parsed: Parsed, path: str, value: Any) -> bool:
        if path in self.groups:  # left out before, or chosen of no option
            if isinstance(value, dict):
                return True
            self._unknown(parsed, path)
            return False
        if path in self.roots():
            return True
        read = re.findall(r"\$\{([\w.]+)[}\[]", self.read)
        if any(name == path or name.startswith(f"{path}.") for name in read):
            return True
        if parsed.sign and nearest(path, [name for name in read if not is_there(self.tree, name)], cutoff=schema.ALIKE):
            return True  # its name is misspelt where it is read, which is told there
        self._unknown(parsed, path)
        return False

    # ------------------------------------------------------------------ telling

    def _no_node(self, parsed: Parsed, path: str, parent: str, node: Any) -> None:
        fix = f"Did you mean '{parent}={_shown(parsed.value)}'?" if not isinstance(parsed.value, dict) else ""
        self._wrong(parsed, path, f"{parent} is a single value ({_shown(node)}) and has no keys", fix)

    def _unknown(self, parsed: Parsed, path: str, sign: str = "") -> None:
        root = path.partition(".")[0]
        if "*" in self.unsure or root in self.unsure:
            return
        if (option := path.partition(".")[2]) and root in self.groups and option in self.groups[root]:
            self._wrong(parsed, path, "there is no such key", f"Did you mean '{root}={option}'?")
            return
        value = parsed.value
        parent = path.rpartition(".")[0]
        if not parent and isinstance(value, str) and not sign:
            holders = [g for g, options in self.groups.items() if value in options and "/" not in g]
            if (group := nearest(path, holders, cutoff=0.4) or next(iter(holders), None)) is not None:
                self._wrong(parsed, path, "there is no such key", f"Did you mean {group!r}: '{group}={value}'?")
                return
        if parent in NAMED and parsed.sign and not sign:
            near = nearest(path.rpartition(".")[2], map(str, at(self.tree, parent) or {}), cutoff=schema.ALIKE)
            hint = f"Did you mean '{parent}.{near}'? " if near else ""
            fix = f"{hint}An entry of its own has a _target_: +{path}={{_target_: ...}}"
            self._wrong(parsed, path, "there is no such entry", fix)
            return
        self._wrong(parsed, path, "there is no such key", self._cure(path, sign))

    def _cure(self, path: str, sign: str) -> str:
        parent, _, leaf = path.rpartition(".")
        meant = self.keys().meant(path)
        if leaf.startswith("_") and (directive := nearest(leaf, schema.DIRECTIVES)) is not None:
            return f"Did you mean '{parent}.{directive}'?"
        has = [] if sign else self._of_another(parent, leaf)
        node = at(self.tree, parent) if parent else None
        parts = []
        if items := self._of_items(path):
            parts.append(items)
        elif has:
            one = "has" if len(has) == 1 else "have"
            parts.append(f"{parent.partition('.')[0]}={' and '.join(has)} {one} it")
        elif meant is not None and (sign == "" or is_there(self.tree, meant) or meant in self.groups):
            parts.append(f"Did you mean {meant!r}?")
        root, _, entry = parent.partition(".")
        missing = root in NAMED and is_there(self.tree, root) and not is_there(self.tree, parent)
        near = nearest(entry, map(str, at(self.tree, root) or {}), schema.ALIKE) if missing else None
        if not parts and near is not None:
            parts.append(f"Did you mean '{root}.{near}.{leaf}'?")
        elif not parts and missing:
            parts.append(f"An entry of its own has a _target_: +{parent}={{_target_: ...}}")
        if not parts and parent and node is None and (known := schema.keys_of(self.tree, parent)):
            shown = nearest(leaf, known) or next(iter(known))
            parts.append(f"Set the whole of {parent}, such as {parent}={{{shown}: VALUE, ...}}")
        if isinstance(node, dict) and (has or meant is None or not meant.startswith(f"{parent}.") or len(leaf) < 4):
            parts.append(_listed({**node, **(schema.keys_of(self.tree, parent) or {})}))
        return " ".join(part + ("" if part.endswith("?") else ".") for part in parts).removesuffix(".")

    def _of_items(self, path: str) -> str:
        """Return where a key belongs that items of a list have: that of a rule, without or with an item not there."""
        parent, _, leaf = path.rpartition(".")
        beside = [key.path for key in (schema.keys_of(self.tree, parent) or {}).values() if "each" in key.rules]
        around = parent.rpartition(".")[0]
        for place in (*beside, around):
            key = schema.key_at(self.tree, place) if place else None
            known = schema.keys_of(self.tree, f"{place}[0]") or {} if key is not None and "each" in key.rules else {}
            if leaf not in known or (place != around and self._of_another(parent, leaf)):
                continue
            number = len(at(self.tree, place) or ())
            has = f"{place} has {number or 'no'} item{'s' * (number != 1)}. " if place == around else ""
            return f"{has}It is a key of an item: {place}=[{{..., {leaf}: VALUE}}]"
        return ""

    def _of_another(self, parent: str, leaf: str) -> list[str]:
        """Return the other options of a group that have a key which this one lacks."""
        group, _, rest = parent.partition(".")
        key = f"{rest}.{leaf}" if rest else leaf
        return [option for option, keys in self.others(group).items() if key in keys]

    def _wrong(self, parsed: Parsed, path: str, message: str, fix: str = "", rule: str = "unknown-key") -> None:
        value = parsed.text.partition("=")[2] if parsed.has_value and path == parsed.key else None
        place = f"~{path}" if parsed.sign == "~" else path
        told = f"{place}={value}" if value is not None else place
        evidence = "" if parsed.text.lstrip("+") == told else f"override {parsed.text}"
        self.findings.append(
            Finding(rule=rule, severity="error", place=place, value=value, message=message, fix=fix, evidence=evidence)
        )


def _nodes(node: Any, prefix: str) -> Iterator[str]:
    for name, value in node.items() if isinstance(node, Mapping) else ():
        if isinstance(value, Mapping):
            yield f"{prefix}{name}"
            yield from _nodes(value, f"{prefix}{name}.")


def _listed(keys: Mapping[str, Any]) -> str:
    names = [str(key) for key in keys if not str(key).startswith("_")]
    return f"Keys: {', '.join(names[:LISTED])}{', ...' if len(names) > LISTED else ''}" if names else ""


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
