"""Reinforcement learning: what a step does with the actions, the old policy and the target network it has."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainkit.findings import Finding
from trainkit.inspection.loop.watching import watched
from trainkit.inspection.reading.parts import targets_of
from trainkit.inspection.recording import Fact, Op, flat
from trainkit.inspection.source import Line, called, tree, walk
from trainkit.inspection.step.climbing import climbs
from trainkit.inspection.step.likelihoods import RESIDUALS
from trainkit.inspection.step.policies import CHOICES, PRODUCTS, discounted, is_clip, is_log_of_choice, weighed
from trainkit.inspection.step.slopes import behind, sloped
from trainkit.inspection.step.view import View, seen
from trainkit.inspection.subject import Subject, found


def probabilities(subject: Subject) -> Iterator[Finding]:
    """Find the probability of an action where its logarithm is meant."""
    view = seen(subject)
    if view is None:
        return
    for op in view.path:
        if len(op.inputs) != 2 or op.name not in (*PRODUCTS, "sub"):
            continue
        for chance, other in (op.inputs, op.inputs[::-1]):
            made = _probability(view, chance)
            signed = other.low is not None and other.high is not None and other.low < 0
            if made is None or not signed or other.requires_grad or other.shape != chance.shape:
                continue
            if op.name == "sub" and (other.high or 0.0) > 0:
                continue  # no log-probability on the other side
            if op.name in PRODUCTS and ((other.high or 0.0) <= 0 or _is_divided(view, op, made) or _by_chance(other)):
                continue
            place, line = view.place(made, "log_prob")
            yield found(
                "probability-for-log",
                place,
                "is the probability of an action, and the loss takes it for its log-probability (log_prob): "
                "the policy gradient is that of log pi(a|s)",
                at=made.line or line,
                evidence=f"values from {chance.low:.3g} to {chance.high:.3g}, a softmax without its logarithm",
                effect="rare actions get almost no gradient: the estimate of the policy gradient is biased",
                fix="log_prob = torch.distributions.Categorical(logits=logits).log_prob(action)",
            )
            return


def _probability(view: View, fact: Fact) -> Op | None:
    """Return the operation that takes the probabilities of chosen actions; None if a tensor is not that."""
    chosen: Op | None = None
    fact, sign = behind(fact, frozenset(["squeeze", "view", "reshape", "unsqueeze", "flatten"]))
    while fact.maker is not None and fact.maker.inputs and fact.maker.name in (*CHOICES, "squeeze", "view", "reshape"):
        chosen = fact.maker if fact.maker.name in CHOICES else chosen
        fact = fact.maker.inputs[0]
    made = fact.maker
    if chosen is None or made is None or made.name != "softmax" or not chosen.outputs[0].requires_grad or sign < 0:
        return None
    several = len(chosen.inputs) > 1 and not chosen.inputs[1].dtype.is_floating_point
    return chosen if several and chosen.name in ("gather", "getitem", "take_along_dim") else None


def _is_divided(view: View, op: Op, made: Op) -> bool:
    """Say whether a probability is held against another, as an importance weight."""
    later = [item for item in view.path if item.number > made.number and item.name in ("div", "truediv")]
    return any(len(item.inputs) == 2 and made in view.recording.ancestors(item.outputs[0]) for item in later)


def _by_chance(fact: Fact) -> bool:
    """Say whether a weight was divided by a probability of each sample: an inverse propensity."""
    made = behind(fact)[0].maker
    if made is None or made.name not in ("div", "truediv") or len(made.inputs) != 2:
        return False
    chance = made.inputs[1]
    return chance.shape == fact.shape and (chance.low or 0.0) > 0 and (chance.high or 2.0) <= 1


def own_ratio(subject: Subject) -> Iterator[Finding]:
    """Find a ratio of a policy to itself, beside log-probabilities of the old one that nothing reads."""
    view = seen(subject)
    if view is None or subject.train_step is None:
        return
    for op in view.path:
        inner = op.inputs[0].maker if op.name == "exp" and op.inputs else None
        if inner is None or inner.name != "sub" or len(inner.inputs) != 2:
            continue
        (one, sign), (two, other) = behind(inner.inputs[0]), behind(inner.inputs[1])
        if one is not two or sign != other or not is_log_of_choice(view, inner.inputs[0]):
            continue
        old = next((item for item in _unread(view) if item.is_floating_point() and bool((item <= 0).all())), None)
        if old is None and not all(fact.requires_grad for fact in inner.inputs):
            continue  # the ratio of a single step on new data, which has the gradient of the policy
        place, line = view.place(op, "ratio")
        yield found(
            "ratio-of-itself",
            place,
            "divides the policy by itself: the ratio is always 1 and never clipped"
            + (
                "; the old log-probabilities, of the policy that gathered the data, are in the batch and never read"
                if old is not None
                else ", and its gradient is 0"
            ),
            at=inner.line or op.line or line,
            evidence="both log-probabilities are one tensor"
            + ("; a part of the batch, all values at most 0, is unused" if old is not None else ""),
            effect="PPO's limit on the change of the policy never acts, and old data are taken for new",
            fix="ratio = torch.exp(log_prob - old_log_prob)",
        )
        return


def entropy_bonus(subject: Subject) -> Iterator[Finding]:
    """Find a policy's loss that grows with its entropy."""
    view = seen(subject)
    if view is None or climbs(subject) or not any(weighed(view, op) is not None or is_clip(op) for op in view.path):
        return
    if not any(_negentropy(op) for op in view.path):
        return
    both = sloped(subject)
    for op in both[0].path if both is not None else ():
        assert both is not None
        slope = both[1].get(op.outputs[0].number) if op.outputs and _negentropy(op) else None
        if slope is None or not bool(slope.any()) or not bool((slope <= 0).all()):
            continue
        place, _ = both[0].place(op, "entropy")
        yield found(
            "entropy-minimised",
            place if place.startswith("train_step") else "train_step: entropy",
            "adds the entropy of the policy to the loss: the bonus has the wrong sign, and exploration is punished",
            at=_added(both[0], op) or op.line,
            evidence="the loss grows with the entropy of the actions",
            effect="the policy becomes certain too early and stops to explore",
            fix="loss = policy_loss + 0.5 * value_loss - 0.01 * entropy.mean()",
        )
        return


