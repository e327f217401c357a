"""Actors and critics: which way an actor is pushed, what a critic is held against, and how certain a sample gets."""

from __future__ import annotations

from collections.abc import Iterator

from trainkit.findings import Finding
from trainkit.inspection.recording import Call, Fact, Op
from trainkit.inspection.source import Line, code_of, unparse
from trainkit.inspection.step.climbing import climbs
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.policies import discounted
from trainkit.inspection.step.slopes import behind, sloped
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found

COSTS = ("cost", "energy", "penalt", "regret", "risk")
"""Words for what is to be small."""
NORMAL = ("randn", "randn_like", "normal", "_standard_normal")


def actor(subject: Subject) -> Iterator[Finding]:
    """Find an actor that is trained to lower what its critic, which learns rewards, says of its actions."""
    view = seen(subject)
    if view is None or subject.train_step is None or not _judges(view) or _of_costs(subject):
        return
    both = sloped(subject)
    for call in both[0].recording.calls if both is not None else ():
        assert both is not None
        if call.path not in _judges(both[0]) or not call.inputs or len(call.outputs) != 1:
            continue
        slope = both[1].get(call.outputs[0].number)
        acted = call.inputs[0].requires_grad and _foreign(both[0], call)
        if not acted or slope is None or not bool(slope.any()) or not bool((slope >= 0).all()):
            continue
        readers = [op for op in both[0].readers.get(call.outputs[0].number, []) if op.number in both[0].on_path]
        yield found(
            "loss-with-wrong-sign",
            "train_step: actor: sign",
            "makes the critic's value of the actor's actions smaller: the actor's loss lacks a minus, and the return "
            "is minimised, not maximised",
            at=(readers[0].line if readers else None) or call.line,
            evidence=f"the gradient of the actor's loss in {call.path}'s value is positive for all {slope.numel()} "
            "samples",
            effect="the policy learns the worst actions",
            fix="actor_loss = -critic(state, actor(state)).mean()",
        )
        return


def _of_costs(subject: Subject) -> bool:
    """Say whether a step speaks of costs, which an actor is to lower."""
    code = code_of(subject.train_step)
    return code is not None and any(word in unparse(code.node).lower() for word in COSTS)


def _judges(view: View) -> set[str]:
    """Return the paths of networks that learn rewards of the batch by a residual loss."""
    given = [*view.inputs, *view.targets]
    paths = set[str]()
    for sink in view.sinks(*RESIDUALS):
        goal = behind(sink.inputs[1])[0]
        if goal not in given and discounted(given, goal) is None:
            continue
        maker = behind(sink.inputs[0])[0]
        paths |= {call.path for call in view.recording.calls if call.path and maker in call.outputs}
    return {path for path in paths if not any(path.startswith(f"{other}.") for other in paths)}


def _foreign(view: View, call: Call) -> bool:
    """Say whether what a network is given was made by weights that are not its own."""
    made = {fact.name for op in view.recording.ancestors(call.inputs[0]) for fact in op.inputs if fact.requires_grad}
    return any(name and not name.startswith(f"{call.path}.") for name in made)


def twins(subject: Subject) -> Iterator[Finding]:
    """Find a bootstrapped target that takes the larger of two critics."""
    view = seen(subject)
    if view is None or subject.train_step is None or _of_costs(subject):
        return
    given = [*view.inputs, *view.targets]
    for sink in view.sinks(*RESIDUALS):
        factors = discounted(given, behind(sink.inputs[1])[0])
        for fact in factors or ():
            op = fact.maker
            if op is None or op.name not in ("max", "maximum") or len(op.inputs) != 2:
                continue
            if any(not _networks(view, item) for item in op.inputs):
                continue
            place, line = view.place(op, "max")
            yield found(
                "larger-of-two-critics",
                place,
                "takes the max of two critics for the target, where twin critics are there for the min: the "
                "overestimation of values grows instead of being held back",
                severity="warning",
                at=op.line or line,
                evidence="both are values of the next state, from two networks",
                effect="errors of the critics that are too high are copied into all values",
                fix="target = reward + gamma * (1 - done) * torch.min(q1, q2)",
            )
            return


