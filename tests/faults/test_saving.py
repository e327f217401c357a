"""Faults while a checkpoint is saved: killed, power cut, disk full, folder gone wrong.

At every moment the newest verified checkpoint is the one before or the new one, whole; once ``save`` returned, the new.
"""

import errno
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from trainkit.checkpoint import NoStore, Store, disk, files, find, newest, problem, read
from trainkit.checkpoint.manifest import manifest_path, read_manifest
from trainkit.errors import ConfigError, TrainingError
from trainkit.timing import Moment

OPERATIONS = ("open", "write", "fsync", "replace", "symlink", "unlink", "close", "mkdir")


def at(step: int) -> Moment:
    return Moment(step / 10, step, float(step))


def state_of(step: int) -> dict[str, Any]:
    return {"model": {"weight": torch.full((700,), float(step))}, "counters": {"step": step}}


def step_in(path: Path) -> int:
    """Return the step of a checkpoint that is whole."""
    state = read(path)
    step = int(state["counters"]["step"])
    assert state["model"]["weight"].tolist() == [float(step)] * 700
    return step


def prepared(folder: Path, **options: Any) -> Store:
    """Return a store with the checkpoints 2 and 3, of which 3 is the best."""
    store = Store(folder, every="1st", **options)
    store.open(at(0))
    for step in (1, 2, 3):
        assert store.is_due(at(step))
        store.save(state_of(step), at(step), best=step == 3)
    store.flush()
    assert whole_steps(folder) == [2, 3]
    return store


def whole_steps(folder: Path) -> list[int]:
    """Return the steps of all verified checkpoints."""
    found = [path for path in folder.glob("step-*.ckpt") if read_manifest(path) is not None and not problem(path)]
    return sorted(step_in(path) for path in found)


def require_sound(folder: Path, allowed: set[int]) -> int:
    """Assert all that holds at any moment, and return the step that a run would go on from."""
    assert len(whole_steps(folder)) >= 2  # none went before the new one was safe
    for name in ("last.ckpt", "best.ckpt"):
        assert step_in(folder / name) in allowed
        assert read_manifest(folder / os.readlink(folder / name)) is not None, "a link names what does not count yet"
    found = newest(folder)
    assert found is not None
    step = step_in(found)
    assert step in allowed
    assert step_in(folder / "last.ckpt") == step
    assert step_in(find(folder, "best")) in allowed
    return step


@dataclass
class Inode:
    data: bytes = b""
    durable: bytes = b""


class Change(NamedTuple):
    """One change of the folder's entries: names that go, and what a name then stands for."""

    gone: tuple[str, ...]
    name: str | None = None
    node: Inode | str | None = None


@dataclass
class Disk:
    """What a folder holds after some file operations, and what of it would outlive a power cut."""

    durable: dict[str, Inode | str]
    pending: list[Change] = field(default_factory=list)
    inodes: list[Inode] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> "Disk":
        entries: dict[str, Inode | str] = {}
        for path in folder.iterdir():
            data = b"" if path.is_symlink() else path.read_bytes()
            entries[path.name] = os.readlink(path) if path.is_symlink() else Inode(data, data)
        return cls(entries)

    def entries(self, changes: list[Change]) -> dict[str, Inode | str]:
        entries = dict(self.durable)
        for change in changes:
            for name in change.gone:
                entries.pop(name, None)
            if change.name is not None and change.node is not None:
                entries[change.name] = change.node
        return entries

    def crashes(self) -> Iterator[dict[str, bytes | str]]:
        """Yield each state that a cut may leave: any subset of what was not synced, the data kept, lost or torn."""
        subsets = chain.from_iterable(combinations(self.pending, n) for n in range(len(self.pending) + 1))
        for subset in subsets:
            for keep in (1.0, 0.5, 0.0):
                entries = self.entries(list(subset))
                yield {
                    name: node if isinstance(node, str) else node.durable + lost(node, keep)
                    for name, node in entries.items()
                }


