"""What frozen parts of a network keep: their mode, and every bit of their parameters and statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

SIZES = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integers that a tensor's bits are read as, by the size of an element in bytes."""


def still_modules(model: nn.Module, norms: Mapping[str, str]) -> list[nn.Module]:
    """Return the modules that are to be in eval mode: those whose parameters are all frozen, with all that is in them.

    Args:
        model: With ``requires_grad`` as the plan has set it.
        norms: ``eval`` or ``train`` for norms that go by a word of their own, by their full names.
    """

    def visit(name: str, module: nn.Module, still: bool) -> Iterator[nn.Module]:
        parameters = list(module.parameters())
        still = still or (bool(parameters) and not any(p.requires_grad for p in parameters))
        mode = norms.get(name)
        if mode == "eval" or (still and mode != "train"):
            yield module
        for own, child in module.named_children():
            yield from visit(f"{name}.{own}" if name else own, child, still)

    return list(visit("", model, False))


def fingerprints(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the sum of the bits of each tensor, read as integers, by name: any single change shows in it.

    The sums are taken on the device and read at once.
    """
    if not tensors:
        return {}
    sums = []
    for tensor in tensors.values():
        whole = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        bits = whole.contiguous().view(torch.uint8 if whole.dtype == torch.bool else SIZES[whole.element_size()])
        sums.append(bits.sum(dtype=torch.int64))
    return dict(zip(tensors, torch.stack(sums).tolist(), strict=True))  # host-device sync
