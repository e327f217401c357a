"""Recurrent layers that read both ways: which states of theirs are taken for the whole sequence."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainkit.findings import Finding
from trainkit.inspection.recording import Call, Fact, Op
from trainkit.inspection.step.attention import wrong_end
from trainkit.inspection.step.view import seen
from trainkit.inspection.subject import Subject, found

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


RULES = (one_end,)