def lost(node: Inode, keep: float) -> bytes:
    """Return what of the data that was not synced is there after all."""
    tail = node.data[len(node.durable) :]
    return tail[: int(len(tail) * keep)]


class Recorder:
    """Follows the file operations on a folder while they happen, and notes the disk after each."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, after: Callable[[Disk, str], None]) -> None:
        self.folder, self.disk, self.after = folder, Disk.of(folder), after
        self.open: dict[int, Inode | None] = {}
        self.log: list[str] = []
        for name in OPERATIONS:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            if getattr(self, f"_{name}")(result, *arguments):
                self.log.append(name)
                self.after(self.disk, name)
            return result

        return wrapper

    def _name(self, path: Any) -> str | None:
        path = Path(os.fspath(path)) if isinstance(path, str | os.PathLike) else Path()
        return path.name if path.parent == self.folder else None

    def _node(self, name: str) -> Inode | str | None:
        return self.disk.entries(self.disk.pending).get(name)

    def _change(self, change: Change) -> bool:
        self.disk.pending.append(change)
        return True

    def _open(self, descriptor: int, path: Any, flags: int, *_: Any) -> bool:
        if os.fspath(path) == str(self.folder):
            self.open[descriptor] = None
            return False
        name = self._name(path)
        if name is None or not flags & os.O_WRONLY:
            return False
        node = self._node(name)
        if not isinstance(node, Inode):
            node = Inode()
            self._change(Change((), name, node))
        elif flags & os.O_TRUNC:
            node.data = node.durable = b""
        self.open[descriptor] = node
        return True

    def _write(self, count: int, descriptor: int, data: Any) -> bool:
        node = self.open.get(descriptor)
        if node is not None:
            node.data += bytes(data[:count])
        return node is not None

    def _fsync(self, _: None, descriptor: int) -> bool:
        if descriptor not in self.open:
            return False
        node = self.open[descriptor]
        if node is None:
            self.disk = Disk(self.disk.entries(self.disk.pending))
        else:
            node.durable = node.data
        return True

    def _close(self, _: None, descriptor: int) -> bool:
        self.open.pop(descriptor, None)
        return False

    def _replace(self, _: None, source: Any, target: Any) -> bool:
        old, new = self._name(source), self._name(target)
        assert old is not None, "renamed from another folder, perhaps another file system"
        assert new is not None
        return self._change(Change((old,), new, self._node(old)))

    def _symlink(self, _: None, target: str, link: Any) -> bool:
        return self._change(Change((), self._name(link), target))

    def _unlink(self, _: None, path: Any) -> bool:
        name = self._name(path)
        return name is not None and self._change(Change((name,)))

    def _mkdir(self, _: None, *__: Any) -> bool:
        return False


def laid_out(entries: dict[str, bytes | str], folder: Path) -> Path:
    folder.mkdir()
    for name, content in entries.items():
        if isinstance(content, str):
            (folder / name).symlink_to(content)
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("best", [True, False])
def test_01_02_a_cut_after_any_file_operation_leaves_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: bool
) -> None:
    """Cases 1 and 2: each prefix of one save, with any part of what was not synced lost: old or new; then new."""
    folder = tmp_path / "run"
    store = prepared(folder)
    states: dict[str, tuple[dict[str, bytes | str], bool]] = {}

    def note(disk: Disk, operation: str, done: bool = False) -> None:
        for entries in disk.crashes():
            states.setdefault(repr(sorted(entries.items())), (entries, False))
            if done:
                states[repr(sorted(entries.items()))] = (entries, True)

    with monkeypatch.context() as patch:
        patch.setattr(files, "CHUNK", 400)  # more and smaller writes, to be cut off between
        recorder = Recorder(folder, patch, note)
        store.save(state_of(4), at(4), best=best)
    note(recorder.disk, "the end", done=True)
    assert recorder.log.count("fsync") >= 5 + best  # two files, and the folder after each and after each link
    assert {"open", "write", "replace", "symlink", "unlink"} <= set(recorder.log)
    assert len(states) > 25
    seen = set()
    for number, (entries, done) in enumerate(states.values()):
        crashed = laid_out(entries, tmp_path / str(number))
        for path in crashed.glob("step-*.ckpt"):
            assert problem(path) is None, f"{path.name} got its name before it was whole"
        step = require_sound(crashed, {4} if done and best else {3, 4})
        assert step == 4 or not done
        seen.add(step)
        if number % 10 == 0:  # and the run goes on from there
            again = Store(crashed)
            again.open(at(step))
            again.save(state_of(5), at(5), best=True)
            assert require_sound(crashed, {5}) == 5
            assert not list(crashed.glob(".tmp-*"))
        shutil.rmtree(crashed)
    assert seen == {3, 4}


def test_01_02_a_cut_in_the_very_first_save_leaves_nothing_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases 1 and 2: nothing is left that would block the same command line."""
    folder = tmp_path / "run"
    store = Store(folder)
    store.open(at(0))
    states: list[dict[str, bytes | str]] = []
    with monkeypatch.context() as patch:
        recorder = Recorder(folder, patch, lambda disk, _: states.extend(disk.crashes()))
        store.save(state_of(1), at(1), best=True)
    done = list(recorder.disk.crashes())
    seen = set()
    for number, entries in enumerate([*states, *done]):
        crashed = laid_out(entries, tmp_path / str(number))
        copy = shutil.copytree(crashed, tmp_path / f"{number}-copy", symlinks=True)
        found = newest(crashed)
        assert found is None or step_in(found) == step_in(crashed / "last.ckpt") == 1
        assert found is not None or number < len(states)
        seen.add(found is not None)
        if not os.path.lexists(copy / "last.ckpt") and not list(copy.glob("step-*.json")):  # a script may go by these
            fresh = Store(copy)
            fresh.open(at(0))
            fresh.save(state_of(1), at(1))
            assert step_in(copy / "last.ckpt") == 1
    assert seen == {False, True}


