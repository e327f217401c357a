"""Which nonlinearity stands before a layer, as autograd's graph tells, and which values of it are live."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

RANGES = {"Tanh": (-1.0, 1.0), "Sigmoid": (0.0, 1.0), "Hardsigmoid": (0.0, 1.0)}
"""Functions that flatten towards both ends of a range."""
ZEROS = {"Relu": 0.0, "Threshold": 1e-30, "Hardswish": 1e-30, "Gelu": 1e-4, "Silu": 1e-4, "Mish": 1e-4}
"""Functions that are zero, or as good as, on one side; below such a size a value's gradient is too."""
BEND = 0.99
"""Share of the half range within which a value is live: tanh has 2 % of its steepest slope there. Glorot and Bengio
2010, "Understanding the difficulty of training deep feedforward neural networks", on what saturation does."""
LEAVE_VALUES = re.compile(
    "View|UnsafeView|Reshape|Transpose|T|Permute|Squeeze|Unsqueeze|Clone|Alias|ToCopy|Expand|Select|Slice|Cat"
    "|MaxPool.*|AdaptiveMaxPool.*|AvgPool.*|AdaptiveAvgPool.*|MkldnnAdaptiveAvgPool.*|Mean|NativeDropout|FeatureDropout|Mul"
)
"""Operations that leave zeros zero: shapes, pools, and dropout, which multiplies on the CPU."""
SCALES = re.compile("Mul|NativeDropout|FeatureDropout|AvgPool.*|Adaptive.*|Mkldnn.*|Mean")
"""Those of them that move the ends of a range."""
CHANNELS_FIRST = re.compile("Convolution|Slow.*|Thnn.*|Conv.*|.*BatchNorm|NativeGroupNorm|.*Pool.*")
FURTHEST = 8
"""Nodes of the graph that are looked at on the way back from a value to what made it."""


class Kind(NamedTuple):
    """A sort of nonlinearity."""

    what: str
    """``zeros`` or ``saturated``: what its values are where nothing gets through."""
    low: float
    high: float

    def live(self, values: Tensor) -> Tensor:
        """Return 1 for each value where a gradient gets through, else 0: numbers are added up faster than truths."""
        if self.what == "zeros":
            return values.abs().sub_(self.high).sign_().clamp_(min=0) if self.high else values.sign()
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return (values - middle).abs_().sub_(BEND * half).neg_().sign_().clamp_(min=0)


def operation(node: Any) -> str:
    """Return the name of the operation that a node of autograd's graph is the backward of, such as ``Relu``."""
    name: str = node.name()
    return name.rstrip("0123456789").removesuffix("Backward")


def kind_of(node: Any) -> Kind | None:
    """Return the nonlinearity that made the tensor of this node, None if it was none."""
    name = operation(node)
    if name in ZEROS:
        return Kind("zeros", 0.0, ZEROS[name])
    if name in RANGES:
        return Kind("saturated", *RANGES[name])
    if name == "Hardtanh":  # its bounds are numbers, kept beside the tensors
        low, high = float(node._saved_min_val), float(node._saved_max_val)
        return Kind("zeros", 0.0, 0.0) if low == 0 else Kind("saturated", low, high)
    return None


def kind_before(node: Any, known: Container[Any] = ()) -> tuple[Any, Kind | None]:
    """Return the nonlinearity, and its node, whose values a tensor has; None where it is none, or cannot be told.

    Args:
        node: The tensor's ``grad_fn``.
        known: Nodes whose values were looked at already, so that what happened to them since does not matter.
    """
    scaled = False
    for _ in range(FURTHEST):
        if node in known:
            return node, None
        if (kind := kind_of(node)) is not None:
            return (node, kind) if kind.what == "zeros" or not scaled else (None, None)
        name = operation(node)
        if LEAVE_VALUES.fullmatch(name) is None:
            break
        scaled |= SCALES.fullmatch(name) is not None
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
        if node is None:
            break
    return None, None


def layer_behind(node: Any, names: Mapping[int, str]) -> str | None:
    """Return the layer that a nonlinearity works on: that of the nearest parameter before it."""
    waiting, seen = deque([node]), 0
    while waiting and seen < 4 * FURTHEST:
        parents = [parent for parent, _ in waiting.popleft().next_functions if parent is not None]
        seen += len(parents)
        for parent in parents:
            variable = getattr(parent, "variable", None)
            if variable is not None and id(variable) in names:
                return names[id(variable)]
        waiting.extend(parents)
    return None


def unit_dimension(values: Tensor, node: Any) -> int:
    """Return the dimension of a tensor's units: that of channels after a convolution, else the last."""
    if values.ndim <= 2:
        return values.ndim - 1
    for _ in range(FURTHEST):
        name = operation(node)
        if CHANNELS_FIRST.fullmatch(name):
            return 1
        if name in ("Addmm", "Mm", "Bmm", "Linear", "NativeLayerNorm", "Embedding", "Permute", "Transpose"):
            break
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
        if node is None:
            break
    return values.ndim - 1


def is_hidden_from_hooks(module: nn.Module) -> bool:
    """Say whether a module runs as compiled code, which hooks that come later are no part of."""
    compiled = getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
    return compiled or isinstance(module, torch.jit.ScriptModule)
