"""Number formats: autocast for the forward pass and, for fp16, scaling of the loss."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

FORMATS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """One of ``fp32``, ``bf16`` (autocast) and ``fp16`` (autocast, dynamic loss scaling) on a device.

    Loss scaling is that of Micikevicius et al. 2018, "Mixed Precision Training", by ``torch.amp.GradScaler``.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name
        self._device = device.type
        self._dtype = FORMATS.get(name)
        self.scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context for a forward pass."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, self._dtype)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of ``loss``, scaled where the format needs it."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Turn the gradients into the true ones."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> bool:
        """Take an optimizer step and say whether it was taken: an overflow skips it and lowers the scale."""
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()  # a host sync; fp16 has one anyway, inside the scaler
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before

    def leave_out(self) -> None:
        """Forget the gradients of a step that is not to be taken; the scale stays as it is."""
        if self.scaler is not None:
            self.scaler.update(self.scaler.get_scale())  # host-device sync

    def state_dict(self) -> dict[str, Any]:
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the loss scale; a state of another precision is ignored, for it has no meaning here."""
        if self.scaler is not None and state_dict:
            self.scaler.load_state_dict(state_dict)
