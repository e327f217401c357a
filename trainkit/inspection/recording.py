"""What a computation did: each operation with its line, its module, the ranges it read and wrote, and its gradients.

Recorded by a ``TorchFunctionMode``, so operations have the names that people write (``softmax``, ``cross_entropy``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from trainkit.inspection.source import Line, is_own

HERE = str(Path(__file__).parent)
LEAVES = ("item", "tolist", "numpy", "__float__", "__int__", "__bool__", "__index__", "__array__", "cpu")
"""Ways out of torch, of which it is told although they give no tensor."""
COUNTED, RUN = 1 << 18, 16
"""Values among which zeros are counted, at least, if a tensor has as many; and how many of them lie side by side."""


@dataclass(slots=True, eq=False)
class Fact:
    """A tensor as it was when it was made: an operation in place makes a new one.

    Attributes:
        number: In order of making.
        low, high: Least and greatest value; None of empty, bool and complex ones.
        finite: Whether no value is NaN or infinite.
        zeros: Share of zeros among floating values, 0 to 1; of a large tensor an estimate.
        maker: The operation that made it; None for inputs, weights and constants.
        name: Of a parameter or buffer, else empty.
        grad_norm, grad_finite: Of the gradient that reached it; None if none did.
    """

    number: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    requires_grad: bool
    low: float | None
    high: float | None
    finite: bool
    zeros: float = 0.0
    maker: Op | None = None
    name: str = ""
    grad_norm: float | None = None
    grad_finite: bool | None = None
    tensor: Tensor | None = None
    """The tensor itself, detached, as it is now (an operation in place may have changed it); None once let go."""


@dataclass(slots=True, eq=False)
class Op:
    """One operation.

    Attributes:
        number: In order of running.
        name: As people write it, without underscores: ``softmax``, ``sub``, ``add`` for ``+=``.
        in_place: Whether it wrote into its first argument.
        module: Path of the module in whose ``forward`` it ran, "" for the whole model, None outside of it (the loss).
        line: The innermost line of the user's on the stack, be it one that called a layer of torch.
        function: Name of the function of that line.
        own: Whether that line called the operation itself, and no layer of torch in between.
        inputs, outputs: Its tensors, in order.
        args, kwargs: All its arguments, tensors as their facts.
        result: What it gave if no tensor.
        grad_enabled: Whether autograd was on.
    """

    number: int
    name: str
    in_place: bool
    module: str | None
    line: Line | None
    function: str
    own: bool
    inputs: tuple[Fact, ...]
    outputs: tuple[Fact, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    grad_enabled: bool

    def setting(self, name: str, position: int, default: Any = None) -> Any:
        """Return an argument that is given by name or by position, such as ``dim`` of a softmax."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default


@dataclass(slots=True, eq=False)
class Call:
    """One call of a module."""

    path: str
    module: nn.Module
    inputs: tuple[Fact, ...]
    outputs: tuple[Fact, ...] = ()
    line: Line | None = None
    """The line of the user's that called it."""
    training: bool = False


@dataclass(slots=True, eq=False)
class Recording:
    """What ran, in order."""

    ops: list[Op] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    facts: dict[int, Fact] = field(default_factory=dict)
    """The newest fact of each tensor by ``id``."""
    keep: list[Tensor] = field(default_factory=list)
    """Tensors are held while it is recorded, so that no ``id`` is given twice."""
    failed_in: str | None = None
    """Path of the innermost module that raised."""

    def fact(self, tensor: Any) -> Fact | None:
        """Return what is known of a tensor; None for what is no tensor or was never seen."""
        return self.facts.get(id(tensor)) if isinstance(tensor, Tensor) else None

    def of(self, *names: str) -> Iterator[Op]:
        """Yield the operations with one of some names."""
        return (op for op in self.ops if op.name in names)

    def users(self, fact: Fact) -> list[Op]:
        """Return the operations that read a tensor."""
        return [op for op in self.ops if fact in op.inputs]

    def ancestors(self, fact: Fact) -> list[Op]:
        """Return all operations that a tensor came from, the last first."""
        found: dict[int, Op] = {}
        waiting = [fact]
        while waiting:
            maker = waiting.pop().maker
            if maker is not None and maker.number not in found:
                found[maker.number] = maker
                waiting += maker.inputs
        return [found[number] for number in sorted(found, reverse=True)]

    def let_go(self) -> None:
        """Forget the tensors, and keep what is known of them."""
        self.keep.clear()
        self.facts.clear()
        for op in self.ops:
            for fact in (*op.inputs, *op.outputs):
                fact.tensor = None


