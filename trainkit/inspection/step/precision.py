"""Numbers so large that float32 cannot tell neighbours apart: times in seconds since 1970, angles of many turns."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.step.view import INPUT, seen, tensor_of
from trainkit.inspection.subject import Subject, found

TURNED = 0.05
"""Radians between two neighbouring numbers from which an angle is no longer known."""
COARSE = 0.02
"""Step between neighbouring numbers, in deviations of a column, from which its values are blurred."""
WAVES = ("sin", "cos")


def blurred(subject: Subject) -> Iterator[Finding]:
    """Find angles and inputs whose differences are lost in the rounding of float32."""
    view = seen(subject)
    if view is None:
        return
    for op in view.recording.ops:
        fact = op.inputs[0] if op.inputs else None
        if op.name not in WAVES or fact is None or fact.dtype != torch.float32 or INPUT not in view.came(fact):
            continue
        largest = max(abs(fact.low or 0.0), abs(fact.high or 0.0))
        if _gap(largest) < TURNED or not math.isfinite(largest):
            continue
        place, line = view.place(op)
        yield found(
            "precision-lost",
            place,
            f"takes the {op.name} of angles up to {largest:.3g}, which float32 knows to {_gap(largest):.2g} rad only: "
            "precision is lost in rounding",
            severity="warning",
            at=line,
            evidence=f"neighbouring float32 numbers near {largest:.3g} are {_gap(largest):.3g} apart",
            effect="the phase (time of day, of year) is blurred or random",
            fix="Subtract the start, or take the remainder (t % period), in float64 or integers before float32",
        )
        return
    for number, fact in enumerate(view.inputs):
        values = tensor_of(fact) if fact.dtype == torch.float32 and len(fact.shape) == 2 else None
        column = _coarse(values) if values is not None and len(values) >= 8 else None
        if values is None or column is None:
            continue
        at = float(values[:, column].abs().max())
        yield found(
            "precision-lost",
            f"train_set: input {number + 1}, column {column}",
            f"holds numbers near {at:.4g} (a timestamp, such as Unix time?) in float32, whose resolution there is "
            f"{_gap(at):g}: precision is lost in rounding",
            severity="warning",
            evidence=f"standard deviation {float(values[:, column].std()):.4g}, step between neighbours {_gap(at):g}",
            effect="differences between samples are rounded away before the model sees them",
            fix="Subtract an offset in float64 or integers first, then convert to float32",
        )
        return


def _gap(value: float) -> float:
    """Return the distance to the next number of float32."""
    return 2.0 ** (math.floor(math.log2(value)) - 23) if 0 < value < math.inf else 0.0


def _coarse(values: Tensor) -> int | None:
    largest, spread = values.abs().amax(0), values.std(0)
    for column, (most, deviation) in enumerate(zip(largest.tolist(), spread.tolist(), strict=True)):
        if deviation > 0 and math.isfinite(most) and _gap(most) > COARSE * deviation:
            return column
    return None


RULES = (blurred,)
