"""Random numbers that ``forward`` draws in evaluation too."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from trainkit.findings import Finding
from trainkit.inspection.reading.chance import MEANT, inside, is_meant
from trainkit.inspection.reading.observed import evaluation
from trainkit.inspection.reading.parts import Part, forward_parts
from trainkit.inspection.recording import Fact, Op, Recording
from trainkit.inspection.source import Line, called
from trainkit.inspection.subject import Subject, found

NOISE = {"randn", "rand", "randn_like", "rand_like", "normal", "uniform", "bernoulli", "randint", "randperm"}
NOISE |= {"exponential", "poisson", "randint_like", "gumbel_softmax", "cauchy", "log_normal", "geometric", "random"}
NOISE |= {"sample", "multinomial"}
GATES = ("softmax", "topk", "sigmoid", "sparsemax", "argmax")
LAYERS = ("linear", "conv1d", "conv2d", "conv3d")
COMPARING = ("sub", "rsub", "add", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "cross_entropy")


def noise(subject: Subject) -> Iterator[Finding]:
    """Find random numbers that change what the model gives in ``eval()``."""
    seen = evaluation(subject)
    if seen is None or not seen.varies:
        return
    recording = seen.recording
    reached = {op.number for fact in seen.outputs for op in recording.ancestors(fact)}
    told: set[Line] = set()
    for op in recording.ops:
        if op.name not in NOISE or not op.outputs or op.line is None or op.line in told:
            continue
        flows = any(user.number in reached for user in _users(recording, op)) or op.number in reached
        if not (flows or _steers(recording, op)) or _initial(op):
            continue
        told.add(op.line)
        part = next((part for part in forward_parts(subject) if inside(part, op.line)), None)
        meant = _sampled(recording, op, seen.outputs) or (part is not None and is_meant(part, MEANT))
        yield _noise_finding(op, part, meant and not (part is not None and _of_idle_scale(subject, op, part)))
    if told:
        return
    foreign = list(_foreign(subject))
    yield from foreign
    unseen = [
        op for op in recording.ops if op.name in NOISE and op.outputs and op.line is not None and not _initial(op)
    ]
    for op in unseen[:1] if not foreign else []:
        part = next((part for part in forward_parts(subject) if op.line is not None and inside(part, op.line)), None)
        if part is not None:
            yield _noise_finding(op, part, _sampled(recording, op, seen.outputs) or is_meant(part, MEANT))


def _noise_finding(op: Op, part: Part | None, meant: bool) -> Finding:
    assert op.line is not None
    place = part.place if part is not None else op.function
    name = _written(part, op)
    return found(
        "noise-in-eval",
        f"{place}: {name}",
        f"draws random numbers with {name} in eval() too, not only in training",
        severity="info" if meant else "error",
        at=op.line,
        evidence="two passes of one batch in eval() with two seeds differ",
        effect="it samples by design, so evaluations differ"
        if meant
        else "noise is added to every evaluation and prediction",
        fix="Seed the evaluation"
        if meant
        else f"Draw the noise only if self.training: {_shown(op.line)} -> if self.training: ...",
    )


def _shown(line: Line) -> str:
    return f"`{line.text}`"


def _written(part: Part | None, op: Op) -> str:
    if part is not None and op.line is not None:
        for call in part.calls():
            start, end = call.lineno, call.end_lineno or call.lineno
            if start <= op.line.line <= end and called(call).rpartition(".")[2].strip("_") == op.name:
                return called(call).rpartition(".")[2]
    return op.name


def _users(recording: Recording, op: Op) -> list[Op]:
    return [user for fact in op.outputs for user in recording.users(fact)]


def _initial(op: Op) -> bool:
    """Say whether the op initialises a weight that forward makes: another rule tells that."""
    return op.in_place and bool(op.inputs) and op.inputs[0].requires_grad


def _steers(recording: Recording, op: Op) -> bool:
    """Say whether a draw decides in Python what runs, as ``if torch.rand(1) < p`` does."""
    facts, waiting = set(), list(op.outputs)
    while waiting:
        fact = waiting.pop()
        for user in recording.users(fact):
            if not user.outputs:
                return True
            waiting += [made for made in user.outputs if made.number not in facts]
            facts |= {made.number for made in user.outputs}
    return False


def _sampled(recording: Recording, op: Op, outputs: tuple[Fact, ...]) -> bool:
    """Say whether the draw is what the model is for: a latent, an action, a mask or noise that it gives."""
    if op.name in ("multinomial", "gumbel_softmax") or any(fact.requires_grad for fact in op.inputs):
        return True  # drawn of what the model computed
    if op.name in ("randint", "randperm"):
        return len(outputs) > 1 or any(fact.shape == () for fact in outputs)
    if _is_answer(recording, op):
        return True
    for user in _users(recording, op):
        if _reparameterises(recording, op, user) or user.name in ("cat", "concat"):
            return True
        if user.name in ("linear", "conv2d", "conv_transpose2d") and user.module != "":
            return True  # a generator, fed with noise alone
    if any(fact.shape == () and fact.dtype.is_floating_point for fact in outputs):
        return True  # the model computes its loss itself
    return len(outputs) > 1 and any(_bare(recording, op, fact) for fact in outputs)


def _of_idle_scale(subject: Subject, op: Op, part: Part) -> bool:
    """Say whether noise is scaled by what the model computes for that alone, and drawn for a gate.

    Of a latent that is sampled by design, mean and deviation are given out or stand in the loss, or it is decoded.
    """
    if not subject.runs or is_meant(part, MEANT) or op.name not in ("randn", "randn_like", "normal"):
        return False
    trace = subject.trace
    if len(trace.outputs) != 1 or not trace.target or not trace.inputs:
        return False
    if trace.target[0].shape == trace.inputs[0].shape and trace.target[0].dtype.is_floating_point:
        return False  # it gives back its input, as an encoder's latent lets it
    drawn = next((each for each in trace.recording.ops if each.line == op.line and each.name == op.name), None)
    scaling = _users(trace.recording, drawn) if drawn is not None and drawn.outputs else []
    if len(scaling) != 1 or not _reparameterises(trace.recording, op, scaling[0]):
        return False
    summed = [after for after in _users(trace.recording, scaling[0]) if after.name in ("add", "sub")]
    if not any(after.name in GATES for each in summed for after in _users(trace.recording, each)):
        return False
    fact = next(fact for fact in scaling[0].inputs if fact.requires_grad)
    for _ in range(4):
        if len(trace.recording.users(fact)) != 1 or fact.maker is None or fact in trace.outputs:
            return False
        if fact.maker.name in LAYERS:
            return True
        fact = fact.maker.inputs[0] if fact.maker.inputs else fact
    return False


def _is_answer(recording: Recording, op: Op) -> bool:
    """Say whether the bare noise is held against what came of it: it is what the model is to tell."""
    bare = {fact.number for fact in op.outputs}
    mixed: set[int] = set()
    for user in recording.ops[op.number + 1 :]:
        given = {fact.number for fact in user.inputs if fact.maker is not None or fact.shape}
        made = {fact.number for fact in user.outputs}
        if given & bare and given & mixed and user.name in COMPARING:
            return True
        if given & mixed or (given & bare and not given <= bare):
            mixed |= made
        elif given & bare:
            bare |= made
    return False


def _reparameterises(recording: Recording, op: Op, user: Op) -> bool:
    """Say whether normal noise is scaled by something learnt, and added: ``mean + std * noise``."""
    if op.name not in ("randn", "randn_like", "normal") or user.name not in ("mul", "addcmul"):
        return False
    added = user.name == "addcmul" or any(after.name in ("add", "sub") for after in _users(recording, user))
    return added and any(fact.requires_grad for fact in user.inputs)


def _bare(recording: Recording, op: Op, output: Fact) -> bool:
    """Say whether an output came from the draw without weights in between."""
    ancestors = recording.ancestors(output)
    if op.number not in {item.number for item in ancestors}:
        return False
    return not any(fact.requires_grad for item in ancestors for fact in item.inputs)


def _foreign(subject: Subject) -> Iterator[Finding]:
    """Yield draws of numpy and random, which are no operations of torch."""
    for part in forward_parts(subject):
        for call in part.calls():
            meaning = part.meaning(call)
            owner = getattr(meaning, "__self__", None)
            of_numpy = isinstance(owner, np.random.RandomState | np.random.Generator)
            if (of_numpy or isinstance(owner, random.Random)) and not part.guarded(call):
                name = called(call)
                yield found(
                    "noise-in-eval",
                    f"{part.place}: {name}",
                    f"draws random numbers with {name} in eval() too, not only in training",
                    at=part.line(call),
                    evidence="two passes of one batch in eval() with two seeds differ",
                    effect="noise is added to every evaluation and prediction",
                    fix="Draw only if self.training",
                )
                return


RULES = (noise,)
