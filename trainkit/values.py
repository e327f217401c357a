"""What fits an annotation and its rules, and in plain words what is allowed where a value does not.

The one place that judges a plain value (null, true, a number, text, a list, a mapping): for the Trainer's settings, for
the config schema, and for the signatures of what a config builds. No torch here: its types are known by their names.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeVar, dataclass_transform, get_args

from trainkit.annotations import DEVICE, DTYPES, RARE_DTYPE, items_of, kind, members, names_in
from trainkit.errors import nearest
from trainkit.forms import Form

T = TypeVar("T")
REQUIRED: Any = dataclasses.MISSING
"""The default of a key that must be given."""
SHOWN = 100
"""Letters of a value that a message shows."""
CHOICES = 12
"""Choices that a message lists."""
NUMBER = re.compile(r"\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)
SWITCHES = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
NOTHING = ("None", "null", "none", "~")
BOUNDS = {
    "least": "at least {:g}",
    "more_than": "more than {:g}",
    "most": "at most {:g}",
    "less_than": "less than {:g}",
}
SIGNS = {"least": ">=", "more_than": ">", "most": "<=", "less_than": "<"}


class Misfit(NamedTuple):
    """Why a value does not fit."""

    rule: Literal["wrong-type", "out-of-range", "unknown-choice"]
    message: str
    """What is wrong, as the rest of a sentence that begins with the value: ``must be a whole number``."""
    fix: str = ""
    """The close match, or what to write instead."""


def key(default: Any, doc: str, **rules: Any) -> Any:
    """Declare a field of a dataclass that a config key sets.

    Args:
        default: ``REQUIRED`` where a value must be given.
        doc: One line on what it does.
        rules: ``choices``, the only values; ``form``, the :class:`Form` of text; ``least``, ``more_than``, ``most`` and
            ``less_than``, bounds of numbers, also of each in a list; ``share``: a float is a share and at most 1;
            ``point``: a whole number needs its point; ``infinite``: infinity is allowed; ``numbers``: a number is as
            good as text; ``length`` and ``shortest`` length of a list; and others that only the schema reads.
    """
    metadata = {"doc": doc, **rules}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    if isinstance(default, type):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(kw_only_default=True, field_specifiers=(key,))
def part(cls: type[T]) -> type[T]:
    """Make a dataclass of a class that only declares keys: nobody builds one, and what is left out costs start-up."""
    return dataclasses.dataclass(kw_only=True, init=False, repr=False, eq=False)(cls)


def misfit(value: Any, annotation: Any, rules: Mapping[str, Any] | None = None) -> str:
    """Return what is wrong with a value, such as ``must be a whole number, at least 1, or null``; empty if it fits.

    Args:
        value: Plain; a mapping with a ``_target_`` is an object to come and fits everywhere.
        annotation: Any type annotation; one that is not known fits whatever there is.
        rules: Those of :func:`key`; the metadata of its field.
    """
    found = judged(value, annotation, rules)
    return found.message if found else ""


def judged(value: Any, annotation: Any, rules: Mapping[str, Any] | None = None) -> Misfit | None:
    """Return why a value does not fit, None if it does; see :func:`misfit`."""
    rules = rules or {}
    if isinstance(value, Mapping) and "_target_" in value:
        return None
    bases = members(annotation)
    if rules.get("choices") and not isinstance(value, list | tuple) and not (value is None and type(None) in bases):
        return _chosen(value, bases, rules)
    found = [_held(value, base, rules) for base in bases]
    problems = [problem for problem in found if problem]
    if len(problems) < len(found) and not _is_none(value, {kind(base) for base in bases}):
        return None
    if told := next((problem for problem in problems if problem.message), None):
        is_none = told.rule == "out-of-range" and type(None) in bases and value in (0, -1)
        return told._replace(fix="null stands for none.") if is_none else told
    chosen = next((problem for problem in problems if problem.rule == "unknown-choice"), None)
    cure = _cure(value, bases, rules) or (chosen.fix if chosen else "")
    return Misfit(chosen.rule if chosen else "wrong-type", f"must be {_worded(bases, rules)}", cure)


def _is_none(value: Any, kinds: set[str]) -> bool:
    """Say whether null was meant: None is text to YAML, and no name that a person would choose."""
    return bool(value == "None") and {"text", "null"} <= kinds and not kinds & {"any", "literal", "enum"}


def described(annotation: Any, rules: Mapping[str, Any] | None = None) -> str:
    """Return what is allowed in few signs, for the help: ``int >= 1 | null``."""
    rules, bases = rules or {}, members(annotation)
    parts = [shown(choice) for choice in rules.get("choices", ())]
    if parts and any(kind(base) == "list" for base in bases):
        parts = [f"[{' | '.join(parts)}, ...]"]
    parts = parts or [_short(base, rules) for base in bases if base is not type(None)]
    if "int" in parts and "float" in parts and not rules.get("share"):
        parts.remove("int")
    parts = ["share <= 1" if part == "float" and rules.get("share") else part for part in parts]
    parts = [_signed(part, rules) if part in ("int", "float") else part for part in parts]
    return " | ".join(dict.fromkeys([*parts, *(["null"] if type(None) in bases else [])]))


def shown(value: Any) -> str:
    """Return a value as YAML would have it, in one line and not too long."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, str):
        plain = value.isprintable() and value.strip() == value != "" and not NUMBER.fullmatch(value)
        text = value if plain and value.lower() not in ("true", "false", "null", "~") else repr(value)
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{name}: {shown(item)}" for name, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(map(shown, value)) + "]"
    else:
        text = f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
        text += ".0" if isinstance(value, float) and re.fullmatch(r"-?\d+", text) else ""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _held(value: Any, base: Any, rules: Mapping[str, Any]) -> Misfit | None:
    """Hold a value against one annotation; a misfit without a message is one of type."""
    wanted, other = kind(base), Misfit("wrong-type", "")
    if wanted == "any":
        return _bounded(value, rules)
    if wanted in ("int", "float"):
        fits = type(value) is int or (wanted == "float" and isinstance(value, float))
        return _bounded(value, rules) if fits else other
    if wanted == "text":
        form: Form | None = rules.get("form")
        is_text = isinstance(value, str | os.PathLike) or (rules.get("numbers") and type(value) in (int, float))
        return None if is_text and (form is None or form.fits(str(value))) else other
    if wanted == "list":
        return _each(value, base, rules) if isinstance(value, list | tuple) else other
    if wanted == "map":
        return _mapped(value, base, rules) if isinstance(value, Mapping) else other
    if wanted in ("literal", "enum"):
        choices = list(names_in(base))
        fits = isinstance(value, Enum) or any(type(value) is type(choice) and value == choice for choice in choices)
        return None if fits else Misfit("unknown-choice", "", _close(value, choices))
    if wanted == "dtype" and isinstance(value, str):
        name = value.removeprefix("torch.")
        fits = name in DTYPES or RARE_DTYPE.fullmatch(name) is not None
        return None if fits else Misfit("unknown-choice", "", _close(name, list(DTYPES)))
    return None if _fits_simply(value, wanted) else other


