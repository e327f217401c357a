"""The schema of a config: which keys there are, what each takes, and what of it a config breaks. Imports no torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, field, fields, is_dataclass, make_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_type_hints

from trainkit.config.schema.parts import OPEN, PARTS
from trainkit.config.schema.root import GROUPS, Root
from trainkit.errors import closest, nearest
from trainkit.findings import Finding
from trainkit.values import Misfit, described, judged, shown

if TYPE_CHECKING:
    from trainkit.config.composing.origins import Origins

DIRECTIVES = {
    "_target_": (str, "What is built: the dotted name of a class or function."),
    "_args_": (list[Any], "Positional arguments."),
    "_partial_": (bool, "true: build a function that still wants arguments."),
    "_recursive_": (bool, "false: hand the nodes inside over as they are."),
    "_convert_": (str, "How lists and mappings are handed over: none, partial, object or all."),
}
TENSORS = ("weight", "pos_weight")
"""Arguments of losses that are tensors, which a list cannot be taken for."""
BUILT = {"checkpoint": "trainkit.checkpoint.Store", "averaging": "trainkit.optim.WeightAverage"}
"""Groups with one target of trainkit's own."""
OF_THE_WHOLE = ("length", "shortest", "each", "entries", "within", "needed")
"""Rules of a list or mapping that its items do not inherit."""
ALIKE = 0.74
"""From this likeness on, a key in an open node is taken for a misspelt one; one wrong letter of four is 0.75."""


class Key(NamedTuple):
    """One key of a config."""

    name: str
    path: str
    doc: str
    annotation: Any
    rules: Mapping[str, Any]
    default: Any
    """``dataclasses.MISSING`` where a value must be given."""

    @property
    def allowed(self) -> str:
        """What it takes, in few signs: ``int >= 1 | null``."""
        return "[{...}, ...]" if "each" in self.rules else described(self.annotation, self.rules)


class Place(NamedTuple):
    """What stands at a path: its key, its value, and the schema of the keys within it."""

    path: str
    key: Key | None
    value: Any
    keys: dict[str, Key] | None
    """None where anything goes, or where there is nothing within."""
    closed: bool


def key_at(config: Mapping[str, Any], path: str) -> Key | None:
    """Return the schema of the value at a path, None where it has none.

    Args:
        config: The composed config as plain dicts and lists; it says which ``_target_`` the nodes have.
        path: Such as ``trainer.max_epochs``, ``callbacks.early_stopping.patience``, ``freeze.rules[0].lr``.
    """
    return _place(config, path).key


def keys_of(config: Mapping[str, Any], path: str) -> dict[str, Key] | None:
    """Return all keys that the node at a path may have, None where anything goes; the path of the root is empty."""
    return _place(config, path).keys


def is_closed(config: Mapping[str, Any], path: str) -> bool:
    """Say whether a key that :func:`keys_of` does not list is a mistake at this node, whatever its target says."""
    return _place(config, path).closed


def covers(config: Mapping[str, Any], path: str) -> bool:
    """Say whether the schema alone judges the value at a path, so that no target need be looked at."""
    place = _place(config, path)
    if place.key is None:
        return is_closed(config, path.rpartition(".")[0])
    node = place.key.rules.get("node") or "entries" in place.key.rules or place.key.annotation is Any
    return not _has_target(place.value) and not (node and place.value)


def all_keys(config: Mapping[str, Any]) -> list[Key]:
    """Return every key that the nodes of a config may have, whether it is set or not, in order."""
    return list(_all(_root(config), config))


def target_keys(target: str, path: str = "") -> dict[str, Key] | None:
    """Return the keys of a target that the schema knows, without the directives; None of any other."""
    part = PARTS.get(target)
    return None if part is None else {name: key for name, key in _keys(part, path).items() if name != "_target_"}


def structured() -> list[tuple[str, str, type]]:
    """Return (group, name, dataclass) for Hydra's ConfigStore: the schema of each group that trainkit reads itself."""
    parts = {**GROUPS, **{group: PARTS[target] for group, target in BUILT.items()}}
    return [(group, "schema", _writable(part)) for group, part in parts.items()]


def _writable(part: type) -> type:
    """Return a dataclass with the same fields that is not frozen, for OmegaConf would let nobody set a value in one."""
    if not part.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return part
    hints = get_type_hints(part)
    return make_dataclass(part.__name__, [(f.name, hints[f.name], field(default=f.default)) for f in fields(part)])


