"""Whose code a config may name: one judgement for every ``_target_``, first of its text and then of what it means.

Nothing that the text already refuses is imported, and what was imported is judged by where it really comes from, so
that neither an alias nor a re-export (``torch.os.system``, ``my_package.subprocess.run``) leads anywhere else.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import functools
import itertools
import math
import operator
import pathlib
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from trainkit.config.targets.families import FAMILIES, foreign, off_the_way, too_wide
from trainkit.config.targets.families import under as under
from trainkit.frames import INSTALLED

ROOTS = ("torch", "torchvision", "trainkit")
UNITS = ("callbacks", "data", "diagnostics", "loggers", "metrics", "objectives", "optim", "recipes", "trainer")
"""Parts of trainkit whose classes and functions a config may name; besides, the store of checkpoints."""
PUBLIC = ("Callback", "Loader", "Output", "Trainer", "penalised", "supervised")
"""The names of trainkit itself that stand for such."""
STORES = ("trainkit.checkpoint.Store", "trainkit.checkpoint.store.Store")
UNTRUSTABLE = frozenset(
    {"hydra", "omegaconf", "hydra_zen", "pip", "setuptools", "pytest", "IPython", "dill", "cloudpickle"}
)
"""Packages that do whatever a text says; those of the standard library are no less dangerous."""
DISCOVERY = frozenset(
    {f"hydra.utils.{name}" for name in ("get_object", "get_class", "get_method", "get_static_method")}
    | {"hydra_zen.funcs.get_obj", "hydra_zen._utils.get_obj"}
)
"""Targets that stand for what their ``path`` names. Nothing is called: the path is judged and looked up."""
BLOCKED = (
    *("torch.load", "torch.save", "torch.from_file", "torch.serialization", "torch.hub", "torch.package", "torch.ops"),
    *(
        "torch.jit.load",
        "torch.jit.save",
        "torch.jit._serialization",
        "torch.jit.CompilationUnit",
        "torch.jit.frontend",
    ),
    *("torch.classes", "torch._classes", "torch._ops", "torch.library", "torch.utils.cpp_extension", "torch.onnx"),
    *("torch.utils.model_zoo", "torch.utils.collect_env", "torch.utils.bottleneck", "torch.utils.bundled_inputs"),
    *("torch.multiprocessing", "torch.export", "torch._export", "torch._dynamo", "torch._inductor", "torch._C._jit"),
    *("torch.distributed.rpc", "torch.distributed.run", "torch.distributed.launch", "torch.distributed.launcher"),
    *("torch.distributed.elastic", "torch.distributed.checkpoint", "torch._utils_internal", "torch._weights_only"),
    *("torch.testing", "torch.fx.graph_module", "torch._appdirs", "torch._namedtensor_internals", "torch._sources"),
    *("torch.UntypedStorage.from_file", "torch.storage", "torch._lobpcg", "torch._vendor", "torch.cuda._memory_viz"),
    *("torchvision.datasets.utils", "torchvision._internally_replaced_utils", "torchvision.extension"),
    *("numpy.load", "numpy.save", "numpy.savez", "numpy.fromfile", "numpy.memmap", "numpy.f2py", "numpy.ctypeslib"),
    *("numpy.genfromtxt", "numpy.loadtxt", "numpy.testing", "numpy.distutils", "joblib.load", "joblib.numpy_pickle"),
    *(
        "pandas.read_pickle",
        "pandas.io.pickle",
        "pandas.eval",
        "pandas.core.computation",
        "yaml",
        "_yaml",
        "jsonpickle",
    ),
    *("torch.utils.hipify", "torch.utils.benchmark", "torch.utils._strobelight", "torch._strobelight"),
    *("torch.PyTorchFileWriter", "torch.PyTorchFileReader", "torch._C.PyTorchFileWriter", "torch.import_ir_module"),
    *("torch.import_ir_module_from_buffer", "torch._C.import_ir_module", "torch._C.import_ir_module_from_buffer"),
    *("numpy.lib.format", "numpy.lib._format_impl", "numpy.lib.npyio", "numpy.lib._npyio_impl", "numpy.DataSource"),
    *("dill", "cloudpickle", "hydra", "omegaconf", "hydra_zen", "pip", "setuptools", "pkg_resources", "pytest"),
)
"""Names, and all below them, that no config may have called: they load code or files, start programs or run text."""
HARMLESS: dict[str, Any] = {
    **{f"builtins.{kind.__name__}": kind for kind in (bool, bytes, complex, dict, float, frozenset, int, list)},
    **{f"builtins.{kind.__name__}": kind for kind in (range, set, slice, str, tuple, object)},
    **{f"math.{name}": found for name, found in vars(math).items() if callable(found) and name[0] != "_"},
    **{
        f"{module.__name__}.{name}": getattr(module, name)
        for module, names in (
            (collections, "OrderedDict Counter ChainMap defaultdict deque"),
            (pathlib, "Path PurePath PosixPath WindowsPath PurePosixPath PureWindowsPath"),
            (datetime, "timedelta date datetime"),
            (itertools, "chain combinations count cycle islice pairwise permutations product repeat zip_longest"),
            (fractions, "Fraction"),
            (decimal, "Decimal"),
            (functools, "partial"),
            (
                operator,
                "abs add and_ eq floordiv ge gt itemgetter le lt matmul mod mul ne neg not_ or_ pow sub truediv",
            ),
        )
        for name in names.split()
    },
}
"""What of the standard library makes plain values, and calls nothing by a name; of the rest a config may name nothing.