def _fits_simply(value: Any, wanted: str) -> bool:
    plain = value is None or isinstance(value, bool | int | float | str | list | Mapping)
    if wanted == "null":
        return value is None
    if wanted == "bool":
        return type(value) is bool
    if wanted == "device":
        return not plain or type(value) is int or (isinstance(value, str) and DEVICE.fullmatch(value) is not None)
    if wanted == "tensor":  # numbers and lists are often made one
        return value is not None and not isinstance(value, str | bool | Mapping)
    if wanted == "type":
        return not plain or isinstance(value, str)
    return not plain  # an object, or something to call


def _each(value: Any, base: Any, rules: Mapping[str, Any]) -> Misfit | None:
    """Hold a list's length and items against the annotation."""
    items = items_of(base)
    length = rules.get("length") or (len(items) if isinstance(items, tuple) else None)
    if length is not None and len(value) != length:
        return Misfit("wrong-type", f"must have {length} item{'s' * (length != 1)}, not {len(value)}")
    if len(value) < rules.get("shortest", 0):
        return Misfit("out-of-range", f"must have at least {rules['shortest']} item{'s' * (rules['shortest'] != 1)}")
    inner = {name: rule for name, rule in rules.items() if name not in ("length", "shortest")}
    for number, item in enumerate(value):
        found = judged(item, items[number] if isinstance(items, tuple) else items, inner)
        if found:
            return Misfit(found.rule, f"item [{number}], {shown(item)}, {found.message}", found.fix)
    return None


def _mapped(value: Mapping[Any, Any], base: Any, rules: Mapping[str, Any]) -> Misfit | None:
    arguments = get_args(base)
    for name, item in value.items() if len(arguments) == 2 else ():
        if found := judged(item, arguments[1], rules):
            return Misfit(found.rule, f"its {name}, {shown(item)}, {found.message}", found.fix)
    return None