def _networks(view: View, fact: Fact) -> bool:
    return any(item.name for op in view.recording.ancestors(fact) for item in op.inputs)


def certainty(subject: Subject) -> Iterator[Finding]:
    """Find a sample whose own log-density a loss raises: it rewards certainty where it should reward entropy."""
    view = seen(subject)
    if view is None or climbs(subject) or not any(_own_density(op) for op in view.path):
        return
    both = sloped(subject)
    for op in both[0].path if both is not None else ():
        assert both is not None
        if not _own_density(op):
            continue
        squares = [item for item in both[0].readers.get(op.outputs[0].number, []) if item.name in ("pow", "square")]
        slope = both[1].get(squares[0].outputs[0].number) if squares else None
        if slope is None or not bool(slope.any()) or not bool((slope >= 0).all()):
            continue
        place, line = both[0].place(op, "log_prob")
        yield found(
            "entropy-minimised",
            place,
            "has the log_prob of its own sample with the wrong sign: the loss falls as the sample becomes certain, "
            "and the entropy (alpha, temperature) is to be rewarded",
            at=_weighed_at(both[0], op) or op.line or line,
            evidence="the gradient of the loss in the log-density of the sample is negative for all samples",
            effect="the distribution collapses to a point, and exploration ends",
            fix="actor_loss = (alpha * log_prob - q).mean()",
        )
        return


def _own_density(op: Op) -> bool:
    """Say whether an operation takes the mean off a sample that was drawn around that very mean."""
    if op.name != "sub" or len(op.inputs) != 2 or not all(fact.requires_grad for fact in op.inputs):
        return False
    (value, _), (mean, _) = behind(op.inputs[0]), behind(op.inputs[1])
    made = value.maker
    if made is None or made.name not in ("add", "radd") or len(made.inputs) != 2:
        return False
    ends = [behind(fact)[0] for fact in made.inputs]
    noise = [fact.maker for fact in ends if fact is not mean and fact.maker is not None]
    if mean not in ends or not noise or noise[0].name not in ("mul", "rmul"):
        return False
    drawn = [behind(fact)[0].maker for fact in noise[0].inputs]
    return any(item is not None and item.name in NORMAL for item in drawn)


def _weighed_at(view: View, op: Op) -> Line | None:
    """Return the line where the log-density meets another term of the loss, in the function of the user's step."""
    name = getattr(view.subject.train_step, "__name__", "")
    fact, line = op.outputs[0], None
    for _ in range(40):
        readers = [item for item in view.readers.get(fact.number, []) if item.number in view.on_path]
        if not readers or fact in view.losses:
            return line
        line = readers[0].line if readers[0].function == name else line
        fact = readers[0].outputs[0]
    return line


def own_target(subject: Subject) -> Iterator[Finding]:
    """Find a prediction that is held against a target made by subtracting it."""
    view = seen(subject)
    if view is None:
        return
    for sink in view.sinks(*RESIDUALS):
        guess, goal = behind(sink.inputs[0])[0], behind(sink.inputs[1])[0]
        made = goal.maker
        if made is None or made.name != "sub" or len(made.inputs) != 2 or behind(made.inputs[1])[0] is not guess:
            continue
        place, line = view.place(sink, "target")
        yield found(
            "target-holds-prediction",
            place,
            "is held against a target from which the prediction itself was subtracted (an advantage, returns - "
            "values): its fixed point is half of what it is to predict; the target is the return",
            at=sink.line or line,
            evidence="target = something - prediction",
            effect="values converge to half of the returns",
            fix="value_loss = F.mse_loss(values, returns)",
        )
        return


RULES = (actor, twins, certainty, own_target)
