"""Where a number that is not finite comes from: every operation of a pass is watched, forward and backward."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from trainkit.autopsy.numbers import Numbers, bad_rows, is_finite
from trainkit.frames import STANDARD, is_of_engines, is_users

OVERWRITES = {"copy_", "fill_", "zero_", "normal_", "uniform_", "bernoulli_", "random_", "exponential_"}
"""In-place operations that do not look at what they write over."""
MAKERS = {"masked_fill", "full", "full_like", "new_full", "fill", "where", "scalar_tensor", "constant_pad_nd"}
"""Operations that put an infinity where the code asks for it, as for a mask."""
UNSET = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
HALF = (torch.float16, torch.bfloat16)
WIDER = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float32: torch.float64}
HERE = str(Path(__file__).parent)
CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operation was called."""

    module: str = ""
    """Path in the model; empty outside of it."""
    kind: str = ""
    """The module's class, or ``objective``."""
    file: str = ""
    line: int = 0
    function: str = ""

    @property
    def source(self) -> str:
        return linecache.getline(self.file, self.line).strip()[:CHARACTERS] if self.file else ""


@dataclass(slots=True, eq=False)
class Origin:
    """What made a number that is not finite."""

    kind: str
    """``operation``, or what was there before: ``data``, ``weights``, ``buffers`` or ``constant``."""
    name: str
    """Of the operation, such as ``log``, or of the tensor."""
    number: int = 0
    """The operation's, in the order of the pass; 0 for what was there before."""
    phase: str = ""
    """``forward`` or ``backward``."""
    node: str = ""
    """The step of the backward pass, such as ``SqrtBackward0``."""
    of: str = ""
    """The operation of the forward pass that it belongs to."""
    place: Place = field(default_factory=Place)
    deliberate: bool = False
    """Whether it is an infinity that the code asks for, such as that of a mask."""
    half: str = ""
    """The number format of 16 bits whose range was too small, if that is the cause."""
    too_large: bool = False
    """Whether twice as many bits would hold it."""
    inputs: list[Numbers] = field(default_factory=list)
    scalars: list[float] = field(default_factory=list)
    output: Numbers | None = None
    rows: list[int] = field(default_factory=list)
    """Those of the output that hold such a number, unless all do."""
    turned: Origin | None = None
    """The operation that made a NaN of its infinity."""
    masks: Origin | None = None
    """What made the infinities that were meant, of which this operation made a NaN."""


