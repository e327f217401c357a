"""Decisions of an evaluation: scores held against a number that belongs to probabilities, or against classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.view import PASSING, seen, source
from trainkit.inspection.subject import found

if TYPE_CHECKING:
    from trainkit.inspection.loop.figures import Evaluated

COMPARING = ("gt", "ge", "lt", "le")
SQUASHING = ("sigmoid", "softmax", "hardsigmoid")


def decided(run: Evaluated) -> Iterator[Finding]:
    """Look at what the evaluation compares the model's outputs with."""
    outputs = {fact.number for call in run.recording.calls if call.path == "" for fact in call.outputs}
    logits = _trains_on_logits(run)
    for op in run.recording.ops:
        if op.module is not None or op.name not in (*COMPARING, "round") or not op.inputs:
            continue
        number = op.args[1] if len(op.args) > 1 else None
        if op.name != "round" and not isinstance(number, int | float):
            continue
        made, passed = source(op.inputs[0])
        raw = op.inputs[0].number in outputs or any(
            fact.number in outputs for item in passed for fact in (*item.inputs, *item.outputs)
        )
        if raw and logits and (op.name == "round" or number == 0.5) and not _is_probability(op.inputs[0]):
            yield _of_logits(run, op, number)
            return
        if made is not None and made.name in SQUASHING and isinstance(number, int | float) and not 0 < number < 1:
            yield _always(run, op, made, number)
            return


def compared(run: Evaluated) -> Iterator[Finding]:
    """Look for scores that are held against whole numbers: they are hardly ever equal."""
    outputs = {fact.number for call in run.recording.calls if call.path == "" for fact in call.outputs}
    for op in run.recording.ops:
        if op.module is not None or op.name not in ("eq", "ne") or len(op.inputs) != 2:
            continue
        scores = [fact for fact in op.inputs if fact.dtype.is_floating_point and _has_parts(fact)]
        classes = [fact for fact in op.inputs if _is_whole(fact) and fact.shape]
        if len(scores) != 1 or len(classes) != 1 or classes[0].low == classes[0].high:
            continue
        if scores[0].number in outputs or any(
            fact.number in outputs for made in run.recording.ancestors(scores[0]) for fact in made.inputs
        ):
            yield _of_scores(run, op, scores[0], classes[0])
            return


def _has_parts(fact: Fact) -> bool:
    """Say whether neither the smallest nor the largest value is a whole number."""
    return all(value is not None and math.isfinite(value) and value != round(value) for value in (fact.low, fact.high))


def _is_whole(fact: Fact) -> bool:
    return not fact.dtype.is_floating_point and not fact.dtype.is_complex and fact.low is not None


def _of_scores(run: Evaluated, op: Op, scores: Fact, classes: Fact) -> Finding:
    made = scores.maker
    largest = made is not None and made.name in ("max", "min", "topk", "amax", "sort", "kthvalue")
    what = f"the values that {made.name} gives" if largest and made is not None else "scores"
    return found(
        "scores-as-classes",
        f"{run.place}: {made.name if largest and made is not None else op.name}",
        f"holds {what} (non-integer scores) against integer labels: the class is their index (indices, argmax)",
        at=(made.line if largest and made is not None else None) or op.line or run.line(),
        evidence=f"scores from {scores.low:.3g} to {scores.high:.3g}, labels from {classes.low:g} to {classes.high:g}: "
        "they are never equal",
        effect="the accuracy (metric) is 0 whatever the model has learnt",
        fix="output.argmax(1) == labels: of max(1) the second, not the first",
    )


def squashed(run: Evaluated) -> Iterator[Finding]:
    """Look for a loss for raw scores that the evaluation gives probabilities."""
    outputs = {fact.number for call in run.recording.calls if call.path == "" for fact in call.outputs}
    for op in run.recording.of("cross_entropy", "binary_cross_entropy_with_logits"):
        made, _ = source(op.inputs[0]) if op.inputs else (None, [])
        if op.module is not None or made is None or made.name not in SQUASHING or made.module is not None:
            continue
        came = {fact.number for other in run.recording.ancestors(made.outputs[0]) for fact in other.inputs}
        if not outputs & came:
            continue
        yield found(
            "softmax-in-evaluation",
            f"{run.place}: {made.name}",
            f"gives {op.name}, which takes raw scores (logits), the probabilities of {made.name}: {made.name} is "
            "applied twice",
            at=made.line or op.line or run.line(),
            evidence=f"{op.name} of values between {op.inputs[0].low:.3g} and {op.inputs[0].high:.3g}",
            effect="the validation loss is on another scale than the training loss, and hardly moves",
            fix=f"{op.name}(model(x), y), without {made.name}",
        )
        return


def _trains_on_logits(run: Evaluated) -> bool:
    """Say whether the training loss takes the model's outputs as they are for logits of two classes."""
    view = seen(run.subject)
    if view is None:
        return False
    given = set(view.outputs)
    for sink in view.sinks("binary_cross_entropy_with_logits"):
        fact = sink.inputs[0]
        while fact not in given and fact.maker is not None and fact.maker.name in PASSING:
            fact = fact.maker.inputs[0]
        if fact in given:
            return True
    return False


def _is_probability(fact: Fact) -> bool:
    return fact.low is not None and fact.high is not None and fact.low >= 0 and fact.high <= 1


def _of_logits(run: Evaluated, op: Op, number: float | None) -> Finding:
    what = "rounds" if op.name == "round" else f"holds against {number:g}"
    fact = op.inputs[0]
    return found(
        "logits-thresholded",
        f"{run.place}: {op.name}",
        f"{what} raw scores (logits), for which a probability of 0.5 is a score of 0",
        at=op.line or run.line(),
        evidence=f"scores from {fact.low:.3g} to {fact.high:.3g}; the training loss is BCEWithLogitsLoss",
        effect="samples with a probability between 0.5 and 0.62 are counted as negative: the figure is wrong",
        fix="torch.sigmoid(output) > 0.5, or output > 0",
    )


def _always(run: Evaluated, op: Op, made: Op, number: float) -> Finding:
    return found(
        "threshold-out-of-range",
        f"{run.place}: {op.name}",
        f"holds probabilities ({made.name}) against {number:g}: the answer is always the same",
        at=op.line or run.line(),
        evidence=f"{made.name} gives values between 0 and 1, never beyond {number:g}",
        effect="the figure does not depend on the model",
        fix="Hold probabilities against 0.5, or raw scores (logits) against 0",
    )