def _negentropy(op: Op) -> bool:
    """Say whether an operation sums p * log p over actions."""
    made = op.inputs[0].maker if op.name == "sum" and op.inputs else None
    if made is None or made.name not in PRODUCTS or len(made.inputs) != 2:
        return False
    one, two = (fact.tensor for fact in made.inputs)
    if one is None or two is None or one.shape != two.shape or not all(fact.requires_grad for fact in made.inputs):
        return False
    pairs = ((one, two), (two, one))
    return any(bool((a <= 0).all()) and torch.allclose(a.exp(), b, atol=1e-5) for a, b in pairs)


def _added(view: View, op: Op) -> Line | None:
    """Return the line where a term goes into a sum with others."""
    fact = op.outputs[0]
    while True:
        readers = [item for item in view.readers.get(fact.number, []) if item.number in view.on_path]
        if not readers:
            return None
        if len(readers[0].inputs) == 2 and readers[0].name in ("add", "sub", "radd", "rsub"):
            return readers[0].line
        fact = readers[0].outputs[0]


def actions(subject: Subject) -> Iterator[Finding]:
    """Find a step that is given the actions that were taken, and judges others."""
    view = seen(subject)
    if view is None or subject.train_step is None:
        return
    taken = [item for item in _unread(view) if _are_choices(item)]
    if not taken:
        return
    for op in view.path:
        drawn = op.name in ("gather", "take_along_dim") and len(op.inputs) > 1 and _is_drawn(op.inputs[1])
        best = op.name in ("max", "amax") and op.inputs and _is_predicted(view, op)
        if (not drawn and not best) or (drawn and (_is_judged(view, op) or not _fits(op, taken))):
            continue
        place, line = view.place(op, "action")
        what = "of actions drawn again in the step (sample)" if drawn else "of the best action (max)"
        yield found(
            "action-never-read",
            place,
            f"takes the value or log-probability {what}; the actions that were taken are in the batch and never read "
            "(unused): rewards are credited to other actions",
            at=op.line or line,
            evidence=f"a part of the batch with {int(taken[0].max()) + 1} different numbers is read by nothing",
            effect="returns say nothing about the actions that are made more likely",
            fix="log_prob = dist.log_prob(action), or q.gather(1, action[:, None])",
        )
        return