# Forks each save from a process that has imported torch but computed nothing.
KILLS = """
import os, signal, sys
from pathlib import Path
import torch
from trainkit.checkpoint import Store, files
from trainkit.timing import Moment

files.CHUNK = 1000  # more and smaller writes, to be killed between
OPERATIONS = ("open", "write", "fsync", "replace", "symlink", "unlink", "close", "mkdir")
home, background = Path(sys.argv[1]), sys.argv[2] == "background"


def state_of(step):
    return {"model": {"weight": torch.full((700,), float(step))}, "counters": {"step": step}}


def save(folder, number):
    store = Store(folder, background=background)
    store.open(Moment(0.0, 0, 0.0))
    for step in (1, 2, 3):
        store.save(state_of(step), Moment(step / 10, step, float(step)), best=step == 3)
    store.flush()
    count = 0

    def counted(function):
        def wrapper(*arguments, **options):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return wrapper

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))
    store.save(state_of(4), Moment(0.4, 4, 4.0), best=True)
    store.flush()


number = 0
while True:
    number += 1
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        save(home / str(number), number)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(number, status, flush=True)
    if status != -signal.SIGKILL:
        break
"""


@pytest.mark.parametrize("how", ["foreground", "background"])
def test_01_06_killed_before_any_file_operation_with_temporary_files_elsewhere(tmp_path: Path, how: str) -> None:
    """Case 1: a real SIGKILL at operation n = 1, 2, ... of a save; case 6: TMPDIR on another disk changes nothing."""
    elsewhere = Path("/dev/shm") / f"trainkit-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        result = subprocess.run(
            [sys.executable, "-c", KILLS, str(tmp_path), how],
            env=os.environ | {"TMPDIR": str(elsewhere)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert not list(elsewhere.iterdir())
    finally:
        shutil.rmtree(elsewhere)
    assert result.returncode == 0, result.stderr
    codes = [int(line.split()[1]) for line in result.stdout.splitlines()]
    assert codes[-1] == 0, result.stderr
    assert codes[:-1] == [-signal.SIGKILL] * (len(codes) - 1)
    assert len(codes) > 30
    steps = [require_sound(tmp_path / str(number), {3, 4}) for number in range(1, len(codes) + 1)]
    assert steps == sorted(steps)  # old ones until the manifest, new ones from there on
    assert (steps[0], steps[-1]) == (3, 4)
    for number, step in enumerate(steps, 1):
        store = Store(tmp_path / str(number))
        store.open(at(step))
        assert not list(store.folder.glob(".tmp-*"))
        assert store.save(state_of(5), at(5)) is not None
        assert len(list(store.folder.glob("step-*.json"))) <= 3


class Faulty:
    """Lets the n-th file operation of the store fail."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, code: int, only: tuple[str, ...] = OPERATIONS) -> None:
        self.count, self.number, self.code = 0, number, code
        self.what = ""
        for name in only:
            patch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.number:
                self.what = name
                raise OSError(self.code, os.strerror(self.code))
            return function(*arguments, **options)

        return wrapper


WRITES = ("open", "write", "fsync", "replace", "symlink")
TEXTS = {
    errno.ENOSPC: "no space left on ",
    errno.EIO: "the disk failed to read or write (I/O error) on ",
    errno.EROFS: "the file system is read-only on ",
    errno.EACCES: "permission denied on ",
}


@pytest.mark.parametrize(
    ("code", "background"),
    [(errno.ENOSPC, False), (errno.ENOSPC, True), (errno.EIO, False), (errno.EROFS, False), (errno.EACCES, False)],
)
def test_03_05_an_error_at_any_write_costs_this_checkpoint_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int, background: bool
) -> None:
    """Cases 3 and 5: training goes on, one loud warning, older checkpoints untouched, no temp; retried, then whole."""
    struck: list[str] = []
    for number in range(1, 100):
        folder = tmp_path / str(number)
        store = prepared(folder, background=background)
        caplog.clear()
        with pytest.MonkeyPatch.context() as patch:
            faulty = Faulty(patch, number, code, WRITES)
            saved = store.save(state_of(4), at(4), best=True)
            store.flush()
        if not faulty.what:
            assert store.failure is None
            break
        struck.append(faulty.what)
        assert saved is None
        assert store.failure is not None
        assert store.failure.startswith(f"{TEXTS[code]}{disk.device(folder)} ({folder})")
        assert ("needs 2" in store.failure and " free; " in store.failure) == (code == errno.ENOSPC)
        (warning,) = caplog.records
        assert warning.getMessage().startswith("THE CHECKPOINT OF STEP 4 WAS NOT SAVED: ")
        assert store.failure in warning.getMessage()
        assert not list(folder.glob(".tmp-*"))
        assert {2, 3} <= set(whole_steps(folder))
        require_sound(folder, {3, 4})
        assert store.is_due(at(5))  # the next one by plan
        store.save(state_of(5), at(5), best=True)
        store.flush()
        assert store.failure is None
        assert require_sound(folder, {5}) == 5
    assert set(struck) == set(WRITES)
    assert len(struck) >= 15


def test_03_a_full_disk_is_warned_of_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 3: the message has the figures; a streak is one warning; freed space ends it."""
    monkeypatch.setattr(disk, "device", lambda folder: "/dev/sdx1")
    store = prepared(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=960))
        Faulty(patch, 2, errno.ENOSPC, ("write",))
        for step in range(4, 8):
            assert store.save(state_of(step), at(step)) is None
    expected = f"no space left on /dev/sdx1 ({tmp_path}): needs 2.8 kB, 960 bytes free; last good: step 3"
    assert [record.getMessage() for record in caplog.records if "NOT SAVED" in record.getMessage()] == [
        f"THE CHECKPOINT OF STEP 4 WAS NOT SAVED: {expected}. Training goes on, and the next save tries again"
    ]
    assert store.failure == expected
    assert require_sound(tmp_path, {3}) == 3
    quiet = Store(tmp_path, every=None)
    assert not quiet.is_due(at(100))
    assert not store.is_due(Moment(0.7, 3, 8.0))  # not in every step
    assert store.is_due(Moment(0.7, 3, 67.0))  # but a minute later, if nothing is planned until then
    assert store.save(state_of(8), at(8)) == tmp_path / "step-00000008.ckpt"
    assert store.failure is None
    assert not store.is_due(Moment(0.7, 3, 200.0))