class Recorder(TorchFunctionMode):
    """Records what runs inside it: ``with Recorder(model) as recording: loss = ...; loss.backward()``.

    Args:
        model: Its modules' calls are recorded too, by hooks that go at the end.
        values: Whether to read each result's range; costs a pass over it.
        gradients: Whether to note the gradient that reaches each result.
    """

    def __init__(self, model: nn.Module, *, values: bool = True, gradients: bool = True) -> None:
        super().__init__()
        self.recording = Recording()
        self._model, self._values, self._gradients = model, values, gradients
        self._open: list[Call] = []
        self._stack = ExitStack()
        self._names = {id(tensor): name for name, tensor in model.named_parameters(remove_duplicate=False)}
        self._names |= {id(tensor): name for name, tensor in model.named_buffers(remove_duplicate=False)}
        self._wrapped: dict[int, Fact] = {}

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        for path, module in self._model.named_modules():
            before = module.register_forward_pre_hook(partial(self._enter, path), with_kwargs=True, prepend=True)
            after = module.register_forward_hook(self._leave, with_kwargs=True, always_call=True)
            for handle in (before, after):
                self._stack.callback(RemovableHandle.remove, handle)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stack.close()
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        getter = getattr(func, "__name__", "") == "__get__"
        name = func.__self__.__name__ if getter else getattr(func, "__name__", str(func))
        watched = tuple(self._seen(item) for item in flat((args, kwargs)))
        result = func(*args, **kwargs)
        made = [item for item in flat(result) if isinstance(item, Tensor)]
        if (made and not (getter and name == "grad")) or name in LEAVES or name == "backward":
            self._note(name, args, kwargs, watched, result, made)
        return result

    def _note(
        self, name: str, args: Any, kwargs: Any, inputs: tuple[Fact, ...], result: Any, made: list[Tensor]
    ) -> None:
        plain = name.strip("_") if name not in LEAVES else name
        in_place = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
        if in_place and name.startswith("__i"):
            plain = plain.removeprefix("i")
        line, function, own = _line(sys._getframe(2))
        args = tuple(_replaced(item, self.recording.facts) for item in args)
        kwargs = {key: _replaced(item, self.recording.facts) for key, item in kwargs.items()}
        op = Op(
            number=len(self.recording.ops),
            name=plain,
            in_place=in_place,
            module=self._open[-1].path if self._open else None,
            line=line,
            function=function,
            own=own,
            inputs=inputs,
            outputs=(),
            args=args,
            kwargs=kwargs,
            result=None if made else result,
            grad_enabled=torch.is_grad_enabled(),
        )
        op.outputs = tuple(self._new(tensor, op) for tensor in made)
        self.recording.ops.append(op)

    def _seen(self, tensor: Tensor) -> Fact:
        known = self.recording.facts.get(id(tensor))
        if known is None:
            crossing = self._crossed(tensor)
            known = self._new(tensor, crossing)
            if crossing is not None:
                crossing.outputs = (known,)
        return known

    def _crossed(self, tensor: Tensor) -> Op | None:
        """Return how a tensor came into a transform of ``torch.func``, or out of it, of which no operation tells."""
        known = [self.recording.facts.get(id(level)) for level in _levels(tensor)]
        before = self._wrapped.get(id(tensor)) or next((fact for fact in known if fact is not None), None)
        if before is None:
            return None
        self._note("vmap", (), {}, (before,), None, [])
        return self.recording.ops[-1]

    def _new(self, tensor: Tensor, maker: Op | None) -> Fact:
        with torch._C.DisableTorchFunction():
            number, inner = len(self.recording.keep), tensor.detach()
            fact = Fact(number, tuple(tensor.shape), tensor.dtype, tensor.requires_grad, None, None, True)
            fact.maker, fact.name, fact.tensor = maker, self._names.get(id(tensor), ""), inner
            levels = _levels(tensor)
            plain = not levels
            if levels:
                fact.tensor = None  # it cannot be read from outside
                fact.requires_grad |= any(level.requires_grad for level in levels)
                self._wrapped |= {id(level): fact for level in levels if id(level) not in self.recording.facts}
                self.recording.keep += levels
            if self._values and plain:
                _measure(fact, inner)
            if self._gradients and plain and tensor.requires_grad and maker is not None and torch.is_grad_enabled():
                tensor.register_hook(partial(_noted, fact))
        self.recording.facts[id(tensor)] = fact
        self.recording.keep.append(tensor)
        return fact

    def _enter(self, path: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        line, _, _ = _line(sys._getframe(1))
        inputs = tuple(self._seen(item) for item in flat((args, kwargs)))
        call = Call(path, module, inputs, line=line, training=module.training)
        self.recording.calls.append(call)
        self._open.append(call)

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        call = self._open.pop()
        if sys.exc_info()[0] is not None and output is None:
            if self.recording.failed_in is None:
                self.recording.failed_in = call.path
            return
        call.outputs = tuple(self._seen(item) for item in flat(output))


def _levels(tensor: Tensor) -> list[Tensor]:
    """Return what a transform of ``torch.func`` has wrapped into a tensor, the outermost first."""
    levels = []
    while is_transformed(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
        levels.append(tensor)
    return levels


def is_transformed(thing: Any) -> bool:
    """Say whether a tensor is that of a transform of ``torch.func`` such as ``vmap``, and has no numbers to read."""
    return isinstance(thing, Tensor) and bool(torch._C._functorch.is_functorch_wrapped_tensor(thing))


def flat(thing: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples, mappings and dataclasses such as the outputs of transformers."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from flat(value)
    elif isinstance(thing, list | tuple | set):
        for value in thing:
            yield from flat(value)
    elif hasattr(thing, "__dataclass_fields__") and not isinstance(thing, type):
        for name in thing.__dataclass_fields__:
            yield from flat(getattr(thing, name, None))


def mapped(thing: Any, change: Callable[[Any], Any]) -> Any:
    """Return a list, tuple, named tuple, mapping or dataclass with each of its parts changed."""
    if isinstance(thing, Mapping):
        return {name: change(value) for name, value in thing.items()}
    if type(thing) in (list, tuple):
        return type(thing)(change(value) for value in thing)
    if isinstance(thing, tuple) and hasattr(thing, "_fields") and not isinstance(thing, PackedSequence):
        return type(thing)(*(change(value) for value in thing))
    if hasattr(thing, "__dataclass_fields__") and not isinstance(thing, type):
        made = copy(thing)
        for name in thing.__dataclass_fields__:
            object.__setattr__(made, name, change(getattr(thing, name, None)))
        return made
    return thing


def _replaced(thing: Any, facts: Mapping[int, Fact]) -> Any:
    if isinstance(thing, Tensor):
        return facts[id(thing)]
    if isinstance(thing, list | tuple):
        return type(thing)(_replaced(item, facts) for item in thing) if type(thing) in (list, tuple) else thing
    return thing


def _measure(fact: Fact, tensor: Tensor) -> None:
    if tensor.numel() == 0 or tensor.is_complex() or tensor.dtype == torch.bool or tensor.is_sparse:
        return
    if tensor.is_quantized or tensor.is_nested or tensor.layout != torch.strided:
        return
    low, high = tensor.aminmax()
    fact.low, fact.high = low.item(), high.item()
    fact.finite = bool(abs(fact.low) < float("inf") and abs(fact.high) < float("inf"))
    if tensor.is_floating_point() and not (fact.low > 0 or fact.high < 0):
        fact.zeros = 1.0 if fact.low == fact.high else _zeros(tensor)


def _zeros(tensor: Tensor) -> float:
    """Return the share of zeros, of a large tensor that among runs spread over it: counting takes a step's time."""
    step = tensor.numel() // COUNTED
    values = tensor.flatten().unfold(0, RUN, RUN * (step | 1)) if step > 1 else tensor
    return 1 - values.count_nonzero().item() / values.numel()


def _noted(fact: Fact, gradient: Tensor | None) -> None:
    if gradient is None:
        return  # of an output of several, such as a recurrent layer's last state, that nothing reads
    with torch._C.DisableTorchFunction():
        norm = float(gradient.detach().float().norm())
    fact.grad_norm = norm if fact.grad_norm is None else (fact.grad_norm**2 + norm**2) ** 0.5
    fact.grad_finite = norm < float("inf")


def _line(frame: FrameType | None) -> tuple[Line | None, str, bool]:
    """Return the innermost line of the user's, its function, and whether no layer of torch lies between."""
    between = False
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back  # the recorder itself
    while frame is not None:
        file = frame.f_code.co_filename
        if is_own(file):
            return Line(file, frame.f_lineno), frame.f_code.co_name, not between
        if file.startswith(HERE):
            break  # what called the check is no part of the training
        between |= "/torch/nn/modules/" in file
        frame = frame.f_back
    return None, "", False


def recorded(model: nn.Module, run: Callable[[], Any], **options: Any) -> tuple[Recording, Any, Exception | None]:
    """Return what a function did, what it gave, and what it raised."""
    result, error = None, None
    with Recorder(model, **options) as recorder:
        try:
            result = run()
        except Exception as raised:  # noqa: BLE001 - the user's code may raise anything; a finding tells it
            error = raised
    return recorder.recording, result, error


def facts_of(recording: Recording, thing: Any) -> tuple[Fact, ...]:
    """Return what is known of the tensors in a thing."""
    found: Iterable[Fact | None] = (recording.fact(tensor) for tensor in flat(thing))
    return tuple(fact for fact in found if fact is not None)
