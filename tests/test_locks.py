"""One process at a time in a folder; a lock never outlives its process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainkit import locks
from trainkit.errors import ConfigError
from trainkit.locks import held

HOLDER = """
import sys, time
from trainkit.locks import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the folder's lock until its input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with holder(tmp_path) as process:
        yield process
        process.kill()


def is_free(folder: Path) -> bool:
    """Say whether another process can have the lock."""
    code = "import sys\nfrom trainkit.locks import held\nwith held(sys.argv[1]): pass"
    return subprocess.run([sys.executable, "-c", code, str(folder)], stderr=subprocess.DEVNULL).returncode == 0


def test_the_second_process_is_told_who_the_first_one_is(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    message = rf"process {other.pid} on {socket.gethostname()}, started .*, trains in this folder. Wait for it, stop it"
    with pytest.raises(ConfigError, match=message), held(tmp_path):
        pass
    content = json.loads((tmp_path / ".lock").read_text())
    assert (content["pid"], content["host"]) == (other.pid, socket.gethostname())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process(tmp_path: Path, other: subprocess.Popen[str], number: signal.Signals) -> None:
    other.send_signal(number)
    assert other.wait(10) == -number
    with held(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_it_is_held_until_the_last_holder_leaves(tmp_path: Path) -> None:
    with held(tmp_path):
        with held(tmp_path / "." / ".." / tmp_path.name):  # the same folder
            assert not is_free(tmp_path)
        assert not is_free(tmp_path)
    assert is_free(tmp_path)
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        _ = 1 / 0
    assert is_free(tmp_path)
    assert not locks._held


def test_threads_of_a_process_share_it(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with held(tmp_path):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    with held(tmp_path):
        thread.start()
        assert inside.wait(60)
    assert not is_free(tmp_path)  # the other thread is still there
    leave.set()
    thread.join()
    assert is_free(tmp_path)


def test_a_forked_worker_neither_holds_nor_releases_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    with held(tmp_path):
        worker = os.fork()
        if worker == 0:  # lives on after its parent let go
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        gone = os.fork()
        if gone == 0:
            os._exit(0)  # closes its copy of the descriptor
        os.waitpid(gone, 0)
        assert not is_free(tmp_path)
    try:
        assert is_free(tmp_path)
    finally:
        os.close(write)
        os.waitpid(worker, 0)


def test_a_forked_child_that_leaves_the_block_leaves_the_parents_lock(tmp_path: Path) -> None:
    with held(tmp_path):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with pytest.raises(ConfigError, match=f"process {os.getppid()} "), held(tmp_path):
                    pass
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "\0" * 5000])
def test_a_stale_or_foreign_lock_file_is_harmless(tmp_path: Path, content: str) -> None:
    (tmp_path / ".lock").write_text(content)
    with held(tmp_path):
        assert not is_free(tmp_path)


def test_a_holder_that_did_not_say_who_it_is_is_another_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    descriptor = os.open(tmp_path / ".lock", os.O_WRONLY | os.O_TRUNC)
    os.close(descriptor)
    with pytest.raises(ConfigError, match="another process trains in this folder"), held(tmp_path):
        pass


def test_the_folder_is_made_or_refused(tmp_path: Path) -> None:
    with held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".lock").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: cannot be locked for this run: "), held(tmp_path / "file"):
        pass
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / ".lock").symlink_to(tmp_path / "file")  # not written through a link
    with pytest.raises(ConfigError, match="cannot be locked for this run"), held(tmp_path / "link"):
        pass
    assert (tmp_path / "file").read_text() == ""


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", unsupported)
    with held(tmp_path):
        assert "has no locks, so a second run in this folder would go unnoticed" in caplog.text
