"""What a dotted name means: looked up only as far as it is trusted; where there is nothing, the nearest name."""

from __future__ import annotations

import os
import sys
import traceback
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType, TracebackType
from typing import Any

from trainkit.config.targets.families import off_the_way
from trainkit.config.targets.trusted import (
    ANYONE,
    BLOCKED,
    DISCOVERY,
    Trusted,
    is_own,
    reason_by_module,
    reason_by_object,
    reason_by_text,
    require_importable,
    under,
)
from trainkit.errors import ConfigError, closest
from trainkit.frames import INSTALLED, OWN, RECIPES, STANDARD

KNOWN = (
    *("torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torchvision.transforms.v2", "torchvision.models"),
    *("trainkit.recipes.models", "trainkit.recipes.data", "trainkit.objectives", "trainkit.callbacks"),
    "trainkit.diagnostics",
    *("trainkit.loggers", "trainkit.metrics", "trainkit.optim", "torch.utils.data", "torchvision.datasets"),
)
"""Modules that a name without its module, or with a wrong one, is looked for in."""
FRAMES = 2
DISTRIBUTIONS = {"cv2": "opencv-python", "PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}
"""Packages that are installed by another name."""


class TargetError(ConfigError):
    """A target that is not trusted, or that there is not.

    Attributes:
        rule: ``untrusted-target`` or ``cannot-import``.
        problem: What is wrong, as the rest of a sentence.
        cure: The close match, what to install, how to trust it.
    """

    def __init__(self, target: object, problem: str, cure: str = "", rule: str = "cannot-import") -> None:
        self.rule, self.problem, self.cure = rule, problem, cure
        super().__init__(f"{target}: {problem}{'.' if cure and not problem.endswith('.') else ''} {cure}".rstrip())


def resolve(target: str, trusted: Trusted = ANYONE) -> Any:
    """Return what a dotted name means.

    Args:
        target: Such as ``torch.nn.Linear`` or ``my_package.models.Net``.
        trusted: Whose code it may be.

    Raises:
        TargetError: If it is not trusted, in which case nothing of it was imported, or if there is no such thing.
    """
    if not isinstance(target, str) or not target:
        raise TargetError(target, "is no dotted name, such as torch.nn.Linear")
    if reason := reason_by_text(target, trusted):
        if "." not in target and (near := elsewhere(target)):
            raise TargetError(target, "has no package in front of it", f"Did you mean {near!r}?")
        problem, _, cure = reason.partition(". ")
        raise TargetError(target, problem, cure, "untrusted-target")
    if target in DISCOVERY:
        return resolve
    found, name = _top(target, trusted), target.split(".", 1)[0]
    for part in target.split(".")[1:]:
        found, name = _step(found, name, part, target, trusted), f"{name}.{part}"
    if reason := reason_by_object(found, target, trusted):
        problem, _, cure = reason.partition(". ")
        raise TargetError(target, problem, cure, "untrusted-target")
    return found


def _top(target: str, trusted: Trusted) -> Any:
    name = target.split(".", 1)[0]
    if name in sys.modules:
        return sys.modules[name]
    require_importable(trusted.folders)
    try:
        there = find_spec(name) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        raise _absent(target, name, trusted)
    return _imported(name, target)


def _absent(target: str, name: str, trusted: Trusted) -> TargetError:
    near = closest(name, [*_roots_like(name)], cutoff=0.75)
    if near:
        nearest = near.split("'")[1]
        return TargetError(target, f"there is no module {name}", f"Did you mean '{nearest}{target[len(name) :]}'?")
    if "." not in target and (found := elsewhere(target)):
        return TargetError(target, "has no package in front of it", f"Did you mean {found!r}?")
    install = f"pip install {DISTRIBUTIONS.get(name, name)}"
    trust = "" if under(name, trusted.packages) or trusted.anyone else f" and trusted_packages=[{name}]"
    cure = f"If it is a package: {install}{trust}; if it is your own code, run in its folder"
    return TargetError(target, f"there is no module {name} to import", cure)


def _roots_like(name: str) -> list[str]:
    """Return the packages that a misspelt one may mean: those that everybody has, and those of the present folder."""
    local = {module.name for module in iter_modules(["."]) if is_own(module.name, (Path.cwd(),))}
    return sorted({"torch", "torchvision", "trainkit", "torchmetrics", "timm", *local} - {name})


def _step(found: Any, name: str, part: str, target: str, trusted: Trusted) -> Any:
    """Return the attribute or submodule ``part`` of what was found by ``name``."""
    full = f"{name}.{part}"
    try:
        inner = getattr(found, part)
    except AttributeError:
        if not isinstance(found, ModuleType):
            raise TargetError(target, f"{name} has no {part}", _near(found, name, target)) from None
        inner = _submodule(found, name, part, target)
    except Exception as error:  # a module of the user's may do anything when it is asked for a name
        raise _raised(full, target, error) from error
    if isinstance(inner, ModuleType) and (reason := reason_by_module(inner, full, trusted)):
        problem, _, cure = reason.partition(". ")
        raise TargetError(target, problem, cure, "untrusted-target")
    return inner


def _submodule(found: ModuleType, name: str, part: str, target: str) -> Any:
    full = f"{name}.{part}"
    path = getattr(found, "__path__", None)
    try:
        there = path is not None and find_spec(full) is not None
    except (ImportError, ValueError, AttributeError):
        there = False
    if not there:
        raise TargetError(target, f"{name} has no {part}", _near(found, name, target))
    return _imported(full, target)


def _imported(name: str, target: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and under(name, [error.name]) is None:
            raise _needs(name, target, error) from error
        raise _raised(name, target, error) from error
    except Exception as error:  # importing runs code of the user's, which may fail in any way
        raise _raised(name, target, error) from error


def _needs(name: str, target: str, error: ModuleNotFoundError) -> TargetError:
    package = str(error.name).split(".")[0]
    cure = f"pip install {DISTRIBUTIONS.get(package, package)}"
    return TargetError(target, f"importing {name} fails: {error}{_where(error)}", cure)


def _raised(name: str, target: str, error: BaseException) -> TargetError:
    told = " ".join(str(error).split())[:300]
    return TargetError(target, f"importing {name} fails: {type(error).__name__}: {told}{_where(error)}")


def _where(error: BaseException) -> str:
    """Return the user's frames of an import that failed, the last two, in a line."""
    inner = error.__traceback__
    while inner is not None and _is_machinery(inner.tb_frame.f_code.co_filename):
        inner = inner.tb_next
    frames = [f"{_short(f.filename)}:{f.lineno} in {f.name}: {f.line}" for f in frames_that_matter(inner)]
    return f" ({'; '.join(frames)})" if frames else ""


def _is_machinery(file: str) -> bool:
    return file == __file__ or file.startswith("<frozen importlib") or file.endswith("importlib/__init__.py")


def _short(file: str) -> str:
    here = str(Path.cwd()) + os.sep
    return file.removeprefix(here)


def frames_that_matter(inside: TracebackType | None) -> list[traceback.FrameSummary]:
    """Return the innermost two frames of the user's own code, else the innermost of a library's; none of Python's."""
    frames = [frame for frame in traceback.extract_tb(inside) if not _is_standard(frame.filename)]
    own = [frame for frame in frames if not INSTALLED.search(frame.filename) and not _is_of_engine(frame.filename)]
    return own[-FRAMES:] or frames[-1:]


def _is_standard(file: str) -> bool:
    return file.startswith("<") or (file.startswith(STANDARD) and not INSTALLED.search(file))


def _is_of_engine(file: str) -> bool:
    return file.startswith(OWN + os.sep) and not file.startswith(RECIPES)


def _near(holder: Any, name: str, target: str) -> str:
    """Return the hint at what is named like the next part of a target, or at the same name in another module."""
    part, last = target[len(name) + 1 :].split(".")[0], "." not in target[len(name) + 1 :]
    names = [other for other in dir(holder) if not other.startswith("_")]
    kinds = (lambda inner: isinstance(inner, ModuleType | type)) if not last else callable  # a module builds nothing
    names = [other for other in names if kinds(_loaded(holder, other)) and not _is_refused(f"{name}.{other}")]
    if not last and isinstance(holder, ModuleType) and hasattr(holder, "__path__"):
        names += [module.name for module in iter_modules(holder.__path__) if not module.name.startswith("_")]
        names = [other for other in names if not _is_refused(f"{name}.{other}")]
    same = next((other for other in names if other.lower() == part.lower()), None)
    found = elsewhere(part) if last else None
    near = [same] if same else [] if found else _likest(part, names)
    rest = target[len(name) + len(part) + 2 :]
    fitting = [other for other in near if rest and _leads_to(_loaded(holder, other), rest)]
    if fitting or near:
        return f"Did you mean '{name}.{'.'.join((fitting or near)[:1])}{f'.{rest}' if fitting else ''}'?"
    return f"Did you mean {found!r}?" if found else ""


def _leads_to(holder: Any, path: str) -> bool:
    for part in path.split("."):
        holder = _loaded(holder, part)
    return holder is not None


def _loaded(holder: Any, name: str) -> Any:
    """Return an attribute, but of a module only what is there: asking for more may import, and print, anything."""
    return vars(holder).get(name) if isinstance(holder, ModuleType) else getattr(holder, name, None)


def _is_refused(name: str) -> bool:
    """Say whether it would be no help to suggest a name, for it may not be named."""
    return under(name, BLOCKED) is not None or bool(off_the_way(name))


def _likest(word: str, names: list[str]) -> list[str]:
    """Return the names like ``word``, the likest first: of equally near ones, that of its length and beginning."""
    from difflib import SequenceMatcher, get_close_matches

    def likeness(name: str) -> float:
        common = next((n for n, (a, b) in enumerate(zip(word, name, strict=False)) if a != b), len(word))
        ratio = SequenceMatcher(None, word.lower(), name.lower()).ratio()
        return ratio + 0.1 * (len(name) == len(word)) + 0.02 * min(common, len(name))

    lower = {name.lower(): name for name in names}
    found = [
        lower[name] for name in get_close_matches(word.lower(), list(lower), n=20, cutoff=0.7 if len(word) > 4 else 0.5)
    ]
    return sorted(found, key=likeness, reverse=True)


@cache
def elsewhere(name: str) -> str | None:
    """Return where a name of this spelling, or of this spelling but for its case, is: ``torch.nn.Linear`` for it."""
    for exact in (True, False):
        for module in KNOWN:
            for other in dir(import_module(module)):
                fits = other == name if exact else other.lower() == name.lower()
                if fits and callable(getattr(import_module(module), other, None)):
                    return f"{module}.{other}"
    return None
