"""Gradient clipping, and the norm of gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EPSILON = 1e-6
"""As in ``torch.nn.utils.clip_grad_norm_``, whose results these match bit for bit."""


def total_norm(gradients: list[Tensor]) -> Tensor:
    """Return the 2-norm of all gradients together, a scalar on their device."""
    if not gradients:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


def clip_by_norm(gradients: list[Tensor], limit: float) -> Tensor:
    """Scale all gradients down, in place, so that their joint norm is at most ``limit``; return the norm before.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks".
    """
    norm = total_norm(gradients)
    torch._foreach_mul_(gradients, torch.clamp(limit / (norm + EPSILON), max=1.0))
    return norm


def clip_by_parameter_norm(gradients: list[Tensor], limit: float) -> Tensor:
    """Scale each gradient down, in place, so that its own norm is at most ``limit``; return the joint norm before."""
    norms = torch.stack(torch._foreach_norm(gradients))
    torch._foreach_mul_(gradients, list(torch.clamp(limit / (norms + EPSILON), max=1.0).unbind()))
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm


def clip_by_value(gradients: list[Tensor], limit: float) -> Tensor:
    """Clamp each element, in place, to [-limit, limit]; return the joint norm before."""
    norm = total_norm(gradients)
    torch._foreach_clamp_max_(gradients, limit)
    torch._foreach_clamp_min_(gradients, -limit)
    return norm


ALGORITHMS: dict[str, Callable[[list[Tensor], float], Tensor]] = {
    "norm": clip_by_norm,
    "param_norm": clip_by_parameter_norm,
    "value": clip_by_value,
}
