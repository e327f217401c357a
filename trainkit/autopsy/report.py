"""What an autopsy found: for a person in a few lines, and as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainkit.autopsy.numbers import Numbers
from trainkit.autopsy.reasons import reason
from trainkit.autopsy.tracing import Origin, Place

FEW = 16
"""Samples that a message lists."""
MOST_INPUTS = 3
HUGE = 1e6
"""A size that no weight has that was trained with care."""


@dataclass(slots=True)
class Autopsy:
    """Where the first number that is not finite comes from."""

    kind: str
    """Where it begins: ``forward``, ``backward``, ``objective``, ``half`` (a format's range), ``data``, ``weights``,
    ``buffers``, ``optimizer``, ``norm`` or ``unknown``."""
    first: str
    """In words: what, where."""
    why: str = ""
    fix: str = ""
    module: str = ""
    operation: str = ""
    place: Place = field(default_factory=Place)
    bad: list[int] = field(default_factory=list)
    """Samples by their index in the data set, or rows where that is not known."""
    numbers: list[Numbers] = field(default_factory=list)
    weights: list[Numbers] = field(default_factory=list)
    then: str = ""
    """What made a NaN of an infinity."""

    def lines(self) -> list[str]:
        """Return what a person reads after ``first``."""
        lines = []
        if self.place.file:
            lines.append(f"{_at(self.place).strip()}, in {self.place.function}: {self.place.source}")
        if self.why or self.then:
            lines.append("; ".join(part for part in (f"why: {self.why}" if self.why else "", self.then) if part))
        if self.numbers:
            shown = self.numbers[:MOST_INPUTS] + self.numbers[MOST_INPUTS:][-1:]
            lines.append("; ".join(map(str, shown)))
        if self.weights:
            rest = len(self.weights) - 2
            lines.append("; ".join(map(str, self.weights[:2])) + (f"; and {rest} more" if rest > 0 else ""))
        return lines

    def text(self) -> str:
        """Return all of it."""
        fix = [f"try: {self.fix}"] if self.fix else []
        return "\n  ".join([self.first, *self.lines(), *fix])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; numbers that are not finite are None."""
        place = self.place
        return {
            "kind": self.kind,
            "first": self.first,
            "why": self.why,
            "fix": self.fix,
            "module": self.module,
            "operation": self.operation,
            "file": place.file,
            "line": place.line,
            "function": place.function,
            "source": place.source,
            "bad_samples": self.bad,
            "numbers": [numbers.as_dict() for numbers in self.numbers],
            "weights": [numbers.as_dict() for numbers in self.weights],
            "then": self.then,
        }


def of_origin(origin: Origin, samples: list[int], weights: list[Numbers]) -> Autopsy:
    """Return the autopsy of a step whose first bad number has this origin.

    Args:
        origin: As a trace found it.
        samples: The indices of the batch's samples.
        weights: Of the module that it is in.
    """
    place, output = origin.place, origin.output
    of_batch = origin.kind not in ("weights", "buffers")
    fits = of_batch and output is not None and output.shape[:1] == [len(samples)]
    bad = [samples[row] for row in origin.rows] if fits else []
    in_sample = _in_samples(bad, len(samples)) if bad else ""
    if not in_sample and origin.rows and origin.kind == "data":
        in_sample = f", in row {origin.rows[0]} of the batch"
    what = "nan" if output is not None and output.nan else "inf"
    numbers = [*origin.inputs, *([output] if output is not None and origin.inputs else [])]
    then = ""
    if origin.turned is not None:
        turned = origin.turned
        then = f"{turned.name} made nan of it, {turned.phase}{_in(turned.place)}"
    if origin.masks is not None:
        mask = origin.masks
        then = f"its infinities come from {mask.name}{_in(mask.place)}{_at(mask.place)}"
    if origin.kind in ("data", "weights", "buffers"):
        words = {"data": "the data", "weights": "the weights", "buffers": "the buffer"}[origin.kind]
        module = origin.name.rpartition(".")[0] if origin.kind != "data" else ""
        text = f"{words} {origin.name}{in_sample}"
        fix = "to mend that sample or leave it out; trainer.on_nonfinite=skip leaves out its batch" if bad else ""
        fix = (fix or "a look at where they come from") if origin.kind == "data" else ""
        numbers = [output] if output else []
        return Autopsy(origin.kind, text, fix=fix, module=module, bad=bad, numbers=numbers, then=then)
    why, fix = reason(origin)
    largest = max((abs(end) for one in weights for end in (one.least, one.most) if end is not None), default=0.0)
    if origin.too_large and largest > HUGE:
        why += f"; its weights reach {largest:.3g}, so the steps before were too large"
    kind = "half" if origin.half else origin.phase
    if kind == "forward" and not place.module:
        kind = "objective"
    operation = origin.of if origin.phase == "backward" and origin.of else origin.name
    said = f"{what} in the backward pass of {operation} ({origin.node})" if origin.phase == "backward" else ""
    meant = ", which the code asks for," if origin.deliberate else ""
    text = (said or f"{what} out of {operation}{meant}") + _in(place) + in_sample
    return Autopsy(kind, text, why, fix, place.module, operation, place, bad, numbers, weights, then)


def _in_samples(bad: list[int], of: int) -> str:
    if len(bad) == 1:
        return f", in sample {bad[0]}"
    return f", in {len(bad)} of {of} samples: {', '.join(map(str, bad[:FEW]))}" + ", ..." * (len(bad) > FEW)


def _at(place: Place) -> str:
    return f" at {_short(place.file)}:{place.line}" if place.file else ""


def _in(place: Place) -> str:
    if place.module:
        return f" in {place.module} ({place.kind})"
    return f" in the {'objective' if place.kind in ('objective', '') else f'model ({place.kind})'}"


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
