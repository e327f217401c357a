"""Findings of one cause become one, the cause, which says what followed from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trainkit.findings import Finding

FOLLOWS: dict[str, tuple[str, ...]] = {
    "symmetric-init": ("output-ignores-input", "learning-rate-too-small", "vanishing-gradient", "constant-activation"),
    "init-too-large": ("learning-rate-too-large", "saturated-units", "dead-units", "vanishing-gradient"),
    "inputs-not-normalised": ("learning-rate-too-large", "saturated-units", "dead-units", "init-too-large"),
    "raw-scores-into-bce": ("step-fails",),
    "loss-with-wrong-sign": ("learning-rate-too-large", "learning-rate-too-small"),
    "softmax-before-cross-entropy": ("learning-rate-too-small", "bounded-logits", "activation-twice"),
    "broadcast": ("learning-rate-too-large", "learning-rate-too-small"),
    "constant-activation": ("output-ignores-input",),
    "vanishing-gradient": ("output-ignores-input", "learning-rate-too-small"),
    "softmax-of-one": ("output-ignores-input", "constant-activation"),
    "loss-without-gradient": ("output-ignores-input", "learning-rate-too-small"),
    "softmax-over-batch": ("softmax-over-wrong-dim", "batch-mixing", "sees-other-samples"),
    "kl-div-target": ("numbers-break",),
    "update-lost-in-rounding": ("learning-rate-too-small",),
    "dead-units": ("output-ignores-input", "constant-activation", "result-never-used"),
    "noise-in-eval": ("eval-noise", "evaluation-varies"),
    "functional-training": ("eval-noise", "noise-in-eval", "evaluation-varies"),
    "made-in-forward": ("eval-noise", "noise-in-eval", "not-in-optimizer", "state-not-saved"),
    "forward-called": ("state-not-saved",),
    "stale-parameters": ("not-in-optimizer",),
    "mode-override": ("eval-noise", "evaluates-in-train", "evaluation-varies"),
    "mode-in-forward": ("eval-noise",),
    "weights-redrawn": ("eval-noise",),
    "state-not-detached": ("eval-noise", "graph-grows", "graph-kept"),
    "softmax-dim": ("softmax-over-batch", "softmax-over-wrong-dim", "batch-mixing"),
    "data-changed": ("sample-changes-data",),
    "worker-generator": ("workers-same-noise",),
    "seed-in-sample": ("workers-same-noise",),
    "result-never-used": ("output-ignores-input", "constant-activation"),
    "gradient-cut": (
        "nothing-trained",
        "result-never-used",
        "loss-without-gradient",
        "output-ignores-input",
        "learning-rate-too-small",
    ),
    "unregistered-module": ("not-in-optimizer", "nothing-trained", "state-not-saved"),
    "unregistered-parameter": ("not-in-optimizer", "nothing-trained", "state-not-saved"),
    "class-beyond-head": ("step-fails",),
    "constant-inputs": ("output-ignores-input", "target-unrelated", "inputs-not-normalised", "inputs-unused"),
    "one-sample": ("constant-inputs", "target-unrelated", "output-ignores-input"),
    "not-finite": ("numbers-break", "targets-unscaled"),
    "wrong-length": ("no-batch",),
    "batch-mixing": ("order-ignored",),
    "mutable-default": ("builds-differ", "repeated-layer"),
    "target-random": ("target-unrelated",),
    "float64-data": ("step-fails",),
    "wrong-shape": ("no-batch", "step-fails"),
    "sample-fails": ("no-batch",),
    "collate-mixes": ("constant-inputs", "target-unrelated", "constant-target", "labels-by-chance"),
    "normalised-twice": ("inputs-not-normalised",),
    "evaluation-changes-state": ("eval-noise",),
    "target-unrelated": ("labels-by-chance",),
    "target-of-neighbour": ("labels-by-chance",),
    "learning-rate-too-large": ("cannot-overfit-batch", "learning-rate-out-of-range"),
    "learning-rate-too-small": ("cannot-overfit-batch", "learning-rate-out-of-range"),
    "weight-decay-dominates": ("cannot-overfit-batch",),
    "output-ignores-input": ("cannot-overfit-batch", "inputs-unused"),
    "nothing-trained": ("cannot-overfit-batch", "inputs-unused"),
    "linear-after-linear": ("cannot-overfit-batch", "inputs-unused"),
    "safeguard-lost": ("cannot-overfit-batch",),
    "schedule-grows": ("cannot-overfit-batch", "learning-rate-out-of-range", "labels-by-chance"),
    "unseen-class": ("labels-by-chance",),
    "sorted-not-shuffled": ("labels-by-chance",),
    "not-in-optimizer": ("labels-by-chance", "inputs-unused", "cannot-overfit-batch"),
    "labels-cast": ("inputs-unused", "labels-by-chance"),
    "cannot-overfit-batch": ("learning-rate-out-of-range", "labels-by-chance"),
    "targets-unscaled": ("learning-rate-too-small", "learning-rate-too-large", "cannot-overfit-batch"),
    "codes-truncated": ("inputs-unused",),
    "mask-added": ("sees-future", "padding-counts"),
    "mask-turned": ("padding-counts", "output-ignores-input", "inputs-unused", "result-never-used"),
    "labels-of-other-mixture": ("target-unrelated", "labels-by-chance"),
    "penalty-subtracted": ("loss-with-wrong-sign", "learning-rate-too-large"),
    "norm-of-few": ("constant-activation", "output-ignores-input"),
    "bias-far-off": ("learning-rate-too-small", "learning-rate-too-large", "targets-unscaled"),
    "activation-is-linear": ("linear-after-linear",),
    "key-twice": ("linear-after-linear",),
    "layer-never-run": ("result-never-used", "layer-never-called"),
    "shortcut-detached": ("gradient-cut",),
    "stride-skips": ("output-ignores-input",),
    "same-tensor-twice": ("result-never-used", "output-ignores-input"),
    "table-never-learns": ("frozen-in-optimizer", "plain-tensor"),
    "head-frozen": ("frozen-in-optimizer",),
    "method-hidden": ("rule-failed",),
    "input-overwritten": ("output-ignores-input", "input-never-read"),
    "name-matches-nothing": ("frozen-in-optimizer", "learning-rate-too-small"),
    "layer-is-alias": ("linear-after-linear",),
    "softmax-hidden": ("vanishing-gradient",),
    "triplet-turned": ("loss-with-wrong-sign",),
    "variance-negative": ("step-fails",),
    "log-determinant": ("loss-with-wrong-sign",),
    "action-never-read": ("input-never-read",),
    "penalty-linear": ("loss-with-wrong-sign",),
    "state-carried": ("eval-noise",),
    "schedule-gives-rate": ("learning-rate-too-small", "cannot-overfit-batch"),
    "update-rebinds": ("step-missing", "average-never-moves", "cannot-overfit-batch"),
    "climbs-the-loss": ("learning-rate-too-large", "cannot-overfit-batch"),
    "progress-thrown-away": ("cannot-overfit-batch",),
    "steps-unread": ("result-never-used",),
    "one-direction": ("result-never-used",),
    "state-made-anew": ("result-never-used", "steps-unread"),
    "state-cut-each-step": ("result-never-used", "gradient-cut"),
    "mask-of-queries": ("padding-counts",),
    "indices-not-shifted": ("padding-counts", "batch-mixing"),
    "order-lost-in-evaluation": ("evaluation-varies",),
    "divides-by-unseen": ("evaluates-a-part",),
    "divides-by-batches": ("figure-off-by-batch-size",),
    "answers-misjudged": ("figure-off-by-batch-size", "mean-of-ratios"),
    "augmentation-changes-target": ("target-unrelated", "labels-by-chance"),
    "few-distinct-samples": ("one-sample", "unseen-class", "class-unused", "target-unrelated", "class-not-validated"),
    "ids-rounded": ("rounded-in-float32",),
    "index-ignored": ("target-unrelated",),
    "evaluation-remembers": ("evaluation-varies", "figure-off-by-batch-size", "average-of-batches"),
    "evaluates-other-model": ("mode-left-behind",),
    "argmax-over-batch": ("evaluation-fails", "answers-misjudged"),
    "broadcast-in-evaluation": ("answers-misjudged",),
    "evaluates-last-batch": ("answers-misjudged", "mean-of-ratios"),
    "scores-as-classes": ("answers-misjudged",),
    "logits-thresholded": ("answers-misjudged", "mean-of-ratios"),
    "threshold-out-of-range": ("answers-misjudged",),
    "evaluates-a-part": ("answers-misjudged",),
}
"""Rules by the rule that tells their cause: found anywhere beside it, they are part of its evidence."""


UNLEARNED = ("cannot-overfit-batch", "inputs-unused", "labels-by-chance")
"""What short trainings show of anything that makes outputs the same or stops their gradient."""
FOLLOWS |= {
    rule: (*follows, *UNLEARNED)
    for rule, follows in FOLLOWS.items()
    if {"output-ignores-input", "nothing-trained", "learning-rate-too-small"} & set(follows)
}


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without those that follow from others, and without repetitions at one line."""
    kept: list[Finding] = []
    all_found = list(findings)
    causes = {finding.rule for finding in all_found}
    for finding in all_found:
        cause = next((rule for rule in causes if finding.rule in FOLLOWS.get(rule, ())), None)
        if cause is None:
            kept.append(finding)
    told = {rule: [f.rule for f in all_found if f.rule in follows] for rule, follows in FOLLOWS.items()}
    return [_with(finding, told.get(finding.rule, [])) for finding in kept]


def _with(finding: Finding, followers: list[str]) -> Finding:
    if not followers:
        return finding
    more = f"hence also {', '.join(dict.fromkeys(followers))}"
    return replace(finding, evidence=f"{finding.evidence}; {more}" if finding.evidence else more)