def test_03_a_disk_that_is_still_full_is_not_filled_to_the_brim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 3: once it was full, a retry begins only if there is room for all of it."""
    store = prepared(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2000))
    with monkeypatch.context() as patch:
        Faulty(patch, 1, errno.ENOSPC, ("write",))
        store.save(state_of(4), at(4))
    with monkeypatch.context() as patch:
        faulty = Faulty(patch, 0, errno.ENOSPC)
        assert store.save(state_of(5), at(5)) is None
        assert faulty.count == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=20_000))
    assert store.save(state_of(6), at(6)) is not None


LIMITED = """
import logging, os, resource, sys
import torch
from pathlib import Path
from trainkit.checkpoint import Store, newest
from trainkit.timing import Moment

logging.basicConfig(stream=sys.stdout, format="%(message)s", level="WARNING")
torch.set_num_threads(1)
folder = Path(sys.argv[1])
store = Store(folder, background=sys.argv[2] == "background")
state = {"model": {"weight": torch.ones(50_000)}}
store.open(Moment(0.0, 0, 0.0))
for step in (1, 2, 3, 4, 5):
    if step == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    if step == 5:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    store.save(state, Moment(float(step), step, float(step)))
    store.flush()
    print(f"{step}: {store.failure} {sorted(p.name for p in folder.glob('.tmp*'))} {newest(folder).name}", flush=True)
