"""What of torch and torchvision a config may name: the parts that trainings are made of, and nothing else.

Both are large, and much of them writes files, compiles text or starts programs. A list of what may not be named would
have holes with every release, so what may be is listed here; the rest must be asked for by ``trusted_packages``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

FAMILIES = {
    "torch": (
        *("torch.nn", "torch.optim", "torch.utils.data", "torch.distributions", "torch.amp", "torch.cuda.amp"),
        *("torch.ao.nn", "torch.ao.quantization", "torch.special", "torch.fft", "torch.linalg", "torch.sparse"),
        *("torch.functional", "torch.random", "torch.func", "torch.nested", "torch.masked", "torch.utils.checkpoint"),
        *("torch.quantization", "torch.autograd.grad_mode"),
    ),
    "torchvision": (
        *("torchvision.models", "torchvision.transforms", "torchvision.datasets", "torchvision.ops"),
        *("torchvision.tv_tensors", "torchvision.io.image"),
    ),
}
"""Modules whose classes and functions may be named, besides the plain functions of torch itself."""
TOLD = {
    "torch": "torch.nn, torch.optim, torch.utils.data, torch.distributions and functions such as torch.relu",
    "torchvision": "torchvision.models, torchvision.transforms, torchvision.datasets and torchvision.ops",
}
INNER = (
    *("torch._C._VariableFunctions", "torch._C._VariableFunctionsClass", "torch._C.TensorBase", "torch._C._TensorBase"),
    *("torch._C._nn", "torch._C._special", "torch._C._fft", "torch._C._linalg", "torch._C._sparse", "torch._C._nested"),
    *("torch._tensor", "torch._lowrank", "torch._linalg_utils", "torch._jit_internal.boolean_dispatch"),
    *("torch._functorch.apis", "torch._functorch.eager_transforms", "torch._C.Generator", "torch._tensor_str"),
)
"""Where what these families show is really defined."""
EXCEPT = (
    *("torch.utils.data.datapipes", "torch.utils.data.graph", "torch.utils.data.graph_settings"),
    *("torch.ao.quantization.fx", "torch.ao.quantization.pt2e", "torch.ao.quantization.quantize_jit"),
    *("torch.sparse._triton_ops", "torch.sparse._triton_ops_meta"),
    *("torchvision.io.image.write_file", "torchvision.io.image.write_jpeg", "torchvision.io.image.write_png"),
)
"""What lies in these families and opens or writes files, or compiles."""
PLAIN = frozenset(
    {"compile", "device", "dtype", "finfo", "iinfo", "is_tensor", "layout", "memory_format", "qscheme", "typename"}
    | {"Size", "Tensor", "Generator", "set_default_dtype", "get_default_dtype", "set_default_device", "cond"}
    | {"get_default_device", "set_float32_matmul_precision", "get_float32_matmul_precision", "set_num_threads"}
    | {"use_deterministic_algorithms", "set_printoptions", "get_num_threads", "is_grad_enabled", "set_flush_denormal"}
)
"""Names of torch itself that are no functions of tensors, and harmless."""
EXACT = frozenset(
    {f"torch.{name}.is_available" for name in ("cuda", "mps", "xpu", "backends.mps", "accelerator")}
    | {
        "torch.cuda.device_count",
        "torch.cuda.is_bf16_supported",
        "torch._C.set_num_threads",
        "torch._C.get_num_threads",
    }
    | {"torch._C.get_default_dtype", "torch._C.is_grad_enabled", "torch._C.set_flush_denormal"}
)
LOGGERS = ("torch.utils.tensorboard",)
"""What a logger may be made of, and nothing else: it writes to the folder that it is given."""


def under(name: str, roots: Iterable[str]) -> str | None:
    """Return the one of ``roots`` that a dotted name is, or lies under."""
    return next((root for root in roots if name == root or name.startswith(f"{root}.")), None)


def foreign(real: str, packages: Iterable[str] = ()) -> str:
    """Return why something of torch or torchvision is no part of a training; empty if it is, or is of others.

    Args:
        real: Where the object was really defined.
        packages: Parts that ``trusted_packages`` names, such as ``torchvision.io``.
    """
    top = real.split(".", 1)[0]
    if top not in FAMILIES or _may_be_named(real, packages):
        return ""
    return _refusal(real)


def off_the_way(target: str, packages: Iterable[str] = ()) -> str:
    """Return why a dotted name leads to no part of a training, by its text; empty if it may lead to one.

    Nothing is imported: of each module on the way it is asked whether one that may be named lies under it.
    """
    parts = target.split(".")
    if parts[0] not in FAMILIES:
        return ""
    roots = (*FAMILIES[parts[0]], *INNER, *LOGGERS, *EXACT, *_parts_of(packages))
    for count in range(2, len(parts) + 1):
        name = ".".join(parts[:count])
        if under(name, roots):
            return _refusal(target) if under(target, EXCEPT) and not under(target, _parts_of(packages)) else ""
        if not any(root.startswith(f"{name}.") for root in roots) and _is_module(parts[:count]):
            return _refusal(target)
    return ""


def _may_be_named(real: str, packages: Iterable[str]) -> bool:
    if under(real, _parts_of(packages)) or real in EXACT:
        return True
    if under(real, EXCEPT):
        return False
    top = real.split(".", 1)[0]
    if under(real, FAMILIES[top]) or under(real, INNER):
        return True
    return top == "torch" and _is_plain(real.split(".")[1:])


def _is_plain(parts: list[str]) -> bool:
    """Say whether ``torch.NAME``, or what a class of that name has, is a plain function or kind of torch."""
    if not parts:
        return False
    if parts[0] in PLAIN or (len(parts) == 1 and parts[0].endswith("Tensor")):
        return True
    known = getattr(getattr(sys.modules.get("torch"), "_C", None), "_VariableFunctions", None)
    return len(parts) == 1 and hasattr(known, parts[0])


def _parts_of(packages: Iterable[str]) -> tuple[str, ...]:
    """Return the parts of torch and torchvision that are trusted by name; neither can be as a whole."""
    return tuple(name for name in packages if name.split(".", 1)[0] in FAMILIES and not too_wide(name))


def too_wide(package: str) -> bool:
    """Say whether a name for ``trusted_packages`` means all of a library, or what opens it."""
    return package in (*FAMILIES, "torch.utils") or package.startswith("torch._")


def _is_module(parts: list[str]) -> bool:
    """Say whether there is a module of this name, without importing anything."""
    top = sys.modules.get(parts[0])
    for folder in getattr(top, "__path__", ()):
        file = Path(folder, *parts[1:])
        if file.is_dir() or file.with_name(f"{file.name}.py").is_file():
            return True
    return False


def _refusal(name: str) -> str:
    top = name.split(".", 1)[0]
    module = _module_of(name)
    cure = f" If you mean it: trusted_packages=[{module}]" if module and not too_wide(module) else ""
    return f"is no part of a training; of {top} a config may name {TOLD[top]}.{cure}"


def _module_of(name: str) -> str:
    """Return the innermost module of a name; a function's own name is no package to trust."""
    parts = name.split(".")
    found = [count for count in range(2, len(parts)) if _is_module(parts[:count])]
    return ".".join(parts[: found[-1]]) if found else ""