def _are_choices(values: Tensor) -> bool:
    whole = values.dtype in (torch.int64, torch.int32) and values.dim() <= 2 and values.numel() >= 8
    return whole and 0 <= int(values.min()) < int(values.max()) < 100 and len(values.unique()) == int(values.max()) + 1


def _is_drawn(fact: Fact) -> bool:
    maker = behind(fact)[0].maker
    while maker is not None and maker.name in ("broadcast_tensors", "long", "expand") and maker.inputs:
        maker = behind(maker.inputs[0])[0].maker
    return maker is not None and maker.name in ("multinomial", "randint", "argmax", "bernoulli", "sample")


def _fits(op: Op, taken: list[Tensor]) -> bool:
    """Say whether numbers that nothing reads may be actions: there is a value for each."""
    return bool(op.inputs[0].shape) and any(int(item.max()) < op.inputs[0].shape[-1] for item in taken)


def _is_judged(view: View, op: Op) -> bool:
    """Say whether a drawn action is also looked up or compared elsewhere: the step makes a reward of its own for it."""
    drawn = behind(op.inputs[1])[0].maker
    for other in view.recording.ops:
        looked = other.name in ("eq", "ne", "gather", "getitem", "take_along_dim", "index_select", "embedding")
        if not looked or other is op or len(other.inputs) < 2 or other.outputs[0].requires_grad:
            continue
        if any(made is drawn for fact in other.inputs for made in view.recording.ancestors(fact)):
            return True
    return False


def _is_predicted(view: View, op: Op) -> bool:
    """Say whether the greatest value is held against reward plus discounted value."""
    given = [*view.inputs, *view.targets]
    for sink in view.sinks(*RESIDUALS):
        if op.outputs[0].requires_grad and behind(sink.inputs[0])[0] in op.outputs:
            return discounted(given, behind(sink.inputs[1])[0]) is not None
        if op.outputs[0].requires_grad and op in view.recording.ancestors(sink.inputs[0]):
            return discounted(given, behind(sink.inputs[1])[0]) is not None
    return False


def _unread(view: View) -> list[Tensor]:
    """Return the parts of the batch, one row a sample, that no operation reads."""
    read = [fact.tensor for fact in (*view.inputs, *view.targets) if fact.tensor is not None]
    parts = [item for item in flat(view.subject.batch) if item.dim() > 0 and len(item) == view.size]
    return [item for item in parts if not any(item.shape == other.shape and torch.equal(item, other) for other in read)]


def target_network(subject: Subject) -> Iterator[Finding]:
    """Find a target network that is never brought up to date, or never asked."""
    view = seen(subject)
    if view is None or subject.train_step is None:
        return
    given = [*view.inputs, *view.targets]
    for op in view.sinks(*RESIDUALS):
        goal = behind(op.inputs[1])[0]
        if discounted(given, goal) is None:
            continue
        asked = {fact.name for made in view.recording.ancestors(goal) for fact in made.inputs if fact.name}
        followers = [path for path in _frozen(view) if _has_twin(view, path)]
        for path in followers:
            name = path.rpartition(".")[2]
            used = any(item.startswith(f"{path}.") for item in asked)
            if used and not _is_updated(subject, name) and not _moves(subject, path):
                yield _follower(view, path, used, goal)
                return
            if not used and not any(call.path == path for call in view.recording.calls) and asked:
                yield _follower(view, path, used, goal)
                return


def _follower(view: View, path: str, used: bool, goal: Fact) -> Finding:
    kind = type(view.model).__name__
    return found(
        "target-network-idle",
        f"{kind}.{path}",
        "is the target network of the bootstrapped values and is never updated: nothing copies the online network's "
        "weights to it (no sync, neither hard nor soft)"
        if used
        else "is a target network that is never used: the bootstrapped target asks the online network itself",
        severity="error" if used else "warning",
        at=view.subject.where_built(path) if used else _asked_at(view, goal),
        evidence="no statement outside of the constructor changes it" if used else "it is not called in the step",
        effect="targets stay those of a random network"
        if used
        else "the target moves with every step, and values may diverge",
        fix=f"{path}.load_state_dict(online.state_dict()) every few hundred steps, or lerp_ its parameters"
        if used
        else f"next_value = model.{path}(next_state).max(1).values",
    )


