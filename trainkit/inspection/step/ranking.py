"""Scores that are named positive and negative: which of them a loss raises."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import torch

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.source import Code, code_of, unparse, walk
from trainkit.inspection.step.slopes import behind, sloped
from trainkit.inspection.step.terms import where
from trainkit.inspection.step.view import SHAPING, View, seen
from trainkit.inspection.subject import Subject, found

DISTANCES = frozenset(["norm", "vector_norm", "linalg_vector_norm", "cdist", "pairwise_distance", "dist"])
SUMMING = ("sqrt", "sum", "mean", "add", "clamp", "clamp_min")
CHOOSING = ("masked_fill", "where", "max", "min", "amax", "amin", "topk", "sort", "getitem", "gather", "masked_select")
"""Operations that choose among numbers, and leave what they measure: a loss mines the hardest pairs by them."""
FAR = ("dist", "far", "d_")
"""Parts of names of distances."""


def named(subject: Subject) -> Iterator[Finding]:
    """Find a loss that lowers the score of what it calls positive, and raises that of what it calls negative."""
    code = _code(subject)
    view = seen(subject) if code is not None and _pairs(code) else None
    both = sloped(subject) if view is not None else None
    if view is None or code is None or both is None:
        return
    recorded, slopes = both
    for one, two, function in _pairs(code):
        facts = [_fact(recorded, code, function, item, subject) for item in (one, two)]
        if facts[0] is None or facts[1] is None or facts[0].shape != facts[1].shape or _of_energies(subject, function):
            continue
        up, down = slopes.get(facts[0].number), slopes.get(facts[1].number)
        if up is None or down is None or not bool(up.any()) or not bool(down.any()):
            continue
        way = -1 if _is_distance(facts[0], one) else 1
        terms = any(item is not None and _is_term(item) for item in facts)
        both_up = not terms and bool((way * up <= 0).all()) and bool((way * down <= 0).all())
        if both_up and bool((way * up < 0).float().mean() > 0.9) and bool((way * down < 0).float().mean() > 0.9):
            yield _raised(recorded, view, one, two, facts[1])
            return
        if not bool((way * up >= 0).all()) or not bool((way * down <= 0).all()):
            continue
        reader = next((op for op in recorded.path if op.name in ("sub", "rsub") and _reads(facts, op.inputs)), None)
        place, line = where(recorded, reader, "sign") if reader is not None else ("loss: sign", None)
        kind = "distance" if way < 0 else "score"
        yield found(
            "ranking-turned",
            place,
            f"has the wrong sign: it makes the {kind} of {one}, the positive, {'larger' if way < 0 else 'lower'} and "
            f"that of {two}, the negative, {'smaller' if way < 0 else 'higher'}; they are swapped",
            at=line or view.loss_line,
            evidence=f"for all {up.numel()} pairs a step moves {one} away from {two} the wrong way",
            effect="the ranking is trained upside down: negatives come first",
            fix=f"loss = -F.logsigmoid({one} - {two}).mean()"
            if way > 0
            else f"loss = F.relu({one} - {two} + margin).mean()",
        )
        return


def _raised(recorded: View, view: View, one: str, two: str, fact: Fact) -> Finding:
    readers = [op for op in recorded.readers.get(fact.number, []) if op.number in recorded.on_path]
    place, line = where(recorded, readers[0], "sign") if readers else ("loss: sign", None)
    return found(
        "ranking-turned",
        place,
        f"raises the score of {two}, the negative, as it does that of {one}, the positive: the sign of the negative "
        "term is missing",
        at=line or view.loss_line,
        evidence="a step raises both, for more than 90% of the pairs",
        effect="all scores grow, and positives are not told from negatives",
        fix=f"loss = -F.logsigmoid({one}).mean() - F.logsigmoid(-{two}).mean()",
    )


def _code(subject: Subject) -> Code | None:
    return code_of(subject.train_step or subject.loss)


def _pairs(code: Code) -> list[tuple[str, str, ast.FunctionDef]]:
    """Return the names of a positive and a negative that differ in nothing else, with their function."""
    pairs: list[tuple[str, str, ast.FunctionDef]] = []
    for function in walk(code.node):
        if not isinstance(function, ast.FunctionDef):
            continue
        names = {node.id for node in walk(function) if isinstance(node, ast.Name)}
        for name in sorted(names):
            for mine, other in (("positive", "negative"), ("pos", "neg")):
                twin = name.replace(mine, other)
                if mine in name and twin in names:
                    pairs.append((name, twin, function))
                    break
    return pairs


def _fact(view: View, code: Code, function: ast.FunctionDef, name: str, subject: Subject) -> Fact | None:
    """Return the scores that a function gives a name: an output of the model, or what a line computed."""
    for node in walk(function):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Name) and subject.train_step is None:
            names = [item.id if isinstance(item, ast.Name) else "" for item in target.elts]
            given = function.args.args[1 if function.args.args[0].arg == "self" else 0].arg
            if name in names and node.value.id == given and len(names) == len(view.outputs):
                return _score(view.outputs[names.index(name)])
        if isinstance(target, ast.Name) and target.id == name:
            first, last = code.line(node).line, code.line(node).line + (node.end_lineno or node.lineno) - node.lineno
            made = [op for op in view.path if op.line is not None and first <= op.line.line <= last and op.outputs]
            made = [op for op in made if op.line is not None and op.line.file == code.line(node).file]
            return _score(made[-1].outputs[0]) if made else None
    return None


def _score(fact: Fact) -> Fact | None:
    """Return scores that are one number a pair."""
    return fact if fact.shape and torch.Size(fact.shape).numel() == fact.shape[0] and fact.requires_grad else None


def _of_energies(subject: Subject, function: ast.FunctionDef) -> bool:
    """Say whether scores are energies, which are low for what is real."""
    return "energ" in f"{type(subject.model).__name__} {unparse(function)}".lower()


def _is_term(fact: Fact) -> bool:
    """Say whether a tensor has one sign, as a log-likelihood or a loss of each sample has, and is no score."""
    return fact.low is None or fact.high is None or fact.low >= 0 or fact.high <= 0


def _is_distance(fact: Fact, name: str) -> bool:
    inner, sign = behind(fact, frozenset(SHAPING))
    made = inner.maker
    if made is not None and made.name == "rsub" and len(made.inputs) == 1:  # a number less a similarity
        inner, more = behind(made.inputs[0], frozenset(SHAPING))
        made, sign = inner.maker, -sign * more
    while made is not None and (made.name in (*SUMMING, *CHOOSING) or _is_masked(made)) and made.inputs:
        if made.name == "sqrt":
            return sign > 0
        before = next((item for item in made.inputs if item.requires_grad), made.inputs[0]).maker
        if before is not None and before.name in ("pow", "square", "abs"):
            return sign > 0
        made = before
    if made is not None and made.name in DISTANCES:
        return sign > 0
    return sign < 0 or any(part in name.lower() for part in FAR)


def _is_masked(op: Op) -> bool:
    """Say whether an operation multiplies by a mask, or by something else that turns no sign."""
    masks = [fact for fact in op.inputs if not fact.requires_grad]
    if op.name not in ("mul", "rmul") or len(masks) != 1:
        return False
    return masks[0].dtype == torch.bool or (masks[0].low is not None and masks[0].low >= 0)


def _reads(facts: list[Fact | None], inputs: tuple[Fact, ...]) -> bool:
    numbers = {behind(item, frozenset(SHAPING))[0].number for item in inputs} | {item.number for item in inputs}
    return all(fact is not None and fact.number in numbers for fact in facts)


RULES = (named,)