def _bounded(value: Any, rules: Mapping[str, Any]) -> Misfit | None:
    """Hold a number against the bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    tests = {
        "least": lambda bound: value >= bound,
        "more_than": lambda bound: value > bound,
        "most": lambda bound: value <= bound,
        "less_than": lambda bound: value < bound,
    }
    if not all(tests[name](rules[name]) for name in BOUNDS if name in rules):
        return Misfit("out-of-range", f"must be {_bounds(rules)}")
    if isinstance(value, int) and rules.get("point"):
        return Misfit("wrong-type", "must be written with a point", f"Write {value}.0.")
    if isinstance(value, float) and rules.get("share") and value > 1:
        whole = f"Write {value:.0f}." if value.is_integer() else ""
        return Misfit("out-of-range", "a float is a share and at most 1.0; batches are an integer", whole)
    if isinstance(value, float) and rules and not (isfinite(value) or (rules.get("infinite") and value == value)):
        return Misfit("out-of-range", "must be a finite number")
    return None


def _chosen(value: Any, bases: tuple[Any, ...], rules: Mapping[str, Any]) -> Misfit | None:
    choices = list(rules["choices"])
    if all(kind(base) in ("list", "null") for base in bases):
        return Misfit("wrong-type", f"must be {_worded(bases, rules)}", _cure_by_list(value, bases, rules))
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return None
    null = ["null"] if type(None) in bases else []
    rule: Literal["wrong-type", "unknown-choice"] = "wrong-type" if value is None else "unknown-choice"
    named = [*_first(map(shown, choices)), *null]
    said = f"one of {', '.join(named)}" if len(named) > 2 else _either(named)
    return Misfit(rule, f"must be {said}", _close(value, choices))


def _close(value: Any, choices: list[Any]) -> str:
    words = {str(choice): choice for choice in choices if choice is not None}
    is_word = isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= SHOWN
    match = nearest(str(value), list(words)) if is_word else []
    return f"Did you mean {shown(words[match[0]])!r}?" if match else ""


def _cure(value: Any, bases: tuple[Any, ...], rules: Mapping[str, Any]) -> str:
    """Return what to write instead, for the traps of YAML and of other spellings."""
    kinds = {kind(base) for base in bases}
    form: Form | None = rules.get("form")
    if isinstance(value, str):
        return _cure_of_text(value, kinds, form) or _cure_by_list(value, bases, rules)
    if "text" in kinds and value is not None:
        if form and (cure := form.cure(value)):
            return cure
        if isinstance(value, bool):
            return "YAML reads yes, no, on and off as true and false: put the word in quotes."
        return "Put it in quotes." if isinstance(value, int | float) and not form else ""
    if "int" in kinds and isinstance(value, float) and value.is_integer():
        return f"Write {int(value)}."
    if "bool" in kinds and type(value) is int and value in (0, 1):
        return f"Write {'true' if value else 'false'}."
    return _cure_by_list(value, bases, rules)


def _cure_of_text(value: str, kinds: set[str], form: Form | None) -> str:
    if "null" in kinds and value in NOTHING:
        return "Write null."
    if "bool" in kinds and value.lower() in SWITCHES:
        return f"Write {SWITCHES[value.lower()]}, without quotes."
    if kinds & {"int", "float"} and NUMBER.fullmatch(value):
        number = float(value)
        return f"It is text: write {shown(int(number) if number.is_integer() else number)}, without quotes."
    return form.cure(value) if form and "text" in kinds else ""


def _cure_by_list(value: Any, bases: tuple[Any, ...], rules: Mapping[str, Any]) -> str:
    one = value is not None and not isinstance(value, Mapping | list | tuple)
    lists = [base for base in bases if kind(base) == "list"]
    return f"Write [{shown(value)}]." if one and lists and not _each([value], lists[0], rules) else ""


def _worded(bases: tuple[Any, ...], rules: Mapping[str, Any], many: bool = False) -> str:
    """Return what is allowed, in words: ``a whole number, at least 1, or null``."""
    real = [base for base in bases if base is not type(None)]
    kinds = [kind(base) for base in real]
    bounds, share = _bounds(rules), rules.get("share")
    parts = []
    for base, name in zip(real, kinds, strict=True):
        if (name == "int" and "float" in kinds and not share) or (name == "tensor" and "float" in kinds):
            continue
        if name == "bool" and not many:
            parts += ["true", "false"]
        elif name in ("literal", "enum"):
            parts += _first(map(shown, names_in(base)))
        elif name in ("int", "float") and bounds and not share:
            parts.append(f"{_word(base, rules, many)}, {'each ' if many else ''}{bounds}")
        else:
            parts.append(_word(base, rules, many))
    return _either([*dict.fromkeys(parts), *(["null"] if type(None) in bases else [])])


def _first(choices: Iterable[str]) -> list[str]:
    """Return the choices, of many the first ones."""
    found = list(choices)
    return found if len(found) <= CHOICES else [*found[: CHOICES - 1], f"{len(found) - CHOICES + 1} others"]


def _either(parts: list[str]) -> str:
    """Join what is allowed; with a comma before the ``or`` where a part has one."""
    if len(parts) < 2:
        return "".join(parts)
    comma = "," if any(", " in part for part in parts) else ""
    return f"{', '.join(parts[:-1])}{comma} or {parts[-1]}"


def _word(base: Any, rules: Mapping[str, Any], many: bool) -> str:
    """Return the words for one annotation, for one such value or for many."""
    form: Form | None = rules.get("form")
    words = {
        "bool": ("true or false", "true or false"),
        "int": ("a whole number", "whole numbers"),
        "float": ("a share up to 1.0", "shares up to 1.0") if rules.get("share") else ("a number", "numbers"),
        "text": (form.words, form.words) if form else ("text", "texts"),
        "map": ("a mapping", "mappings"),
        "dtype": ("a dtype of torch, such as float32", "dtypes of torch"),
        "device": ("a device, such as cpu or cuda:0", "devices"),
        "tensor": ("a tensor", "tensors"),
        "call": ("something to call (a node with a _target_)", "things to call (nodes with a _target_)"),
        "type": ("a class", "classes"),
        "object": (f"a {getattr(base, '__name__', '')} (a node with a _target_)", "objects (nodes with a _target_)"),
        "any": ("anything", "values"),
    }
    if kind(base) != "list":
        return words[kind(base)][many]
    items = items_of(base)
    of = members(items)
    if isinstance(items, tuple):
        of = tuple(dict.fromkeys(base for item in items for base in members(item)))
    length = rules.get("length") or (len(items) if isinstance(items, tuple) else None)
    names = _either(_first(map(shown, rules["choices"]))) if rules.get("choices") else _worded(of, rules, True)
    return f"{'lists' if many else 'a list'} of {f'{length} ' if length else ''}{names}"


def _bounds(rules: Mapping[str, Any]) -> str:
    """Return the bounds in words: ``at least 0 and less than 1``."""
    if "least" in rules and "most" in rules:
        return f"from {rules['least']:g} to {rules['most']:g}"
    return " and ".join(text.format(rules[name]) for name, text in BOUNDS.items() if name in rules)


def _signed(word: str, rules: Mapping[str, Any]) -> str:
    """Return the bounds of a number in signs: ``int >= 1``, ``0 <= float < 1``."""
    low, high = ([name for name in names if name in rules] for names in (("least", "more_than"), ("most", "less_than")))
    text = word + "".join(f" {SIGNS[name]} {rules[name]:g}" for name in high)
    if low and high:
        return f"{rules[low[0]]:g} {'<=' if low[0] == 'least' else '<'} {text}"
    return text + "".join(f" {SIGNS[name]} {rules[name]:g}" for name in low)


def _short(base: Any, rules: Mapping[str, Any]) -> str:
    """Return the sign for one annotation, without the bounds of a single number."""
    wanted = kind(base)
    if wanted == "list":
        items = items_of(base)
        inner = {name: rule for name, rule in rules.items() if name not in ("length", "shortest")}
        if isinstance(items, tuple):
            return f"[{', '.join(described(item, inner) for item in items)}]"
        one, length = described(items, inner), rules.get("length")
        return f"[{', '.join([one] * length)}]" if length else f"[{one}, ...]"
    if wanted in ("literal", "enum"):
        return " | ".join(shown(choice) for choice in names_in(base))
    form: Form | None = rules.get("form")
    words = {"bool": "true | false", "map": "{...}", "call": "function", "any": "anything", "type": "class"}
    if wanted == "text" and form:
        return form.short
    return str(getattr(base, "__name__", "object")) if wanted == "object" else words.get(wanted, wanted)
