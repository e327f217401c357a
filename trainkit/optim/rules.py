"""The rules of a freeze plan: which parameters each speaks of, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn

from trainkit.errors import ConfigError, closest
from trainkit.timing import Duration, Moment, duration

HEAD = "@head"
"""Stands, in a rule's ``match``, for the head of the network."""
KEYWORDS = {"from": "start"}
"""Keys of a rule that Python keeps for itself, and the fields that hold them."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """The n-th time that the monitored metric stopped improving."""

    number: int

    def __str__(self) -> str:
        return f"plateau {self.number}"


Gate = Duration | Plateau
"""When something begins or ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is said of the parameters that match; the first rule that matches a parameter has it.

    Attributes:
        match: Globs over the names of parameters and modules (``"backbone.*"``, ``"layer4"``), ``"re:..."`` for a
            regular expression, ``"type:BatchNorm2d"`` for a class of modules, ``"@head"`` for the head.
        trainable: Whether they are trained.
        start, until: When ``trainable`` holds, such as ``3ep``, ``500st`` or ``plateau``; before and after, its
            opposite does. In a config ``start`` is called ``from``.
        lr: Their learning rate.
        lr_scale: The same as a multiple of the optimizer's.
        lr_decay: By stage: each stage further from the head has this multiple of the rate of the one above it.
        thaw_every: By stage: the stage above the stem thaws last, each so much later than the one above it; a duration
            or ``plateau``.
        weight_decay: Theirs, in place of the optimizer's.
        norm: ``eval`` keeps the statistics of norms still, ``train`` lets them follow the batches; left out, they are
            still where the norm is frozen.
        warmup: Over how much training the rate of what was thawed climbs in a straight line.
        grad_clip: Largest joint norm of their gradients.
        options: More options of the optimizer for them, such as ``{betas: [0.9, 0.95]}``.
    """

    match: tuple[str, ...]
    trainable: bool = True
    start: Gate | None = None
    until: Gate | None = None
    lr: float | None = None
    lr_scale: float | None = None
    lr_decay: float | None = None
    thaw_every: Gate | None = None
    weight_decay: float | None = None
    norm: Literal["eval", "train"] | None = None
    warmup: Duration | None = None
    grad_clip: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(self.match)

    @property
    def staged(self) -> bool:
        """Whether it says something else of each stage."""
        return self.lr_decay is not None or self.thaw_every is not None

    def holds(self, moment: Moment, plateaus: int, distance: int = 0) -> bool:
        """Say whether what it matches is trained at ``moment``.

        Args:
            moment: Where the run stands.
            plateaus: How often the monitored metric stopped improving.
            distance: Stages between the parameter's and the head.
        """
        if self.thaw_every is not None:
            return passed(self.thaw_every, moment, plateaus, distance)
        inside = (self.start is None or passed(self.start, moment, plateaus)) and not (
            self.until is not None and passed(self.until, moment, plateaus)
        )
        return inside == self.trainable


def passed(gate: Gate, moment: Moment, plateaus: int, times: int = 1) -> bool:
    """Say whether ``times`` the gate's length has passed."""
    if isinstance(gate, Plateau):
        return plateaus >= gate.number * times
    return gate.count(moment) >= times


def read_rules(rules: Sequence[Mapping[str, Any]], path: str = "freeze.rules") -> list[Rule]:
    """Return the rules that plain mappings describe; each ``plateau`` is the one after those of the rules before.

    Raises:
        ConfigError: That names the rule, the key, its value and what is allowed.
    """
    read: list[Rule] = []
    plateaus = 0
    for number, rule in enumerate(rules):
        place = f"{path}[{number}]"
        if not isinstance(rule, Mapping):
            raise ConfigError(f"{place}={rule!r}: must be a mapping such as {{match: 'layer4.*', lr: 1e-4}}")
        plateaus += any(rule.get(key) == "plateau" for key in ("from", "until"))
        read.append(_read(rule, place, plateaus))
    return read


def _read(rule: Any, place: str, plateau: int) -> Rule:
    names = ["from" if f.name == "start" else f.name for f in fields(Rule)]
    for key in rule:
        if key not in names:
            raise ConfigError(
                f"{place}.{key}: there is no such key.{closest(str(key), names)} Keys: {', '.join(names)}"
            )
    match = rule.get("match")
    match = (match,) if isinstance(match, str) else tuple(match or ())
    if not match or not all(isinstance(pattern, str) for pattern in match):
        raise ConfigError(f"{place}.match: must be a glob over names, or several, such as 'layer4.*'")
    _require_patterns(match, f"{place}.match")
    values = {KEYWORDS.get(key, key): value for key, value in rule.items() if value is not None}
    for key in ("start", "until", "thaw_every", "warmup"):
        if key in values:
            values[key] = _gate(values[key], f"{place}.{'from' if key == 'start' else key}", plateau, key)
    for key in ("lr", "lr_scale", "lr_decay", "weight_decay", "grad_clip"):
        _require_number(values.get(key), f"{place}.{key}", 1.0 if key == "lr_decay" else None)
    if type(values.get("trainable", True)) is not bool:
        raise ConfigError(f"{place}.trainable={values['trainable']}: must be true or false")
    if values.get("norm") not in (None, "eval", "train"):
        raise ConfigError(f"{place}.norm={values['norm']}: must be eval or train")
    if "lr" in values and "lr_scale" in values:
        raise ConfigError(f"{place}: has both lr and lr_scale; one says it all")
    if "thaw_every" in values and {"start", "until", "trainable"} & values.keys():
        raise ConfigError(f"{place}.thaw_every: says itself when each stage thaws; leave out trainable, from and until")
    return Rule(**values | {"match": match})


def _require_patterns(patterns: Sequence[str], place: str) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else "")
        except re.error as error:
            raise ConfigError(f"{place}={pattern}: is no regular expression: {error}") from None


def _gate(value: Any, place: str, plateau: int, key: str) -> Gate:
    if value == "plateau" and key != "warmup":
        return Plateau(1 if key == "thaw_every" else plateau)
    try:
        gate = duration(value)
    except ConfigError as error:
        raise ConfigError(f"{place}={value}: {error}{' or plateau' if key != 'warmup' else ''}") from None
    if gate.unit == "s":
        raise ConfigError(f"{place}={value}: must be in epochs or steps, such as 3ep: times differ from run to run")
    return gate


def _require_number(value: Any, place: str, most: float | None) -> None:
    fits = value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value >= 0)
    if not fits or (value is not None and most is not None and value > most):
        bounds = "at least 0" if most is None else f"from 0 to {most:g}"
        raise ConfigError(f"{place}={value}: must be a number, {bounds}")


def matches(pattern: str, name: str, ancestors: Iterable[tuple[str, nn.Module]], head: Sequence[str]) -> bool:
    """Say whether a pattern speaks of a parameter or buffer.

    Args:
        pattern: As :class:`Rule` describes it.
        name: The full name of the parameter.
        ancestors: The modules that it stands in, by their full names.
        head: The names that ``@head`` stands for.
    """
    if pattern == HEAD:
        return any(name == part or name.startswith(f"{part}.") for part in head)
    if pattern.startswith("type:"):
        wanted = pattern.removeprefix("type:")
        return any(wanted in (cls.__name__ for cls in type(module).__mro__) for _, module in ancestors)
    names = [name, *(known for known, _ in ancestors if known)]
    if pattern.startswith("re:"):
        return any(re.fullmatch(pattern.removeprefix("re:"), known) for known in names)
    return any(fnmatchcase(known, pattern) for known in names)