"""


@pytest.mark.parametrize("how", ["foreground", "background"])
def test_03_a_limit_of_the_system_on_files_is_an_error_of_the_disk(tmp_path: Path, how: str) -> None:
    """Case 3, for real: RLIMIT_FSIZE cuts the file off; lifted, the next save is whole."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), how], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 6
    assert lines[:2] == ["1: None [] step-00000001.ckpt", "2: None [] step-00000002.ckpt"]
    assert lines[2].startswith("THE CHECKPOINT OF STEP 3 WAS NOT SAVED: a file of this size is not allowed")
    assert lines[3].startswith("3: a file of this size is not allowed (see ulimit -f) on ")
    assert lines[3].endswith("needs 200 kB; last good: step 2 [] step-00000002.ckpt")
    assert lines[5] == "5: None [] step-00000005.ckpt"


def test_04_short_before_full_is_warned_of_once_with_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 4: free space for less than two checkpoints: one warning, after the first save or at the next start."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk, "device", lambda folder: "/dev/sdx1")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=8000))
    store = Store(tmp_path)
    store.open(at(0))
    assert not caplog.records  # nobody knows yet how large one is
    for step in (1, 2, 3):
        assert store.save(state_of(step), at(step)) is not None
    size = (tmp_path / "step-00000003.ckpt").stat().st_size
    text = (
        f"/dev/sdx1 ({tmp_path}) is almost full: a checkpoint takes {disk.in_words(size)}, and 8 kB are free. "
        "Make room, or keep fewer"
    )
    assert [record.getMessage() for record in caplog.records] == [text]
    caplog.clear()
    Store(tmp_path).open(at(3))
    assert [record.getMessage() for record in caplog.records] == [text]
    caplog.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2 * size))
    Store(tmp_path).open(at(3))
    assert not caplog.records