Where an object says that it is from differs between releases of Python, so the objects themselves are compared."""
_HARMLESS_IDS = frozenset(map(id, HARMLESS.values()))
_STANDARD = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whose code a config may name, besides torch, torchvision and trainkit.

    Args:
        packages: Named by ``trusted_packages``, such as ``timm`` or ``my_package.models``.
        folders: Of the project: what is imported from there, other than installed packages, is the user's own.
        anyone: Whatever can be imported; only what is blocked for all stays so. For objects that Python code builds.
    """

    packages: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    anyone: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], folders: Iterable[str | Path] | None = None) -> Trusted:
        """Return what a config of one's own trusts; without ``folders`` the current one is that of the project."""
        named = config.get("trusted_packages") or ()
        packages = tuple(name for name in named if isinstance(name, str)) if isinstance(named, Sequence) else ()
        own = [Path.cwd()] if folders is None else folders
        return cls(packages, tuple(Path(folder).resolve() for folder in own))


ANYONE = Trusted(anyone=True)


def reason_by_text(target: str, trusted: Trusted) -> str:
    """Return why a name may not even be imported; empty if it may.

    A package that is not found anywhere is not refused here: who looks it up says what to install.
    """
    parts = target.split(".")
    if not all(part.isidentifier() for part in parts):
        return "is no dotted name, such as torch.nn.Linear"
    if any(part.startswith("__") for part in parts[1:]):
        return "names what Python keeps to itself"
    if target in DISCOVERY or target in HARMLESS:
        return ""
    if blocked := under(target, BLOCKED):
        return _blocked(target, blocked)
    top = parts[0]
    if top in sys.stdlib_module_names or top in UNTRUSTABLE:
        return f"may not be named by any config: {_what_it_is(top)}"
    if top == "trainkit":
        return "" if _of_trainkit(target) else "is no part of trainkit that a config may name"
    if top in FAMILIES:
        return "" if trusted.anyone else off_the_way(target, trusted.packages)
    if trusted.anyone or under(target, trusted.packages) or is_own(top, trusted.folders):
        return ""
    return f"{top} is not trusted. {how_to_trust(top)}" if _location(top) is not None else ""


def reason_by_object(found: Any, name: str, trusted: Trusted) -> str:
    """Return why what a name turned out to mean may not be used; empty if it may."""
    if isinstance(found, ModuleType):
        return reason_by_module(found, name, trusted)
    if id(found) in _HARMLESS_IDS:
        return ""
    for real in true_names(found, name):
        if blocked := under(real, BLOCKED):
            return _blocked(name, blocked, real)
        top = real.split(".", 1)[0]
        if top in sys.stdlib_module_names and top != "__main__":
            return f"is really {real}, which may not be named by any config: {_what_it_is(top)}"
        if top == "trainkit" and not _of_trainkit(real):
            return f"is really {real}, which is no part of trainkit that a config may name"
        if not trusted.anyone and (reason := foreign(real, trusted.packages)):
            return reason if real == name else f"is really {real}, which {reason}"
        known = top in ROOTS or trusted.anyone or under(real, trusted.packages) or is_own(top, trusted.folders)
        if not known:
            return f"is really {real}, and {top} is not trusted. {how_to_trust(top)}".rstrip(". ")
    return ""


def reason_by_module(module: ModuleType, name: str, trusted: Trusted) -> str:
    """Return why the way to a name may not lead through this module; empty if it may."""
    real = module.__name__
    if real == "__main__" and is_own("__main__", trusted.folders):
        return ""
    reason = reason_by_text(real, trusted) if real != name or real.split(".")[0] not in ROOTS else ""
    if real == "trainkit":
        reason = ""
    return f"leads to {real}: {reason}" if reason and real != name else reason


def true_names(found: Any, name: str) -> list[str]:
    """Return where an object, and all that it stands for, was defined; ``name`` is how it was reached."""
    names = []
    if isinstance(found, functools.partial):
        return true_names(found.func, name)
    if isinstance(found, types.MethodType):  # of a class or of an object
        owner = found.__self__ if isinstance(found.__self__, type) else type(found.__self__)
        names += [f"{owner.__module__}.{owner.__qualname__}", *true_names(found.__func__, name)]
        return names
    kind = found if isinstance(found, type) else type(found)
    if isinstance(found, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType):
        return _names_of_builtin(found, name)
    if not isinstance(found, type | types.FunctionType) and not hasattr(found, "__qualname__"):
        if type(found) in (int, float, bool, str, tuple, list, dict, type(None), complex):
            return [name]  # a value, which lies in a module that was judged
        return [f"{kind.__module__}.{kind.__qualname__}"]
    module = getattr(found, "__module__", None) or name.rpartition(".")[0]
    return [f"{module}.{getattr(found, '__qualname__', '?')}"]


