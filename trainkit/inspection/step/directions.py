"""Recurrent layers that read both ways: which states of theirs are taken for the whole sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Call, Fact, Op
from trainkit.inspection.step.attention import wrong_end
from trainkit.inspection.step.view import seen
from trainkit.inspection.subject import Subject, found

STEPS = 3
"""Calls of a cell that make a loop over time."""
TAKING = ("getitem", "select", "gather", "index_select", "take_along_dim", "squeeze", "cat", "stack")
"""Operations that may take the states out."""


def one_end(subject: Subject) -> Iterator[Finding]:
    """Find the last output of a bidirectional layer, in which the backward half has read one step only."""
    view = seen(subject)
    if view is None or any(wrong_end(subject)):
        return
    for call in view.recording.calls:
        module = call.module
        if not isinstance(module, nn.RNNBase) or not module.bidirectional or module.proj_size or len(call.outputs) < 2:
            continue
        states = _states(call)
        if states is None:
            continue
        for op in view.path:
            if op.name not in TAKING or not op.own or not op.outputs:
                continue
            if _is_half_read(op.outputs[0], *states) and call.outputs[0] in _before(
                view.recording.ancestors(op.outputs[0])
            ):
                place, line = view.place(op, "last output")
                yield found(
                    "wrong-end-of-sequence",
                    place,
                    f"takes the last output of {call.path}, which is bidirectional: there the backward half has read "
                    "one step only",
                    severity="warning",
                    at=line or op.line,
                    evidence="its first half is the final state forward, its second half not the final state backward",
                    effect="half of the features see one step of the sequence",
                    fix="Take the final states: torch.cat([h_n[-2], h_n[-1]], dim=1)",
                )
                return


def _before(ops: list[Op]) -> list[Fact]:
    return [fact for op in ops for fact in op.inputs]


def _states(call: Call) -> tuple[Tensor, Tensor] | None:
    """Return the last layer's final states, forward and backward."""
    count = 2 if isinstance(call.module, nn.LSTM) else 1
    tensor = call.outputs[-count].tensor
    if tensor is None or tensor.dim() != 3 or tensor.shape[0] % 2:
        return None
    return tensor[-2], tensor[-1]


def _is_half_read(fact: Fact, forward: Tensor, backward: Tensor) -> bool:
    taken, width = fact.tensor, forward.shape[-1]
    if taken is None or fact.shape != (forward.shape[0], 2 * width) or taken.shape != fact.shape:
        return False
    same = torch.allclose(taken[:, :width], forward, atol=1e-6)
    return same and not torch.allclose(taken[:, width:], backward, atol=1e-3)


def one_direction(subject: Subject) -> Iterator[Finding]:
    """Find a bidirectional layer of which one direction's final state alone is read."""
    view = seen(subject)
    if view is None:
        return
    for call in view.recording.calls:
        module = call.module
        if not isinstance(module, nn.RNNBase) or not module.bidirectional or len(call.outputs) < 2:
            continue
        states = call.outputs[-2:] if isinstance(module, nn.LSTM) else call.outputs[-1:]
        readers = [op for fact in call.outputs for op in view.readers.get(fact.number, []) if op.number in view.on_path]
        taking = [op for op in readers if op.name == "getitem" and op.inputs[0] in states and op.own]
        if len(readers) != 1 or not taking or not isinstance(key := taking[0].args[1], int):
            continue
        place, line = view.place(taking[0], "h_n")
        half = "backward" if key % 2 or key == -1 else "forward"
        yield found(
            "one-direction",
            place,
            f"takes h_n[{key}] of {call.path}, which is bidirectional: the final state of its {half} direction alone, "
            "the other direction is never used",
            severity="warning",
            at=line or taking[0].line,
            evidence=f"h_n holds {module.num_layers} x 2 states, layer by layer, forward then backward; one is read",
            effect=f"half of the last layer's weights get no gradient, and the model reads the sequence {half} only",
            fix="torch.cat([h_n[-2], h_n[-1]], dim=1), and a head for twice the hidden size",
        )
        return


def state_anew(subject: Subject) -> Iterator[Finding]:
    """Find a cell that is called step by step, and given a fresh or detached state each time."""
    view = seen(subject)
    if view is None:
        return
    by_path: dict[str, list[Call]] = defaultdict(list)
    for call in view.recording.calls:
        if isinstance(call.module, nn.RNNCellBase | nn.RNNBase):
            by_path[call.path].append(call)
    for path, calls in by_path.items():
        if len(calls) < STEPS or len({call.inputs[0].number for call in calls if call.inputs}) < len(calls) // 2:
            continue
        if any(isinstance(call.module, nn.RNNBase) and not _is_one_step(call.module, call.inputs[0]) for call in calls):
            continue
        states = [call.inputs[1:] for call in calls[1:]]
        cell, name = calls[1], type(calls[1].module).__name__
        made = cell.outputs[0].maker if cell.outputs else None
        place = view.place(made, path)[0] if made is not None else path
        if all(fact.low == 0.0 and fact.high == 0.0 for state in states for fact in state):
            yield found(
                "state-made-anew",
                place,
                f"gives {path} ({name}) a fresh state of zeros in every step: there is no recurrence, and no memory of "
                "previous steps",
                at=cell.line,
                evidence=f"{len(calls)} calls, the hidden state is 0 in all of them",
                effect="an output knows its own step only; the recurrent weights get no gradient",
                fix="Make the state once before the loop, and pass on what the cell gave: h = cell(x[:, t], h)",
            )
            return
        if all(_is_cut(state, earlier) for state, earlier in zip(states, calls, strict=False)):
            cuts = [fact.maker for fact in states[0] if fact.maker is not None]
            yield found(
                "state-cut-each-step",
                place,
                f"gives {path} ({name}) a detached state in every step: no gradient flows back in time, to earlier "
                "steps",
                at=cuts[0].line if cuts else cell.line,
                evidence=f"{len(calls)} calls, the state is detached between all of them",
                effect="nothing learns what to keep in memory (back-propagation through time of one step)",
                fix="h = cell(x[:, t], h); detach between batches of one stream only, or every so many steps",
            )
            return


def _is_one_step(module: nn.RNNBase, fact: Fact) -> bool:
    """Say whether a layer is given one step of time, and no whole sequence, such as one sample at a time."""
    return fact.shape[1 if module.batch_first and len(fact.shape) == 3 else 0] == 1


def _is_cut(state: tuple[Fact, ...], earlier: Call) -> bool:
    """Say whether a state holds what the call before gave, without its gradient."""
    if not state or any(fact.requires_grad for fact in state):
        return False
    makers = [fact.maker for fact in state if fact.maker is not None and fact.maker.name in ("detach", "data")]
    return len(makers) == len(state) and all(maker.inputs[0] in earlier.outputs for maker in makers)


RULES = (one_end, one_direction, state_anew)