@pytest.mark.parametrize("what", ["open", "write", "fsync", "replace", "symlink"])
def test_05_a_folder_that_cannot_be_written_is_found_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Case 5: opening the store creates, writes, syncs, renames, links and deletes once."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    Faulty(monkeypatch, 1, errno.EROFS, (what,))
    with pytest.raises(ConfigError, match=f"checkpoints cannot be written to {folder}: Read-only file system"):
        Store(folder).open(at(0))
    monkeypatch.undo()
    assert not list(folder.iterdir())


def test_05_real_folders_that_cannot_be_written(tmp_path: Path) -> None:
    """Case 5: /proc, a file in the way, and a folder of someone else."""
    (tmp_path / "file").write_text("")
    for folder in (Path("/proc/checkpoints"), tmp_path / "file" / "checkpoints", tmp_path / "file"):
        with pytest.raises(ConfigError, match=f"checkpoints cannot be written to {folder}: "):
            Store(folder).open(at(0))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    os.chmod(tmp_path, 0o755)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom trainkit.checkpoint.files import probe\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: probe(Path(sys.argv[1]))\nexcept PermissionError as error: print(error.strerror)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(locked)], capture_output=True, text=True, timeout=60)
    assert run.stdout == "Permission denied\n" or "Permission denied" in run.stderr  # of a folder above it


def failing_save(*_: Any, **__: Any) -> None:
    raise RuntimeError("the pickle broke")


@pytest.mark.parametrize("where", ["is_due", "save", "flush", "regular", "open"])
def test_07_what_the_writer_raised_is_raised_at_the_next_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Case 7: an error of the background writer is shown at the next step, never swallowed, and only once."""
    store = prepared(tmp_path, background=True)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", failing_save)
        store.save(state_of(4), at(4))
        store._writer._thread.join()  # type: ignore[union-attr]
    chances: dict[str, Callable[[], object]] = {
        "is_due": lambda: store.is_due(at(4)),
        "save": lambda: store.save(state_of(5), at(5)),
        "flush": store.flush,
        "regular": lambda: store.regular,
        "open": lambda: store.open(at(4)),
    }
    with pytest.raises(RuntimeError, match="the pickle broke"):
        chances[where]()
    store.flush()
    assert not list(tmp_path.glob(".tmp-*"))
    assert require_sound(tmp_path, {3}) == 3
    store.save(state_of(6), at(6))
    store.flush()
    assert step_in(store.last) == 6


def test_07_two_writes_never_overlap_and_the_copy_is_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 7: the loop waits for the copy alone; a second save waits for the first."""
    store = prepared(tmp_path, background=True)
    begun, go, real = threading.Event(), threading.Event(), torch.save
    running: list[int] = []

    def slow(*arguments: Any, **options: Any) -> None:
        running.append(len(running) + 1)
        begun.set()
        assert go.wait(60)
        real(*arguments, **options)
        assert len(running) == running[-1]

    monkeypatch.setattr(torch, "save", slow)
    state = state_of(4)
    state["counters"]["list"] = [4]
    assert store.save(state, at(4), best=True) is None
    assert begun.wait(60)
    state["model"]["weight"].fill_(99.0)  # the training goes on
    state["counters"]["list"].append(99)
    assert step_in(store.last) == 3
    assert not store.is_due(at(3))  # asks without waiting
    second = threading.Thread(target=store.save, args=(state_of(5), at(5)))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    assert running == [1]
    go.set()
    second.join(60)
    store.flush()
    assert running == [1, 2]
    assert step_in(store.last) == 5
    assert read(store.best)["counters"] == {"step": 4, "list": [4]}
    assert step_in(store.best) == 4


