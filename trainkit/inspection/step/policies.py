"""Reinforcement learning: the sign and the gradient of a policy's loss, and targets that are built on predictions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.recording import Fact, Op, flat
from trainkit.inspection.source import Line
from trainkit.inspection.step.climbing import climbs
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.losses import sums_to_one
from trainkit.inspection.step.slopes import behind, sloped
from trainkit.inspection.step.view import WEIGHT, View, seen, tensor_of
from trainkit.inspection.subject import Subject, found

RARE = 0.3
"""Share of ones below which a flag is taken for the end of an episode."""
CHOICES = ("gather", "getitem", "take_along_dim", "index_select", "cross_entropy", "nll_loss")
NEGATIVE = ("cross_entropy", "nll_loss")
"""Functions that give log-probabilities with their sign turned."""
PRODUCTS, SUMS = ("mul", "rmul"), ("add", "radd")


def advantages(subject: Subject) -> Iterator[Finding]:
    """Look at the log-probability of actions times a signed weight: who gets a gradient, and which way."""
    view = seen(subject)
    if view is None or not any(weighed(view, op) for op in view.path):
        return
    both = sloped(subject)
    for op in both[0].path if both is not None else ():
        assert both is not None
        pair = weighed(both[0], op)
        if pair is None:
            continue
        (logs, sign), weight = behind(pair[0]), pair[1]
        if logs.maker is not None and logs.maker.name in NEGATIVE:
            sign = -sign
        place, line = both[0].place(op, "advantage")
        slope, through = both[1].get(op.outputs[0].number), both[1].get(weight.number)
        if through is not None and weight.requires_grad and bool(through.any()):
            yield _cut_missing(op, place, line or both[0].loss_line)
            return
        way = _orientation(both[0], weight)
        if climbs(subject) or slope is None or way is None:
            continue
        if slope.any() and bool((slope * sign * way >= 0).all()):
            yield found(
                "loss-with-wrong-sign",
                place.replace("advantage", "sign"),
                "makes actions of positive advantage less likely: the policy's term lacks a minus, so the optimizer, "
                "which minimises, lowers the return",
                at=op.line or line or both[0].loss_line,
                evidence=f"the gradient of log_prob * advantage is positive for all {slope.numel()} samples",
                effect="the policy learns the worst actions",
                fix="loss = -(log_prob * advantage.detach()).mean()",
            )
            return


def _cut_missing(op: Op, place: str, line: Line | None) -> Finding:
    return found(
        "advantage-not-detached",
        place,
        "is not detached: the policy's term also trains the value function that the advantage was made from",
        at=op.line or line,
        evidence="log_prob * advantage sends a gradient into the advantage",
        effect="values are pushed to make the policy's loss small, not to predict the return",
        fix="advantage = (returns - values).detach()",
    )


def weighed(view: View, op: Op) -> tuple[Fact, Fact] | None:
    """Return the log-probability of chosen actions and its weight of both signs, if an operation multiplies these."""
    if op.name not in PRODUCTS or len(op.inputs) != 2 or op.inputs[0].shape != op.inputs[1].shape:
        return None
    for logs, weight in (op.inputs, op.inputs[::-1]):
        if weight.low is None or weight.high is None or not weight.low < 0 < weight.high:
            continue
        if logs.requires_grad and is_log_of_choice(view, logs) and not is_log_of_choice(view, weight):
            return logs, weight
    return None


def is_log_of_choice(view: View, fact: Fact) -> bool:
    chosen = False
    while fact.maker is not None and fact.maker.inputs:
        op = fact.maker
        chosen |= op.name in CHOICES
        if chosen and (op.name == "log_softmax" or "cross_entropy" in op.name or _normalises(op)):
            return WEIGHT in view.came(fact)
        before = behind(fact)[0]
        if before is fact:
            return False
        steps = [fact]
        while steps[-1] is not before and steps[-1].maker is not None:
            made = steps[-1].maker
            at = made.outputs.index(steps[-1]) if made.name == "broadcast_tensors" else 0
            chosen |= made.name in CHOICES
            steps.append(made.inputs[at])
        fact = before
    return False


def _normalises(op: Op) -> bool:
    """Say whether it takes the logarithm of the sum off its scores, as ``Categorical`` does."""
    if op.name != "sub" or len(op.inputs) != 2 or op.inputs[1].maker is None:
        return False
    return op.inputs[1].maker.name == "logsumexp"


def _orientation(view: View, fact: Fact) -> int | None:
    """Return 1 if a weight grows with what the data say, -1 if it falls, None if that cannot be told."""
    way = 1
    while True:
        fact, sign = behind(fact)
        way *= sign
        op = fact.maker
        if op is None:
            return way if fact in (*view.inputs, *view.targets) else None
        if op.name in ("div", "truediv") and op.inputs and (len(op.inputs) == 1 or (op.inputs[1].low or 0) > 0):
            fact = op.inputs[0]
        elif op.name == "sub" and len(op.inputs) == 2:
            one, two = op.inputs
            if any(one in made.inputs for made in view.recording.ancestors(two)):
                fact = one
            elif WEIGHT in view.came(two) and WEIGHT not in view.came(one):
                return way
            elif WEIGHT in view.came(one) and WEIGHT not in view.came(two):
                return -way
            else:
                return None
        else:
            return None


def ratios(subject: Subject) -> Iterator[Finding]:
    """Look at the clipped ratio of a policy to the one before: what it is of, and which bound the loss takes."""
    view = seen(subject)
    clips = [] if view is None else [op for op in view.path if is_clip(op)]
    if view is None or not clips:
        return
    op = clips[0]
    ratio, _ = behind(op.inputs[0])
    made = ratio.maker
    place, line = view.place(op, "ratio")
    if made is not None and made.name == "sub" and _are_logs(view, made):
        what, fix = "clips a difference of log-probabilities around 1: exp is missing", "ratio = (log_prob - old).exp()"
    elif made is not None and made.name == "exp" and _is_upside_down(view, made):
        what = "is the old policy over the new one: upside down, so good actions become less likely"
        fix = "ratio = (log_prob - old_log_prob).exp()"
    else:
        yield from _bound(subject, op)
        return
    yield found(
        "policy-ratio",
        place,
        what,
        at=(made.line if made is not None else None) or line,
        evidence=f"values from {ratio.low:.3g} to {ratio.high:.3g}, clipped to {_limits(op)}",
        effect="the policy is not moved towards what brought a higher return",
        fix=fix,
    )


def _limits(op: Op) -> tuple[float, float] | None:
    low, high = op.setting("min", 1), op.setting("max", 2)
    return (float(low), float(high)) if isinstance(low, int | float) and isinstance(high, int | float) else None


def is_clip(op: Op) -> bool:
    limits = _limits(op) if op.name in ("clamp", "clip") and op.inputs and op.inputs[0].requires_grad else None
    return limits is not None and 0.4 < limits[0] < 1 < limits[1] < 1.6


def _are_logs(view: View, op: Op) -> bool:
    return len(op.inputs) == 2 and is_log_of_choice(view, op.inputs[0])


def _is_upside_down(view: View, op: Op) -> bool:
    inner = behind(op.inputs[0])[0].maker
    if inner is None or inner.name != "sub" or len(inner.inputs) != 2:
        return False
    old, new = inner.inputs
    return not old.requires_grad and new.requires_grad and is_log_of_choice(view, new)


def _bound(subject: Subject, clip: Op) -> Iterator[Finding]:
    """Tell whether the loss takes the better of both bounds where it should take the worse."""
    both = sloped(subject)
    for op in both[0].path if both is not None else ():
        assert both is not None
        if op.name not in ("max", "maximum", "min", "minimum") or len(op.inputs) != 2:
            continue
        makers = [behind(fact)[0].maker for fact in op.inputs]
        if any(maker is None or maker.name not in PRODUCTS for maker in makers):
            continue
        clipped = [any(is_clip(made) for made in both[0].recording.ancestors(fact)) for fact in op.inputs]
        slope = both[1].get(op.outputs[0].number)
        if sorted(clipped) != [False, True] or slope is None or not slope.any():
            continue
        largest = op.name.startswith("max")
        if bool((slope <= 0).all() if largest else (slope >= 0).all()):
            place, line = both[0].place(op, op.name)
            yield found(
                "policy-ratio",
                place,
                f"takes the {op.name} of the clipped and the plain term where PPO takes the "
                f"{'min' if largest else 'max'} (or the sign is wrong): the limit on the ratio does not hold",
                at=op.line or line,
                evidence=f"{op.name} with a {'negative' if largest else 'positive'} gradient",
                effect="the policy may run away from the one that gathered the data",
                fix="loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()",
            )
            return


def bootstrapped(subject: Subject) -> Iterator[Finding]:
    """Look at targets of reward plus discounted prediction: no gradient, and none of it after the end."""
    view = seen(subject)
    if view is None:
        return
    given = [*view.inputs, *view.targets]
    for op in view.sinks(*RESIDUALS):
        goal, _ = behind(op.inputs[1])
        parts = discounted(given, goal)
        if parts is None:
            continue
        flags = [fact for fact in given if _is_flag(fact)]
        factors = [behind(fact)[0] for fact in parts]
        place, line = view.place(goal.maker, "target") if goal.maker is not None else ("loss: target", None)
        inverted = next((fact for fact in factors if fact in flags and _share(fact) < RARE), None)
        unread = _unread_flag(subject, given)
        if goal.requires_grad and op.inputs[1].requires_grad:
            what = "is not detached: the loss also has a gradient into the prediction that the target is built on"
            evidence, fix = "the target requires a gradient", "Compute the target under torch.no_grad()"
        elif inverted is not None:
            what = "goes on only where the episode has ended: the done mask is inverted"
            evidence, fix = f"a factor that is 1 for {_share(inverted):.0%} of the samples", "* (1 - done)"
        elif unread is not None and not any(_is_flag(fact) for fact in factors):
            what = "goes on beyond the end of an episode: the flag that says so (done) is never read"
            evidence, fix = f"a flag that is 1 for {unread:.0%} of the samples is unused", "* (1 - done)"
        else:
            continue
        yield found(
            "bootstrapped-target",
            place,
            what,
            at=(goal.maker.line if goal.maker is not None else None) or line,
            evidence=evidence,
            effect="the values run after themselves and do not become the discounted return",
            fix=fix,
        )
        return


def discounted(given: list[Fact], goal: Fact) -> list[Fact] | None:
    """Return the factors of the prediction in reward + discount * prediction, discount below 1."""
    if goal.maker is None or goal.maker.name not in SUMS or len(goal.maker.inputs) != 2:
        return None
    for reward, later in (goal.maker.inputs, goal.maker.inputs[::-1]):
        if behind(reward)[0] not in given:
            continue
        factors, numbers, waiting = list[Fact](), list[float](), [later]
        while waiting:
            fact = behind(waiting.pop())[0]
            if fact.maker is not None and fact.maker.name in PRODUCTS:
                waiting += fact.maker.inputs
                numbers += [float(item) for item in fact.maker.args if isinstance(item, int | float)]
            else:
                factors.append(fact)
        if any(0.5 < number < 1 for number in numbers):
            return factors
    return None


def _unread_flag(subject: Subject, given: list[Fact]) -> float | None:
    """Return the share of ones of a flag in the batch that nothing reads."""
    read = [fact.tensor for fact in given if fact.tensor is not None]
    for tensor in flat(subject.batch):
        values = tensor.float() if not tensor.is_complex() else torch.empty(0)
        if _flags(values) and not any(torch.equal(values, other.float()) for other in read):
            share = float(values.mean())
            if share < RARE:
                return share
    return None


def _is_flag(fact: Fact) -> bool:
    values = tensor_of(fact)
    return values is not None and _flags(values)


def _flags(values: Tensor) -> bool:
    if values.shape[1:] not in ((), (1,)) or values.numel() < 8:
        return False
    return bool(((values == 0) | (values == 1)).all()) and bool(values.any())


def _share(fact: Fact) -> float:
    values = tensor_of(fact)
    return 1.0 if values is None else float(values.mean())


def normalised_twice(subject: Subject) -> Iterator[Finding]:
    """Find probabilities that a categorical distribution takes for logits."""
    view = seen(subject)
    for op in view.path if view is not None else ():
        made = behind(op.inputs[0])[0].maker if op.name == "logsumexp" and op.inputs else None
        if view is None or made is None or made.name != "softmax":
            continue
        values = tensor_of(op.inputs[0])
        if values is None or values.shape[-1] < 2 or not sums_to_one(values, -1):
            continue
        place, line = view.place(op, "logits")
        yield found(
            "activation-twice",
            place,
            "takes the probabilities of a softmax for logits: Categorical(logits=...) normalises once more",
            at=line or op.line,
            evidence=f"logits from {op.inputs[0].low:.3g} to {op.inputs[0].high:.3g}, each row sums to 1",
            effect="no class can become likely: of two classes, none above 0.73",
            fix="Categorical(logits=scores), or Categorical(probs=scores.softmax(-1))",
        )
        return


RULES = (advantages, ratios, bootstrapped, normalised_twice)