def _asked_at(view: View, goal: Fact) -> Line | None:
    """Return the line that calls the network whose values a target is built on."""
    made = {fact.number for op in view.recording.ancestors(goal) for fact in op.outputs}
    lines = [call.line for call in view.recording.calls if any(fact.number in made for fact in call.outputs)]
    return lines[-1] if lines else None


def _frozen(view: View) -> list[str]:
    """Return the paths of the outermost modules that no optimizer moves."""
    held = {id(p) for o in view.subject.optimizers for group in o.param_groups for p in group["params"]}
    paths: list[str] = []
    for path, module in view.subject.model.named_modules():
        weights = list(module.parameters())
        still = weights and not any(id(p) in held and p.requires_grad for p in weights)
        if path and still and not any(path.startswith(f"{other}.") for other in paths):
            paths.append(path)
    return paths


def _has_twin(view: View, path: str) -> bool:
    shapes = [tuple(p.shape) for p in view.model.get_submodule(path).parameters()]
    others = [module for name, module in view.model.named_modules() if name and not name.startswith(path)]
    return any([tuple(p.shape) for p in module.parameters()] == shapes for module in others)


def _moves(subject: Subject, path: str) -> bool:
    """Say whether a network follows another in the steps that were watched."""
    return any(path.split(".")[0] == name for name, _, _ in watched(subject).averages)


def _is_updated(subject: Subject, name: str) -> bool:
    """Say whether a function that is used, and is not what makes a module, touches its weights or asks for its name."""
    given = {getattr(thing, "__name__", "") for thing in (subject.train_step, subject.evaluate)} | {"train", "eval"}
    for file in subject.files:
        whole = tree(file)
        nodes = list(walk(whole)) if whole is not None else []
        used = given | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        used |= {node.id for node in nodes if isinstance(node, ast.Name)}
        making = {id(node) for maker in _makers(nodes, name) for node in walk(maker)}
        for function in nodes:
            named = isinstance(function, ast.FunctionDef) and id(function) not in making
            live = isinstance(function, ast.FunctionDef) and (function.name in used or function.name.startswith("__"))
            runs = isinstance(function, ast.Lambda) or (named and live)
            if runs and any(_touches(node, name) for node in walk(function)):
                return True
            if isinstance(function, ast.Call) and _asks_for(function, name):
                return True
    return False


def _makers(nodes: Sequence[ast.AST], name: str) -> Iterator[ast.AST]:
    """Yield the constructors of the classes that make a module of some name, and ``build``, which makes the model."""
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                makes = any(
                    isinstance(target, ast.Attribute) and target.attr == name
                    for inner in walk(method)
                    for target in targets_of(inner)
                )
                if isinstance(method, ast.FunctionDef) and method.name == "__init__" and makes:
                    yield method
        elif isinstance(node, ast.FunctionDef) and node.name == "build":
            yield node


def _asks_for(call: ast.Call, name: str) -> bool:
    """Say whether a call is given the name of a module, to find it by that."""
    texts = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    made = called(call).rpartition(".")[2] in ("add_module", "register_module", "print", "setattr", "hasattr")
    return not made and any(text.strip(".") == name or text.startswith(f"{name}.") for text in texts)


def _touches(node: ast.AST, name: str) -> bool:
    """Say whether an expression reads or sets something of a module, or passes it on, but for calling it."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute | ast.Name):
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else node.value.id
        return owner == name and node.attr not in ("eval", "train", "forward")
    if isinstance(node, ast.Call) and not called(node).endswith(f".{name}"):
        given = [*node.args, *(word.value for word in node.keywords)]
        attributes = [item.attr for item in given if isinstance(item, ast.Attribute)]
        return name in [*attributes, *(item.id for item in given if isinstance(item, ast.Name))]
    return False


RULES = (probabilities, own_ratio, entropy_bonus, actions, target_network)
