"""Leaving no trace: copies to try things on, and the process's generators as they were."""

from __future__ import annotations

import copy
import random
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

COPIED = 64 << 20
"""Bytes of tensors and arrays up to which a data set is copied whole; of a larger one the copies share these."""
LONG = 10_000
"""Length from which a list or dictionary of a data set is copied alone, and not what it holds."""


@contextmanager
def kept_generators(seed: int | None = 0) -> Iterator[None]:
    """Seed torch, numpy and random, and put all of them back at the end; None seeds nothing."""
    python, array = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            seed_torch(seed)
            np.random.seed(seed)
            random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


def generators() -> dict[str, Any]:
    """Return the states of torch's, numpy's and Python's generators, to see whether something draws or seeds."""
    array: Any = np.random.get_state()
    states = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (array[1].tobytes(), *array[2:]),
        "random": random.getstate(),
    }
    if torch.cuda.is_initialized():
        states["cuda"] = b"".join(state.numpy().tobytes() for state in torch.cuda.get_rng_state_all())
    return states


def seed_torch(seed: int) -> None:
    """Seed torch's generators, but for those of devices that are not in use.

    ``torch.manual_seed`` would leave them a note to be seeded later, which is a trace, and takes most of its time.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def quiet() -> Iterator[None]:
    """Show no warnings meanwhile: what is tried on copies concerns nobody."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def copied(model: nn.Module, *things: Any, twin: nn.Module | None = None) -> tuple[Any, ...]:
    """Return deep copies of a model and of objects that hold parts of it, such as its optimizer.

    What holds parts of ``twin``, of which the model is itself a copy, comes to hold those of the copy too.

    Raises:
        Exception: Whatever an object of the user's raises that cannot be copied.
    """
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        if is_lazy(tensor):  # refuses to be copied until it has a shape
            lazy: Any = type(tensor)
            memo[id(tensor)] = lazy(tensor.requires_grad, tensor.device, tensor.dtype)
    for tensor in (item for thing in (model, *things) if isinstance(thing, nn.Module) for item in _with_graph(thing)):
        memo[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    if twin is not None and twin is not model:
        _join(copy.deepcopy(model, memo), twin, memo)
    things = copy.deepcopy((model, *things), memo)
    for module in [copy_of for copy_of in memo.values() if isinstance(copy_of, nn.Module)]:
        _rebind(vars(module), memo)
    for optimizer in [copy_of for copy_of in memo.values() if isinstance(copy_of, Optimizer)]:
        _complete(optimizer, things, memo)
    return things


def copied_loss(loss: Any) -> Any:
    """Return a deep copy of a loss, to try numbers on."""
    return copied(nn.Identity(), loss)[1]


def _join(made: nn.Module, twin: nn.Module, memo: dict[int, Any]) -> None:
    """Let a module and its parts be copied as those of the same names in a copy that is made."""
    for old, new in ((twin.named_modules(), made.named_modules()), (twin.named_parameters(), made.named_parameters())):
        parts: dict[str, Any] = dict(new)
        for name, part in old:
            if name in parts and id(part) not in memo:
                memo[id(part)] = parts[name]


def _complete(optimizer: Optimizer, things: Any, memo: dict[int, Any]) -> None:
    """Give a copied optimizer what its pickled state leaves out, such as the list of parameters that L-BFGS keeps."""
    original = next((ref for ref in memo.get(id(memo), ()) if memo.get(id(ref)) is optimizer), None)
    for name, value in vars(original).items() if original is not None else ():
        if name not in vars(optimizer) and not callable(value):
            setattr(optimizer, name, copy.deepcopy(value, memo))


def _rebind(values: dict[Any, Any], memo: dict[int, Any]) -> None:
    """Let functions that are kept as attributes or hooks, which copies share, work on what was copied."""
    for name, value in values.items():
        if isinstance(value, FunctionType):
            cells = [_contents(cell) for cell in value.__closure__ or ()]
            fixed = value.__defaults__ or ()
            if any(id(item) in memo for item in (*cells, *fixed)):
                closure = tuple(CellType(memo.get(id(item), item)) for item in cells)
                defaults = tuple(memo.get(id(item), item) for item in fixed)
                made = FunctionType(value.__code__, value.__globals__, value.__name__, defaults, closure)
                made.__kwdefaults__ = value.__kwdefaults__
                values[name] = made
        elif type(value) in (dict, OrderedDict) and name not in ("_parameters", "_buffers", "_modules"):
            _rebind(value, memo)


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # set later
        return None


def _with_graph(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors in a model's attributes that are results of an operation, which refuse to be copied."""
    for module in model.modules():
        values = [value for name, value in vars(module).items() if name not in ("_parameters", "_buffers", "_modules")]
        while values:
            value = values.pop()
            if isinstance(value, Tensor):
                if value.grad_fn is not None:
                    yield value
            elif isinstance(value, Mapping):
                values += value.values()
            elif isinstance(value, list | tuple):
                values += value


def copied_data(data: Any) -> Any:
    """Return a copy of a data set; it shares the tensors and arrays of a large one, and what long lists hold."""
    stored = list(_stored(data, set()))
    tensors = [value for value in stored if isinstance(value, Tensor | np.ndarray)]
    shared = tensors if sum(value.nbytes for value in tensors) > COPIED else ()
    memo: dict[int, Any] = {id(value): value for value in shared}
    memo |= {id(value): copy.copy(value) for value in stored if isinstance(value, list | tuple | Mapping)}
    return copy.deepcopy(data, memo)


def cloned(thing: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of samples of which each tensor has a memory of its own, not that of all that it is a part of."""
    if id(thing) not in memo:
        if isinstance(thing, Tensor):
            memo[id(thing)] = thing.detach().clone().requires_grad_(thing.requires_grad)
        elif type(thing) in (list, tuple):
            memo[id(thing)] = type(thing)(cloned(item, memo) for item in thing)
        elif type(thing) is dict:
            memo[id(thing)] = {name: cloned(value, memo) for name, value in thing.items()}
        else:
            memo[id(thing)] = copy.deepcopy(thing, memo)
    return memo[id(thing)]


def _stored(thing: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the tensors and arrays that a thing stores, and the lists that are too long to look into."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    long = isinstance(thing, list | tuple | Mapping) and len(thing) >= LONG
    if long or isinstance(thing, Tensor | np.ndarray):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _stored(value, seen)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from _stored(value, seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from _stored(vars(thing), seen)