# Forks one process for each way to end, which goes on below the loop and ends as the interpreter ends.
ENDS = """
import json, os, signal, sys, time
from pathlib import Path
import torch
from trainkit.checkpoint import Store
from trainkit.timing import Moment

codes = {}
for how in sys.argv[2:]:
    folder = Path(sys.argv[1], how)
    folder.mkdir()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
        break
    codes[how] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
else:
    print(json.dumps(codes))
    sys.exit()

torch.set_num_threads(1)
store = Store(folder / "checkpoints", background=True)
store.open(Moment(0.0, 0, 0.0))
real = torch.save

def slow(*arguments, **options):
    print("writing", flush=True)
    time.sleep(0.5)
    if how == "error":
        raise RuntimeError("the pickle broke")
    real(*arguments, **options)

torch.save = slow
store.save({"model": {"weight": torch.ones(700)}, "counters": {"step": 1}}, Moment(0.1, 1, 1.0))
if how == "exit":
    sys.exit(3)
if how == "raise":
    raise ValueError("of the user")
if how == "terminate":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
if how == "interrupt":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which `&` lets be ignored
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
"""
ENDINGS = {
    "end": (0, ""),
    "exit": (3, ""),
    "raise": (1, "ValueError: of the user"),
    "interrupt": (-signal.SIGINT, "KeyboardInterrupt"),
    "terminate": (143, ""),
    "error": (0, "the pickle broke"),
}