class Trace(TorchDispatchMode):
    """Follows each number that is not finite back to the operation, forward or backward, that made it.

    An operation made it if its output is not finite though its inputs are, or is NaN where they hold infinities of a
    mask. What an infinity or NaN does not reach is none of its doing: a masked softmax is left alone.

    Args:
        known: Tensors that were there before: (kind, name, tensor).
    """

    def __init__(self, known: Sequence[tuple[str, str, Tensor]] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._count = 0
        self._stack: list[tuple[str, str]] = []
        self._made: dict[int, tuple[str, Place]] = {}
        self._origins: dict[int, Origin] = {}
        for kind, name, tensor in known:
            if not is_finite(tensor):
                origin = Origin(kind, name, output=Numbers.of(tensor, name), rows=bad_rows(tensor))
                self._origins[_key(tensor)] = origin

    @contextmanager
    def watching(self, roots: Mapping[str, nn.Module]) -> Iterator[Trace]:
        """Note in which module an operation is called, by hooks that are gone at the end.

        Args:
            roots: The model under an empty name; others, such as the loss, under theirs.
        """
        with ExitStack() as stack:
            for root, model in roots.items():
                for name, module in model.named_modules():
                    path = ".".join(part for part in (root, name) if part)
                    self._watch(module, path, stack)
            yield self

    def _watch(self, module: nn.Module, path: str, stack: ExitStack) -> None:
        def enter(module: nn.Module, args: Any) -> None:
            self._stack.append((path, type(module).__name__))

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            self._stack.pop()

        stack.callback(module.register_forward_pre_hook(enter, prepend=True).remove)
        stack.callback(module.register_forward_hook(leave, always_call=True).remove)

    def origin(self, tensor: Tensor) -> Origin | None:
        """Return what made a tensor not finite; None if nobody knows."""
        return self._origins.get(_key(tensor))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._count += 1
        name = func.overloadpacket.__name__
        before = (args, kwargs)
        if func._schema.is_mutable:
            before = tree_map_only(Tensor, torch.clone, before)
        node = torch._C._current_autograd_node()
        place = self._place() if node is None else Place()
        if node is None:  # its own node of the backward pass has the number before the next
            self._made.setdefault(torch.autograd._get_sequence_nr() - 1, (name, place))
        result = func(*args, **kwargs)
        inputs = _tensors((args, kwargs))
        keys = {_key(tensor) for tensor in inputs}
        for output in _tensors(result):
            if not is_finite(output):
                there = list(zip(inputs, _tensors(before), strict=True))
                self._judge(func, name, there, (args, kwargs), before, output, node, place)
            elif (key := _key(output)) not in keys:
                self._origins.pop(key, None)
        return result

    def _judge(
        self,
        func: Any,
        name: str,
        inputs: list[tuple[Tensor, Tensor]],
        arguments: tuple[Any, Any],
        before: tuple[Any, Any],
        output: Tensor,
        node: Any,
        place: Place,
    ) -> None:
        """Note the origin of an output that is not finite.

        Args:
            func, name: The operation.
            inputs: Each as it is now and as it was.
            arguments, before: All arguments, as they are now and as they were.
            output: What came out.
            node: The step of the backward pass; None in the forward pass.
            place: Where it was called, in the forward pass.
        """
        if name in OVERWRITES:
            inputs = inputs[1:]
        elif name in UNSET:
            inputs = []
        elif "batch_norm" in name and any(item is True for item in tree_flatten(arguments)[0]):
            inputs = [pair for pair in inputs if not self._is_buffer(pair[0])]  # which it moves, and does not go by
        bad = [(now, was) for now, was in inputs if not is_finite(was)]
        meant = name.strip("_") in MAKERS and any(not isfinite(scalar) for scalar in _scalars(arguments))
        is_nan = bool(output.isnan().any()) if output.layout is torch.strided else True
        was_nan = any(bool(was.isnan().any()) for _, was in bad if was.layout is torch.strided)
        here = self._here(func, name, inputs, before, output, node, place)
        origins = [self._origins.get(_key(now)) or _unknown(was, here) for now, was in bad]
        culprits = [origin for origin in origins if not origin.deliberate]
        if culprits:
            found = min(culprits, key=lambda origin: (origin.kind == "buffers", origin.number))
            if is_nan and not was_nan and found.turned is None:
                found.turned = here
        elif (origins or meant) and not (is_nan and not was_nan):
            found = origins[0] if origins else here
            found.deliberate = True
        else:
            found = here
            here.masks = origins[0] if origins else None
        self._origins[_key(output)] = found

    def _is_buffer(self, tensor: Tensor) -> bool:
        origin = self._origins.get(_key(tensor))
        return origin is not None and origin.kind == "buffers"

    def _here(
        self,
        func: Any,
        name: str,
        inputs: list[tuple[Tensor, Tensor]],
        before: tuple[Any, Any],
        output: Tensor,
        node: Any,
        place: Place,
    ) -> Origin:
        """Return the operation at hand as an origin."""
        values = [was for _, was in inputs]
        origin = Origin("operation", name.strip("_"), self._count, "forward", place=place)
        origin.inputs = [Numbers.of(was, f"input {number}") for number, was in enumerate(values, 1)]
        origin.scalars = _scalars(before)
        origin.output, origin.rows = Numbers.of(output, "output"), bad_rows(output)
        if name in UNSET:
            origin.name = f"{name}, memory that nobody set"
        if output.dtype in (*HALF, torch.float32) and all(map(is_finite, values)) and _fits_more_bits(func, before):
            origin.too_large = True
            origin.half = str(output.dtype).removeprefix("torch.") if output.dtype in HALF else ""
        if node is not None:
            origin.phase, origin.node = "backward", node.name()
            of, made = self._made.get(node._sequence_nr(), ("", Place()))
            origin.of, origin.place = of.strip("_"), made
            if (frame := _frame()) is not None:  # of a backward pass that the user wrote
                origin.place = Place(made.module, made.kind, *frame)
            saved = [name for name in dir(node) if name.startswith("_saved_")]
            kept = {name.removeprefix("_saved_"): _saved(node, name) for name in saved}
            origin.inputs += [Numbers.of(t, f"kept {n}") for n, t in kept.items() if isinstance(t, Tensor)]
        return origin

    def _place(self) -> Place:
        module, kind = self._stack[-1] if self._stack else ("", "objective")
        return Place(module, kind, *(_frame() or ()))


def _unknown(tensor: Tensor, here: Origin) -> Origin:
    """Return the origin of an input that no operation made: a constant; infinities are meant."""
    made = Origin("constant", f"an input of {here.name}", here.number, here.phase, place=here.place)
    made.output, made.deliberate = Numbers.of(tensor), not bool(tensor.isnan().any())
    return made


def _fits_more_bits(func: Any, arguments: tuple[Any, Any]) -> bool:
    """Say whether an operation gives finite numbers once its inputs have twice as many bits."""

    def wider(tensor: Tensor) -> Tensor:
        return tensor.to(WIDER[tensor.dtype]) if tensor.dtype in WIDER else tensor.clone()

    args, kwargs = tree_map_only(Tensor, wider, arguments)
    kwargs = {
        key: WIDER.get(value, value) if isinstance(value, torch.dtype) else value for key, value in kwargs.items()
    }
    try:
        return all(map(is_finite, _tensors(func(*args, **kwargs))))
    except (RuntimeError, TypeError):  # it knows no wider ones
        return False


def _saved(node: Any, name: str) -> Any:
    try:
        return getattr(node, name)
    except RuntimeError:  # freed already
        return None


def _key(tensor: Tensor) -> int:
    values = tensor.detach() if tensor.layout is torch.strided else tensor._values()
    return values.untyped_storage().data_ptr()


def _tensors(nested: Any) -> list[Tensor]:
    return [item for item in tree_flatten(nested)[0] if isinstance(item, Tensor)]


def _scalars(nested: Any) -> list[float]:
    return [float(item) for item in tree_flatten(nested)[0] if type(item) in (int, float)]


def _frame() -> tuple[str, int, str] | None:
    """Return file, line and function of the user's code that runs now, else of an installed package's."""
    frame: Any = sys._getframe(1)
    installed = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(HERE) and frame.f_code.co_name in PASSES:
            break
        whose = _whose(file)
        if whose == "user":
            return file, frame.f_lineno, frame.f_code.co_name
        if whose == "installed" and installed is None:
            installed = file, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back
    return installed


PASSES = ("forward_pass", "backward_pass")
"""The functions of this package below which it is the step that runs."""


@cache
def _whose(file: str) -> str:
    if is_users(file):
        return "user"
    return "" if is_of_engines(file) or file.startswith((STANDARD, "<")) else "installed"
