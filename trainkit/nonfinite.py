"""Bad numbers: a loss or gradient that is NaN or infinite is caught before the optimizer makes weights of it."""

from __future__ import annotations

from math import isfinite

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainkit.errors import TrainingError
from trainkit.settings import Settings
from trainkit.state import Counters


class NonFinite(TrainingError):
    """A loss or a gradient is NaN or infinite.

    Args:
        what: Such as ``the loss is nan``.
        step: The optimizer step, counted from 1, that was not taken because of it.
        epoch, batch: Where its window of batches begins, both counted from 0.
        loss: The loss that was not finite, if it was the loss.
    """

    def __init__(self, what: str, step: int, epoch: int, batch: int, loss: float | None = None) -> None:
        super().__init__(f"step {step}: {what}")
        self.what, self.step, self.epoch, self.batch, self.loss = what, step, epoch, batch, loss


class Guard:
    """Says before each optimizer step whether its loss and gradients are finite, and what is to be done if not.

    On the CPU it looks at once. On a device it looks at once too where it has to decide (``skip``, ``rollback``, or an
    optimizer that cannot be held back); otherwise nothing waits: the check stays on the device, a fused optimizer
    takes it as ``found_inf``, as it does from ``torch.amp.GradScaler``, and leaves weights and moments alone from the
    bad step on, until :meth:`look` reads it. Under a loss scaler gradients may overflow, which is the scaler's
    business; there the losses alone are checked.

    Args:
        settings: ``on_nonfinite`` and ``nonfinite_limit`` are read.
        optimizer: The one that is to be held back.
        counters: Where the run stands; steps with bad numbers are counted there.
        device: Where the gradients are.
    """

    def __init__(self, settings: Settings, optimizer: Optimizer, counters: Counters, device: torch.device) -> None:
        self._action, self._limit, self._counters = settings.on_nonfinite, settings.nonfinite_limit, counters
        self._window = settings.accumulate_grad_batches
        self._scaled = settings.precision == "fp16"
        self.left_out: NonFinite | None = None
        """Why the step that was just tried is left out; for whoever looks into it, and takes it away."""
        self.tells = True
        """Whether somebody looks into it."""
        self.rollback = False
        """Whether the run has to go back to its last checkpoint now."""
        self._one = torch.ones((), device=device)
        self._kernel = device.type in ("cpu", "cuda")  # that of MPS does not take every type of number
        self._found, self._since = torch.zeros_like(self._one), torch.zeros_like(self._one)
        fused = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self._late = self._action == "stop" and device.type == "cuda" and fused and not self._scaled
        if self._late:
            optimizer.found_inf = self._found  # type: ignore[attr-defined]
        self._kept: dict[str, Tensor] = {}

    @property
    def is_late(self) -> bool:
        """Whether a bad step may be some steps ago when it is told."""
        return self._late

    def keep(self, model: nn.Module) -> None:
        """Remember the buffers before a step that may be left out: a batch norm would go on with its NaN."""
        if self._action == "skip":
            self._kept = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def put_back(self, model: nn.Module) -> None:
        """Give the buffers the values that they had before the step; going back to a checkpoint needs no such thing."""
        for name, buffer in model.named_buffers():
            if name in self._kept:
                buffer.copy_(self._kept[name])

    def passes(self, losses: list[Tensor], gradients: list[Tensor]) -> bool:
        """Say whether the optimizer may step.

        Args:
            losses: Those of the window, scalars without a graph.
            gradients: The gradients, or their norm alone.

        Raises:
            NonFinite: If they are not finite, and ``on_nonfinite`` is ``stop`` or the limit is reached.
        """
        if self._late:
            self._check([*losses, *gradients])
            self._since.add_(self._found)
            return True
        for loss in losses:
            if not isfinite(loss.item()):  # host-device sync
                break
        else:
            if not self._scaled:
                self._check(gradients)
            if not self._found.item():
                self._counters.nonfinite_in_a_row = 0
                return True
            self._found.zero_()
        bad = next((loss.item() for loss in losses if not isfinite(loss.item())), None)
        if bad is not None:
            self._caught(f"the loss is {bad}", bad)
        elif len(gradients) == 1 and gradients[0].numel() == 1:
            self._caught(f"the gradient norm is {gradients[0].item()}")
        else:
            self._caught("a gradient is not finite")
        return False

    def look(self) -> None:
        """Read the check where it is late. Synchronises; to be called at each log, validation and save.

        Raises:
            NonFinite: For the step that was the first to be held back.
        """
        if self._late and (since := int(self._since.item())):
            self._found.zero_()  # the optimizer may be used again: whoever caught the error may have mended its cause
            self._since.zero_()
            self._fail("the loss or a gradient is not finite", since)

    def _check(self, tensors: list[Tensor]) -> None:
        """Set the flag, in one pass over the tensors, if one holds a NaN or an infinity; it stays set."""
        if not self._kernel:
            finite = torch.stack([tensor.isfinite().all() for tensor in tensors]).all()
            self._found.masked_fill_(~finite, 1.0)
            return
        try:
            for some in _by_type(tensors) if self._one.is_cuda else (tensors,):
                torch._amp_foreach_non_finite_check_and_unscale_(some, self._found, self._one)
        except NotImplementedError:  # sparse or complex gradients
            for some in _by_type([_real_values(tensor) for tensor in tensors]):
                torch._amp_foreach_non_finite_check_and_unscale_(some, self._found, self._one)

    def _caught(self, what: str, loss: float | None = None) -> None:
        counters = self._counters
        counters.nonfinite += 1
        counters.nonfinite_in_a_row += 1
        if self._action == "stop":
            self._fail(what, loss=loss)
        if counters.nonfinite_in_a_row >= self._limit:
            self._fail(f"{what}, the last of {self._limit} in a row (trainer.nonfinite_limit)", loss=loss)
        if self.tells:
            self.left_out = NonFinite(what, counters.step + 1, counters.epoch, counters.batch, loss)
        self.rollback = self._action == "rollback"

    def _fail(self, what: str, held_back: int = 0, loss: float | None = None) -> None:
        """Raise for the step at hand, or the first of those that were ``held_back`` though they were counted."""
        counters = self._counters
        batch = max(counters.batch - held_back * self._window, 0)
        raise NonFinite(what, counters.step + 1 - held_back, counters.epoch, batch, loss)


def _by_type(tensors: list[Tensor]) -> list[list[Tensor]]:
    """Return the tensors in lists of one type of numbers each, as GradScaler groups them for a CUDA device."""
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def _real_values(gradient: Tensor) -> Tensor:
    """Return the numbers of a gradient of any layout and type as a dense tensor of real ones."""
    dense = gradient if gradient.layout is torch.strided else gradient.coalesce()._values()
    return torch.view_as_real(dense) if dense.is_complex() else dense
