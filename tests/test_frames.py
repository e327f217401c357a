"""trainkit.frames: of a traceback only what is the user's. Real errors: tests/faults."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainkit.config.paths import related
from trainkit.frames import RECIPES, STANDARD, is_users, user_frames
from trainkit.inspection.source import is_own


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(json.loads, ("{",)), (torch.nn.Linear(2, 2), ("x",)), (related, (1, 2))],
    ids=["python", "torch", "trainkit"],
)
def test_frames_of_libraries_are_left_out(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)) as caught:
        function(*arguments)
    told = user_frames(caught.tb)
    assert told.startswith(f'  File "{__file__}", line ')
    assert told.endswith("    function(*arguments)")
    assert told.count("  File ") == 1


def test_where_nothing_is_the_users_the_innermost_frame_is_told() -> None:
    with pytest.raises(AttributeError) as caught:
        related(1, 2)  # type: ignore[arg-type]
    told = user_frames(caught.tb.tb_next)
    assert "/trainkit/config/paths.py" in told
    assert told.count("  File ") == 1


def test_it_imports_no_torch() -> None:
    code = "import sys, trainkit.frames; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize(
    ("file", "own"),
    [
        (__file__, True),
        (related.__code__.co_filename, False),
        (torch.nn.Linear.forward.__code__.co_filename, False),
        (json.__file__, False),
        (pytest.__file__, False),
        (f"{RECIPES}/mine.py", True),
        (f"{RECIPES.removesuffix('/recipes')}_mine/net.py", True),
        (f"{STANDARD}/site-packages/trainkit/net.py", False),
        ("relative.py", True),
        ("<string>", False),
        ("<frozen importlib._bootstrap>", False),
        ("", False),
    ],
)
def test_whose_a_file_is(file: str, own: bool) -> None:
    assert is_users(file) is own
    assert is_own(file) is own
    assert not is_own(None)
