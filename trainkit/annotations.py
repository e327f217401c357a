"""Kinds of type annotations, as far as plain values go: which members a union has, what each wants, what lists hold.

Types of torch are known by their names, for nothing here imports it; what is not known is of the kind ``any``.
"""

from __future__ import annotations

import collections.abc
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal, TypeVar, Union

DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128", "complex32"),
    *("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"),
    *("float", "double", "half", "long", "int", "short", "cfloat", "cdouble", "chalf"),
)
RARE_DTYPE = re.compile(r"float\d_\w+|b?complex32|u?int[1-7]|q\w*int\w+|bit(s\w+)?")
DEVICE = re.compile(r"[a-z]+(:\d+)?")
BUILT = ("Module", "Optimizer", "LRScheduler", "Dataset", "Sampler")
"""Classes of torch of which no plain value is one."""
LISTS = ("list", "tuple", "set", "frozenset", "deque", "Sequence", "MutableSequence", "Iterable", "Collection", "Set")
MAPPINGS = ("dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict")
SIMPLE: dict[Any, str] = {type(None): "null", bool: "bool", int: "int", float: "float", complex: "float", str: "text"}
SIMPLE |= {numbers.Number: "float", numbers.Real: "float", numbers.Integral: "int", typing.SupportsFloat: "float"}
SIMPLE |= {type: "type"}


def members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, those of nested ones too; a single annotation is one of one."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        found = [base for member in arguments for base in members(member)]
        return tuple(base for number, base in enumerate(found) if base not in found[:number])
    if origin is typing.Annotated or getattr(origin, "__name__", "") in ("Final", "ClassVar", "Required", "ReadOnly"):
        return members(arguments[0])
    if isinstance(annotation, TypeVar):
        one = annotation.__bound__ or Any
        return tuple(base for limit in annotation.__constraints__ or (one,) for base in members(limit))
    if hasattr(annotation, "__supertype__"):
        return members(annotation.__supertype__)
    if type(annotation).__name__ == "TypeAliasType":
        return members(annotation.__value__)
    return (type(None) if annotation is None else annotation,)


def kind(base: Any) -> str:
    """Return the word for one annotation that is no union; ``any`` for what is not known.

    Returns:
        One of any, null, bool, int, float, text, list, map, literal, enum, dtype, device, tensor, call, type, object.
    """
    origin = typing.get_origin(base) or base
    if origin is Literal:
        return "literal"
    if origin is Callable or origin is collections.abc.Callable:
        return "call"
    if not isinstance(origin, type):
        return "text" if getattr(base, "__name__", "") == "LiteralString" else "any"
    if origin in SIMPLE:
        return SIMPLE[origin]
    module, name = str(origin.__module__), origin.__name__
    if module == "torch" and name in ("dtype", "device", "Tensor"):
        return name.lower()
    if issubclass(origin, Enum):
        return "enum"
    if origin is os.PathLike or module.split(".")[0] == "pathlib":
        return "text"
    known = module in ("builtins", "collections", "collections.abc", "typing")
    if hasattr(origin, "_fields") or (module, name) == ("torch", "Size") or (known and name in LISTS):
        return "list"
    if known and name in MAPPINGS:
        return "map"
    built = any(c.__name__ in BUILT and str(c.__module__).startswith("torch.") for c in origin.__mro__)
    return "object" if built else "any"


def items_of(base: Any) -> Any:
    """Return the annotation of a sequence's items: one for all, or a tuple of one for each."""
    origin, arguments = typing.get_origin(base) or base, typing.get_args(base)
    if hasattr(origin, "_fields"):
        defaults = getattr(origin, "_field_defaults", {})
        return Any if defaults else tuple(origin.__annotations__.get(name, Any) for name in origin._fields)
    if origin is not tuple:
        return int if origin.__name__ == "Size" else arguments[0] if arguments else Any
    if not arguments:
        return () if str(base).endswith("[()]") else Any
    if Ellipsis in arguments:
        return arguments[0]
    return Any if any("Unpack" in str(a) or str(a).startswith("*") for a in arguments) else arguments


def names_in(base: Any) -> Iterator[Any]:
    """Yield what stands for the members of an enum or literal in a config."""
    for choice in typing.get_args(base) if kind(base) == "literal" else base:
        if isinstance(choice, Enum):
            yield choice.name
            if isinstance(choice.value, str | int | float) and choice.value != choice.name:
                yield choice.value
        else:
            yield choice
