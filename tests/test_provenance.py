"""Where a run comes from."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import trainkit
from trainkit import provenance
from trainkit.provenance import about, git_commit, git_dirty, versions


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    provenance._checkout.cache_clear()
    yield
    provenance._checkout.cache_clear()


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in no checkout."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(*arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *author, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_versions_are_those_of_this_process() -> None:
    import torch

    found = versions()
    assert found["python"] == sys.version.split()[0]
    assert found["trainkit"] == trainkit.__version__
    assert found["torch"] == torch.__version__
    assert found["numpy"] == metadata.version("numpy")


def test_versions_are_known_without_importing_what_they_are_of() -> None:
    code = "import sys; from trainkit.provenance import about; about(); print({'torch', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert provenance._version("no-such-package-at-all") is None


def test_outside_a_checkout_there_is_no_commit(outside: Path) -> None:
    assert (git_commit(), git_dirty()) == (None, None)


def test_without_git_there_is_no_commit(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x")
    monkeypatch.setenv("PATH", "")
    assert (git_commit(), git_dirty()) == (None, None)


def test_a_checkout_without_a_commit_has_none(outside: Path) -> None:
    git("init", "-q")
    assert (git_commit(), git_dirty()) == (None, None)


@pytest.mark.parametrize(
    ("change", "dirty"), [("none", False), ("untracked", False), ("edited", True), ("staged", True)]
)
def test_the_commit_is_that_of_the_current_folder_and_says_whether_files_differ(
    outside: Path, change: str, dirty: bool
) -> None:
    git("init", "-q")
    (outside / "a.txt").write_text("1")
    git("add", "a.txt")
    git("commit", "-q", "-m", "x")
    if change == "untracked":
        (outside / "b.txt").write_text("2")
    elif change != "none":
        (outside / "a.txt").write_text("2")
        if change == "staged":
            git("add", "a.txt")
    assert (git_commit(), git_dirty()) == (git("rev-parse", "HEAD"), dirty)


def test_the_commit_is_the_one_that_the_process_began_with(outside: Path) -> None:
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x")
    first = git_commit()
    git("commit", "-q", "--allow-empty", "-m", "y")
    assert git_commit() == first != git("rev-parse", "HEAD")


def test_a_slow_checkout_is_not_waited_for(
    outside: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    slow = tmp_path_factory.mktemp("bin") / "git"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent))
    monkeypatch.setattr(provenance, "PATIENCE", 0.2)
    assert git_commit() is None


def test_about_is_of_plain_types() -> None:
    found = about()
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["versions", "platform", "git_commit", "git_dirty"]
