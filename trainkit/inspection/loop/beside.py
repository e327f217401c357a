"""What goes on beside the gradients of the user's steps: other networks, losses that stay behind, rates set by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.loop.copies import Copies
from trainkit.inspection.loop.following import functions, words_of
from trainkit.inspection.loop.graphs import kept
from trainkit.inspection.recording import flat, is_transformed
from trainkit.inspection.source import Line, code_of, own_line
from trainkit.inspection.subject import found, unpacked

if TYPE_CHECKING:
    from trainkit.inspection.loop.train_step import Step

WRITES = ("mul_", "lerp_", "copy_", "add_")
"""Methods by which an average takes in weights."""
MODED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
MOST = 20_000
"""Operations of a graph that are looked at."""


@dataclass(eq=False)
class Beside:
    """Notes taken during some steps.

    Attributes:
        others: Networks that the step holds besides the model, by name.
        in_train: Lines that ran one of these in train mode without gradients, by its name.
        called: Names of those that a step ran.
        lost: Losses with a graph, before the last backward or update of their step; what comes after is only shown.
        misled: Line at which targets in the data's order met inputs in another one.
        rates: The largest rate at each step.
        graphs: The graphs of what is kept from step to step, by name, after each step.
        pulled: Name of the network towards which the model's weights were moved, and by which share.
    """

    copies: Copies
    batch: Any = None
    others: dict[str, nn.Module] = field(default_factory=dict)
    first: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    in_train: dict[str, Line | None] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    lost: list[tuple[Any, Line | None]] = field(default_factory=list)
    recent: list[tuple[Any, Line | None]] = field(default_factory=list)
    reached: set[Any] = field(default_factory=set)
    order: Tensor | None = None
    misled: list[Line | None] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    stepped: dict[str, Tensor] = field(default_factory=dict)
    graphs: list[dict[str, list[Any]]] = field(default_factory=list)
    pulled: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        own, loss = set(self.copies.model.modules()), self.copies.loss
        self.others = {
            name: thing for name, thing in self.copies.networks.items() if thing not in own and thing is not loss
        }
        self.first = {name: _state(thing) for name, thing in self.others.items()}
        self.first[""] = _state(self.copies.model)
        for name, thing in self.others.items():
            thing.register_forward_pre_hook(lambda module, _, name=name: self._called(name, module))

    def _called(self, name: str, module: nn.Module) -> None:
        self.called.add(name)
        noisy = any(isinstance(part, MODED) and part.training for part in module.modules())
        if noisy and not torch.is_grad_enabled():
            self.in_train.setdefault(name, own_line())

    def begin(self, batch: Any) -> None:
        """Note the batch that a step gets."""
        self.batch, self.order, self.recent = batch, None, []
        self.stepped = {}

    def forward(self, args: Any) -> None:
        """Hold the model's inputs against the batch's: the same rows in another order?"""
        given, own = next(flat(args), None), next(flat(unpacked(self.batch)[0]), None)
        if given is not None and own is not None and given is not own and not is_transformed(given):
            self.order = _order(own, given)

    def loss(self, args: Any, value: Any) -> None:
        """Note a loss, and whether its targets follow the order of the inputs."""
        if is_transformed(value):
            return
        if isinstance(value, Tensor) and value.grad_fn is not None:
            self.recent.append((value.grad_fn, own_line()))
        target = unpacked(self.batch)[1]
        judged = args[1] if len(args) > 1 else None
        if self.order is None or not isinstance(judged, Tensor) or not isinstance(target, Tensor):
            return
        if judged.shape == target.shape and torch.equal(judged, target) and not torch.equal(target, target[self.order]):
            self.misled.append(own_line())

    def differentiated(self, losses: Any) -> None:
        """Note what backward, or torch.autograd.grad, goes through."""
        self._minded()
        waiting: list[Any] = [loss.grad_fn for loss in flat(losses)]
        while waiting and len(self.reached) < 20 * MOST:
            node = waiting.pop()
            if node is not None and node not in self.reached:
                self.reached.add(node)
                waiting += [following for following, _ in node.next_functions]

    def _minded(self) -> None:
        self.lost += self.recent
        self.recent = []

    def after(self, optimizer: Any) -> None:
        """Note rates and weights after a step of an optimizer."""
        self._minded()
        self.rates.append(max(float(group["lr"]) for group in optimizer.param_groups))
        self.stepped = {name: p.detach().clone() for name, p in self.copies.model.named_parameters()}

    def end(self) -> None:
        """Note what is kept with its graph, and whether the weights were moved once more, towards another network."""
        self.graphs.append(kept(self.copies))
        for name, other in self.others.items():
            theirs = dict(other.named_parameters())
            still = all(torch.equal(value, self.first[name][key]) for key, value in theirs.items())
            shares = [
                _share(p.detach(), self.stepped[key], theirs[key].detach())
                for key, p in self.copies.model.named_parameters()
                if key in theirs and key in self.stepped and theirs[key].shape == p.shape and p.dim() > 1
            ]
            if still and shares and all(share is not None and share > 0.005 for share in shares):
                self.pulled = (name, float(shares[0] or 0.0))


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _order(own: Tensor, given: Tensor) -> Tensor | None:
    """Return the permutation that makes of one batch the other; None if it is the same or there is none."""
    if own.shape != given.shape or own.dim() < 1 or len(own) < 4 or own.dtype != given.dtype:
        return None
    one, two = (batch.detach().reshape(len(batch), -1).double().sum(1) for batch in (own, given))
    first, second = one.argsort(), two.argsort()
    order = torch.empty_like(first)
    order[second] = first
    if torch.equal(order, torch.arange(len(own))) or len(one.unique()) < len(one):
        return None
    return order if torch.equal(own[order], given) else None


def _share(now: Tensor, before: Tensor, other: Tensor) -> float | None:
    """Return by which share of the way a tensor moved towards another."""
    way, moved = (other - before).double().flatten(), (now - before).double().flatten()
    length = float(way.square().sum())
    if length == 0 or not bool(moved.any()):
        return None
    share = float((way * moved).sum() / length)
    return share if float((moved - share * way).norm() / moved.norm()) < 1e-2 else None


def teacher_in_train(step: Step) -> Iterator[Finding]:
    """Tell of a fixed teacher that runs in train mode."""
    notes = step.seen.beside
    for name, line in notes.in_train.items() if notes is not None else ():
        assert notes is not None
        now = dict(notes.others[name].named_parameters())
        if any(not torch.equal(value, notes.first[name][key]) for key, value in now.items()):
            continue  # it follows the student
        kinds = sorted({type(m).__name__ for m in notes.others[name].modules() if isinstance(m, MODED) and m.training})
        yield found(
            "teacher-in-train",
            f"{step.place}: {name}",
            f"runs {name} in train mode: its {' and '.join(kinds)} work as in training, though nothing trains it",
            severity="warning",
            at=line or step.at,
            evidence=f"{name} is called without gradients, its weights never change, and training is True",
            effect="what it teaches is noisy, or depends on the other samples in the batch",
            fix=f"{name}.eval() once before training",
        )
        return


def average_without_buffers(step: Step) -> Iterator[Finding]:
    """Tell of an average of the weights whose buffers stay as they were."""
    notes = step.seen.beside
    code = code_of(step.subject.evaluate) if step.subject.evaluate is not None else None
    words = words_of(code.node) if code is not None else set()
    if "update_bn" in words:
        return  # it takes the statistics anew
    for name, other in notes.others.items() if notes is not None else ():
        assert notes is not None
        ours, theirs, then = notes.copies.model.state_dict(), other.state_dict(), notes.first[name]
        if set(ours) != set(theirs) or name in notes.in_train:
            continue
        keys = [key for key, value in other.named_buffers() if value.is_floating_point() and key in ours]
        stays = [key for key in keys if torch.equal(theirs[key], then[key])]
        moves = [key for key in stays if not torch.equal(ours[key], notes.first[""][key])]
        follows = any(not torch.equal(p, then[key]) for key, p in other.named_parameters())
        if follows and moves:
            yield found(
                "average-without-buffers",
                f"{step.place}: {name}",
                f"moves the weights of {name} and leaves its buffers as they were: {', '.join(moves[:3])}",
                severity="error" if name.rpartition(".")[2] in words else "warning",
                at=next((c.line(n) for c in functions(step) for n in c.calls(*WRITES)), step.at),
                evidence=f"{len(moves)} buffers (running statistics) never change in {name}, and do in the model",
                effect="averaged weights meet the statistics of the start: its evaluation is wrong",
                fix="Copy the buffers too: for a, b in zip(average.buffers(), model.buffers()): a.copy_(b)",
            )
            return


def pulled_back(step: Step) -> Iterator[Finding]:
    """Tell of an average that is written into the model which trains."""
    notes = step.seen.beside
    if notes is None or notes.pulled is None:
        return
    name, share = notes.pulled
    yield found(
        "average-into-model",
        f"{step.place}: {name}",
        f"moves the weights that are trained towards {name}, which never changes: the average goes into the model",
        at=step.call("copy_", "lerp_", "mul_", "add_") or step.at,
        evidence=f"after each step of the optimizer the weights go back by {share:.2g} of the way to {name}",
        effect="the model is held at its first weights",
        fix="average.lerp_(weight, 1 - decay): the average moves towards the model",
    )


def left_behind(step: Step) -> Iterator[Finding]:
    """Tell of losses that are computed and never go backward, beside others that do."""
    notes = step.seen.beside
    if notes is None or len(notes.lost) < 4:
        return
    away = [line for node, line in notes.lost if node not in notes.reached]
    if not away or len(away) == len(notes.lost) or len(away) < len(step.seen.steps) - 1:
        return
    yield found(
        "loss-left-behind",
        f"{step.place}: loss",
        "computes losses that no backward() goes through: each is overwritten by the next, or left out of the sum",
        severity="warning",
        at=away[0] or step.at,
        evidence=f"{len(away)} of {len(notes.lost)} losses with a graph, in {len(step.seen.steps)} steps",
        effect="their samples (or tasks) are never learnt from",
        fix="Add them up (total = total + loss) or call backward() on each; use torch.no_grad() for what is shown only",
    )


def misaligned(step: Step) -> Iterator[Finding]:
    """Tell of inputs that are shuffled without their targets."""
    notes = step.seen.beside
    if notes is None or len(notes.misled) < len(step.seen.steps) - 1 or not notes.misled:
        return
    yield found(
        "inputs-shuffled-alone",
        f"{step.place}: order",
        "gives the model the samples in another order than the loss gives their targets: labels are shuffled",
        at=step.call("randperm", "flip", "roll", "shuffle") or notes.misled[0] or step.at,
        evidence=f"in {len(notes.misled)} steps the inputs were a permutation of the batch, the targets were not",
        effect="nothing but the mean of the targets can be learnt",
        fix="order = torch.randperm(len(x)); x, y = x[order], y[order]",
    )


def rate_by_hand(step: Step) -> Iterator[Finding]:
    """Tell of a rate that the step itself lowers so fast that nothing is left soon."""
    from trainkit.inspection.step.trial import steps_ahead

    notes = step.seen.beside
    rates = notes.rates if notes is not None else []
    if len(step.subject.optimizers) != 1 or len(rates) < 4 or min(rates) <= 0:
        return
    factors = [two / one for one, two in itertools.pairwise(rates)]
    left = factors[0] ** (steps_ahead(step.subject) / 2)
    if max(factors) - min(factors) > 1e-6 or not 0 < factors[0] < 1 or left > 1e-4 or step.seen.events("schedule"):
        return
    yield found(
        "schedule-dies",
        f"{step.place}: lr",
        f"multiplies the rate by {factors[0]:.3g} at every step: it falls to nothing long before the end",
        at=step.at,
        evidence=f"rates {', '.join(f'{rate:.3g}' for rate in rates[:4])}; {steps_ahead(step.subject)} steps planned",
        effect="the rest of the run trains nothing",
        fix="Lower it once an epoch, or by less",
    )


RULES = (teacher_in_train, average_without_buffers, pulled_back, left_behind, misaligned, rate_by_hand)
