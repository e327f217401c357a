"""What to say of weights that do not fit: what differs, whose weights they seem to be, and what would make them fit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from torch import nn

from trainkit.checkpoint.weights import optional, shape_of
from trainkit.errors import ConfigError
from trainkit.transfer.heads import find_heads
from trainkit.transfer.names import by_position, matches
from trainkit.transfer.sources import KEY

ROWS = 4
OTHER_NETWORK = 0.5
"""Share of a model's tensors that must fit, or the weights are called those of another network."""
CONVINCING = 0.9
"""Share that must fit with another prefix, for it to be proposed."""
CANDIDATES, FEW = 40, 16
"""Prefixes that are tried on either side, and names that each is first tried with."""
POSITIONS = ("pos_emb", "position_embedding", "relative_position", "attn_mask")


@dataclass(slots=True)
class Misfits:
    """What does not fit, by names as they became."""

    mismatched: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The file's shape, or kind of numbers, and the model's."""
    missing: dict[str, str] = field(default_factory=dict)
    """The model's shape."""
    unexpected: dict[str, str] = field(default_factory=dict)
    """The name in the file."""
    sizes: set[tuple[int, int]] | None = None
    """Each pair of lengths that differ, (file's, model's); None where more than lengths differ."""

    def __bool__(self) -> bool:
        return bool(self.mismatched or self.missing or self.unexpected)

    def without(self, allowed: Callable[[str], bool]) -> Misfits:
        """Return what is left of them without the names that may differ; the file's own names count, too."""
        return Misfits(
            {name: shapes for name, shapes in self.mismatched.items() if not allowed(name)},
            {name: shape for name, shape in self.missing.items() if not allowed(name)},
            {name: old for name, old in self.unexpected.items() if not allowed(name) and not allowed(old)},
            self.sizes,
        )

    def note_sizes(self, own: Mapping[str, Any], given: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """Note which lengths differ, as long as nothing else does."""
        pairs = [(given[names[name]].shape, own[name].shape) for name in self.mismatched]
        if not self.missing and not self.unexpected and all(len(a) == len(b) for a, b in pairs):
            self.sizes = {(a, b) for one, two in pairs for a, b in zip(one, two, strict=True) if a != b} or None


def misfit_text(
    model: nn.Module,
    source: str,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    names: Mapping[str, str],
    fitting: Mapping[str, Any],
    bad: Misfits,
    heads: Sequence[str],
) -> str:
    """Return the error for weights that do not fit: one line, a short table, and one line with a cure, if one is known.

    Args:
        model: What they were to be loaded into.
        source: What the weights are called.
        own: The model's tensors by name.
        given: The file's.
        names: The file's name for each name as it became.
        fitting: The tensors that fit.
        bad: What does not fit, and is not allowed to.
        heads: The replaced heads, which do not count.
    """
    wanted = [n for n in own if not optional(n, own[n]) and not any(matches(head, n) for head in heads)]
    fits = sum(name in fitting for name in wanted)
    told = [
        f"{len(part)} {what}"
        for part, what in (
            (bad.mismatched, "of another shape"),
            (bad.missing, "missing"),
            (bad.unexpected, "unexpected"),
        )
        if part
    ]
    if fits < OTHER_NETWORK * len(wanted) or not fitting:
        head = f"these are weights of another network: {fits} of {len(wanted)} names fit ({', '.join(told)})"
    else:
        head = f"the weights do not fit the model: {', '.join(told)}; {fits} of {len(wanted)} names fit"
    plain = {name: given[original] for name, original in names.items()}
    cure = _cure(model, own, plain, wanted, fits, bad, heads)
    return "\n".join([f"{KEY}={source}: {head}", *_rows(own, plain, bad), *([cure] if cure else [])])


def _rows(own: Mapping[str, Any], given: Mapping[str, Any], bad: Misfits) -> list[str]:
    """Return the first of what does not fit as a table, with the nearest name of the same shape on the other side."""
    rows = [(name, *shapes, "") for name, shapes in bad.mismatched.items()]
    rows += [
        (name, "-", shape, _nearest(name, own[name], given, bad.unexpected)) for name, shape in bad.missing.items()
    ]
    rows += [(n, shape_of(given[n]), "-", _nearest(n, given[n], own, bad.missing)) for n in bad.unexpected]
    if not rows:
        return []
    shown = [("name", "file", "model", ""), *rows[:ROWS]]
    widths = [min(max(len(row[column]) for row in shown), 60) for column in range(3)]
    lines = ["  ".join([" ", *(f"{row[i][:60]:<{widths[i]}}" for i in range(3)), row[3]]).rstrip() for row in shown]
    return lines + ([f"  and {len(rows) - ROWS} more"] if len(rows) > ROWS else [])


def _nearest(name: str, value: Any, others: Mapping[str, Any], among: Iterable[str]) -> str:
    same = [other for other in among if getattr(others.get(other), "shape", None) == value.shape]
    found = get_close_matches(name, same[:200], n=1)
    return f"near {found[0]}" if found else ""


def _cure(
    model: nn.Module,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    wanted: Sequence[str],
    fits: int,
    bad: Misfits,
    heads: Sequence[str],
) -> str:
    """Return the keys that would make the weights fit, or what they seem to be; empty where it is not known."""
    if cure := _renaming(own, given, wanted, fits):
        return cure
    if any(given[name].is_quantized for name in bad.mismatched if name in given):
        return "they are quantized; take those of the network in floating point"
    if not bad.missing and not bad.unexpected and all(any(p in n for p in POSITIONS) for n in bad.mismatched):
        return "they were made for images of another size; build the model for that size"
    try:
        last = find_heads(model)
    except ConfigError:
        last = []
    names = [*bad.mismatched, *bad.missing, *bad.unexpected]
    differing = [head for head in last if any(matches(head, name) for name in names)]
    if differing and all(any(matches(head, name) for head in differing) for name in names):
        listed = ",".join(differing)
        return (
            f"only the last layer differs: head replaces it by a new one, or weights.allow=[{listed}] keeps it as it is"
        )
    try:
        by_position(own, given, heads)
    except ConfigError:
        return ""
    return "all shapes agree in order: weights.by_position=true would fit"


def _renaming(own: Mapping[str, Any], given: Mapping[str, Any], wanted: Sequence[str], fits: int) -> str:
    """Return the prefix or the rule under which nearly all of the model's names would fit."""
    theirs = {name: value.shape for name, value in given.items()}
    ours = {name: own[name].shape for name in wanted}
    best, text = max(fits, math.ceil(CONVINCING * len(wanted)) - 1), ""
    few = list(ours)[:: max(1, len(ours) // FEW)]
    for old, new in itertools.product(["", *_starts(theirs)], ["", *_starts(ours)]):

        def fitting(names: Iterable[str], old: str = old, new: str = new) -> int:
            return sum(n.startswith(new) and theirs.get(old + n.removeprefix(new)) == ours[n] for n in names)

        if (old or new) and 2 * fitting(few) > len(few) and (count := fitting(ours)) > best:
            best = count
            rule = f'weights.rename={{"{old}*": "{new}*"}}' if new else f"weights.prefix={old}"
            text = f"{rule} would fit {count} of {len(wanted)}"
    return text


def _starts(names: Iterable[str]) -> list[str]:
    """Return what names begin with, up to three parts deep, the commonest first."""
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        for depth in range(1, min(4, len(parts))):
            start = ".".join(parts[:depth]) + "."
            counts[start] = counts.get(start, 0) + 1
    return sorted(counts, key=lambda start: -counts[start])[:CANDIDATES]