def _names_of_builtin(found: Any, name: str) -> list[str]:
    owner, module = (
        getattr(found, "__objclass__", None) or getattr(found, "__self__", None),
        getattr(found, "__module__", None),
    )
    told = [f"{module}.{found.__name__}"] if module and not is_of_bindings(module) else []
    if isinstance(owner, ModuleType):
        return [*told, f"{owner.__name__}.{found.__name__}"]
    kind = owner if isinstance(owner, type) else type(owner)
    bound = isinstance(owner, type) or (kind.__module__ != "builtins" or kind.__name__ != "PyCapsule")
    if owner is not None and bound and not is_of_bindings(kind.__module__):
        return [*told, f"{kind.__module__}.{kind.__qualname__}.{found.__name__}"]
    return told or [f"{name.rpartition('.')[0]}.{found.__name__}"]


def how_to_trust(package: str) -> str:
    """Return the words that say how to trust a package; empty if it cannot be."""
    return "" if untrustable(package) else f"If you trust its code: trusted_packages=[{package}]"


def is_own(top: str, folders: Sequence[Path]) -> bool:
    """Say whether a top-level module is the user's own: it lies in the project and is no installed package."""
    location = _location(top, folders)
    if location is None:
        return False
    if location == "":  # made by the running program itself, as a notebook's __main__ is
        return True
    path = Path(location).resolve()
    if _is_trainkit(path) or (str(path).startswith(_STANDARD) and not INSTALLED.search(str(path))):
        return False
    # an installed project has its configs, and hence its folder, inside site-packages
    inside = [
        str(path.relative_to(folder)) for folder in folders if path.is_relative_to(folder) and not _holds_all(folder)
    ]
    return any(not INSTALLED.search(f"/{rest}") for rest in inside)


def _holds_all(folder: Path) -> bool:
    """Say whether a folder is that of all installed packages, of which no project is the owner."""
    return folder.name in ("site-packages", "dist-packages")


def _is_trainkit(path: Path) -> bool:
    package = Path(__file__).resolve().parents[2]
    return path == package or path.is_relative_to(package)


def _location(top: str, folders: Sequence[Path] = ()) -> str | None:
    """Return where a top-level module is, or would be imported from; None if nowhere, empty if in memory alone."""
    module = sys.modules.get(top)
    if module is not None:
        file = getattr(module, "__file__", None)
        places = list(getattr(module, "__path__", ()))
        if file is None and not places and top in sys.builtin_module_names:
            return "built-in"
        return file or (places[0] if places else "")
    try:  # of a name without a dot nothing is imported to find it
        spec = find_spec(top) or PathFinder.find_spec(top, [str(folder) for folder in folders])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.has_location and spec.origin is not None:
        return spec.origin
    return next(iter(spec.submodule_search_locations or ()), None)


def _of_trainkit(name: str) -> bool:
    """Say whether a name of trainkit is a part of a training, and no command or file that lies beside the package."""
    unit = name.split(".")[1:2]
    return name in STORES or (bool(unit) and unit[0] in (*UNITS, *PUBLIC))


def _blocked(name: str, blocked: str, real: str | None = None) -> str:
    what = f"is really {real}, which " if real not in (None, name) else ""
    return f"{what}may not be named by any config: {blocked} loads code or files, or runs programs"


def untrustable(package: object) -> str:
    """Return why a package cannot be trusted by name; empty if it can."""
    if not isinstance(package, str) or not all(re.fullmatch(r"[^\W\d]\w*", part) for part in package.split(".")):
        return "is no name of a package, such as my_package or my_package.models"
    if package.split(".")[0] in sys.stdlib_module_names:
        return "may not be trusted: the standard library is not for configs"
    if under(package, (*UNTRUSTABLE, *BLOCKED)) or is_of_bindings(package):
        return "may not be trusted: it can do anything with the machine"
    if too_wide(package):
        top = package.split(".", 1)[0]
        return f"may not be trusted as a whole: much of it writes files or runs programs. Name a module of {top}"
    return ""


def is_of_bindings(name: str) -> bool:
    """Say whether a name is one that makers of extensions in C++ give to all that they make."""
    return name.split(".", 1)[0].startswith(("pybind11", "nanobind", "_pybind11", "cython_", "_cython"))


def _what_it_is(top: str) -> str:
    standard = top in sys.stdlib_module_names
    return "the standard library is not for configs" if standard else f"{top} can do anything with the machine"


def require_importable(folders: Iterable[Path]) -> None:
    """Let modules in these folders be imported, after all others of their names."""
    for folder in folders:
        if str(folder) not in sys.path and folder.is_dir():
            sys.path.append(str(folder))