def schema_findings(
    config: Mapping[str, Any], origins: Origins | None = None, raw: Mapping[str, Any] | None = None
) -> list[Finding]:
    """Hold each value against the schema.

    Args:
        config: The composed config, as plain dicts and lists; what is missing (``???``) or refers to what there is not
            (``${...}``) is left to whoever composed it.
        origins: Who set what, for the messages.
        raw: The same config with its interpolations as text: a key that one of them reads is there on purpose.

    Returns:
        Findings of the rules ``wrong-type``, ``out-of-range``, ``unknown-choice``, ``unknown-key`` and ``missing-key``.
    """
    read = set(re.findall(r"\$\{\.*([\w.]+)", str(raw)))
    found = [
        _of_variable(f, raw)
        for f in _judged(_root(config), config, origins)
        if f.rule != "unknown-key" or not _is_read(f.place, read)
    ]
    if origins is None:
        return found
    set_by_user = {str(finding.value) for finding in found if origins.set_by_user(finding.place)}
    # what trainkit's own YAML takes from elsewhere by ${...} is as wrong as its source, which is enough to name
    return [f for f in found if origins.set_by_user(f.place) or str(f.value) not in set_by_user]


def _of_variable(finding: Finding, raw: Mapping[str, Any] | None) -> Finding:
    """Return a finding with the cure for a number that comes, as text, out of an environment variable."""
    value = _place(raw, finding.place).value if raw and finding.rule == "wrong-type" else None
    if not isinstance(value, str) or not re.fullmatch(r"\$\{oc\.env:[^{}]*\}", value):
        return finding
    return dataclasses.replace(finding, fix=f"A variable is text: write ${{oc.decode:{value}}}")


def _is_read(path: str, read: Iterable[str]) -> bool:
    """Say whether an interpolation takes a path or something within; a relative one names the end of the path."""
    return any(f"{name}.".startswith(f"{path}.") or path.endswith(f".{name}") for name in read)


def _judged(place: Place, config: Mapping[str, Any], origins: Origins | None) -> Iterator[Finding]:
    value, key = place.value, place.key
    found = None
    if key is not None and not _is_open(value):
        found = _misplaced(key, value) or judged(value, key.annotation, key.rules)
    if found:
        yield _finding(found.rule, place.path, shown(value), found.message, found.fix, origins)
        return
    for name in value if isinstance(value, Mapping) else ():
        if place.keys is None or name in place.keys or name in DIRECTIVES:
            yield from _judged(_below(place, str(name), config), config, origins)
        elif place.closed or nearest(str(name), list(place.keys), ALIKE):
            yield _unknown(place, str(name), value[name], config, origins)
        else:
            yield from _judged(_below(place, str(name), config), config, origins)
    needed = [key for key in (place.keys or {}).values() if key.rules.get("needed")]
    if lacks := [key for key in needed if isinstance(value, Mapping) and key.name not in value]:
        message = f"has no {', '.join(key.name for key in lacks)}"
        yield _finding("missing-key", place.path, shown(value), message, lacks[0].rules["needed"], origins)
    for number, item in enumerate(value) if isinstance(value, list) else ():
        if isinstance(item, Mapping | list) or (key is not None and "each" in key.rules):
            yield from _judged(_below(place, str(number), config), config, origins)


def _is_open(value: Any) -> bool:
    """Say whether a value is not known yet: missing, or referring to what there is not."""
    if isinstance(value, list):
        return any(map(_is_open, value))
    return isinstance(value, str) and (value == "???" or "${" in value)


def _misplaced(key: Key, value: Any) -> Misfit | None:
    """Return what is wrong where a node of several keys, or an object to build, was to stand and does not."""
    part = _part_of(key.annotation)
    if isinstance(value, Mapping) or (part is None and not key.rules.get("node") and "entries" not in key.rules):
        return None
    if part is not None:
        if value is None and type(None) in get_args(key.annotation):
            return None
        first = next(iter(_keys(part, key.path)))
        return Misfit("wrong-type", "must be a mapping", f"Its keys are set one by one: {key.path}.{first}=VALUE")
    optional = key.default is not MISSING and key.default != "???"
    if isinstance(value, list) and key.name in TENSORS:
        cure = f"Write {{_target_: torch.tensor, data: {shown(value)}}}"
        return Misfit("wrong-type", "must be a tensor", cure)
    if optional and not value:  # null and false leave it out
        return None
    what = "objects by name" if "entries" in key.rules else "an object to build, a node with a _target_"
    return Misfit("wrong-type", f"must be {what}{', or null' if optional else ''}")


