"""What the tests of the commands share: the command line without a process of its own, and a finished run."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from trainkit.__main__ import _run


class Answer(NamedTuple):
    """What a command line gave."""

    code: int
    out: str
    err: str


Line = Callable[..., Answer]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:
    """Run a command line in an empty folder; it must end with an exit code, not an exception."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # a command line adds the folders of one's own code

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        code = _run(list(arguments))
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished run of two epochs of 17 steps; to be read only."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        assert _run(["recipe=mlp", "trainer.max_epochs=2", "trainer.log_every_n_steps=10", "run_dir=run"]) == 0
    return folder
