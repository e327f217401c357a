"""What every test runs under: one thread, no settings of the person who runs it, no test that lacks its device."""

import gc
import logging
import os
import sys
from collections.abc import Iterator

import pytest
from warm import Warm

# Before anything imports torch: on a busy machine two threads can be ten times slower than one.
os.environ["OMP_NUM_THREADS"] = "1"
for _name in ("FORCE_COLOR", "HYDRA_FULL_ERROR", "NO_COLOR", "TRAINKIT_DEBUG"):
    os.environ.pop(_name, None)

gc.disable()  # until the tests are collected: each look at fourteen thousand of them finds nothing to let go


def pytest_collection_finish() -> None:
    """Collect garbage again, but leave out of it what is there before the first test."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let the interpreter end as it would have."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``gpu`` where there is none, without importing torch for the others."""
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if for_gpu:
        import torch

        if not torch.cuda.is_available():
            for item in for_gpu:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """The command line as a real process, without the time that the import of torch takes."""
    parent = Warm()
    yield parent
    parent.close()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Undo what a training in this process chose (``trainer.threads``)."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Take back the handlers that Hydra gives the root logger, which write to a stream of that test alone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = [handler for handler in root.handlers if handler in handlers]
    root.setLevel(level)