def _unknown(place: Place, name: str, value: Any, config: Mapping[str, Any], origins: Origins | None) -> Finding:
    assert place.keys is not None
    full = f"{place.path}.{name}" if place.path else name
    beside, meant = list(place.keys.values()), [key for key in all_keys(config) if not key.rules.get("rare")]
    paths = dict.fromkeys(key.path for key in (*beside, *meant))
    fix = closest(full, list(paths)).strip() or f"Keys: {', '.join(k.name for k in beside if k.name not in DIRECTIVES)}"
    return _finding("unknown-key", full, shown(value), "there is no such key", fix, origins)


def _root(config: Mapping[str, Any]) -> Place:
    return Place("", None, config, _keys(Root, ""), False)


def _place(config: Mapping[str, Any], path: str) -> Place:
    place = _root(config)
    for name in re.findall(r"[^.\[\]]+", path):
        place = _below(place, name, config)
    return place


def _below(place: Place, name: str, config: Mapping[str, Any]) -> Place:
    """Return the place of a key of a node, or of an item of a list."""
    listed = name.isdigit() and not isinstance(place.value, Mapping)
    path = f"{place.path}[{name}]" if listed else f"{place.path}.{name}" if place.path else name
    value: Any = None
    if isinstance(place.value, Mapping):
        value = place.value.get(name)
    elif isinstance(place.value, list) and listed and int(name) < len(place.value):
        value = place.value[int(name)]
    key = place.keys.get(name) if place.keys is not None else None
    rules = place.key.rules if place.key is not None else {}
    if place.key is not None and key is None and (listed or "entries" in rules):
        doc, item = rules.get("entries") or place.key.doc, rules.get("each") or _item(place.key.annotation)
        inner = {
            n: r for n, r in rules.items() if n not in ("length", "shortest", "each", "entries", "within", "needed")
        }
        key = Key(name, path, doc, item, {"node": True} if "entries" in rules else inner, None)
    if key is None and name in DIRECTIVES and isinstance(place.value, Mapping) and "_target_" in place.value:
        key = Key(name, path, DIRECTIVES[name][1], DIRECTIVES[name][0], {}, MISSING)
    return _opened(path, key, value, config)


def _opened(path: str, key: Key | None, value: Any, config: Mapping[str, Any]) -> Place:
    """Return a place with the schema of what stands within: that of its target, or of its key."""
    target = value.get("_target_") if isinstance(value, Mapping) else None
    if target is not None:
        part = PARTS.get(str(target))
        closed = str(target).startswith("trainkit.") and str(target) not in OPEN
    else:
        part = (key.rules.get("within") or _part_of(key.annotation)) if key is not None else None
        closed = key is not None and not key.rules.get("open")
    if part is None:
        return Place(path, key, value, None, False)
    keys = _keys(part, path)
    present = value if isinstance(value, Mapping) else {}
    keys = {name: k for name, k in keys.items() if not k.rules.get("optional") or name in present}
    return Place(path, key, value, keys, closed)


@cache
def _keys(part: type, path: str) -> dict[str, Key]:
    """Return the keys of a dataclass of the schema, at a path."""
    hints, keys = get_type_hints(part), {}
    for f in fields(part):
        name = f.metadata.get("called", f.name)
        inner = f"{path}.{name}" if path else name
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if f.name in DIRECTIVES:
            keys[f.name] = Key(f.name, inner, DIRECTIVES[f.name][1], str, {}, default)
        else:
            annotation = f.metadata.get("kind", hints[f.name])
            keys[name] = Key(name, inner, f.metadata["doc"], annotation, f.metadata, default)
    return keys


def _all(place: Place, config: Mapping[str, Any]) -> Iterator[Key]:
    if place.key is not None:
        yield place.key
    names = [*(place.keys or {}), *(place.value if isinstance(place.value, Mapping) else {})]
    for name in dict.fromkeys(map(str, names)):
        below = _below(place, name, config)
        if below.key is not None or isinstance(below.value, Mapping):
            yield from _all(below, config)


def _part_of(annotation: Any) -> type | None:
    """Return the dataclass that an annotation names, also as ``X | None``."""
    options = [annotation, *get_args(annotation)]
    return next((option for option in options if isinstance(option, type) and is_dataclass(option)), None)


def _item(annotation: Any) -> Any:
    return next(iter(get_args(annotation)), Any)


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(_has_target(item) for item in value.values())
    return isinstance(value, list) and any(_has_target(item) for item in value)


def _finding(rule: str, path: str, value: str, message: str, fix: str, origins: Origins | None) -> Finding:
    told = {} if origins is None else origins.told(path)
    return Finding(
        rule=rule,
        severity="error",
        place=path,
        value=value,
        message=message,
        fix=fix,
        **told,
    )