def test_07_the_process_waits_for_the_writer_however_it_ends(tmp_path: Path) -> None:
    """Case 7: an exit, an exception, Ctrl-C or SIGTERM while the thread writes leaves the new checkpoint, whole."""
    run = subprocess.run(
        [sys.executable, "-c", ENDS, str(tmp_path), *ENDINGS], capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {how: code for how, (code, _) in ENDINGS.items()}
    for how, (_, said) in ENDINGS.items():
        folder = tmp_path / how / "checkpoints"
        assert (tmp_path / how / "out").read_text() == "writing\n", how
        told = (tmp_path / how / "err").read_text()
        assert said in told
        if how == "error":
            assert "the last checkpoint was not saved" in told
            assert newest(folder) is None
        else:
            assert "not saved" not in told
            assert read(folder)["counters"] == {"step": 1}
            assert problem(folder / "step-00000001.ckpt") is None
        assert not list(folder.glob(".tmp-*"))


def test_08_keeping_one_is_refused_and_a_failed_delete_only_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Case 8: at least two are kept; what cannot be deleted stays, is said once, and goes later."""
    with pytest.raises(ConfigError, match=r"checkpoint\.keep_last=1: must be at least 2"):
        Store(tmp_path, keep_last=1)
    store = prepared(tmp_path)
    with monkeypatch.context() as patch:
        real = os.unlink

        def refuse(path: Any, **options: Any) -> None:
            if Path(path).name.startswith("step-"):
                raise PermissionError(errno.EACCES, "Permission denied")
            real(path, **options)

        patch.setattr(os, "unlink", refuse)
        for step in (4, 5, 6):
            assert store.save(state_of(step), at(step), best=True) is not None
    assert store.failure is None
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/step-0000000{step}.ckpt cannot be deleted: Permission denied" for step in (2, 3, 4)
    ]
    assert whole_steps(tmp_path) == [2, 3, 4, 5, 6]
    store.save(state_of(7), at(7), best=True)
    assert whole_steps(tmp_path) == [6, 7]


READER = """
import os, sys, time
from pathlib import Path
import torch
from trainkit.checkpoint import Store, read
from trainkit.timing import Moment

folder = Path(sys.argv[1])
store = Store(folder, every=None)
child = os.fork()
torch.set_num_threads(1)
if child == 0:
    steps = set()
    while not (folder / "stop").exists():
        for name in ("last", "best"):
            if (folder / f"{name}.ckpt").is_symlink():
                state = read(folder / f"{name}.ckpt")
                assert state["model"]["weight"].tolist() == [float(state["counters"]["step"])] * 700
                steps.add(state["counters"]["step"])
    print(len(steps), flush=True)
    os._exit(0)
store.open(Moment(0.0, 0, 0.0))
for step in range(1, 201):
    state = {"model": {"weight": torch.full((700,), float(step))}, "counters": {"step": step}}
    store.save(state, Moment(step / 10, step, float(step)), best=step % 3 == 0)
(folder / "stop").touch()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_09_both_links_can_be_opened_at_any_moment(tmp_path: Path) -> None:
    """Case 9: a reader opens last.ckpt and best.ckpt in a loop during 200 saves; links, never second copies."""
    run = subprocess.run([sys.executable, "-c", READER, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 10, "the reader saw too little to prove anything"
    assert (os.readlink(tmp_path / "last.ckpt"), os.readlink(tmp_path / "best.ckpt")) == (
        "step-00000200.ckpt",
        "step-00000198.ckpt",
    )
    assert sorted(path.name for path in tmp_path.glob("*.ckpt") if not path.is_symlink()) == [
        "step-00000198.ckpt",
        "step-00000199.ckpt",
        "step-00000200.ckpt",
    ]


HOLDS = """
import sys
from trainkit.locks import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_10_a_second_run_in_the_folder_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    """Case 10: the second names pid and host of the first; kill -9 releases the lock; the stale file is harmless."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1
        host = json.loads((tmp_path / ".lock").read_text())["host"]
        assert f"ConfigError: {tmp_path}: process {first.pid} on {host}, started " in second.stderr
        first.kill()
        assert first.wait(10) == -signal.SIGKILL
    assert (tmp_path / ".lock").exists()
    third = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert (third.returncode, third.stdout) == (0, "held\n")


def test_11_an_unsavable_state_is_refused_at_step_0_by_its_path(tmp_path: Path) -> None:
    """Case 11: the dry save names the path, the type, and what to do; a real one writes nothing."""
    state = {**state_of(0), "callbacks.x": {"fn": lambda: 1, "count": 3}}
    store = prepared(tmp_path)
    with pytest.raises(ConfigError, match=r"^callbacks\.x\.fn: a function .* cannot be saved: .*leave it out"):
        store.check(state)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(TrainingError, match=r"^step 4: nothing was saved: callbacks\.x\.fn: a function "):
        store.save(state, at(4))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    store.check(state_of(0))
    NoStore().check(state)  # it is never saved
    store.about = {"config": print}
    with pytest.raises(ConfigError, match=r"^about\.config: "):
        store.check(state_of(0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["model", "averaging"])
def test_12_weights_that_are_not_finite_never_reach_the_disk(tmp_path: Path, bad: float, part: str) -> None:
    """Case 12: neither as best nor as last; the newest finite one stays both."""
    store = prepared(tmp_path)
    state = state_of(4)
    state.setdefault(part, {"weight": torch.zeros(3)})["weight"][2] = bad
    with pytest.raises(TrainingError, match="step 4: a weight is not finite, so nothing was saved"):
        store.save(state, at(4), best=True)
    assert require_sound(tmp_path, {3}) == 3
    for path in tmp_path.glob("*.ckpt"):
        assert bool(read(path)["model"]["weight"].isfinite().all())


def test_the_operations_of_the_shim_are_those_that_are_used() -> None:
    """A file operation that the tests above do not see would not be tested."""
    source = "".join(path.read_text() for path in Path(disk.__file__).parent.glob("*.py"))
    for other in ("os.rename(", "os.remove(", "os.link(", "os.truncate(", "os.ftruncate(", "os.pwrite(", "shutil.copy"):
        assert other not in source, other
    assert manifest_path(Path("a/step-00000001.ckpt")) == Path("a/step-00000001.json")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert logging.getLogger("trainkit").name == "trainkit"
