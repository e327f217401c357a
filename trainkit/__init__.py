"""trainkit trains PyTorch models from Hydra configs, in a loop that is one page.

The public names below are imported on first use: ``import trainkit`` itself loads neither torch nor Hydra.
"""

import os
from importlib import import_module

TYPE_CHECKING = False  # type checkers know this name; importing typing would cost more than all of this file
if TYPE_CHECKING:
    from . import callbacks as callbacks
    from . import data as data
    from . import diagnostics as diagnostics
    from . import keys as keys
    from . import loggers as loggers
    from . import metrics as metrics
    from . import objectives as objectives
    from . import optim as optim
    from .__main__ import main as main
    from .callbacks import Callback as Callback
    from .commands.check import check as check
    from .commands.training import Result as Result
    from .commands.training import run as run
    from .config.composing.compose import compose as compose
    from .data import Loader as Loader
    from .errors import ConfigError as ConfigError
    from .errors import TrainingError as TrainingError
    from .objectives import Output as Output
    from .objectives import penalised as penalised
    from .objectives import supervised as supervised
    from .trainer import Trainer as Trainer

__version__ = "0.1.0"

# Where each lazy name lives; the imports above tell type checkers the same, and a test holds the two together.
_MODULES = ("callbacks", "data", "diagnostics", "keys", "loggers", "metrics", "objectives", "optim")
_NAMES = {
    "Callback": "callbacks",
    "ConfigError": "errors",
    "Loader": "data",
    "Output": "objectives",
    "Result": "commands.training",
    "Trainer": "trainer",
    "TrainingError": "errors",
    "check": "commands.check",
    "compose": "config.composing.compose",
    "main": "__main__",
    "penalised": "objectives",
    "run": "commands.training",
    "supervised": "objectives",
}


def _has_recipes(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, "recipes", "__init__.py"))


# A wheel carries configs/ and recipes/ inside the package. In a checkout they stand beside it: let them be found there.
_package = os.path.dirname(__file__)
_checkout = os.path.dirname(_package)
if __name__ == "trainkit" and not _has_recipes(_package) and _has_recipes(_checkout):
    __path__.append(_checkout)


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_NAMES[name]}", __name__), name)
    globals()[name] = value  # the next access finds it without this function
    return value


def __dir__() -> list[str]:
    """List the lazy names too, for completion in notebooks."""
    return sorted({*globals(), *_MODULES, *_NAMES})
