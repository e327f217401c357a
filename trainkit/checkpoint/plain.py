"""What a checkpoint may hold: tensors and plain types, so that reading one back never runs code."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from trainkit.checkpoint.loading import DEPTH, ENTRIES, EXPANDED, MEMBERS, PICKLE_BYTES

SCALARS = (type(None), bool, int, float, str, bytes, torch.dtype, torch.device, torch.Size)
KEYS = (str, int, bool, float, type(None))
MOST_DEPTH, MOST_TENSORS, MOST_VALUES, MOST_PLAIN_BYTES = DEPTH - 5, MEMBERS - 1000, ENTRIES // 2, PICKLE_BYTES
"""What is saved stays within what is read."""
INSTEAD = {
    "Parameter": "value.detach()",
    "ndarray": "torch.from_numpy(value)",
    "set": "sorted(value)",
    "frozenset": "sorted(value)",
    "deque": "list(value)",
    "defaultdict": "dict(value)",
    "Counter": "dict(value)",
    "mappingproxy": "dict(value)",
    "bytearray": "bytes(value)",
    "datetime": "value.isoformat()",
    "timedelta": "value.total_seconds()",
    "Decimal": "str(value)",
    "complex": "[value.real, value.imag]",
    "Generator": "value.get_state()",
}
"""What to return instead of a value, by its type's name."""


class Unsavable(ValueError):
    """A state holds something that a checkpoint cannot; the message begins with its dotted path."""


def survey(state: Any) -> list[Tensor]:
    """Return the tensors of a state in order, each as often as it is there, if all of it is tensors and plain types.

    Raises:
        Unsavable: Naming the dotted path, the type, and what to return instead.
    """
    tensors: list[Tensor] = []
    waiting: list[tuple[Any, tuple[Any, ...], int]] = [(state, (), 0)]
    values = size = 0
    while waiting:
        value, path, depth = waiting.pop()
        values, size = values + 1, size + 10
        if type(value) is Tensor:
            _require_common(value, path)
            tensors.append(value)
            size += 200
        elif type(value) in SCALARS:
            size += _plain_bytes(value, path)
        elif type(value) in (list, tuple, dict, OrderedDict):
            if depth == MOST_DEPTH:
                raise Unsavable(f"{_dotted(path)[:200]}: nested more than {MOST_DEPTH} deep")
            inner = list(_inner(value, path))
            size += sum(len(key) for (_, key), _ in inner if isinstance(key, str))
            waiting.extend((item, place, depth + 1) for place, item in reversed(inner))
        else:
            raise Unsavable(f"{_dotted(path)}: {_refusal(value)}")
        if values > MOST_VALUES or size > MOST_PLAIN_BYTES or len(tensors) > MOST_TENSORS:
            raise Unsavable(
                f"{_dotted(path)}: too much for one checkpoint, which holds at most {MOST_VALUES} plain values of "
                f"{MOST_PLAIN_BYTES >> 20} MiB, and {MOST_TENSORS} tensors of any size; make tensors of the values"
            )
    return tensors


def rebuilt(value: Any, tensors: dict[int, Tensor]) -> Any:
    """Return a state with containers of its own, and with the tensor given for the id of each of its tensors."""
    if type(value) is Tensor:
        return tensors[id(value)]
    if type(value) is list or type(value) is tuple:
        return type(value)(rebuilt(item, tensors) for item in value)
    if type(value) is dict:
        return {key: rebuilt(item, tensors) for key, item in value.items()}
    if type(value) is OrderedDict:
        copy = OrderedDict((key, rebuilt(item, tensors)) for key, item in value.items())
        copy.__dict__.update(rebuilt(vars(value), tensors))  # modules note their versions there
        return copy
    return value


def are_finite(weights: Any) -> bool:
    """Say whether all weights are finite, by one host-device sync; a mask of 0 and -inf among the buffers may stay."""
    floats = [w for w in weights.values() if isinstance(w, Tensor) and w.is_floating_point()]
    norms = torch.stack([n.float() for n in torch._foreach_norm(floats)]).tolist() if floats else []
    suspects = [w for w, norm in zip(floats, norms, strict=True) if not isfinite(norm)]
    return all(bool(w.isfinite().all()) or bool(((w == 0) | w.isneginf()).all()) for w in suspects)


def _inner(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield what a container holds, with a path that is cheap to make: (path of the container, key)."""
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield (path, number), item
        return
    for key, item in value.items():
        if type(key) not in KEYS:
            raise Unsavable(f"{_dotted(path)}: a key of it is {_named(key)}; keys must be str or int")
        yield (path, key), item
    if type(value) is OrderedDict and vars(value):
        yield (path, "__dict__"), vars(value)


def _plain_bytes(value: Any, path: tuple[Any, ...]) -> int:
    if isinstance(value, str | bytes):
        if value == b"":  # the one value of these types whose pickle torch does not read
            raise Unsavable(f"{_dotted(path)}: empty bytes cannot be read back; return None instead")
        return 4 * len(value)
    if type(value) is int and value.bit_length() > 2000:
        raise Unsavable(f"{_dotted(path)}: an int of {value.bit_length()} bits cannot be read back; return str(value)")
    return 10


def _require_common(tensor: Tensor, path: tuple[Any, ...]) -> None:
    """Refuse what torch would not give back as it was."""
    if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized:
        kind = "nested" if tensor.is_nested else "quantized" if tensor.is_quantized else str(tensor.layout)
        instead = "value.dequantize()" if tensor.is_quantized else "value.to_dense()"
        raise Unsavable(f"{_dotted(path)}: a tensor that is {kind} cannot be saved; return {instead}")
    if tensor.device.type == "meta":
        raise Unsavable(f"{_dotted(path)}: a tensor on the meta device has no contents to save")
    storage = tensor.untyped_storage()
    size = tensor.numel() * tensor.element_size()
    if size > max(storage.nbytes(), EXPANDED):
        raise Unsavable(
            f"{_dotted(path)}: a tensor of {size} bytes expanded from {storage.nbytes()}; return it unexpanded"
        )


def _refusal(value: Any) -> str:
    instead = INSTEAD.get(type(value).__name__)
    if instead is None and isinstance(value, Tensor):
        instead = "a plain tensor, such as value.detach().as_subclass(torch.Tensor)"
    elif instead is None and type(value).__module__ == "numpy":
        instead = "value.item()"
    elif instead is None and isinstance(value, bool | int | float | str | bytes):
        plain = next(kind.__name__ for kind in (bool, int, float, str, bytes) if isinstance(value, kind))
        instead = f"{plain}(value)"
    elif instead is None and isinstance(value, list | tuple | dict):
        plain = next(kind.__name__ for kind in (list, tuple, dict) if isinstance(value, kind))
        instead = f"{plain}(value)"
    elif instead is None and hasattr(type(value), "__fspath__"):
        instead = "str(value)"
    elif instead is None and hasattr(type(value), "__dataclass_fields__"):
        instead = "dataclasses.asdict(value)"
    advice = f"return {instead} instead" if instead else "leave it out of state_dict() and make it anew when loading"
    return (
        f"{_named(value)} cannot be saved: a checkpoint holds tensors and plain types only "
        f"(None, bool, int, float, str, bytes, list, tuple, dict); {advice}"
    )


def _named(value: Any) -> str:
    if callable(value) and hasattr(value, "__qualname__"):
        return f"a {type(value).__name__} ({value.__qualname__})"
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"a {name}"


def _dotted(path: tuple[Any, ...]) -> str:
    keys: list[str] = []
    while path:
        path, key = path
        keys.append(str(key))
    return ".".join(reversed(keys)) or "the state"
