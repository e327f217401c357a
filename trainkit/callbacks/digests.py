"""Digests of tensors, batches and states: two that agree are the same bits."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

LENGTH = 16
"""Hexadecimal digits of a digest: two different values agree by chance once in 2^64."""
LARGEST = 1_000_000
"""Elements up to which a tensor among an object's attributes is looked at: larger ones are data."""
PLAIN = (bool, int, float, complex, str, bytes, type(None))
GENERATORS = {
    torch.Generator: "torch.Generator",
    numpy.random.Generator: "numpy.random.Generator",
    numpy.random.RandomState: "numpy.random.RandomState",
    random.Random: "random.Random",
}


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's bits, shortened; a tensor's kind and shape count too."""
    if isinstance(value, numpy.ndarray) and value.dtype != object:
        return _short(f"{value.dtype}{value.shape}".encode(), numpy.ascontiguousarray(value).tobytes())
    if isinstance(value, Tensor):
        head = f"{value.dtype}{tuple(value.shape)}".encode()
        if value.layout is not torch.strided or value.is_quantized:
            return _short(head, pickle.dumps(value.detach().cpu()))
        return _short(head, memoryview(_bytes(value)))
    if isinstance(value, PLAIN):
        return _short(repr(value).encode())  # the repr of a float gives all of its bits
    return _short(pickle.dumps(value))


def _short(*parts: bytes | memoryview) -> str:
    total = sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()[:LENGTH]


def _bytes(tensor: Tensor) -> Any:
    """Return the bytes of a tensor as an array of numpy, which knows fewer kinds of numbers than torch."""
    return tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the tensors and plain values of any nesting of dicts, lists and tuples, each with its dotted path."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, tuple | list):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}.{number}" if path else str(number))
    else:
        yield path, value


def digests(value: Any) -> dict[str, str]:
    """Return the digest of each leaf of a nested value by its path."""
    return {path: digest(leaf) for path, leaf in leaves(value)}


def sample_digests(batch: Any, size: int) -> list[str]:
    """Return a digest for each sample of a batch of ``size``; none where its tensors are not one row a sample."""
    columns = [leaf for _, leaf in leaves(batch) if isinstance(leaf, Tensor)]
    if not size or not columns or any(c.ndim == 0 or c.shape[0] != size or c.layout != torch.strided for c in columns):
        return []
    rows = [memoryview(_bytes(column)).cast("B") for column in columns]
    widths = [len(row) // size for row in rows]
    return [
        _short(*(row[number * width : (number + 1) * width] for row, width in zip(rows, widths, strict=True)))
        for number in range(size)
    ]


def attributes(root: Any, name: str, depth: int = 3) -> dict[str, tuple[str, str]]:
    """Return what an object keeps outside any checkpoint: kind and digest of each attribute by its path.

    Generators, numbers, texts, small tensors, and containers of them are looked at, in the object and in those that it
    holds. Parameters and buffers of a module are not: a checkpoint has them.
    """
    found: dict[str, tuple[str, str]] = {}
    seen: set[int] = set()

    def visit(value: Any, path: str, left: int) -> None:
        if id(value) in seen:
            return
        kind = next((name for of, name in GENERATORS.items() if isinstance(value, of)), None)
        if kind is not None:
            found[path] = (kind, _state(value))
        elif _is_plain(value):
            found[path] = (type(value).__name__, digest(value))
        elif isinstance(value, list | tuple | dict) and left and len(value) <= LARGEST:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            if len(value) > 100 or all(_is_plain(item) for _, item in items):
                found[path] = (type(value).__name__, _of_many(value))
                return
            for key, item in items:
                visit(item, f"{path}.{key}", left - 1)
        elif left and hasattr(value, "__dict__") and not isinstance(value, type | ModuleType):
            seen.add(id(value))
            for key, item in _own(value):
                visit(item, f"{path}.{key}", left - 1)

    visit(root, name, depth)
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, Tensor | numpy.ndarray) and _elements(value) <= LARGEST)


def _elements(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else int(value.size)


def _of_many(value: Any) -> str:
    try:
        return digest([item if isinstance(item, PLAIN) else digest(item) for _, item in leaves(value)])
    except (TypeError, AttributeError, pickle.PicklingError):  # of the user's own types, which need not be picklable
        return f"{len(value)} items"


def _state(generator: Any) -> str:
    if isinstance(generator, torch.Generator):
        return digest(generator.get_state())
    if isinstance(generator, numpy.random.Generator):
        return digest(repr(generator.bit_generator.state))
    return digest(repr(generator.get_state() if hasattr(generator, "get_state") else generator.getstate()))


_OF_A_MODULE = set(vars(nn.Module()))


def _own(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that an object's class gave it; of a module not those that every module has."""
    module = isinstance(value, nn.Module)
    for key, item in list(vars(value).items()):
        if not (module and (key in _OF_A_MODULE or isinstance(item, nn.Module))):
            yield key, item
    if module:
        for key, item in value.named_children():
            yield key, item
