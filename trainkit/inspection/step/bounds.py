"""The range that a tensor's values can ever take, whatever the weights are: intervals through what was recorded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trainkit.inspection.recording import Fact, Op
from trainkit.inspection.step.view import INPUT, PASSING, TARGET, WEIGHT, View, several

Bounds = tuple[float, float]
INF = math.inf
ALL: Bounds = (-INF, INF)
FIXED: dict[str, Bounds] = {
    "relu6": (0, 6),
    "elu": (-1, INF),
    "selu": (-1.7582, INF),
    "celu": (-1, INF),
    "silu": (-0.2785, INF),
    "gelu": (-0.17, INF),
    "mish": (-0.3089, INF),
    "hardswish": (-0.375, INF),
    "softsign": (-1, 1),
    "hardsigmoid": (0, 1),
    "softmax": (0, 1),
    "gumbel_softmax": (0, 1),
    "sin": (-1, 1),
    "cos": (-1, 1),
    "sign": (-1, 1),
    "erf": (-1, 1),
    "log_softmax": (-INF, 0),
    "logsigmoid": (-INF, 0),
    "cosine_similarity": (-1, 1),
    "normalize": (-1, 1),
    "norm": (0, INF),
    "cdist": (0, INF),
    "square": (0, INF),
    "abs": (0, INF),
    "var": (0, INF),
    "std": (0, INF),
}
"""Ranges of what does not depend on its input's."""
SAME = PASSING | frozenset(
    [
        "mean",
        "max",
        "min",
        "amax",
        "amin",
        "median",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "sort",
        "topk",
        "cat",
        "stack",
        "concat",
        "where",
        "hstack",
        "vstack",
    ]
)
"""Operations whose result lies within the range of their inputs."""
ACTIVATIONS = frozenset(
    [
        "relu",
        "relu6",
        "sigmoid",
        "tanh",
        "softmax",
        "log_softmax",
        "softplus",
        "hardtanh",
        "hardsigmoid",
        "clamp",
        "clip",
        "clamp_min",
        "leaky_relu",
        "elu",
        "gelu",
        "silu",
        "selu",
        "celu",
        "mish",
        "hardswish",
        "softsign",
        "exp",
        "abs",
        "square",
        "logsigmoid",
        "gumbel_softmax",
        "cosine_similarity",
        "normalize",
        "sin",
        "cos",
        "clamp_max",
        "threshold",
        "prelu",
        "rrelu",
    ]
)
"""Functions that bend, by which a last operation is named."""


def sigmoid(value: float) -> float:
    """Return the logistic function of a number."""
    if value < -700:
        return 0.0
    return 1 / (1 + math.exp(-value))


def _softplus(value: float) -> float:
    return value if value > 30 else math.log1p(math.exp(value)) if value > -700 else 0.0


def _exp(value: float) -> float:
    return INF if value > 700 else math.exp(value)


def _log(value: float) -> float:
    return -INF if value <= 0 else math.log(value)


RISING: dict[str, Callable[[float], float]] = {
    "sigmoid": sigmoid,
    "expit": sigmoid,
    "tanh": math.tanh,
    "relu": lambda value: max(value, 0.0),
    "softplus": _softplus,
    "exp": _exp,
    "log": _log,
    "sqrt": lambda value: math.sqrt(max(value, 0.0)) if value < INF else INF,
    "log1p": lambda value: _log(1 + value),
    "expm1": lambda value: _exp(value) - 1,
}
"""Functions that only rise."""


def bounds(view: View, fact: Fact, known: dict[int, Bounds] | None = None) -> Bounds:
    """Return the least and greatest value that a tensor can have."""
    known = {} if known is None else known
    if fact.number not in known:
        known[fact.number] = _given(view, fact)
        for op in reversed(view.recording.ancestors(fact)):  # in order: a deep network would exhaust the stack
            for made in op.outputs:
                known[made.number] = ALL
                known[made.number] = _made(view, op, known)
    return known[fact.number]


def activation(view: View, fact: Fact) -> Op | None:
    """Return the last operation that bends, through those that move, scale or shift its result."""
    chain = PASSING | {"mul", "add", "sub", "div", "neg", "rsub", "radd", "rmul", "true_divide", "truediv", "mean"}
    while fact.maker is not None:
        if fact.maker.name not in chain:
            return fact.maker
        live = [item for item in fact.maker.inputs if view.came(item) & {INPUT, WEIGHT}]
        if not live:
            return None
        fact = live[0]
    return None


def _given(view: View, fact: Fact) -> Bounds:
    if view.came(fact) & {INPUT, TARGET, WEIGHT} or fact.low is None or fact.high is None or not fact.finite:
        return ALL
    return (fact.low, fact.high)


def _made(view: View, op: Op, known: dict[int, Bounds]) -> Bounds:
    if not view.came(op.outputs[0]):
        return _given(view, op.outputs[0]) if op.outputs else ALL
    inner = [bounds(view, fact, known) for fact in op.inputs if fact.low is not None or not fact.shape]
    first = inner[0] if inner else ALL
    if op.name in FIXED:
        low, high = FIXED[op.name]
        if op.name in ("elu", "gelu", "silu", "selu", "celu", "mish", "hardswish") and first[0] >= 0:
            low = 0
        return (low, high)
    if op.name in RISING:
        return (RISING[op.name](first[0]), RISING[op.name](first[1]))
    if op.name in SAME:
        used = inner[1:] if op.name == "where" and len(inner) > 2 else inner
        used = inner[:1] if op.name in PASSING else used
        return (min(low for low, _ in used), max(high for _, high in used)) if used else ALL
    if op.name in ("clamp", "clip", "hardtanh", "clamp_min", "clamp_max"):
        return _clamped(op, first)
    if op.name in ("dropout", "dropout1d", "dropout2d", "alpha_dropout"):
        return (first[0] if first[0] >= 0 else -INF if first[0] < -1 else first[0] * 2, INF if first[1] > 0 else 0.0)
    if op.name in ("sum", "logsumexp", "cumsum") and first[0] >= 0 and op.name != "logsumexp":
        return (0.0, INF)
    if op.name == "leaky_relu" and first[0] >= 0:
        return first
    if op.name in ("matmul", "mm", "bmm") and len(op.inputs) > 1 and all(_is_unit(fact) for fact in op.inputs[:2]):
        return (-1.0, 1.0)
    return _arithmetic(view, op, known)


def _is_unit(fact: Fact) -> bool:
    """Say whether the vectors in a tensor's last dimension, or in that which was last, have length 1."""
    while fact.maker is not None and fact.maker.name in ("t", "T", "mT", "transpose"):
        fact = fact.maker.inputs[0]
    op = fact.maker
    if op is None or op.name != "normalize" or not op.inputs:
        return False
    dim, count = op.setting("dim", 2, 1), len(fact.shape)
    return op.setting("p", 1, 2.0) == 2 and isinstance(dim, int) and dim % count == count - 1


def _clamped(op: Op, first: Bounds) -> Bounds:
    low: Any = op.setting("min", 1) if op.name != "hardtanh" else op.setting("min_val", 1, -1.0)
    high: Any = op.setting("max", 2) if op.name != "hardtanh" else op.setting("max_val", 2, 1.0)
    if op.name == "clamp_max":
        low, high = None, op.setting("max", 1)
    least = max(first[0], float(low)) if isinstance(low, int | float) else first[0]
    most = min(first[1], float(high)) if isinstance(high, int | float) else first[1]
    return (least, max(least, most))


def _operand(view: View, thing: Any, known: dict[int, Bounds]) -> Bounds:
    if isinstance(thing, Fact):
        return bounds(view, thing, known)
    return (float(thing), float(thing)) if isinstance(thing, int | float) else ALL


def _arithmetic(view: View, op: Op, known: dict[int, Bounds]) -> Bounds:
    if op.name == "neg":
        low, high = _operand(view, op.args[0], known)
        return (-high, -low)
    if op.name == "reciprocal":
        return _over((1.0, 1.0), _operand(view, op.args[0], known))
    if len(op.args) < 2 or op.kwargs.get("alpha", 1) != 1:
        return ALL
    one, two = _operand(view, op.args[0], known), _operand(view, op.args[1], known)
    if op.name.startswith("r") and op.name in ("rsub", "radd", "rmul", "rdiv", "rtruediv", "rpow"):
        one, two = two, one
    kind = op.name.removeprefix("r") if op.name != "rsqrt" else op.name
    if kind in ("add", "sub"):
        two = two if kind == "add" else (-two[1], -two[0])
        return (one[0] + two[0], one[1] + two[1])
    if kind in ("mul", "multiply"):
        if isinstance(op.args[0], Fact) and op.args[0] is op.args[1]:
            return (0.0, INF)
        return _product(one, two)
    if kind in ("div", "true_divide", "truediv"):
        return _over(one, two)
    if kind == "pow":
        even = isinstance(op.args[1], int | float) and op.args[1] % 2 == 0
        return (0.0, INF) if even or one[0] >= 0 else ALL
    return ALL


def _product(one: Bounds, two: Bounds) -> Bounds:
    corners = [0.0 if 0 in (a, b) else a * b for a in one for b in two]
    return (min(corners), max(corners))


def _over(one: Bounds, two: Bounds) -> Bounds:
    if two[0] < 0 < two[1] or two == (0, 0):
        return ALL
    if two[0] >= 0:
        return _product(one, (1 / two[1] if two[1] < INF else 0.0, 1 / two[0] if two[0] > 0 else INF))
    return ALL


def tensors(op: Op) -> list[Fact]:
    """Return an operation's positional tensors."""
    return list(several(op.args))
